"""Test errors: what held-out frames say of a committee, as a spectrum would feel it.

Numbers in, numbers out; no network and no file. All are ratios of sums over frames, and
their errors come from leaving out one frame after the other, since atoms of one frame
are not independent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from mimyria.autotrain.components import KINDS, irrep_parts, tensor_components
from mimyria.errors import SettingsError, ShapeError
from mimyria.frame import Array
from mimyria.spectra.jackknife import jackknife_error

__all__ = ["KindErrors", "PartError", "TestErrors", "measure_test_errors"]

_STEPS: Final = 20


@dataclass(frozen=True, slots=True)
class KindErrors:
    """What one spectrum feels; each with its standard error, NaN for a single frame.

    Attributes:
        epsilon: ε of eq. (93), of the mean of the committee.
        epsilon_error: its standard error.
        bias: b of eq. (93).
        bias_error: its standard error.
        shift: 2b + ε², by which the integral of the spectrum is off.
        shift_error: its standard error.
        factor: λ², the square of the error over the variance of the committee; NaN
            where all members agree.
        factor_error: its standard error.
        hidden: A of |ΔP̄_i|² = A |P̄_i|² + B s_i², what members get wrong alike.
        seen: B of the same, how much of an error there is for what they disagree about.
        phased: β of eq. (102), the part of the errors that can be in phase with the
            current at one wavenumber or another, where b is their sum with its signs;
            NaN in what an older version has written.
    """

    epsilon: float
    epsilon_error: float
    bias: float
    bias_error: float
    shift: float
    shift_error: float
    factor: float
    factor_error: float
    hidden: float
    seen: float
    phased: float = math.nan


@dataclass(frozen=True, slots=True)
class PartError:
    """Error of one irreducible part of the tensors of one element.

    Attributes:
        number: atomic number.
        irrep: of the part, as e3nn writes it.
        epsilon: root of Σ |ΔP|² / Σ |P|² of this part alone.
        bias: Σ P·ΔP / Σ |P|² of this part alone.
        share: of this part in ε² of all.
    """

    number: int
    irrep: str
    epsilon: float
    bias: float
    share: float


@dataclass(frozen=True, slots=True)
class TestErrors:
    """What held-out frames say of one observable.

    Attributes:
        observable: `ir` or `raman`.
        n_frames: held-out frames.
        kinds: by the names of `components.KINDS`.
        parts: of each element and irrep, the largest share first.
    """

    __test__ = False  # no test, whatever pytest thinks of the name

    observable: str
    n_frames: int
    kinds: Mapping[str, KindErrors]
    parts: tuple[PartError, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, for JSON; `from_dict` inverts it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TestErrors:
        """Inverse of `as_dict`."""
        return cls(
            values["observable"],
            values["n_frames"],
            {name: KindErrors(**each) for name, each in values["kinds"].items()},
            tuple(PartError(**each) for each in values["parts"]),
        )


def measure_test_errors(
    observable: str,
    predictions: Sequence[Array],
    labels: Sequence[Array],
    numbers: Sequence[NDArray[np.int64]],
    masses: Sequence[Array],
) -> TestErrors:
    """Errors of a committee on frames that none of its members has seen.

    Args:
        observable: `ir` for APT, `raman` for PGT.
        predictions: for each frame, (n_members, n_atoms, 9 or 27) of the atoms that
            have a label.
        labels: for each frame, (n_atoms, 9 or 27).
        numbers: for each frame, (n_atoms,) — atomic numbers.
        masses: for each frame, (n_atoms,) — in any unit.

    Raises:
        SettingsError: there is no frame, or a single member.
        ShapeError: the arrays do not fit each other.

    Source: docs/theory.md, eq. (93), docs/theory.md, eq. (102) and
        docs/theory.md, eq. (107).
    """
    _check(predictions, labels, numbers, masses)
    kinds = {}
    for kind in KINDS[observable]:
        squares = [
            _squares(tensor_components(kind, p), tensor_components(kind, y), 1 / m)
            for p, y, m in zip(predictions, labels, masses, strict=True)
        ]
        kinds[kind] = _kind_errors(squares, len(predictions[0]))
    return TestErrors(
        observable,
        len(labels),
        kinds,
        _part_errors(
            observable,
            np.concatenate([p.mean(axis=0) for p in predictions]),
            np.concatenate(labels),
            np.concatenate(numbers),
            1 / np.concatenate(masses),
        ),
    )


def _check(
    predictions: Sequence[Array],
    labels: Sequence[Array],
    numbers: Sequence[NDArray[np.int64]],
    masses: Sequence[Array],
) -> None:
    counts = {len(each) for each in (predictions, labels, numbers, masses)}
    if counts != {len(labels)} or not labels:
        raise SettingsError(
            "errors need at least one held-out frame, with predictions, labels, "
            f"numbers and masses for each, but there are {sorted(counts)}."
        )
    for p, y, z, m in zip(predictions, labels, numbers, masses, strict=True):
        if p.ndim != 3 or len(p) < 2 or p.shape[1:] != y.shape:
            raise ShapeError(
                "predictions must be those of two members or more, (n_members, "
                f"{y.shape}), but have the shape {p.shape}."
            )
        if not len(z) == len(m) == len(y):
            raise ShapeError(
                f"every label needs a number and a mass: {len(y)} labels, {len(z)} "
                f"numbers and {len(m)} masses."
            )


def _squares(members: Array, labels: Array, weights: Array) -> Array:
    """(n_atoms, 6) of one frame, over m: |P|², |ΔP̄|², P·ΔP̄, s², |P̄|² and ‖PᵀΔP̄‖."""
    mean = members.mean(axis=0)
    wrong = mean - labels
    variance = members.var(axis=0, ddof=1)
    terms = (labels**2, wrong**2, labels * wrong, variance, mean**2)
    sums = [term.sum(axis=1) for term in terms]
    return np.stack([weights * each for each in (*sums, _phased(labels, wrong))], 1)


def _phased(labels: Array, wrong: Array) -> Array:
    """Nuclear norm of the symmetric part of PᵀΔP̄ of each atom, (n_atoms,).

    Its eigenvalues are what the error adds for moves along three directions; their sum
    P·ΔP̄ is small where one is too large and another too small, though no spectrum may
    have both at the same place.
    """
    right, off = (x.reshape(len(x), -1, 3) for x in (labels, wrong))
    product = np.einsum("nkc,nkd->ncd", right, off)
    product = (product + product.swapaxes(1, 2)) / 2
    found: Array = np.abs(np.linalg.eigvalsh(product)).sum(axis=1)
    return found


def _kind_errors(squares: Sequence[Array], n_members: int) -> KindErrors:
    """From the squares of the atoms of each frame."""
    sums = np.array([each.sum(axis=0) for each in squares])
    total = sums.sum(axis=0)

    def with_error(function: Callable[[Array], float]) -> tuple[float, float]:
        value = function(total)
        if len(sums) < 2:
            return value, math.nan
        without = [function(total - each) for each in sums]
        return value, float(jackknife_error(value, without, np.ones(len(sums))))

    return KindErrors(
        *with_error(lambda s: math.sqrt(_ratio(s[1], s[0]))),
        *with_error(lambda s: _ratio(s[2], s[0])),
        *with_error(lambda s: _ratio(2 * s[2] + s[1], s[0])),
        *with_error(lambda s: _ratio(s[1], s[3])),
        *_hidden_and_seen(np.concatenate(squares), n_members),
        _ratio(total[5], total[0]),
    )


def _hidden_and_seen(squares: Array, n_members: int) -> tuple[float, float]:
    """A and B of eq. (107), from the squares of all atoms.

    The scatter of a squared error is as large as its mean, so residuals are weighed by
    that, again and again; then both are scaled to give the sum of all errors. What
    members do not share is a part 1/M of what they disagree about, and B is not less.
    """
    wrong, variance, size = squares[:, 1], squares[:, 3], squares[:, 4]
    total = float(wrong.sum())
    if not total > 0:
        return 0.0, 0.0
    whole = np.array([size.sum(), variance.sum()])
    found = np.array([_ratio(total, whole[0]), 1 / n_members])
    if not whole[1] > 0:
        return float(found[0]), 0.0
    for _ in range(_STEPS):
        expected = found[0] * size + found[1] * variance
        expected = np.maximum(expected, 1e-6 * expected.mean())
        design = np.stack([size, variance], axis=1) / expected[:, np.newaxis]
        found, _ = nnls(design, wrong / expected)
        found *= total / max(float(found @ whole), np.finfo(float).tiny)
    if found[1] < 1 / n_members:
        left = max(total - whole[1] / n_members, 0.0)
        found = np.array([left / whole[0], (total - left) / whole[1]])
    return float(found[0]), float(found[1])


def _ratio(above: float, below: float) -> float:
    return float(above / below) if below > 0 else math.nan


def _part_errors(
    observable: str,
    predictions: Array,
    labels: Array,
    numbers: NDArray[np.int64],
    weights: Array,
) -> tuple[PartError, ...]:
    """Of each element and irrep; all arrays are those of the atoms of all frames."""
    wrong = irrep_parts(observable, predictions - labels)
    wanted = irrep_parts(observable, labels)
    whole = float(weights @ ((predictions - labels) ** 2).sum(axis=1))
    found = []
    for z in np.unique(numbers).tolist():
        own = numbers == z
        for name in sorted(wrong):
            off, right = wrong[name][own], wanted[name][own]
            size = float((right**2).sum())
            squares = (off**2).sum(axis=1)
            share = _ratio(float(weights[own] @ squares), whole)
            epsilon = math.sqrt(_ratio(float(squares.sum()), size))
            bias = _ratio(float((off * right).sum()), size)
            found.append(PartError(z, name, epsilon, bias, share))
    return tuple(sorted(found, key=lambda part: -part.share))
