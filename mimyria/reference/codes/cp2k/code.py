"""CP2K as a code: periodic cells, fields by the Berry phase, DFT and GFN1-xTB."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np

from mimyria.errors import CalculationError, SettingsError
from mimyria.files import replace_file
from mimyria.frame import Array, Frame
from mimyria.reference.codes.cp2k.inputfile import Section, read_input
from mimyria.reference.codes.cp2k.output import read_output, version_in
from mimyria.reference.codes.cp2k.template import (
    WAVE_FUNCTION,
    check_template,
    point_input,
)
from mimyria.reference.codes.cp2k.tightbinding import (
    is_tight_binding,
    require_induced_along,
)
from mimyria.reference.codes.protocol import SinglePoint
from mimyria.settings.fields import about, require, setting

__all__ = ["Cp2k", "Cp2kSettings"]

INPUT: Final = "cp2k.inp"
OUTPUT: Final = "cp2k.out"
_VERSION_SECONDS: Final = 60.0
_KILLED: Final = "CP2K was ended after {:g} s (code.timeout) without a result."


@dataclass(frozen=True, slots=True)
class Cp2kSettings:
    """How CP2K is run, and with what."""

    input: Path = field(
        metadata=about(
            "Your CP2K input for a single point; coordinates, cell and fields are put "
            "in by mimyria. It may @INCLUDE others."
        )
    )
    command: str = setting(
        "cp2k.psmp", 'How CP2K is started, as "mpirun -n 8 cp2k.psmp" or "srun cp2k".'
    )
    timeout: float = setting(0.0, "Seconds after which a point is given up; 0: never.")

    def __post_init__(self) -> None:
        """Check limits."""
        try:
            words = shlex.split(self.command)
        except ValueError as error:
            raise SettingsError(
                f"code.command must be a command as in a shell, but in {self.command} "
                f"there is {str(error).lower()}."
            ) from error
        require(bool(words), "code.command", "a command", "empty")
        require(self.timeout >= 0, "code.timeout", "0 or more", self.timeout)


class Cp2k:
    """One CP2K input, run at many geometries and fields."""

    name = "CP2K"

    def __init__(self, settings: Cp2kSettings) -> None:
        """Take note of the settings; the input is read when it is first needed."""
        self._settings = settings

    @cached_property
    def template(self) -> Section:
        """The user's input with all that it includes; file names as they are found."""
        tree = read_input(self._settings.input)
        for _, keyword in tree.walk():
            named = self._named_file(keyword.name, keyword.value)
            if named is not None:
                keyword.value = str(named)
        return tree

    @cached_property
    def identity(self) -> str:
        """The input as CP2K sees it; of named files beside it their digest."""
        tree = read_input(self._settings.input)
        tree.remove("GLOBAL")
        for _, keyword in tree.walk():
            named = self._named_file(keyword.name, keyword.value)
            if named is not None:
                digest = hashlib.sha256(named.read_bytes()).hexdigest()
                keyword.value = f"{named.name} {digest}"
        return tree.text()

    @property
    def charge(self) -> int:
        """CHARGE of the input."""
        dft = self.template.find("FORCE_EVAL", "DFT") or Section("")
        charge = dft.get("CHARGE") or "0"
        try:
            return int(charge)
        except ValueError:
            raise SettingsError(
                f"&DFT CHARGE must be a whole number, but is '{charge}'."
            ) from None

    def _named_file(self, name: str, value: str) -> Path | None:
        """The file beside the input that a keyword names; others are CP2K's own."""
        if not name.upper().endswith("_FILE_NAME"):
            return None
        path = (self._settings.input.parent / value.strip("\"'")).resolve()
        return path if path.is_file() else None

    def version(self) -> str:
        """Version, as `cp2k --version` says it."""
        words = [*shlex.split(self._settings.command), "--version"]
        if shutil.which(words[0]) is None:
            raise CalculationError(
                f"there is no program '{words[0]}'. Install CP2K, or set code.command "
                "to how it is started here."
            )
        try:
            done = subprocess.run(
                words,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_VERSION_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise CalculationError(f"'{words[0]}' does not start: {error}.") from error
        version = version_in(done.stdout)
        if version is None:
            raise CalculationError(
                f"'{' '.join(words)}' does not say a version of CP2K; is it CP2K?"
            )
        return version

    def check(self, frame: Frame) -> None:
        """Refuse an input that cannot work for this frame."""
        check_template(self.template, frame)

    def single_point(
        self, frame: Frame, field: Array, folder: Path, guess: Path | None
    ) -> SinglePoint:
        """Run CP2K in the folder, and read what it says."""
        start = None
        if guess is not None:
            wave_function = guess / WAVE_FUNCTION
            if not wave_function.is_file():
                raise CalculationError(
                    f"the wave function {wave_function} is missing. Remove "
                    f"{guess / 'point.npz'}: the point is computed again."
                )
            start = os.path.relpath(wave_function, folder)
        text = point_input(self.template, frame, field, start)
        said = ""
        if not _is_finished(folder, text, frame.n_atoms):
            (folder / OUTPUT).unlink(missing_ok=True)
            replace_file(folder / INPUT, text.encode())
            said = self._run(folder)
        try:
            result = read_output(folder / OUTPUT, frame.n_atoms)
        except CalculationError as error:
            raise CalculationError(f"{error}{said}") from error
        if guess is not None and is_tight_binding(self.template) and np.any(field):
            self._require_induced_along(frame, field, result.dipole, folder, guess)
        return SinglePoint(
            field, result.forces, result.energy, result.dipole, result.quantum
        )

    def _require_induced_along(
        self,
        frame: Frame,
        field: Array,
        dipole: Array | None,
        folder: Path,
        guess: Path,
    ) -> None:
        """Hold the induced dipole moment against the field.

        Atoms that were moved start from those at rest, whose fields are checked, and
        moving them changes the moment more than a field may.
        """
        if _coordinates(guess / INPUT) != _coordinates(folder / INPUT):
            return
        before = read_output(guess / OUTPUT, frame.n_atoms).dipole
        if dipole is None or before is None:
            raise CalculationError("CP2K printed no dipole moment (TB_DIPOLE).")
        require_induced_along(field, dipole - before)

    def _run(self, folder: Path) -> str:
        """Run to the end; what it said on the terminal where its code is not 0."""
        words = [*shlex.split(self._settings.command), "-i", INPUT, "-o", OUTPUT]
        log = folder / "terminal.log"
        with log.open("wb") as terminal:
            try:
                code = subprocess.run(
                    words,
                    cwd=folder,
                    stdin=subprocess.DEVNULL,
                    stdout=terminal,
                    stderr=subprocess.STDOUT,
                    timeout=self._settings.timeout or None,
                    check=False,
                ).returncode
            except subprocess.TimeoutExpired:
                raise CalculationError(_KILLED.format(self._settings.timeout)) from None
            except OSError as error:
                raise CalculationError(
                    f"'{words[0]}' does not start: {error.strerror}."
                ) from error
        if code == 0:
            return ""
        how = f"signal {-code}" if code < 0 else f"code {code}"
        return f" (CP2K ended with {how}; see {folder / OUTPUT} and {log.name})"


def _coordinates(path: Path) -> str:
    """The atoms of an input, as they stand in it."""
    tree = read_input(path)
    return (tree.find("FORCE_EVAL", "SUBSYS", "COORD") or Section("")).text()


def _is_finished(folder: Path, text: str, n_atoms: int) -> bool:
    """Whether the very same input has run to a good end in this folder already.

    So it is where a worker was killed between the end of CP2K and its own note of it.
    """
    path = folder / INPUT
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        return False
    try:
        read_output(folder / OUTPUT, n_atoms)
    except CalculationError:
        return False
    return True
