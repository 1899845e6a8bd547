"""Binary LAMMPS dumps as finished files, frame after frame in constant memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from ase.data import atomic_numbers

from mimyria.errors import FormatError, MimyriaError, UnitError
from mimyria.frame import Array, Frame
from mimyria.io.dumpatoms import atoms_of, symbols_of
from mimyria.io.lammpsbinary import DumpParser, Snapshot
from mimyria.io.layouts import velocity_factor

__all__ = ["BinaryDumpSource"]

_PIECE: Final = 1 << 20


class BinaryDumpSource:
    """Frames of one file."""

    def __init__(
        self,
        path: Path,
        *,
        velocities_unit: str | None = None,
        elements: Mapping[str, str] | None = None,
    ) -> None:
        """Take note of the file; it is opened when the first frame is asked for.

        Args:
            path: the file.
            velocities_unit: unit of the velocities, in place of what the file says;
                positions are then in Å.
            elements: element of each type.
        """
        self._path = path
        self._size = max(path.stat().st_size, 1)
        self._unit = velocities_unit
        self._elements = elements
        self._style: str | None = None
        self._file: BinaryIO | None = None
        self._read = 0

    @property
    def fraction(self) -> float:
        """Part of the file that was read, from 0 to 1."""
        return min(self._read / self._size, 1.0)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def frames(self) -> Iterator[Frame]:
        """Frame after frame, sorted by id.

        Raises:
            FormatError: the file is damaged, cut, or lacks columns.
            UnitError: nobody says the units.
        """
        parser = DumpParser()
        self._file = open(self._path, "rb")  # noqa: SIM115 - closed by `close`
        n_frames = 0
        try:
            while data := self._file.read(_PIECE):
                self._read += len(data)
                for snapshot in parser.feed(data):
                    yield self._frame(snapshot)
                    n_frames += 1
            parser.finish()
        except MimyriaError as error:
            raise type(error)(f"{self._path}, frame {n_frames + 1}: {error}") from error

    def _frame(self, snapshot: Snapshot) -> Frame:
        self._style = snapshot.units or self._style
        if self._style is None and self._unit is None:
            raise UnitError(
                "the dump does not say its units. Say velocities_unit "
                "(Angstrom/fs for `units real`, Angstrom/ps for `units metal`), or "
                "write the dump with `dump_modify ... units yes`."
            )
        given = self._unit is not None
        atoms = atoms_of(snapshot, "real" if given else str(self._style))
        velocities: Array | None = atoms.velocities
        if given and velocities is not None:
            velocities = velocities * velocity_factor(self._unit)
        symbols = symbols_of(atoms.types, self._elements)
        unknown = sorted({each for each in symbols if each not in atomic_numbers})
        if unknown:
            raise FormatError(f"there is no element '{unknown[0]}'.")
        return Frame(
            np.array([atomic_numbers[each] for each in symbols], np.int64),
            atoms.positions,
            atoms.cell,
            velocities,
            snapshot.step,
            0,
            snapshot.pbc,
        )
