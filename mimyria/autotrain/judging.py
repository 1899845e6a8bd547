"""Judging: how good a committee of networks is, and whether more data are worth while.

Three conditions, on two successive additions of configurations: the error of the model
is small enough, the spectrum no longer changes, and what the model is off by is small
beside the statistical error of the trajectories. Numbers in, a judgement out; it trains
nothing, reads nothing and has no memory of its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from mimyria.autotrain.claims import Band, BandClaim, Claim, claim_error
from mimyria.autotrain.committeespectra import CommitteeSpectra, committee_spectra
from mimyria.autotrain.components import KINDS
from mimyria.autotrain.learningcurve import (
    LearningCurve,
    MoreNeeded,
    fit_learning_curve,
)
from mimyria.autotrain.testerrors import TestErrors, measure_test_errors
from mimyria.comparison import bray_curtis
from mimyria.errors import IncompatibleError, SettingsError

__all__ = [
    "Band",
    "BandClaim",
    "Claim",
    "CommitteeSpectra",
    "Condition",
    "CycleEvidence",
    "Judgement",
    "LearningCurve",
    "MoreNeeded",
    "Targets",
    "TestErrors",
    "committee_spectra",
    "judge",
    "measure_test_errors",
]


_LOOKS: Final = 2
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


@dataclass(frozen=True, slots=True, eq=False)
class Judgement:
    """What is known after a cycle.

    Attributes:
        observable: `ir` or `raman`.
        kind: the spectrum that was judged.
        n_configurations: of the last cycle.
        claim: what is claimed of that spectrum, with its bands and curve.
        claims: of all spectra of the observable.
        change: score to the spectrum of the cycle before; NaN for the first one.
        statistical: Δ of the trajectories.
        conditions: of the last cycle.
        passed: cycles up to the last one that met all conditions, in a row.
        curve: the learning curve of ε.
        more: what it says of the tolerance.
        stop: whether to stop.
        reasons: why, or why not, in words.
    """

    observable: str
    kind: str
    n_configurations: int
    claim: Claim
    claims: Mapping[str, Claim]
    change: float
    statistical: float
    conditions: tuple[Condition, ...]
    passed: int
    curve: LearningCurve
    more: MoreNeeded
    stop: bool
    reasons: tuple[str, ...]


def judge(history: Sequence[CycleEvidence], targets: Targets) -> Judgement:
    """Judge the last cycle of one observable, with those before it.

    Args:
        history: all cycles so far, the last one last.
        targets: what is wanted.

    Raises:
        SettingsError: there is no cycle, or no tolerance for the observable.
        IncompatibleError: cycles of different observables.

    Source: docs/theory.md, eq. (118).
    """
    _check(history, targets)
    last = history[-1]
    kind = targets.kind(last.observable)
    claims = [_claim(cycle, kind, targets) for cycle in history]
    found = [
        _conditions(history[max(0, k - 1) : k + 1], claims[k], kind, targets)
        for k in range(len(history))
    ]
    passed = 0
    while passed < len(found) and all(c.met for c in found[-1 - passed]):
        passed += 1
    curve = fit_learning_curve(
        [cycle.n_configurations for cycle in history], [c.epsilon for c in claims]
    )
    more = curve.needed(targets.tolerance[last.observable])
    stop = passed >= _LOOKS
    return Judgement(
        last.observable,
        kind,
        last.n_configurations,
        claims[-1],
        {
            name: claims[-1] if name == kind else _claim(last, name, targets)
            for name in last.spectra.kinds
        },
        found[-1][1].value,
        claims[-1].statistical,
        found[-1],
        passed,
        curve,
        more,
        stop,
        _reasons(found[-1], passed, stop, more),
    )


def _check(history: Sequence[CycleEvidence], targets: Targets) -> None:
    if not history:
        raise SettingsError("there is nothing to judge before the first cycle.")
    observables = {cycle.observable for cycle in history}
    if len(observables) > 1:
        raise IncompatibleError(
            f"cycles of {' and '.join(sorted(observables))} cannot be judged together; "
            "judge each observable by itself."
        )
    if history[-1].observable not in targets.tolerance:
        raise SettingsError(
            f"there is no tolerance for {history[-1].observable}; there are some for "
            f"{', '.join(targets.tolerance) or 'nothing'}."
        )


def _claim(cycle: CycleEvidence, kind: str, targets: Targets) -> Claim:
    return claim_error(
        cycle.test.kinds[kind],
        cycle.spectra.kinds[kind],
        cycle.test.n_frames,
        targets.bands,
        targets.level,
    )


def _conditions(
    cycles: Sequence[CycleEvidence], claim: Claim, kind: str, targets: Targets
) -> tuple[Condition, ...]:
    """Of the last of one or two successive cycles."""
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


def _reasons(
    conditions: Sequence[Condition], passed: int, stop: bool, more: MoreNeeded
) -> tuple[str, ...]:
    if stop:
        head = f"all three conditions are met on {passed} successive additions"
        return (head, *(condition.text for condition in conditions))
    if passed:
        head = "all three conditions are met once; two successive additions must"
        return (head, *(condition.text for condition in conditions))
    doubts = [condition.text for condition in conditions if not condition.met]
    return (*doubts, more.text)
