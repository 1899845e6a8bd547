"""The polarizability of a frame, twice: from its dipole moments and from its energies.

With the enthalpy F(E) = E0 − M·E − E·α·E/2 both routes give the same α, and it is
positive: a system follows the field. A code whose field has the wrong sign, acts as a
sawtooth, or is ignored gives forces that look sound to every residual of the fit; here
it is noticed. Arrays only.

Source: docs/theory.md, eq. (28), (72).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from mimyria.errors import CalculationError, ShapeError
from mimyria.frame import Array
from mimyria.reference.displacement import polarizability_from_dipoles, unwrapped_change
from mimyria.reference.finite_field import fit_tensors
from mimyria.units import BOHR_PER_ANGSTROM

__all__ = ["FieldResponse", "field_response", "polarizability_from_energies"]

_AGREE: Final = 0.05  # of the mean polarizability; truncation leaves a percent


@dataclass(frozen=True, slots=True, eq=False)
class FieldResponse:
    """How the whole frame follows the field.

    Attributes:
        alpha: (3, 3) e² a0² Eh⁻¹ — from the dipole moments; None without them.
        alpha_energy: (3, 3) — from the energies; None where they or the fields do not
            determine it.
        difference: largest element of their difference over the mean diagonal of
            `alpha`; NaN where one is missing.
        finding: what is wrong, in a sentence; empty if nothing is.
    """

    alpha: Array | None
    alpha_energy: Array | None
    difference: float
    finding: str


def polarizability_from_energies(
    fields: ArrayLike, energies: ArrayLike
) -> Array | None:
    """α_ab = −∂²F/∂E_a∂E_b by least squares; None if the fields do not determine it.

    Args:
        fields: (n_fields, 3) a.u. — vectors that were really applied.
        energies: (n_fields,) Eh — electric enthalpies.

    Returns:
        (3, 3) e² a0² Eh⁻¹.
    """
    values = np.asarray(energies, dtype=np.float64)
    if values.shape != (len(np.asarray(fields)),):
        raise ShapeError(f"energies must be one for each field, not {values.shape}.")
    # A polynomial of the field, as the force on one atom is.
    padded = np.stack([values - values[0], 0 * values, 0 * values], axis=1)
    second = fit_tensors(fields, padded[:, None, :]).pgt
    if second is None:
        return None
    alpha: Array = -second[0, :, :, 0] / BOHR_PER_ANGSTROM
    return alpha


def field_response(
    fields: ArrayLike,
    dipoles: ArrayLike | None,
    energies: ArrayLike | None,
    quantum: Array | None,
) -> FieldResponse:
    """Both polarizabilities, and what they say about the field.

    Args:
        fields: (n_fields, 3) a.u.
        dipoles: (n_fields, 3) e Å; None where the code printed none.
        energies: (n_fields,) Eh; None likewise.
        quantum: (3, 3) e Å — rows by which dipole moments are undetermined; None for
            molecules.
    """
    alpha = by_energy = None
    finding = ""
    if dipoles is not None:
        try:
            alpha = polarizability_from_dipoles(fields, dipoles, quantum)
        except CalculationError as error:
            finding = str(error)
    if energies is not None and not finding:
        by_energy = polarizability_from_energies(
            fields, _on_one_branch(fields, dipoles, energies, quantum)
        )
    difference = math.nan
    if alpha is not None:
        mean = float(np.trace(alpha)) / 3
        if by_energy is not None and mean != 0:
            difference = float(np.abs(alpha - by_energy).max()) / abs(mean)
        finding = finding or _finding(mean, difference)
    return FieldResponse(alpha, by_energy, difference, finding)


def _on_one_branch(
    fields: ArrayLike,
    dipoles: ArrayLike | None,
    energies: ArrayLike,
    quantum: Array | None,
) -> Array:
    """Energies −M·E with M of all points on the branch of the first.

    A periodic moment that is printed a quantum higher has an energy that is a quantum
    times the field lower; the forces know nothing of it.
    """
    values = np.asarray(energies, dtype=np.float64)
    if dipoles is None or quantum is None:
        return values
    change = np.asarray(dipoles, dtype=np.float64)
    change = change - change[0]
    jumps = BOHR_PER_ANGSTROM * (change - unwrapped_change(change, quantum))
    lifted: Array = values + np.einsum("ka,ka->k", jumps, np.asarray(fields))
    return lifted


def _finding(mean: float, difference: float) -> str:
    if mean < 0:
        return (
            f"the dipole moment changes against the field (mean polarizability "
            f"{mean:.3g} a.u.): the field acted with the opposite sign, and so both "
            "signs of the APT are wrong"
        )
    if difference > _AGREE:
        return (
            f"polarizabilities from dipole moments and from energies differ by "
            f"{100 * difference:.0f} %: the field did not act as a homogeneous one"
        )
    return ""
