"""What is left of forces in fields when the lowest orders are taken away.

Forces in opposite fields split into an odd and an even part, o = (F(+E) − F(−E))/2 and
e = (F(+E) + F(−E))/2. The one is linear in the field, the other F(0) plus a quadratic,
each but for higher orders and noise. Both are fitted on their own, so that it shows in
which of them something is wrong. Every residual is in the measure of the noise of one
force: independent noise σ_F of all forces gives σ_F, whatever the set of fields.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from mimyria.frame import Array
from mimyria.reference.stencils import SAME_FIELD, opposite_pairs

__all__ = ["FieldParts", "PartResidual", "field_parts", "part_residual"]

_NO_FREEDOM: Final = 1e-9  # share of a row that its own fit leaves over


@dataclass(frozen=True, slots=True, eq=False)
class FieldParts:
    """Odd and even parts of the forces in each pair of opposite fields.

    Attributes:
        labels: of the pairs, `x`, `x+y`, `2x`, in units of the smallest component.
        vectors: (n_pairs, 3) a.u. — E; its opposite is the other half.
        odd: (n_pairs, n_atoms, 3) Eh/a0 — (F(+E) − F(−E))/2.
        even: (n_pairs, n_atoms, 3) Eh/a0 — (F(+E) + F(−E))/2.
        zero: (n_atoms, 3) Eh/a0 — forces at zero field, None if there is no such point.
    """

    labels: tuple[str, ...]
    vectors: Array
    odd: Array
    even: Array
    zero: Array | None


@dataclass(frozen=True, slots=True, eq=False)
class PartResidual:
    """What a fit of one part leaves over.

    Attributes:
        rms: in the measure of the noise of one force, Eh/a0; NaN without spare points.
        left: of each pair, likewise, divided by what the fit would leave of noise in
            this pair. If one pair alone is wrong, it is the largest of them. Empty
            without spare points.
        n_free: spare points, over which `rms` is a mean.
    """

    rms: float
    left: tuple[float, ...]
    n_free: int


def field_parts(fields: Array, forces: Array) -> FieldParts:
    """Sort forces by pairs of opposite fields; fields without a partner are left out.

    Args:
        fields: (n_fields, 3) a.u.
        forces: (n_fields, n_atoms, 3) Eh/a0.
    """
    size = float(np.abs(fields).max())
    pairs = opposite_pairs(fields)
    plus = np.array([pair[0] for pair in pairs], dtype=np.int64)
    minus = np.array([pair[1] for pair in pairs], dtype=np.int64)
    at_zero = np.flatnonzero(np.abs(fields).max(axis=1) <= SAME_FIELD * size)
    components = np.abs(fields)[np.abs(fields) > SAME_FIELD * size]
    unit = float(components.min()) if len(components) else 1.0
    return FieldParts(
        tuple(_label(vector / unit) for vector in fields[plus]),
        fields[plus],
        0.5 * (forces[plus] - forces[minus]),
        0.5 * (forces[plus] + forces[minus]),
        forces[at_zero].mean(axis=0) if len(at_zero) else None,
    )


def part_residual(parts: FieldParts, kind: str) -> PartResidual:
    """Fit the odd part by E·P, or the even one by F(0) + E·Q·E/2, and look at the rest.

    With M = 1 − A A⁺ of the design A, noise σ_F leaves σ_F √M_kk in row k.

    Args:
        parts: of one frame.
        kind: `odd` or `even`.

    Source: docs/theory.md, eq. (60).
    """
    n_pairs, vectors = len(parts.vectors), parts.vectors
    if not n_pairs:
        return PartResidual(math.nan, (), 0)
    if kind == "odd":
        design, values = vectors, parts.odd
    else:
        first, second = np.triu_indices(3)
        products = vectors[:, first] * vectors[:, second]
        design, values = np.hstack([np.ones((n_pairs, 1)), products]), parts.even
    # Half of a difference or sum of two forces has the variance σ_F²/2.
    design, values = math.sqrt(2.0) * design, math.sqrt(2.0) * values
    if kind == "even" and parts.zero is not None:
        design = np.vstack([design, np.eye(1, design.shape[1])])
        values = np.concatenate([values, parts.zero[np.newaxis]])
    return _residual(design, values.reshape(len(values), -1), n_pairs)


def _residual(design: Array, values: Array, n_pairs: int) -> PartResidual:
    # Columns of fields and of their squares differ by many orders of magnitude.
    design = design / np.maximum(np.abs(design).max(axis=0), np.finfo(np.float64).tiny)
    n_free = len(design) - int(np.linalg.matrix_rank(design))
    if n_free < 1:
        return PartResidual(math.nan, (), 0)
    projector = np.eye(len(design)) - design @ np.linalg.pinv(design)
    squares = ((projector @ values) ** 2).mean(axis=1)
    shares = np.diag(projector)[:n_pairs]
    left = [
        math.sqrt(square / share) if share > _NO_FREEDOM else math.nan
        for square, share in zip(squares[:n_pairs], shares, strict=True)
    ]
    return PartResidual(math.sqrt(squares.sum() / n_free), tuple(left), n_free)


def _label(vector: Array) -> str:
    words = []
    for value, axis in zip(vector, "xyz", strict=True):
        if abs(value) > 1e-3:
            size = f"{abs(value):.3g}"
            words.append(
                f"{'-' if value < 0 else '+'}{'' if size == '1' else size}{axis}"
            )
    return "".join(words).removeprefix("+")
