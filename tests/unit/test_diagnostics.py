import numpy as np
import pytest

from mimyria.diagnostics import Diagnostic, report, summary, worst
from mimyria.positivity import positivity
from mimyria.spectra import Spectrum


def diagnostic(name, verdict, value=1.0, error=0.02):
    return Diagnostic(name, value, 1.0, error, verdict, f"what {verdict} means.")


def spectrum(intensity, name="ir"):
    grid = np.arange(float(len(intensity)))
    return Spectrum(grid, np.array(intensity), "cm^-1", name, None, 10.0)


def test_a_sound_run_needs_three_words():
    found = [diagnostic("f-sum dipole", "ok", 0.991), diagnostic("temperature H", "ok")]
    assert summary(found) == "f-sum 0.991 ok"
    assert summary([diagnostic("mean dipole current", "ok")]) == "checks ok"
    assert summary([]) == ""


def test_the_worst_verdict_is_named_first():
    found = [
        diagnostic("f-sum dipole", "look", 1.2),
        diagnostic("temperature O", "look"),
        diagnostic("temperature H", "wrong"),
        diagnostic("mean dipole current", "wrong"),
    ]
    assert worst(found) == "wrong"
    assert worst([]) == "ok"
    assert summary(found) == "f-sum 1.2 look, wrong: temperature H and 1 more"


def test_report_explains_what_is_not_ok_only():
    lines = report([diagnostic("a", "ok"), diagnostic("bb", "look", error=np.nan)])
    assert lines[0] == "Checks: look"
    assert lines[1] == "  ok    a   1 ± 0.02           expected 1"
    assert lines[2] == "  look  bb  1                  expected 1"
    assert lines[3].strip() == "what look means."
    assert len(lines) == 4
    assert report([]) == []


@pytest.mark.parametrize(
    ("intensity", "n_samples", "verdict"),
    [
        ([1.0, 2.0, -1e-3], 10**6, "ok"),
        ([1.0, 2.0, -0.1], 10**6, "look"),
        ([1.0, -1.0, 0.0], 10**6, "wrong"),
        ([1.0, -1.0, 0.0], 100, "look"),
        ([0.0, 0.0, 0.0], 100, "ok"),
    ],
)
def test_negative_intensity_is_judged_by_its_share(intensity, n_samples, verdict):
    (found,) = positivity(
        {"ir": spectrum(intensity), "depolarisation_ratio": spectrum(intensity)},
        n_samples,
        100,
    )
    assert (found.name, found.verdict) == ("positivity ir", verdict)
