"""The driver's view of convergence, from results alone."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mimyria.correlators import Correlator
from mimyria.diagnostics import Diagnostic
from mimyria.errors import SettingsError
from mimyria.spectra import compute_spectra
from mimyria.storage import Result
from mimyria.units import DIPOLE_CORRELATION_UNIT
from mimyria_driver.convergence import Progress
from mimyria_driver.settings import ConvergenceSettings, SpectrumSettings

SPECTRUM = SpectrumSettings(resolution=500.0)
INTERVAL = 2.0
N_LAGS = 51  # 100 fs


def series(n_samples, seed=1):
    return np.random.default_rng(seed).normal(size=(n_samples, 3))


def result(samples, diagnostics=()):
    correlator = Correlator(3, N_LAGS, INTERVAL, DIPOLE_CORRELATION_UNIT)
    correlator.push(samples)
    dipole = correlator.result()
    spectra = compute_spectra(
        dipole, None, volume=1e3, temperature=300.0, resolution=500.0
    )
    return Result(
        dipole, None, spectra, 1e3, 300.0, INTERVAL, diagnostics=tuple(diagnostics)
    )


def progress(n_frames=0, **settings):
    chosen = ConvergenceSettings(**{"ir": 0.1, "raman": 0.0, "stop": True, **settings})
    return Progress(chosen, SPECTRUM, INTERVAL, n_frames)


def test_two_good_looks_give_a_reason():
    p = progress()
    assert not p.due(2549)
    assert p.due(2550)  # 50 × 51 lags
    samples = series(3600)
    assert p.look(result(samples[:2500])) is None
    assert p.look(result(samples[:3000])).startswith("converged after 3000 frames: ir ")
    assert p.provenance()["convergence"] == p.reason
    assert p.provenance()["target_ir"] == 0.1


def test_a_tight_target_gives_none_and_says_why():
    p = progress(ir=0.001)
    for n in (2500, 3000, 3600):
        assert p.look(result(series(n))) is None
    assert "not yet: ir 0–4448 cm⁻¹: error" in p.provenance()["convergence"]


def test_a_run_that_drifts_is_not_converged():
    samples = series(3000)
    samples[1500:] *= 1.4
    p = progress(ir=0.5)
    assert p.look(result(samples[:2500])) is None
    assert p.look(result(samples)) is None
    assert "halves differ" in p.provenance()["convergence"]


def test_a_wrong_diagnostic_keeps_the_run_going():
    wrong = Diagnostic("f-sum", 9.0, 1.0, 0.1, "wrong", "velocities in another unit?")
    p = progress()
    mild = Diagnostic("translation", 9.0, 1.0, 0.1, "wrong", "of the model")
    for n in (2500, 3000):
        assert p.look(result(series(n), [wrong, mild])) is None
    assert "translation" not in p.provenance()["convergence"]
    assert "wrong: f-sum" in p.provenance()["convergence"]


def test_without_stop_there_is_no_look_but_there_are_errors():
    p = progress(stop=False)
    assert not p.due(10**9)
    assert p.relative_errors(100) == {}
    p.update(result(series(3000)))
    (error,) = p.errors
    assert p.relative_errors(3000) == {"ir": pytest.approx(error.error)}
    assert p.relative_errors(12_000) == {"ir": pytest.approx(error.error / 2)}
    assert "convergence" not in p.provenance()


def test_every_band_has_to_reach_it_and_is_in_the_status():
    p = progress(bands=("100-900", "2000-3000"))
    p.update(result(series(3000)))
    assert [(b["low"], b["high"]) for b in p.bands()] == [(100, 900), (2000, 3000)]
    assert all(b["from_blocks"] and b["needed"] > 0 for b in p.bands())
    assert p.relative_errors(3000)["ir"] == max(e.error for e in p.errors)


def test_a_short_run_has_the_error_of_theory_and_it_is_one_everywhere():
    p = progress()
    p.update(result(series(500)))
    (band,) = p.bands()
    assert not band["from_blocks"]
    assert p.relative_errors(500) == {"ir": pytest.approx(band["error"])}
    assert p.relative_errors(2000) == {"ir": pytest.approx(band["error"] / 2)}


def test_an_error_that_is_not_known_is_none():
    p = progress()
    short = result(series(500))
    bare = {name: replace(each, error=None) for name, each in short.spectra.items()}
    p.update(replace(short, spectra=bare))
    assert p.bands()[0]["error"] is None
    assert p.relative_errors(500) == {}


def test_a_later_start_looks_behind_what_there_is():
    assert not progress(2550).due(2551)
    assert progress(2550).due(3060)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"ir": 1.5}, "convergence.ir must be from 0 to below 1"),
        ({"bands": ("1800-1500",)}, "lower end first"),
        ({"bands": ("OH",)}, "lower end first"),
        ({"exit_file": Path("EXIT")}, "exit_file belongs to convergence.stop"),
        ({"stop": True, "ir": 0.0, "raman": 0.0}, "needs something to reach"),
    ],
)
def test_senseless_settings_are_refused(settings, text):
    with pytest.raises(SettingsError, match=text):
        ConvergenceSettings(**settings)


def test_values_for_the_status_are_finite_or_none():
    p = progress()
    p.update(result(np.zeros((3000, 3))))
    for band in p.bands():
        for value in band.values():
            assert not isinstance(value, float) or math.isfinite(value)
