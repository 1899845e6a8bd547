"""APT and PGT from forces in electric fields: least squares on the actual vectors.

With the enthalpy F(R, E) = E0 − M·E − E·α·E/2 the force on an atom is a polynomial in
the field whose coefficients are its two tensors:

    F_c(E) = F_c(0) + Σ_a P[a, c] E_a + ½ Σ_ab Q[a, b, c] E_a E_b

Any set of field vectors serves that determines the wanted coefficients. The vectors
must be those that were really applied: some programs normalise a field's direction.

Source: docs/theory.md, eq. (24).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from mimyria.errors import SettingsError, ShapeError
from mimyria.frame import Array
from mimyria.reference.stencils import SAME_FIELD, opposite_pairs
from mimyria.units import BOHR_PER_ANGSTROM

__all__ = [
    "FieldFit",
    "FieldNoise",
    "Normalisation",
    "detect_normalisation",
    "field_design",
    "fit_tensors",
    "stencil_noise",
]

_QUADRATIC: Final = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
_N_LINEAR: Final = 3
_LARGEST_DEGREE: Final = 4
_ESTIMABLE: Final = 1e-8
_RATIO_TOLERANCE: Final = 0.02


@dataclass(frozen=True, slots=True, eq=False)
class FieldFit:
    """Tensors of all atoms, and how well the polynomial fits.

    Attributes:
        apt: (n_atoms, 3, 3) e — apt[i, a, c] = ∂F_ic/∂E_a; None if undetermined.
        pgt: (n_atoms, 3, 3, 3) e² a0² Eh⁻¹ Å⁻¹ — ∂²F_ic/∂E_a∂E_b; None likewise.
        forces: (n_atoms, 3) Eh/a0 — at zero field, as fitted.
        residual: root mean square of what is left over, Eh/a0 for one force at one
            field, with the degrees of freedom counted; NaN if there are none.
        apt_error: (3,) e — error of P[a, ·] from `residual`; NaN likewise.
        pgt_error: (3, 3) — error of Q[a, b, ·], in the unit of `pgt`; NaN likewise.
    """

    apt: Array | None
    pgt: Array | None
    forces: Array
    residual: float
    apt_error: Array
    pgt_error: Array


@dataclass(frozen=True, slots=True)
class Normalisation:
    """Whether diagonal fields were as long as they are said to be.

    Attributes:
        ratios: response over the expected one, for each pair of diagonal fields; NaN
            where the fields along the axes did nothing.
        verdict: `consistent`, `shorter` (by √2: the program normalised the vectors
            that are given by components), `longer` (the reverse) or `wrong`.
        force_noise: estimate of the noise of one force, Eh/a0, from what is left over.
    """

    ratios: tuple[float, ...]
    verdict: str
    force_noise: float


@dataclass(frozen=True, slots=True)
class FieldNoise:
    """Errors of the default stencils by formula.

    Attributes:
        apt: of an element of the APT, e.
        pgt_diagonal: of Q[a, a, ·], e² a0² Eh⁻¹ Å⁻¹.
        pgt_off_diagonal: of Q[a, b, ·], likewise.
    """

    apt: float
    pgt_diagonal: float
    pgt_off_diagonal: float


def fit_tensors(fields: ArrayLike, forces: ArrayLike, degree: int = 2) -> FieldFit:
    """Tensors from forces in any set of fields, by least squares.

    A tensor that the fields do not determine is None: six fields along the axes give
    the APT alone.

    Args:
        fields: (n_fields, 3) a.u. — vectors that were really applied.
        forces: (n_fields, n_atoms, 3) Eh/a0.
        degree: of the polynomial, 2 to 4. Terms above the second are fitted only to
            keep them out of the tensors; `fourth_order_stencil` has points for them.

    Raises:
        ShapeError: the arrays do not belong together.
        SettingsError: the fields determine neither tensor.

    Source: docs/theory.md, eq. (24).
    """
    vectors, values = _checked(fields, forces)
    scale = float(np.abs(vectors).max())
    if not scale > 0:
        raise SettingsError(
            "all fields are zero; at least three directions are needed."
        )
    design = field_design(vectors / scale, degree)
    inverse = np.linalg.pinv(design, rcond=1e-10)
    determined = _determined(inverse @ design)
    coefficients = np.tensordot(inverse, values, axes=1)  # (10 or more, n_atoms, 3)
    linear = slice(1, 1 + _N_LINEAR)
    quadratic = slice(linear.stop, linear.stop + len(_QUADRATIC))
    has_apt = bool(determined[linear].all())
    has_pgt = bool(determined[quadratic].all())
    if not (has_apt or has_pgt):
        raise SettingsError(
            f"{len(vectors)} fields determine no tensor in a fit of degree {degree}. "
            "The APT needs plus and minus along three directions, the PGT 13 fields "
            "such as pgt_stencil(2e-3); degrees 3 and 4 need two lengths of each."
        )
    residual = _residual(values - np.tensordot(design, coefficients, axes=1), design)
    spread = residual * np.sqrt(np.maximum(np.diag(inverse @ inverse.T), 0.0))
    to_pgt = BOHR_PER_ANGSTROM / scale**2
    return FieldFit(
        np.moveaxis(coefficients[linear], 0, 1) / scale if has_apt else None,
        to_pgt * _full(coefficients[quadratic]) if has_pgt else None,
        coefficients[0],
        residual,
        spread[linear] / scale,
        to_pgt * _symmetric(spread[quadratic]),
    )


def detect_normalisation(fields: ArrayLike, forces: ArrayLike) -> Normalisation:
    """Compare diagonal fields with the axes, to first order in the field.

    With the odd parts o = (F(+E) − F(−E))/2 a diagonal pair must give the sum of those
    of its axes, weighted by its components: r = ⟨o, Σ o_a⟩/‖Σ o_a‖² = 1. If vectors are
    given by components and the program normalised them, r = 1/√2.

    Args:
        fields: (n_fields, 3) a.u. — vectors as they are believed to be.
        forces: (n_fields, n_atoms, 3) Eh/a0.

    Raises:
        SettingsError: pairs along the axes, or of diagonal fields, are missing.

    Source: docs/theory.md, eq. (25).
    """
    vectors, values = _checked(fields, forces)
    axes, diagonals = _pairs(vectors)
    if len(axes) < _N_LINEAR or not diagonals:
        raise SettingsError(
            "the check needs plus and minus along x, y and z and at least one diagonal "
            "pair, such as the fields of pgt_stencil(2e-3)."
        )
    slopes = {}
    for axis, (plus, minus) in axes.items():
        odd = 0.5 * (values[plus] - values[minus])
        slopes[axis] = odd / vectors[plus, axis]
    ratios, noises = [], []
    for plus, minus in diagonals:
        odd = 0.5 * (values[plus] - values[minus])
        expected = sum(vectors[plus, a] * slopes[a] for a in range(_N_LINEAR))
        norm = float((expected * expected).sum())
        ratio = float((odd * expected).sum()) / norm if norm > 0 else math.nan
        shares = sum(
            (vectors[plus, a] / vectors[axes[a][0], a]) ** 2 for a in range(_N_LINEAR)
        )
        left = odd - ratio * expected
        ratios.append(ratio)
        noises.append(np.mean(left**2) / (0.5 * (1.0 + ratio**2 * shares)))
    return Normalisation(
        tuple(ratios), _verdict(ratios), math.sqrt(float(np.mean(noises)))
    )


def stencil_noise(step: float, force_noise: float) -> FieldNoise:
    """Errors that independent noise of the forces leaves in the central differences.

    σ_P = σ_F/(√2 h),  σ_Q,aa = √6 σ_F/h²,  σ_Q,ab = (√10/2) σ_F/h²

    Least squares over 13 points does somewhat better.

    Args:
        step: component h of the fields, a.u.
        force_noise: σ_F, Eh/a0.

    Source: docs/theory.md, eq. (26).
    """
    quadratic = BOHR_PER_ANGSTROM * force_noise / step**2
    return FieldNoise(
        force_noise / (math.sqrt(2.0) * step),
        math.sqrt(6.0) * quadratic,
        0.5 * math.sqrt(10.0) * quadratic,
    )


def _checked(fields: ArrayLike, forces: ArrayLike) -> tuple[Array, Array]:
    vectors = np.asarray(fields, dtype=np.float64)
    values = np.asarray(forces, dtype=np.float64)
    if vectors.ndim != 2 or vectors.shape[1] != 3:
        raise ShapeError(f"fields must have the shape (n, 3), not {vectors.shape}.")
    if values.ndim != 3 or values.shape[::2] != (len(vectors), 3):
        raise ShapeError(
            f"forces must have the shape ({len(vectors)}, n_atoms, 3), not "
            f"{values.shape}."
        )
    if not (np.isfinite(vectors).all() and np.isfinite(values).all()):
        raise ShapeError("fields and forces must be finite; a calculation has failed.")
    return vectors, values


def field_design(vectors: Array, degree: int = 2) -> Array:
    """(n_fields, 10): 1, E_a, ½ E_a², E_a E_b; then the products of higher degree."""
    if not 2 <= degree <= _LARGEST_DEGREE:
        raise SettingsError(f"degree must be 2 to {_LARGEST_DEGREE}, but is {degree}.")
    columns = [np.ones(len(vectors)), *vectors.T]
    for a, b in _QUADRATIC:
        columns.append((0.5 if a == b else 1.0) * vectors[:, a] * vectors[:, b])
    for order in range(3, degree + 1):
        for axes in combinations_with_replacement(range(3), order):
            columns.append(vectors[:, axes].prod(axis=1))
    return np.stack(columns, axis=1)


def _determined(resolution: Array) -> Array:
    """Which coefficients the fields fix: their row of A⁺A is that of the identity."""
    deviation = np.abs(resolution - np.eye(len(resolution))).max(axis=1)
    determined: Array = deviation < _ESTIMABLE
    return determined


def _residual(left: Array, design: Array) -> float:
    n_free = len(design) - int(np.linalg.matrix_rank(design))
    if n_free < 1:
        return math.nan
    return math.sqrt(float((left**2).sum()) / (n_free * left[0].size))


def _full(coefficients: Array) -> Array:
    """(n_atoms, 3, 3, 3) of six (n_atoms, 3)."""
    tensor = np.empty((coefficients.shape[1], 3, 3, 3))
    for (a, b), values in zip(_QUADRATIC, coefficients, strict=True):
        tensor[:, a, b] = tensor[:, b, a] = values
    return tensor


def _symmetric(values: Array) -> Array:
    matrix = np.empty((3, 3))
    for (a, b), value in zip(_QUADRATIC, values, strict=True):
        matrix[a, b] = matrix[b, a] = value
    return matrix


def _pairs(
    vectors: Array,
) -> tuple[dict[int, tuple[int, int]], list[tuple[int, int]]]:
    """Indices of ±E along each axis (the last of several), and in other directions."""
    small = SAME_FIELD * float(np.abs(vectors).max())
    axes: dict[int, tuple[int, int]] = {}
    diagonals = []
    for pair in opposite_pairs(vectors):
        components = np.flatnonzero(np.abs(vectors[pair[0]]) > small)
        if len(components) == 1:
            axes[int(components[0])] = pair
        else:
            diagonals.append(pair)
    return axes, diagonals


def _verdict(ratios: list[float]) -> str:
    for verdict, expected in (
        ("consistent", 1.0),
        ("shorter", math.sqrt(0.5)),
        ("longer", math.sqrt(2.0)),
    ):
        if all(abs(ratio - expected) < _RATIO_TOLERANCE * expected for ratio in ratios):
            return verdict
    return "wrong"
