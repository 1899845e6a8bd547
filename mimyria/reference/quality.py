"""Quality of the reference tensors of one frame: every residual, and what it says.

The numbers go into the comment line of each frame, so that nobody has to trust a set
of tensors whose making they did not see. Bounds are wide: they are there for failed
calculations, not for a ranking; `outliers` compares the frames with each other.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike

from mimyria.errors import FormatError, SettingsError
from mimyria.frame import Array
from mimyria.reference.finite_field import (
    FieldFit,
    Normalisation,
    detect_normalisation,
)
from mimyria.reference.residuals import FieldParts, field_parts, part_residual
from mimyria.reference.verdicts import Verdict, judge

__all__ = ["INFO_PREFIX", "FieldQuality", "field_quality"]

INFO_PREFIX: Final = "quality_"

_UNDETERMINED: Final = "undetermined"


@dataclass(frozen=True, slots=True)
class FieldQuality:
    """Residuals of one frame; NaN is what the set of fields cannot tell.

    Attributes:
        n_atoms: atoms of the frame.
        n_fields: calculations.
        total_charge: that the sum rule was held against, e.
        residual: of the fit, Eh/a0 for one force, `FieldFit.residual`.
        odd_residual: of the odd parts against a straight line, Eh/a0; noise alone gives
            the noise of one force.
        even_residual: of the even parts against F(0) and a quadratic, likewise.
        odd_free: spare points of the odd fit; without any there is no residual.
        even_free: likewise; the 13 fields of `pgt_stencil` have none.
        pairs: names of the pairs of opposite fields.
        odd_left: of each pair, the same measure.
        even_left: likewise, for the even parts.
        curvature: rms of F(+E) + F(−E) − 2 F(0) over rms of F(+E) − F(−E).
        ratios: of diagonal fields to the axes; 1 if the vectors are right.
        normalisation: verdict of `detect_normalisation`, or `undetermined`.
        force_noise: σ_F from what the diagonal pairs leave over, Eh/a0.
        apt_error: largest error of an element of the APT from `residual`, e.
        pgt_error: likewise of the PGT, e² a0² Eh⁻¹ Å⁻¹.
        net_force: largest component of Σ_i F_i at zero field, Eh/a0.
        net_odd: of Σ_i o_i − Q E over all pairs, Eh/a0.
        net_even: of Σ_i e_i − Σ_i F_i(0) over all pairs, Eh/a0.
        charge_error: mean of the diagonal of Σ_i P_i − Q·1, e.
        apt_sum: largest element of Σ_i P_i − Q·1, e.
        apt_sum_per_atom: its root mean square over the elements, divided by n_atoms.
        pgt_sum: largest element of Σ_i Q_i, e² a0² Eh⁻¹ Å⁻¹.
        pgt_sum_per_atom: as for the APT.
        apt_rms: root mean square of all elements, e.
        pgt_rms: likewise.
        apt_asymmetry: root mean square of (P − Pᵀ)/2, e. No error: by it alone can a
            transposed APT be noticed.
        pgt_asymmetry: largest |Q[a, b] − Q[b, a]|; zero, or the indices are mixed up.
    """

    n_atoms: int
    n_fields: int
    total_charge: float
    residual: float
    odd_residual: float
    even_residual: float
    odd_free: int
    even_free: int
    pairs: tuple[str, ...]
    odd_left: tuple[float, ...]
    even_left: tuple[float, ...]
    curvature: float
    ratios: tuple[float, ...]
    normalisation: str
    force_noise: float
    apt_error: float
    pgt_error: float
    net_force: float
    net_odd: float
    net_even: float
    charge_error: float
    apt_sum: float
    apt_sum_per_atom: float
    pgt_sum: float
    pgt_sum_per_atom: float
    apt_rms: float
    pgt_rms: float
    apt_asymmetry: float
    pgt_asymmetry: float

    @property
    def verdict(self) -> Verdict:
        """What the numbers say, by the bounds of `verdicts.BOUNDS`."""
        return judge(self)

    def as_info(self) -> dict[str, float | str]:
        """Entries for the comment line of a frame; NaN is left out.

        Lists are written as one text, numbers with all their digits. The verdict is
        there for readers; `from_info` makes it anew from the numbers.
        """
        info: dict[str, float | str] = {}
        for entry in dataclasses.fields(self):
            value = getattr(self, entry.name)
            if isinstance(value, tuple):
                value = " ".join(map(str, value))
            if value != "" and not (isinstance(value, float) and math.isnan(value)):
                info[INFO_PREFIX + entry.name] = value
        return info | {f"{INFO_PREFIX}verdict": str(self.verdict)}

    @classmethod
    def from_info(cls, info: Mapping[str, Any]) -> FieldQuality:
        """The inverse of `as_info`, also after a journey through a file.

        Raises:
            FormatError: there are no such entries.
        """
        if f"{INFO_PREFIX}n_fields" not in info:
            raise FormatError(
                f"the frame says nothing of its quality: {INFO_PREFIX}n_fields is "
                "missing. Was it computed from forces in fields?"
            )
        values = {
            entry.name: _decoded(info.get(INFO_PREFIX + entry.name), str(entry.type))
            for entry in dataclasses.fields(cls)
        }
        return cls(**values)


def field_quality(
    fields: ArrayLike, forces: ArrayLike, fit: FieldFit, total_charge: float = 0.0
) -> FieldQuality:
    """All residuals of one frame.

    Args:
        fields: (n_fields, 3) a.u. — vectors that were really applied.
        forces: (n_fields, n_atoms, 3) Eh/a0.
        fit: what `fit_tensors` made of them.
        total_charge: of the cell, e.

    Source: docs/theory.md, eqs. (9), (25) and (60).
    """
    vectors = np.asarray(fields, dtype=np.float64)
    values = np.asarray(forces, dtype=np.float64)
    parts = field_parts(vectors, values)
    found = _normalisation(vectors, values)
    odd, even = part_residual(parts, "odd"), part_residual(parts, "even")
    return FieldQuality(
        n_atoms=values.shape[1],
        n_fields=len(vectors),
        total_charge=float(total_charge),
        residual=fit.residual,
        odd_residual=odd.rms,
        even_residual=even.rms,
        odd_free=odd.n_free,
        even_free=even.n_free,
        pairs=parts.labels,
        odd_left=odd.left,
        even_left=even.left,
        ratios=found.ratios,
        normalisation=found.verdict,
        force_noise=found.force_noise,
        apt_error=float(fit.apt_error.max()) if fit.apt is not None else math.nan,
        pgt_error=float(fit.pgt_error.max()) if fit.pgt is not None else math.nan,
        **_of_parts(parts, fit, total_charge),
        **_of_apt(fit.apt, total_charge),
        **_of_pgt(fit.pgt),
    )


def _normalisation(fields: Array, forces: Array) -> Normalisation:
    try:
        return detect_normalisation(fields, forces)
    except SettingsError:  # the set has no diagonal pairs, or not all axes
        return Normalisation((), _UNDETERMINED, math.nan)


def _of_parts(
    parts: FieldParts, fit: FieldFit, total_charge: float
) -> dict[str, float]:
    zero = parts.zero if parts.zero is not None else fit.forces
    found = {"net_force": _largest(zero.sum(axis=0))}
    if not len(parts.vectors):
        return found | dict.fromkeys(("curvature", "net_odd", "net_even"), math.nan)
    odd_sum = parts.odd.sum(axis=1) - total_charge * parts.vectors
    found["net_odd"] = _largest(odd_sum)
    if parts.zero is None:  # a fit without such a point has no measured curvature
        return found | dict.fromkeys(("curvature", "net_even"), math.nan)
    bent = parts.even - zero
    found["net_even"] = _largest(bent.sum(axis=1))
    straight = _rms(parts.odd)
    found["curvature"] = _rms(bent) / straight if straight > 0 else math.nan
    return found


def _of_apt(apt: Array | None, total_charge: float) -> dict[str, float]:
    names = ("charge_error", "apt_sum", "apt_sum_per_atom", "apt_rms", "apt_asymmetry")
    if apt is None:
        return dict.fromkeys(names, math.nan)
    rest = apt.sum(axis=0) - total_charge * np.eye(3)
    numbers = (
        float(np.trace(rest)) / 3.0,
        _largest(rest),
        _rms(rest) / len(apt),
        _rms(apt),
        _rms(0.5 * (apt - apt.transpose(0, 2, 1))),
    )
    return dict(zip(names, numbers, strict=True))


def _of_pgt(pgt: Array | None) -> dict[str, float]:
    names = ("pgt_sum", "pgt_sum_per_atom", "pgt_rms", "pgt_asymmetry")
    if pgt is None:
        return dict.fromkeys(names, math.nan)
    rest = pgt.sum(axis=0)
    difference = _largest(pgt - pgt.transpose(0, 2, 1, 3))
    numbers = (_largest(rest), _rms(rest) / len(pgt), _rms(pgt), difference)
    return dict(zip(names, numbers, strict=True))


def _rms(array: Array) -> float:
    return math.sqrt(float(np.mean(array**2)))


def _largest(array: Array) -> float:
    return float(np.abs(array).max())


def _decoded(value: Any, kind: str) -> Any:  # noqa: ANN401 - a comment line holds all
    """A reader may have made numbers of a text of numbers, and one of a list of one."""
    if kind.startswith("tuple"):
        item = float if "float" in kind else str
        if value is None:
            return ()
        words = value.split() if isinstance(value, str) else np.ravel(value).tolist()
        return tuple(item(word) for word in words)
    if value is None:
        return {"float": math.nan, "str": _UNDETERMINED}.get(kind, 0)
    return {"float": float, "int": int, "str": str}[kind](value)
