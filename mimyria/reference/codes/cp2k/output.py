"""Reads what CP2K prints: numbers count only where the run says that they are good.

Two layouts are known: up to 2024 (`ATOMIC FORCES in [a.u.]`) and since 2025
(`FORCES| Atomic forces [hartree/bohr]`). Both say when the SCF converged and when the
program ended; without these words there is no result, whatever numbers the file holds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from mimyria.errors import CalculationError
from mimyria.frame import Array
from mimyria.units import ANGSTROM_PER_BOHR, E_ANGSTROM_PER_DEBYE

__all__ = ["Cp2kOutput", "read_output", "version_in"]

_NUMBER: Final = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[EeDd][+-]?\d+)?"
_VERSION: Final = re.compile(r"CP2K\| version string:\s+CP2K version (\S+.*\S|\S)")
_ENERGY: Final = re.compile(
    rf"ENERGY\| Total FORCE_EVAL \( \w+ \) energy \[\S+\]:?\s+({_NUMBER})"
)
_OLD_FORCE: Final = re.compile(rf"^\s*(\d+)\s+\d+\s+\w+\s+((?:{_NUMBER}\s*){{3}})$")
_NEW_FORCE: Final = re.compile(
    rf"^\s*FORCES\|\s+(\d+)\s+((?:{_NUMBER}\s+){{3}}){_NUMBER}\s*$"
)
_DIPOLE: Final = re.compile(
    rf"X=\s*({_NUMBER})\s+Y=\s*({_NUMBER})\s+Z=\s*({_NUMBER})\s+Total="
)
_TB_DIPOLE: Final = re.compile(
    rf"TB_DIPOLE\| Moment \[a\.u\.\]\s+((?:{_NUMBER}\s+){{3}})"
)
_QUANTUM: Final = re.compile(
    rf"\[[XYZ]\]=?\s*\[((?:\s*{_NUMBER}){{3}})\s*\]\*?\s*\[[ijk]\]"
)


@dataclass(frozen=True, slots=True, eq=False)
class Cp2kOutput:
    """The numbers of one converged run.

    Attributes:
        version: of the program.
        energy: Eh.
        forces: (n_atoms, 3) Eh/a0.
        dipole: (3,) e Å, on the printed branch; None where it was not printed.
        quantum: (3, 3) e Å — rows by which it is undetermined; None likewise.
    """

    version: str
    energy: float
    forces: Array
    dipole: Array | None
    quantum: Array | None


def version_in(text: str) -> str | None:
    """The version that an output or `cp2k --version` names, or None."""
    found = _VERSION.search(text) or re.search(r"CP2K version (\S+)", text)
    return found[1] if found else None


def read_output(path: Path, n_atoms: int) -> Cp2kOutput:
    """Read the output of a single point.

    Raises:
        CalculationError: one line with the reason: it was aborted, the SCF did not
            converge, the output is cut short, or a number is missing.
    """
    if not path.is_file():
        raise CalculationError(f"CP2K wrote no output {path.name}.")
    text = path.read_text(encoding="utf-8", errors="replace")
    _require_sound(text)
    energy = _ENERGY.search(text)
    if energy is None:
        raise CalculationError("the CP2K output holds no total energy.")
    dipole = _dipole(text)
    return Cp2kOutput(
        version_in(text) or "of unknown version",
        float(energy[1]),
        _forces(text, n_atoms),
        dipole,
        _quantum(text) if dipole is not None else None,
    )


def _require_sound(text: str) -> None:
    abort = text.find("[ABORT]")
    if abort >= 0:
        raise CalculationError(f"CP2K aborted: {_message_in_box(text, abort)}")
    if "SCF run NOT converged" in text or "loop FAILED to converge" in text:
        steps = len(re.findall(r"^\s*\d+ OT ", text, flags=re.MULTILINE))
        raise CalculationError(
            f"the SCF did not converge ({steps} steps in all). Raise MAX_SCF, or take "
            "another preconditioner or minimizer of &OT."
        )
    if "PROGRAM ENDED AT" not in text:
        last = text.strip().splitlines()[-1].strip() if text.strip() else "nothing"
        raise CalculationError(
            f"the CP2K output is cut short; its last line is '{last[:80]}'. Was the "
            "job killed, or the disk full?"
        )
    if "SCF run converged in" not in text:
        raise CalculationError("the CP2K output does not say that the SCF converged.")


def _message_in_box(text: str, start: int) -> str:
    """Words of the box that CP2K draws around its message, without the drawing."""
    words = []
    for line in text[start:].splitlines()[1:]:
        if line.strip().startswith("****"):
            break
        inside = line.strip().strip("*").strip()
        inside = re.sub(r"^(\\___/|\||O/\||/\| \||/ \\)\s*", "", inside)
        inside = re.sub(r"\s*\S+\.F:\d+$", "", inside)
        if inside:
            words.append(inside)
    return " ".join(words) or "it gave no reason"


def _forces(text: str, n_atoms: int) -> Array:
    new = text.rfind("FORCES| Atomic forces [hartree/bohr]")
    old = text.rfind("ATOMIC FORCES in [a.u.]")
    if max(new, old) < 0:
        raise CalculationError("the CP2K output holds no forces.")
    pattern = _NEW_FORCE if new > old else _OLD_FORCE
    rows: list[list[float]] = []
    for line in text[max(new, old) :].splitlines()[1:]:
        row = pattern.match(line)
        if row is None:
            if rows:
                break
            continue
        if int(row[1]) != len(rows) + 1:
            raise CalculationError(
                f"the forces of CP2K are not in order: atom {row[1]} stands at place "
                f"{len(rows) + 1}."
            )
        rows.append([float(each.replace("D", "E")) for each in row[2].split()])
    if len(rows) != n_atoms:
        raise CalculationError(
            f"the CP2K output holds forces of {len(rows)} atoms instead of {n_atoms}."
        )
    return np.array(rows)


def _dipole(text: str) -> Array | None:
    tight_binding = _TB_DIPOLE.findall(text)
    if tight_binding:
        return np.array(tight_binding[-1].split(), dtype=np.float64) * ANGSTROM_PER_BOHR
    found = _DIPOLE.findall(text)
    if not found:
        return None
    return np.array(found[-1], dtype=np.float64) * E_ANGSTROM_PER_DEBYE


def _quantum(text: str) -> Array | None:
    rows = _QUANTUM.findall(text)
    if len(rows) < 3:
        return None
    # Printed is M = H n, the lattice vectors in the columns of H.
    matrix = np.array([row.split() for row in rows[-3:]], dtype=np.float64)
    return matrix.T * E_ANGSTROM_PER_DEBYE
