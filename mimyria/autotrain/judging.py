"""Judging: how good a committee of networks is, and whether more data are worth while.

Three conditions, in two successive cycles: the error of the model is small enough, the
spectrum does not change between the two, and what the model is off by is small beside
the statistical error of the trajectories. One cycle is enough where the error is small
enough for certain. Numbers in, a judgement out; it trains
nothing, reads nothing and has no memory of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mimyria.autotrain.claims import Band, BandClaim, Claim
from mimyria.autotrain.committeespectra import CommitteeSpectra, committee_spectra
from mimyria.autotrain.conditions import (
    Condition,
    CycleEvidence,
    Targets,
    claim_of,
    conditions_of,
    nearly_good,
)
from mimyria.autotrain.learningcurve import (
    LearningCurve,
    MoreNeeded,
    fit_learning_curve,
)
from mimyria.autotrain.testerrors import TestErrors, measure_test_errors
from mimyria.errors import IncompatibleError, SettingsError

__all__ = [
    "RULE",
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


RULE: Final = 2
"""Version of the rule and of the claims: verdicts of another one are made anew."""


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
        passed: 0; 1 if the last cycle is good enough; 2 if the one before bears it out,
            or there is no need for that.
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

    Source: docs/theory.md, eq. (109) and docs/theory.md, eq. (111).
    """
    _check(history, targets)
    last = history[-1]
    kind = targets.kind(last.observable)
    claims = [claim_of(cycle, kind, targets) for cycle in history]
    found = conditions_of(history[-2:], claims[-1], kind, targets)
    passed, head = _passed(found, claims, targets.tolerance[last.observable], targets)
    curve = fit_learning_curve(
        [cycle.n_configurations for cycle in history], [c.epsilon for c in claims]
    )
    more = curve.needed(targets.tolerance[last.observable])
    stop = passed == 2
    return Judgement(
        last.observable,
        kind,
        last.n_configurations,
        claims[-1],
        {
            name: claims[-1] if name == kind else claim_of(last, name, targets)
            for name in last.spectra.kinds
        },
        found[1].value,
        claims[-1].statistical,
        found,
        passed,
        curve,
        more,
        stop,
        _reasons(found, head, more),
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


def _passed(
    conditions: Sequence[Condition],
    claims: Sequence[Claim],
    tolerance: float,
    targets: Targets,
) -> tuple[int, str]:
    """`Judgement.passed`, and the same in words; empty where nothing passed."""
    error, change, statistics = conditions
    if not (error.met and statistics.met):
        return 0, ""
    upper = claims[-1].epsilon_upper
    if len(claims) > 1 and upper <= tolerance:
        sure = f"ε is at most {upper:.2%} ({targets.level:.0%})"
        return 2, f"{sure}, so that one cycle is enough"
    if change.met and nearly_good(claims[-2], tolerance, targets):
        return 2, "all three conditions are met, and the cycle before bears it out"
    return 1, "good enough once; another cycle must bear it out"


def _reasons(
    conditions: Sequence[Condition], head: str, more: MoreNeeded
) -> tuple[str, ...]:
    if head:
        return (head, *(condition.text for condition in conditions))
    doubts = [condition.text for condition in conditions if not condition.met]
    return (*doubts, more.text)
