"""APT and PGT from displaced atoms: the slow way, which checks the way by fields.

    P[a, c] = [M_a(+d) − M_a(−d)] / 2d      Q[a, b, c] = [α_ab(+d) − α_ab(−d)] / 2d

with the atom moved by ±d along c: six calculations an atom with a dipole moment each
for P, six times as many fields for Q. The index of the displacement is the last one.
Arrays only; what computes the dipole moments is not known here.

Source: docs/theory.md, eq. (27), (28).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from mimyria.errors import CalculationError, SettingsError, ShapeError
from mimyria.frame import Array
from mimyria.reference.finite_field import fit_tensors
from mimyria.units import BOHR_PER_ANGSTROM

__all__ = [
    "DEFAULT_DISPLACEMENT",
    "apt_from_dipoles",
    "displaced_positions",
    "pgt_from_polarizabilities",
    "polarizability_from_dipoles",
    "unwrapped_change",
]

DEFAULT_DISPLACEMENT: Final = 5e-3  # Å; truncation and noise are both below 1e-5 there
_CLEAR: Final = 0.25  # of the quantum; a larger change could be on either branch
_SHORT: Final = 1e-12


def displaced_positions(
    positions: ArrayLike, atoms: Sequence[int], step: float
) -> Array:
    """Configurations of the displacement route.

    Args:
        positions: (n_atoms, 3) Å.
        atoms: which are moved.
        step: d, Å.

    Returns:
        (n_moved, 3, 2, n_atoms, 3) Å — by atom, axis, and + or −.

    Raises:
        SettingsError: an atom does not exist, or the step is not above 0.
    """
    rest = np.asarray(positions, dtype=np.float64)
    if not step > 0:
        raise SettingsError(f"the displacement must be above 0, but is {step}.")
    wrong = [atom for atom in atoms if not 0 <= atom < len(rest)]
    if wrong or not len(atoms):
        raise SettingsError(
            f"atoms to move must be 0 to {len(rest) - 1}, at least one; "
            f"found {wrong or 'none'}."
        )
    moved = np.tile(rest, (len(atoms), 3, 2, 1, 1))
    for sample, atom in enumerate(atoms):
        for axis in range(3):
            moved[sample, axis, 0, atom, axis] += step
            moved[sample, axis, 1, atom, axis] -= step
    return moved


def unwrapped_change(change: ArrayLike, quantum: Array | None) -> Array:
    """A change of a dipole moment, on the branch where it is smallest.

    Args:
        change: (..., 3) e Å — differences of dipole moments.
        quantum: (3, 3) e Å — rows by which they are undetermined, zero where nothing
            repeats; None for molecules.

    Raises:
        CalculationError: the smallest change is still a large part of a quantum, so
            that the branch is a guess.

    Source: docs/theory.md, eq. (29).
    """
    values = np.asarray(change, dtype=np.float64)
    if quantum is None:
        return values
    rows = quantum[np.linalg.norm(quantum, axis=1) > _SHORT]
    if not len(rows):
        return values
    shares = values @ np.linalg.pinv(rows)
    rest = shares - np.rint(shares)
    worst = float(np.abs(rest).max(initial=0.0))
    if worst > _CLEAR:
        raise CalculationError(
            f"a dipole moment changes by {worst:.2f} of the quantum, which leaves its "
            f"branch open; at most {_CLEAR} is clear. Take smaller displacements or "
            "fields, or look for a calculation that found another state."
        )
    unwrapped: Array = values - np.rint(shares) @ rows
    return unwrapped


def apt_from_dipoles(
    dipoles: ArrayLike, step: float, quantum: Array | None = None
) -> Array:
    """APT of the atoms that were moved.

    Args:
        dipoles: (n_moved, 3, 2, 3) e Å — by atom, axis, + or −, component.
        step: d, Å.
        quantum: see `unwrapped_change`.

    Returns:
        (n_moved, 3, 3) e — apt[i, a, c] = ∂M_a/∂r_ic.

    Raises:
        CalculationError: the branch of a dipole moment is open.

    Source: docs/theory.md, eq. (27).
    """
    moments = _pairs(dipoles, "dipole moments", (3,))
    change = unwrapped_change(moments[:, :, 0] - moments[:, :, 1], quantum)
    return np.swapaxes(change, 1, 2) / (2 * step)


def pgt_from_polarizabilities(polarizabilities: ArrayLike, step: float) -> Array:
    """PGT of the atoms that were moved.

    Args:
        polarizabilities: (n_moved, 3, 2, 3, 3) e² a0² Eh⁻¹ — by atom, axis, + or −.
        step: d, Å.

    Returns:
        (n_moved, 3, 3, 3) e² a0² Eh⁻¹ Å⁻¹ — pgt[i, a, b, c] = ∂α_ab/∂r_ic.

    Source: docs/theory.md, eq. (27).
    """
    alpha = _pairs(polarizabilities, "polarizabilities", (3, 3))
    change = alpha[:, :, 0] - alpha[:, :, 1]
    return np.moveaxis(change, 1, -1) / (2 * step)


def polarizability_from_dipoles(
    fields: ArrayLike, dipoles: ArrayLike, quantum: Array | None = None
) -> Array:
    """Polarizability from dipole moments in fields, by least squares, symmetrised.

    M_a(E) = M_a(0) + Σ_b α_ab E_b + …; plus and minus along three axes suffice.

    Args:
        fields: (n_fields, 3) a.u. — vectors that were really applied.
        dipoles: (n_fields, 3) e Å.
        quantum: see `unwrapped_change`.

    Returns:
        (3, 3) e² a0² Eh⁻¹.

    Raises:
        CalculationError: the branch of a dipole moment is open.
        SettingsError: the fields do not determine it.

    Source: docs/theory.md, eq. (28).
    """
    moments = np.asarray(dipoles, dtype=np.float64)
    if moments.ndim != 2 or moments.shape[1] != 3:
        raise ShapeError(
            f"dipole moments must have the shape (n_fields, 3), not {moments.shape}."
        )
    change = BOHR_PER_ANGSTROM * unwrapped_change(moments - moments[0], quantum)
    # A polynomial of the field, as the force on one atom is.
    slopes = fit_tensors(fields, change[:, None, :]).apt
    if slopes is None:
        raise SettingsError(
            "these fields do not determine the polarizability; take plus and minus "
            "along three directions, such as apt_stencil(2e-3)."
        )
    alpha: Array = 0.5 * (slopes[0] + slopes[0].T)
    return alpha


def _pairs(values: ArrayLike, name: str, last: tuple[int, ...]) -> Array:
    array = np.asarray(values, dtype=np.float64)
    if array.shape[1:] != (3, 2, *last) or not len(array):
        raise ShapeError(
            f"{name} of displaced atoms must have the shape (n_moved, 3, 2, "
            f"{', '.join(map(str, last))}), n_moved above 0, but have {array.shape}."
        )
    return array
