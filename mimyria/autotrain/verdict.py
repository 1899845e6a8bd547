"""The verdict of a cycle: the evidence of all cycles so far, put before the judge."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from mimyria.autotrain.context import Context, Outcome, cycle_name
from mimyria.autotrain.cyclespectra import read_committee
from mimyria.autotrain.judging import CycleEvidence, Judgement, TestErrors, judge
from mimyria.autotrain.trainsteps import test_errors

__all__ = ["evidence", "judge_cycle", "judged"]


def evidence(context: Context, number: int, observable: str) -> list[CycleEvidence]:
    """What all cycles up to one have to say of an observable."""
    found = []
    for k in range(1, number + 1):
        mark = context.run.mark(f"{cycle_name(k)}/train")
        assert mark is not None
        errors = test_errors(context, k)[observable]
        spectra = read_committee(context.path(k, "spectra"), observable)
        n_train = int(mark.facts["n_train"])
        found.append(CycleEvidence(n_train, TestErrors.from_dict(errors), spectra))
    return found


def judged(context: Context, number: int) -> dict[str, Judgement]:
    """The judgement of each observable after a cycle."""
    settings = context.settings
    targets = settings.targets.targets()
    return {
        name: judge(evidence(context, number, name), targets)
        for name in settings.autotrain.observables
    }


def judge_cycle(context: Context, number: int) -> Outcome:
    """Whether the spectra are good enough; all observables must be."""
    found = judged(context, number)
    stop = all(each.stop for each in found.values())
    if stop:
        line = "good enough: " + "; ".join(
            f"{name}: {each.reasons[0]}" for name, each in found.items()
        )
    else:
        line = "not yet good enough: " + "; ".join(
            f"{name}: {_missing(each)}" for name, each in found.items() if not each.stop
        )
    report = [
        f"{name}: {text}" for name, each in found.items() for text in each.reasons
    ]
    verdicts = {name: _plain(each) for name, each in found.items()}
    return Outcome(
        [], {"stop": stop, "line": line, "report": report, "verdicts": verdicts}
    )


def _missing(judgement: Judgement) -> str:
    """What an observable still lacks."""
    if judgement.passed:
        return "good enough once; another cycle must bear it out"
    return ", ".join(each.name for each in judgement.conditions if not each.met)


def _plain(judgement: Judgement) -> Mapping[str, Any]:
    """The numbers of a judgement that people want, ready for JSON."""
    claim = judgement.claim
    return {
        "spectrum": judgement.kind,
        "configurations": judgement.n_configurations,
        "epsilon": _number(claim.epsilon),
        "claimed_score": _number(claim.score),
        "bound": _number(claim.bound),
        "level": claim.level,
        "change": _number(judgement.change),
        "statistical": _number(judgement.statistical),
        "passed": judgement.passed,
        "conditions": {
            each.name: {
                "value": _number(each.value),
                "limit": _number(each.limit),
                "met": bool(each.met),
            }
            for each in judgement.conditions
        },
    }


def _number(value: float) -> float | None:
    """JSON has no NaN."""
    return float(value) if math.isfinite(value) else None
