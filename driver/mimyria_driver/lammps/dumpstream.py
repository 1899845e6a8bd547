"""Snapshots of a dump to events: one or more runs of LAMMPS, one after the other.

It knows snapshots and the types of `sources`; no file, no pipe. A dump says its units
in its first frame alone, so units mean that another LAMMPS has begun.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from mimyria.errors import FormatError, FrameError, SettingsError
from mimyria.frame import Frame
from mimyria.io.dumpatoms import Atoms, atoms_of, factors_of
from mimyria.io.lammpsbinary import Snapshot
from mimyria_driver.kinematics import check_clock
from mimyria_driver.lammps.elements import numbers_of
from mimyria_driver.sources import Arrived, Event, RunDescription, Started

__all__ = ["DumpStream"]

_EARLY: Final = 2
"""Frames in which an error of the input shows; nothing is lost by then."""


class DumpStream:
    """What the snapshots of a pipe or of a file mean.

    Attributes:
        units: unit style, None as long as nobody has said it.
        n_frames: frames of the present LAMMPS so far.
        stride: MD steps from one frame to the next.
        began: the first frame of the present LAMMPS was among ours.
    """

    def __init__(
        self,
        elements: Mapping[str, str],
        time_step: float,
        stride: int,
        units: str | None = None,
    ) -> None:
        """Begin.

        Args:
            elements: symbol of each atom type, as ("1", "O").
            time_step: MD time step, fs.
            stride: MD steps from one frame to the next.
            units: what an earlier driver has heard, where the stream goes on.

        Raises:
            SettingsError: a type is no number.
        """
        try:
            self._elements = {int(kind): symbol for kind, symbol in elements.items()}
        except ValueError:
            raise SettingsError(
                f"source.types must give an element for numbers of types, as 1=O, but "
                f"has {', '.join(elements)}."
            ) from None
        self.units = units
        self.n_frames = 0
        self.stride = stride
        self._time_step = time_step
        self.began = False
        self._description: RunDescription | None = None
        self._atoms: Atoms | None = None  # of the frame before
        self._step, self._time = -1, 0.0

    @property
    def is_early(self) -> bool:
        """Whether an error now is likely to be one of the input or the settings."""
        return self.n_frames < _EARLY

    def take(self, snapshot: Snapshot) -> list[Event]:
        """The next snapshot: its frame, behind `Started` where a LAMMPS begins.

        Raises:
            FormatError: something is missing in the dump.
            FrameError: it is not a frame of this run.
            UnitError: the units are not physical.
        """
        if snapshot.units:
            self.units = snapshot.units
            self.n_frames = 0
            self.began = True
        if self.units is None:
            raise FormatError(
                "the dump does not say its units: write it with `dump_modify ... units "
                "yes time yes`, and start the driver before LAMMPS writes."
            )
        atoms = atoms_of(snapshot, self.units)
        events: list[Event] = []
        if self.n_frames == 0:
            self._description = self._describe(atoms)
            events.append(Started(self._description))
        else:
            self._compare(snapshot, atoms)
        frame = self._frame(snapshot, atoms)
        events.append(Arrived(frame, -1 if self.n_frames == 0 else self._step))
        self.n_frames += 1
        self._atoms, self._step = atoms, snapshot.step
        return events

    def _describe(self, atoms: Atoms) -> RunDescription:
        numbers, masses = numbers_of(
            atoms.types,
            self._elements,
            atoms.masses,
            given_to="source.types has",
        )
        return RunDescription(
            "LAMMPS dump", numbers, masses, self._time_step, self.stride
        )

    def _frame(self, snapshot: Snapshot, atoms: Atoms) -> Frame:
        if atoms.velocities is None:
            raise FormatError(
                "the dump has no columns vx vy vz, and velocities cannot be made up "
                "from positions that are far apart. Add them to the dump command."
            )
        if snapshot.time is None:
            raise FormatError(
                "the dump does not say its time, by which the time step is checked: "
                "write it with `dump_modify ... units yes time yes`."
            )
        self._time = snapshot.time
        assert self._description is not None
        return Frame(
            self._description.numbers,
            atoms.positions,
            atoms.cell,
            atoms.velocities,
            snapshot.step,
            pbc=snapshot.pbc,
        )

    def _compare(self, snapshot: Snapshot, atoms: Atoms) -> None:
        """Hold a frame against the one before it."""
        before = self._atoms
        assert before is not None
        same = np.array_equal(atoms.ids, before.ids)
        if not same or not np.array_equal(atoms.types, before.types):
            raise FrameError(
                f"step {snapshot.step}: the ids or types of the atoms are not those of "
                "the frame before. Atoms must be neither lost nor inserted, and keep "
                "their types."
            )
        apart = snapshot.step - self._step
        if self.n_frames == 1 and self.began and apart != self.stride:
            raise FrameError(
                f"the first two frames of the dump are {apart} steps apart, but "
                f"source.stride is {self.stride}. Set it to the N of the dump command."
            )
        self._check_clock(snapshot, apart)
        if self.n_frames < _EARLY:
            _check_velocities(before, atoms)

    def _check_clock(self, snapshot: Snapshot, apart: int) -> None:
        if snapshot.time is None:
            return
        assert self.units is not None
        femtosecond = factors_of(self.units)[1]
        check_clock(
            snapshot.step,
            apart,
            (snapshot.time - self._time) / femtosecond,
            snapshot.time / femtosecond,
            self._time_step,
            "Set it to the time step of LAMMPS, which must not change.",
        )


def _check_velocities(before: Atoms, now: Atoms) -> None:
    """Refuse velocities that stay while the atoms move (fix ipi, rerun)."""
    same = np.array_equal(np.asarray(now.velocities), np.asarray(before.velocities))
    if same and not np.array_equal(now.positions, before.positions):
        raise FrameError(
            "The atoms move but their velocities never change, as with fix ipi or a "
            "rerun without velocities. Stream from the program that integrates."
        )
