"""Conditions: what must hold in two cycles before a training may end.

What is wanted, what a cycle knows, and what each of the three conditions finds in it.
How two successive cycles are put together is `judging`'s.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from mimyria.autotrain.claims import Band, Claim, claim_error
from mimyria.autotrain.committeespectra import CommitteeSpectra
from mimyria.autotrain.components import KINDS
from mimyria.autotrain.testerrors import TestErrors
from mimyria.comparison import bray_curtis
from mimyria.errors import SettingsError

__all__ = [
    "Condition",
    "CycleEvidence",
    "Targets",
    "claim_of",
    "conditions_of",
    "nearly_good",
]

_DEFAULT: Final[Mapping[str, float]] = MappingProxyType({"ir": 0.05, "raman": 0.07})


@dataclass(frozen=True, slots=True)
class Targets:
    """What is wanted.

    Attributes:
        tolerance: ε of eq. (93) that is good enough, for each observable.
        change: score between successive spectra, as a part of the tolerance.
        statistical_share: claimed error of the model, as a part of the statistical
            error of the trajectories.
        level: part of claims that should hold.
        bands: ranges in cm⁻¹ for the table; none means the whole spectrum.
        kinds: the spectrum of each observable that is judged; the first of
            `components.KINDS` where nothing is said.
    """

    tolerance: Mapping[str, float] = field(default_factory=lambda: _DEFAULT)
    change: float = 0.25
    statistical_share: float = 0.5
    level: float = 0.95
    bands: tuple[Band, ...] = ()
    kinds: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check values once."""
        for name, value in (
            *(
                (f"the tolerance of {key}", each)
                for key, each in self.tolerance.items()
            ),
            ("change", self.change),
            ("statistical_share", self.statistical_share),
        ):
            if not value > 0:
                raise SettingsError(f"{name} must be above 0, but is {value}.")
        for observable, kind in self.kinds.items():
            if kind not in KINDS.get(observable, ()):
                raise SettingsError(
                    f"{observable} has no spectrum '{kind}'; it must be one of "
                    f"{', '.join(KINDS.get(observable, ())) or 'ir, raman'}."
                )

    def kind(self, observable: str) -> str:
        """The spectrum that is judged."""
        return self.kinds.get(observable, KINDS[observable][0])


@dataclass(frozen=True, slots=True, eq=False)
class CycleEvidence:
    """What one cycle knows of one observable.

    Attributes:
        n_configurations: that the committee was trained on.
        test: from held-out frames.
        spectra: of the committee on the stored trajectories.
    """

    n_configurations: int
    test: TestErrors
    spectra: CommitteeSpectra

    @property
    def observable(self) -> str:
        """`ir` or `raman`."""
        return self.test.observable

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, for JSON; `from_dict` inverts it."""
        return {
            "n_configurations": self.n_configurations,
            "test": self.test.as_dict(),
            "spectra": self.spectra.as_dict(),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> CycleEvidence:
        """Inverse of `as_dict`."""
        return cls(
            values["n_configurations"],
            TestErrors.from_dict(values["test"]),
            CommitteeSpectra.from_dict(values["spectra"]),
        )


@dataclass(frozen=True, slots=True)
class Condition:
    """One of the conditions for the end, in one cycle.

    Attributes:
        name: `error`, `change` or `statistics`.
        value: what was found; NaN where it is unknown.
        limit: the most that it may be.
        met: whether it is; never where the value is unknown.
        text: the same in words.
    """

    name: str
    value: float
    limit: float
    met: bool
    text: str


def claim_of(cycle: CycleEvidence, kind: str, targets: Targets) -> Claim:
    """What a cycle claims of one spectrum."""
    return claim_error(
        cycle.test.kinds[kind],
        cycle.spectra.kinds[kind],
        cycle.test.n_frames,
        targets.bands,
        targets.level,
    )


def conditions_of(
    cycles: Sequence[CycleEvidence], claim: Claim, kind: str, targets: Targets
) -> tuple[Condition, ...]:
    """The three conditions, in the last of one or two successive cycles.

    Source: docs/theory.md, eq. (109).
    """
    tolerance = targets.tolerance[cycles[-1].observable]
    return (
        _condition(
            "error", claim.epsilon, tolerance, "calibrated error ε of the tensors"
        ),
        _condition(
            "change",
            _change(cycles, kind),
            targets.change * tolerance,
            "score to the spectrum before the last addition",
        ),
        _condition(
            "statistics",
            claim.score,
            targets.statistical_share * claim.statistical,
            f"claimed error of the spectrum ({claim.level:.0%})",
        ),
    )


def nearly_good(claim: Claim, tolerance: float, targets: Targets) -> bool:
    """Whether a cycle may be the first of the two that a training ends with.

    Its ε may be above the tolerance by as much as held-out frames leave open: if it
    was good enough in truth and seemed worse by chance, the next cycle tells, and
    another one would be wasted.

    Source: docs/theory.md, eq. (109).
    """
    limit = targets.statistical_share * claim.statistical
    return claim.epsilon <= tolerance * (1 + claim.scatter) and claim.score <= limit


def _condition(name: str, value: float, limit: float, what: str) -> Condition:
    met = value <= limit
    text = (
        f"{what}: unknown, at most {limit:.2%} wanted"
        if math.isnan(value)
        else f"{what}: {value:.2%}, {'at' if met else 'above the'} most {limit:.2%}"
    )
    return Condition(name, value, limit, met, text)


def _change(cycles: Sequence[CycleEvidence], kind: str) -> float:
    """Score of the last two spectra; NaN where trajectories or additions are others."""
    if len(cycles) < 2 or not (
        cycles[0].n_configurations < cycles[1].n_configurations
        and cycles[0].spectra.trajectories == cycles[1].spectra.trajectories
    ):
        return math.nan
    first, second = (cycle.spectra.kinds[kind].spectrum(kind) for cycle in cycles)
    if not np.array_equal(first.wavenumbers, second.wavenumbers):
        return math.nan
    return bray_curtis(first, second)
