"""What is special about fields in CP2K's tight binding (GFN1-xTB, DFTB).

Measured with CP2K 2023.1, one water molecule in cells of 10 and 15 Å, fields of 2e-4:

* The field acts with the opposite sign: the energy is E0 + M·E instead of E0 − M·E, the
  induced dipole moment lies against the field, and the APT of oxygen is +0.53 e.
* It acts on the wrapped coordinates of the atoms, as a sawtooth and not by a Berry
  phase. A molecule that crosses the border of the cell sees the whole drop of the
  potential; its polarizability came out as 608 a0³ instead of 2.4 a0³.

So the field is written with the opposite sign, and the atoms are shifted so that the
border of the cell lies in vacuum; a cell without vacuum is refused. The sign is checked
at every point by the induced dipole moment.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from mimyria.errors import CalculationError, SettingsError
from mimyria.frame import Array, Frame
from mimyria.reference.codes.cp2k.inputfile import Section

__all__ = ["FIELD_SIGN", "is_tight_binding", "require_induced_along", "within_vacuum"]

FIELD_SIGN: Final = -1.0
"""Factor of the field in the input of tight binding."""

_LEAST_VACUUM: Final = 4.0  # Å; GFN1 orbitals of neighbours at 4 Å hardly overlap
_NOTICEABLE: Final = 1e-7  # e Å; digits of a printed moment


def is_tight_binding(template: Section) -> bool:
    """Whether an input asks for tight binding."""
    section = template.find("FORCE_EVAL", "DFT", "QS")
    method = (section.get("METHOD") or "GPW") if section is not None else "GPW"
    return method.upper() in ("XTB", "DFTB")


def within_vacuum(frame: Frame) -> Array:
    """(n_atoms, 3) Å: positions as they have to be, the border of the cell in vacuum.

    Raises:
        SettingsError: the atoms fill the cell in some direction.
    """
    fractional = np.linalg.solve(frame.cell.T, frame.positions.T).T
    heights = 1.0 / np.linalg.norm(np.linalg.inv(frame.cell), axis=0)
    shifted = np.empty_like(fractional)
    for axis in range(3):
        ordered = np.sort(fractional[:, axis] % 1.0)
        gaps = np.diff(ordered, append=ordered[0] + 1.0)
        widest = int(np.argmax(gaps))
        vacuum = float(gaps[widest] * heights[axis])
        if vacuum < _LEAST_VACUUM:
            raise SettingsError(
                "CP2K's tight binding applies a field as a sawtooth over the cell, so "
                f"the cell must have {_LEAST_VACUUM:g} Å of vacuum in each direction, "
                f"but along {'abc'[axis]} there are {vacuum:.1f} Å. For a bulk system "
                "take DFT, or cut clusters ([clusters]) into a larger cell."
            )
        border = ordered[widest] + 0.5 * gaps[widest]
        shifted[:, axis] = (fractional[:, axis] - border) % 1.0 - 0.5
    positions: Array = shifted @ frame.cell
    return positions


def require_induced_along(field: Array, induced: Array) -> None:
    """Refuse a point whose field did not act as it was meant to.

    Args:
        field: (3,) a.u. — the field that was meant.
        induced: (3,) e Å — change of the dipole moment against zero field.

    Raises:
        CalculationError: the moment changed against the field, or not at all.
    """
    along = float(induced @ field) / float(np.linalg.norm(field))
    if along <= _NOTICEABLE:
        raise CalculationError(
            f"the dipole moment changed by {along:.2e} e Å along the field, and must "
            "grow: this version of CP2K gives the field another sign in tight binding "
            "than version 2023.1, or ignores it. Take DFT, or another version."
        )
