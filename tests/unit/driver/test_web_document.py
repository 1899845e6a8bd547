"""What the live page says of a result: bands, and how well their places are known."""

import json

import numpy as np
import pytest
from scipy.signal import lfilter

from mimyria.correlators import Correlator
from mimyria.diagnostics import Diagnostic
from mimyria.spectra import compute_spectra, find_band
from mimyria.storage import Result
from mimyria.units import DIPOLE_CORRELATION_UNIT
from mimyria_driver.web.document import (
    document_of,
    experiments,
    resolutions_of,
    view_of,
)

INTERVAL = 2.0
RESOLUTION = 200.0
CENTRE = 1640.0
RANGE = (1200.0, 2100.0)


def oscillator(rng, n_samples):
    """(n, 3): damped oscillators that noise drives, with a band at `CENTRE`."""
    angle = 2 * np.pi * 2.99792458e-5 * CENTRE * INTERVAL
    decay = 0.9
    poles = [1.0, -2 * decay * np.cos(angle), decay**2]
    return lfilter([1.0], poles, rng.normal(size=(n_samples, 3)), axis=0)


def result_of(seed, n_samples=12_000, diagnostics=()):
    correlator = Correlator(3, 128, INTERVAL, DIPOLE_CORRELATION_UNIT)
    correlator.push(oscillator(np.random.default_rng(seed), n_samples))
    correlation = correlator.result()
    spectra = compute_spectra(
        correlation, None, volume=1000.0, temperature=300.0, resolution=RESOLUTION
    )
    provenance = {"window": "gaussian"}
    return Result(
        correlation, None, spectra, 1000.0, 300.0, INTERVAL, provenance, None,
        diagnostics,
    )  # fmt: skip


def band_of(result):
    (band,) = [
        band
        for band in document_of(result, view_of(result))["spectra"]["ir"]["bands"]
        if RANGE[0] < band["position"] < RANGE[1]
    ]
    return band


def test_the_error_of_a_position_is_its_scatter_between_runs():
    """Σ over 24 independent runs is known to 15 %, the mean of 24 jackknives better."""
    bands = [band_of(result_of(seed)) for seed in range(24)]
    scatter = np.std([band["position"] for band in bands], ddof=1)
    mean = np.sqrt(np.mean([band["position_error"] ** 2 for band in bands]))
    assert 0.6 < mean / scatter < 1.6
    assert scatter < 30.0


def test_a_run_without_blocks_has_positions_without_errors():
    band = band_of(result_of(3, n_samples=1500))
    assert band["position_error"] is None
    assert band["error"] > 0


def test_positions_are_those_of_the_library():
    result = result_of(1)
    band = band_of(result)
    wanted = find_band(result.spectra["ir"], band["low"], band["high"])
    assert band["position"] == pytest.approx(wanted.position, rel=1e-5)
    assert band["height"] == pytest.approx(wanted.height, rel=1e-5)


def test_numbers_that_are_none_are_null_in_json():
    odd = Diagnostic("odd", np.nan, 1.0, np.inf, "look", "A sentence.")
    result = result_of(2, diagnostics=(odd,))
    result.spectra["ir"].intensity[3] = np.nan
    document = document_of(result, view_of(result))
    text = json.dumps(document, allow_nan=False)
    assert document["spectra"]["ir"]["intensity"][3] is None
    assert '"value": null, "expected": 1.0, "error": null' in text


def test_coarser_resolutions_are_offered_and_computed():
    result = result_of(4)
    assert resolutions_of(result) == [200.0, 400.0, 800.0]
    view = view_of(result, 400.0)
    assert view["ir"].spectrum.resolution == pytest.approx(400.0)
    assert document_of(result, view)["resolution"] == pytest.approx(400.0)


def test_every_band_of_an_experiment_has_a_place():
    (water,) = [each for each in experiments() if each["name"] == "water"]
    assert {"ir", "raman_vv"} <= {band["spectrum"] for band in water["bands"]}
    assert all(b["low"] < b["position"] < b["high"] for b in water["bands"])
