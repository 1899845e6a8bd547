"""Calculations that are there already: outputs of CP2K, each with its input beside it.

Every output is matched by its input's own coordinates, cell and field, never by its
place in a list: a tensor cannot end up with the positions of another configuration.
Inputs that do not hold all of this in plain form are left out. Tight binding is matched
as `tightbinding` writes it: atoms away from the border of the cell, field turned round.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np

from mimyria.errors import CalculationError, MimyriaError, SettingsError
from mimyria.frame import Array, Frame
from mimyria.reference.codes.cp2k.code import INPUT, OUTPUT
from mimyria.reference.codes.cp2k.described import DescribedRun, described_run
from mimyria.reference.codes.cp2k.output import (
    Cp2kOutput,
    read_output,
    version_in,
)
from mimyria.reference.codes.cp2k.tightbinding import (
    require_induced_along,
    within_vacuum,
)
from mimyria.reference.codes.protocol import SinglePoint
from mimyria.settings.fields import about, setting

__all__ = ["Files", "FilesSettings"]

_SAME_POSITION: Final = 1e-6  # Å
_SAME_FIELD: Final = 1e-9  # a.u.
_SAME_FORCE: Final = 1e-6  # Eh/a0; two converged runs of one input are closer


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
    def _found(self) -> tuple[list[DescribedRun], list[str]]:
        """The runs, and why other inputs were left out."""
        root = self._settings.folder
        if not root.is_dir():
            raise SettingsError(f"code.folder: there is no folder {root}.")
        runs, left_out = [], []
        for path in sorted(root.rglob(self._settings.input)):
            output = path.with_name(self._settings.output)
            if not output.is_file():
                continue
            try:
                runs.append(described_run(path, output))
            except (MimyriaError, OSError) as error:
                left_out.append(str(error).rstrip("."))
        if not runs and not left_out:
            raise SettingsError(
                f"below {root} lies no folder with {self._settings.input} and "
                f"{self._settings.output}. Other names: code.input, code.output."
            )
        return runs, left_out

    def version(self) -> str:
        """Version that the first output names."""
        for run in self._found[0]:
            text = run.output.read_text(encoding="utf-8", errors="replace")
            version = version_in(text)
            if version is not None:
                return version
        return "of unknown version"

    def check(self, frame: Frame) -> None:
        """Refuse a frame of which there is no run at all."""
        if not any(_is_same_frame(run, frame) for run in self._found[0]):
            raise SettingsError(
                f"{self._none()} is of this configuration (same atoms in the same "
                f"order, same cell){self._why_not()}."
            )

    def single_point(
        self, frame: Frame, field: Array, folder: Path, guess: Path | None
    ) -> SinglePoint:
        """The run of this frame in this field."""
        del folder, guess
        result = self._result(frame, field)
        return SinglePoint(
            field, result.forces, result.energy, result.dipole, result.quantum
        )

    def _result(self, frame: Frame, field: Array) -> Cp2kOutput:
        matching = [
            run
            for run in self._found[0]
            if np.abs(run.field - field).max() < _SAME_FIELD
            and _is_same_frame(run, frame)
        ]
        if not matching:
            raise CalculationError(
                f"{self._none()} is of this configuration in this field"
                f"{self._why_not()}."
            )
        result = _the_sound_one(matching, frame.n_atoms)
        if matching[0].tight_binding and np.any(field):
            before = self._result(frame, np.zeros(3)).dipole
            if result.dipole is None or before is None:
                raise CalculationError("CP2K printed no dipole moment (TB_DIPOLE).")
            require_induced_along(field, result.dipole - before)
        return result

    def _none(self) -> str:
        return (
            f"none of the {len(self._found[0])} runs below {self._settings.folder} "
            "that are understood"
        )

    def _why_not(self) -> str:
        left_out = self._found[1]
        if not left_out:
            return ""
        return (
            f"; {len(left_out)} others were left out, the first because {left_out[0]}"
        )


def _the_sound_one(matching: list[DescribedRun], n_atoms: int) -> Cp2kOutput:
    """What the runs of one point say; failed ones count only where all have failed.

    Raises:
        CalculationError: all have failed, or two good ones differ.
    """
    first: tuple[DescribedRun, Cp2kOutput] | None = None
    failure: CalculationError | None = None
    for run in matching:
        try:
            result = read_output(run.output, n_atoms)
        except CalculationError as error:
            failure = failure or CalculationError(f"{run.output}: {error}")
            continue
        if first is None:
            first = run, result
            continue
        difference = float(np.abs(result.forces - first[1].forces).max())
        if difference > _SAME_FORCE:
            raise CalculationError(
                f"{first[0].output} and {run.output} are of the same configuration and "
                f"field, but their forces differ by {difference:.1e} Eh/a0. Keep runs "
                "of one method only below code.folder."
            )
    if first is None:
        assert failure is not None
        raise failure
    return first[1]


def _is_same_frame(run: DescribedRun, frame: Frame) -> bool:
    if run.numbers != tuple(frame.numbers.tolist()):
        return False
    if np.abs(run.cell - frame.cell).max() >= _SAME_POSITION:
        return False
    positions = within_vacuum(frame) if run.tight_binding else frame.positions
    return bool(np.abs(run.positions - positions).max() < _SAME_POSITION)
