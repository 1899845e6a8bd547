"""The verdict of a cycle: the evidence of all cycles so far, put before the judge."""

from __future__ import annotations

from mimyria.autotrain.context import Context, Outcome, cycle_name
from mimyria.autotrain.cyclespectra import read_committee
from mimyria.autotrain.judging import CycleEvidence, TestErrors, judge
from mimyria.autotrain.trainsteps import test_errors

__all__ = ["evidence", "judge_cycle"]


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


def judge_cycle(context: Context, number: int) -> Outcome:
    """Whether the spectra are good enough; all observables must be."""
    settings = context.settings
    verdicts = {
        name: judge(evidence(context, number, name), settings.targets)
        for name in settings.autotrain.observables
    }
    stop = all(each.stop for each in verdicts.values())
    lines = [
        f"{name}: {reason}"
        for name, verdict in verdicts.items()
        for reason in verdict.reasons
    ]
    line = "good enough" if stop else "not yet good enough"
    facts = {"stop": stop, "line": f"{line}: {'; '.join(lines)}", "report": lines}
    return Outcome([], facts)
