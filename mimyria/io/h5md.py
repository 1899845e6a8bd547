"""H5MD 1.1: trajectories in HDF5, with the velocities that belong to them.

Read is one group of `/particles`: position, velocity, box/edges, species. Units must
stand in the attribute `unit` (or be given); species are atomic numbers, symbols, or
numbers of types with a table of elements.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from mimyria.errors import FormatError, UnitError
from mimyria.frame import Array, Frame
from mimyria.hdf5 import check_contained
from mimyria.io.layouts import velocity_factor
from mimyria.units import ANGSTROM_PER_BOHR

__all__ = ["H5mdSource"]

_LENGTHS: Final = {
    "Angstrom": 1.0, "angstrom": 1.0, "Å": 1.0, "A": 1.0, "nm": 10.0, "pm": 0.01,
    "bohr": ANGSTROM_PER_BOHR, "a0": ANGSTROM_PER_BOHR,
}  # fmt: skip
_CACHE: Final = 2**20
_TIMES: Final = {"fs": 1.0, "ps": 1e3}


class H5mdSource:
    """Frames of one group of particles, one after the other.

    Attributes:
        path: the file.
        n_frames: how many it holds.
    """

    def __init__(
        self,
        path: Path,
        *,
        velocities_unit: str | None = None,
        elements: Mapping[str, str] | None = None,
        group: str | None = None,
    ) -> None:
        """Open the file and look at its layout.

        Args:
            path: the file.
            velocities_unit: unit of the velocities, where the file does not say it.
            elements: element symbol of each number of `species`.
            group: below `/particles`; None: the only one there.

        Raises:
            FormatError: it is no H5MD file, or lacks what is needed.
            UnitError: a unit is missing or unknown.
        """
        self.path = path
        self._index = 0
        try:
            self._file = h5py.File(path, "r")
        except OSError as error:
            raise FormatError(f"{path}: not readable as HDF5 ({error}).") from error
        _bound_cache(self._file)
        try:
            _check_particles(self._file)
            self._open(velocities_unit, elements, group)
        except (KeyError, TypeError, AttributeError) as error:
            self.close()
            raise FormatError(
                f"{path}: not readable as H5MD ({error}). Wanted are position, "
                "velocity, box/edges and species below /particles/GROUP."
            ) from error
        except (FormatError, UnitError) as error:
            self.close()
            raise type(error)(f"{path}: {error}") from error

    def _open(
        self,
        velocities_unit: str | None,
        elements: Mapping[str, str] | None,
        group: str | None,
    ) -> None:
        particles = self._file["particles"]
        names = sorted(particles)
        if group is None and len(names) != 1:
            raise FormatError(
                f"there are {len(names)} groups of particles ({', '.join(names)}); say "
                "which one."
            )
        self._group = particles[group or names[0]]
        self._positions = self._group["position/value"]
        self._velocities = self._group["velocity/value"]
        self.n_frames = len(self._positions)
        if self._positions.shape != self._velocities.shape or (
            self._positions.ndim != 3 or self._positions.shape[2] != 3
        ):
            raise FormatError(
                "position and velocity must both have the shape (n_frames, n_atoms, "
                f"3), but have {self._positions.shape} and {self._velocities.shape}."
            )
        self._length = _length_factor(self._positions, "position")
        self._velocity = (
            velocity_factor(velocities_unit)
            if velocities_unit
            else _velocity_unit(self._velocities)
        )
        edges = self._group["box/edges"]
        self._fixed_cell = isinstance(edges, h5py.Dataset)
        self._edges = edges if self._fixed_cell else edges["value"]
        self._edge_length = _length_factor(self._edges, "box/edges", self._length)
        self._steps = self._group["position"].get("step")
        self._numbers = _species(self._group["species"], elements, self._positions)
        self._periodic = _boundary(self._group["box"])

    @property
    def n_atoms(self) -> int:
        """Atoms of each frame."""
        return int(self._positions.shape[1])

    @property
    def fraction(self) -> float:
        """Part of the frames that was read, from 0 to 1."""
        return self._index / max(self.n_frames, 1)

    def frames(self) -> Iterator[Frame]:
        """One frame after the other."""
        for index in range(self.n_frames):
            self._index = index + 1
            yield Frame(
                self._numbers,
                np.asarray(self._positions[index], np.float64) * self._length,
                self._cell(index),
                np.asarray(self._velocities[index], np.float64) * self._velocity,
                self._step(index),
                0,
                self._periodic,
            )

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _cell(self, index: int) -> Array:
        edges = self._edges[()] if self._fixed_cell else self._edges[index]
        cell = np.asarray(edges, np.float64) * self._edge_length
        if cell.shape == (3,):
            return np.diag(cell)
        if cell.shape != (3, 3):
            raise FormatError(f"{self.path}: box/edges must be (3,) or (3, 3).")
        return cell

    def _step(self, index: int) -> int:
        if self._steps is None:
            return index
        if self._steps.shape == ():  # H5MD: a single number is the increment
            offset = int(self._steps.attrs.get("offset", 0))
            return offset + index * int(self._steps[()])
        return int(self._steps[index])


def _check_particles(file: h5py.File) -> None:
    """What is read must lie in the file itself; the rest is left alone."""
    if not isinstance(file.get("particles", getlink=True), h5py.HardLink):
        raise FormatError("'particles' is a link; the file must hold its data.")
    check_contained(file["particles"])


def _bound_cache(file: h5py.File) -> None:
    """Keep HDF5's index of chunks at 1 MiB; it would grow with the frames read."""
    config = file.id.get_mdc_config()
    config.set_initial_size = True
    config.initial_size = config.min_size = config.max_size = _CACHE
    file.id.set_mdc_config(config)


