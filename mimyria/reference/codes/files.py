"""Calculations that are there already: outputs of CP2K, each with its input beside it.

Every output is matched by its input's own coordinates, cell and field, never by its
place in a list: a tensor cannot end up with the positions of another configuration.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
from ase.data import atomic_numbers

from mimyria.errors import CalculationError, FormatError, MimyriaError, SettingsError
from mimyria.frame import Array, Frame
from mimyria.reference.codes.cp2k.code import INPUT, OUTPUT
from mimyria.reference.codes.cp2k.inputfile import Keyword, Section, read_input
from mimyria.reference.codes.cp2k.output import read_output, version_in
from mimyria.reference.codes.protocol import SinglePoint
from mimyria.settings.fields import about, setting

__all__ = ["Files", "FilesSettings"]

_SAME_POSITION: Final = 1e-6  # Å
_SAME_FIELD: Final = 1e-9  # a.u.


@dataclass(frozen=True, slots=True)
class FilesSettings:
    """Where the finished calculations lie."""

    folder: Path = field(
        metadata=about("Folder below which finished CP2K runs are looked for.")
    )
    input: str = setting(INPUT, "Name of the input of a run.")
    output: str = setting(OUTPUT, "Name of its output, in the same folder.")
    method: str = setting(
        "", "What was computed, in words; part of the identity of the set."
    )
    charge: int = setting(0, "Charge of every frame, e.")


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    """One finished run, as its input describes it."""

    output: Path
    numbers: tuple[int, ...]
    positions: Array
    cell: Array
    field: Array


class Files:
    """Looks a configuration and a field up among finished runs."""

    name = "CP2K"

    def __init__(self, settings: FilesSettings) -> None:
        """Take note of the folder; it is searched when the first point is wanted."""
        self._settings = settings

    @property
    def identity(self) -> str:
        """What the user says was computed."""
        return f"finished runs: {self._settings.method}"

    @property
    def charge(self) -> int:
        """As the settings say it."""
        return self._settings.charge

    @cached_property
    def _runs(self) -> list[_Run]:
        root = self._settings.folder
        if not root.is_dir():
            raise SettingsError(f"code.folder: there is no folder {root}.")
        inputs = sorted(root.rglob(self._settings.input))
        runs = [
            _described(path, path.with_name(self._settings.output))
            for path in inputs
            if path.with_name(self._settings.output).is_file()
        ]
        if not runs:
            raise SettingsError(
                f"below {root} lies no folder with {self._settings.input} and "
                f"{self._settings.output}. Other names: code.input, code.output."
            )
        return runs

    def version(self) -> str:
        """Version that the first output names."""
        text = self._runs[0].output.read_text(encoding="utf-8", errors="replace")
        return version_in(text) or "of unknown version"

    def check(self, frame: Frame) -> None:
        """Refuse a frame of which there is no run at all."""
        if not any(_is_same_frame(run, frame) for run in self._runs):
            raise SettingsError(
                f"none of the {len(self._runs)} runs below {self._settings.folder} is "
                "of this configuration (same atoms in the same order, same cell)."
            )

    def single_point(
        self, frame: Frame, field: Array, folder: Path, guess: Path | None
    ) -> SinglePoint:
        """The run of this frame in this field."""
        del folder, guess
        matching = [
            run
            for run in self._runs
            if np.abs(run.field - field).max() < _SAME_FIELD
            and _is_same_frame(run, frame)
        ]
        if not matching:
            raise CalculationError(
                f"none of the {len(self._runs)} runs below {self._settings.folder} is "
                "of this configuration in this field."
            )
        result = read_output(matching[0].output, frame.n_atoms)
        return SinglePoint(
            field, result.forces, result.energy, result.dipole, result.quantum
        )


def _is_same_frame(run: _Run, frame: Frame) -> bool:
    return (
        run.numbers == tuple(frame.numbers.tolist())
        and np.abs(run.cell - frame.cell).max() < _SAME_POSITION
        and np.abs(run.positions - frame.positions).max() < _SAME_POSITION
    )


def _described(path: Path, output: Path) -> _Run:
    """Configuration and field of a CP2K input.

    Raises:
        FormatError: coordinates or cell do not stand in it in plain form.
    """
    try:
        tree = read_input(path)
        force_eval = tree.find("FORCE_EVAL") or Section("")
        coordinates = force_eval.find("SUBSYS", "COORD") or Section("")
        rows = [
            (entry.name, entry.value.split())
            for entry in coordinates.entries
            if isinstance(entry, Keyword)
        ]
        numbers = tuple(atomic_numbers[name.capitalize()] for name, _ in rows)
        positions = np.array([row[:3] for _, row in rows], dtype=np.float64)
        cell = _cell(force_eval.find("SUBSYS", "CELL") or Section(""))
        efield = force_eval.find("DFT", "PERIODIC_EFIELD")
        vector = np.zeros(3) if efield is None else _field(efield)
    except MimyriaError:
        raise
    except (KeyError, ValueError, IndexError) as error:
        raise FormatError(f"{path}: not understood ({error!r}).") from error
    if not numbers:
        raise FormatError(
            f"{path} holds no &COORD section; only inputs with their coordinates "
            "inside can be matched."
        )
    return _Run(output, numbers, positions, cell, vector)


def _cell(section: Section) -> Array:
    abc = section.get("ABC")
    if abc is not None:
        return np.diag([float(x) for x in abc.split()[:3]])
    rows = [section.get(name) for name in "ABC"]
    if None in rows:
        raise ValueError("the cell is given neither by ABC nor by A, B and C")
    return np.array([row.split()[:3] for row in rows if row], dtype=np.float64)


def _field(section: Section) -> Array:
    """The field that CP2K applies: it normalises POLARISATION."""
    direction = np.array((section.get("POLARISATION") or "").split(), dtype=np.float64)
    intensity = float((section.get("INTENSITY") or "0").replace("D", "E"))
    vector: Array = intensity * direction / np.linalg.norm(direction)
    return vector