def _text(value: Any) -> str:  # noqa: ANN401 - attributes come as bytes or text
    return value.decode() if isinstance(value, bytes) else str(value)


def _length_factor(
    dataset: h5py.Dataset, name: str, default: float | None = None
) -> float:
    unit = dataset.attrs.get("unit")
    if unit is None and default is not None:
        return default
    if unit is None or _text(unit) not in _LENGTHS:
        raise UnitError(
            f"{name} must have the attribute unit, one of {', '.join(_LENGTHS)}, but "
            f"{'has none' if unit is None else f'it is {_text(unit)!r}'}. Add it with "
            "h5py."
        )
    return _LENGTHS[_text(unit)]


def _velocity_unit(dataset: h5py.Dataset) -> float:
    """Factor to Å/fs from `Angstrom fs-1`, `nm ps-1` or `Angstrom/fs`."""
    text = _text(dataset.attrs.get("unit", ""))
    words = text.replace("/", " /").replace("·", " ").replace("*", " ").split()
    if len(words) == 2 and words[0] in _LENGTHS:
        time = words[1].removeprefix("/").removesuffix("-1").removesuffix("^")
        inverse = words[1].startswith("/") or words[1].endswith("-1")
        if inverse and time in _TIMES:
            return _LENGTHS[words[0]] / _TIMES[time]
    if not text:
        return velocity_factor(None)  # raises, and says which units there are
    return velocity_factor(text)


def _species(
    node: h5py.Dataset | h5py.Group,
    elements: Mapping[str, str] | None,
    positions: h5py.Dataset,
) -> NDArray[np.int64]:
    values = node if isinstance(node, h5py.Dataset) else node["value"]
    found = np.asarray(values[()])
    if found.ndim == 2:
        if (found != found[0]).any():
            raise FormatError("the species of the atoms must not change.")
        found = found[0]
    if found.shape != (positions.shape[1],):
        raise FormatError(
            f"species must have {positions.shape[1]} entries, not {found.shape}."
        )
    words = [_text(each) for each in found.tolist()]
    if elements is not None:
        absent = sorted(set(words) - elements.keys())
        if absent:
            raise FormatError(f"the species {absent[0]} has no element.")
        words = [elements[word] for word in words]
    numbers = [int(w) if w.isdecimal() else atomic_numbers.get(w, 0) for w in words]
    if not all(1 <= number <= 118 for number in numbers):
        raise FormatError(
            f"the species {sorted(set(words))} are no elements. Give the element of "
            "every species (elements, as 1=O 2=H)."
        )
    return np.array(numbers, np.int64)


def _boundary(box: h5py.Group) -> tuple[bool, bool, bool]:
    flags = [_text(each) != "none" for each in box.attrs.get("boundary", [])]
    return (flags[0], flags[1], flags[2]) if len(flags) == 3 else (True, True, True)
