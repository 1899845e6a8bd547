"""Spectra of two resolutions are compared at the coarser one, and the text says how."""

import math
from dataclasses import replace

import numpy as np
import pytest

from mimyria.comparison import area, compare
from mimyria.correlators import Correlator
from mimyria.errors import IncompatibleError
from mimyria.recomputed import StoredRun
from mimyria.resolution import Source, at_one_resolution, broadened
from mimyria.spectra import Spectrum, compute_spectra
from mimyria.spectra.integrator import correct_axis
from mimyria.storage import Result, read_result, write_result
from mimyria.units import DIPOLE_CORRELATION_UNIT, POLARIZABILITY_CORRELATION_UNIT

VOLUME, TEMPERATURE, INTERVAL = 1000.0, 300.0, 2.0
LINES = ((900.0, 2.0), (1650.0, 1.0), (3400.0, 5.0))


def gaussians(grid, width):
    """Lines of an area of their own and the full width at half maximum `width`."""
    sigma = width / math.sqrt(8 * math.log(2))
    return sum(
        strength
        * np.exp(-0.5 * ((grid - centre) / sigma) ** 2)
        / (sigma * math.sqrt(2 * math.pi))
        for centre, strength in LINES
    )


def lines(grid, width, error=None):
    return Spectrum(grid, gaussians(grid, width), "cm^-1", "x", error, width)


@pytest.mark.parametrize(
    "grid",
    [np.linspace(500.0, 4000.0, 7001), np.linspace(22.0, 63.0, 9001) ** 2],
    ids=["equidistant", "rising distances"],
)
@pytest.mark.parametrize(("width", "coarser"), [(10.0, 20.0), (10.0, 12.0), (8.0, 90)])
def test_broadened_gaussian_lines_are_gaussian_lines_of_the_other_width(
    grid, width, coarser
):
    found = broadened(lines(grid, width), coarser)
    expected = gaussians(found.wavenumbers, coarser)
    assert np.abs(found.intensity - expected).max() < 2e-4 * expected.max()
    assert area(found) == pytest.approx(sum(s for _, s in LINES), rel=1e-4)
    assert found.resolution == coarser
    assert found.wavenumbers[0] > grid[0]
    assert found.wavenumbers[-1] < grid[-1]


def test_masked_points_mask_what_they_would_enter():
    grid = np.linspace(500.0, 4000.0, 7001)
    whole = lines(grid, 10.0)
    values = np.where((grid > 2000) & (grid < 2100), np.nan, whole.intensity)
    found = broadened(replace(whole, intensity=values), 20.0)
    masked = found.wavenumbers[np.isnan(found.intensity)]
    reach = 4 * math.sqrt(300) / math.sqrt(8 * math.log(2))
    assert masked.min() == pytest.approx(2000 - reach, abs=1.0)
    assert masked.max() == pytest.approx(2100 + reach, abs=1.0)
    known = np.isfinite(found.intensity)
    expected = broadened(whole, 20.0).intensity
    np.testing.assert_allclose(found.intensity[known], expected[known], atol=1e-12)


def test_the_error_falls_as_that_of_a_run_with_the_coarser_window():
    """White noise: the error of theory goes with the root of the resolution."""
    run = white(seed=1)
    fine, coarse = (
        compute_spectra(
            run, None, volume=VOLUME, temperature=TEMPERATURE, resolution=r,
            max_wavenumber=8000.0,
        )["ir"]
        for r in (40.0, 160.0)
    )  # fmt: skip
    found = broadened(fine, 160.0)
    middle = (found.wavenumbers > 1000) & (found.wavenumbers < 7000)
    expected = np.interp(found.wavenumbers, coarse.wavenumbers, coarse.error)
    ratio = found.error[middle].mean() / expected[middle].mean()
    assert ratio == pytest.approx(1.0, abs=0.1)


def test_a_curve_too_short_to_be_broadened_is_refused():
    grid = np.linspace(900.0, 960.0, 61)
    with pytest.raises(IncompatibleError, match="more than 68 cm⁻¹ to be broadened"):
        broadened(Spectrum(grid, grid, "cm^-1", "x", None, 0.0), 20.0)


def white(seed, n_samples=16_000, n_lags=700, n_channels=3):
    unit = (DIPOLE_CORRELATION_UNIT, POLARIZABILITY_CORRELATION_UNIT)[n_channels > 3]
    correlator = Correlator(n_channels, n_lags, INTERVAL, unit)
    noise = np.random.default_rng(seed).normal(size=(n_samples, n_channels))
    correlator.push(1e-2 * noise)
    return correlator.result()


def stored(folder, seed, resolution, window="gaussian", **provenance):
    """A result file as a run leaves it."""
    dipole, alpha = white(seed), white(seed + 100, n_channels=6)
    spectra = compute_spectra(
        dipole, alpha, volume=VOLUME, temperature=TEMPERATURE,
        resolution=resolution, window=window,
    )  # fmt: skip
    time_step = provenance.get("spectrum_correct_integrator")
    if time_step is not None:
        spectra = {key: correct_axis(s, time_step) for key, s in spectra.items()}
    path = folder / f"{seed}.h5"
    result = Result(
        dipole, alpha, spectra, VOLUME, TEMPERATURE, INTERVAL,
        {"window": window} | provenance,
    )  # fmt: skip
    write_result(path, result)
    return read_result(path)


def sources(one, two, name="ir"):
    return (
        Source(label, run.spectra[name], StoredRun(run))
        for label, run in (("A", one), ("B", two))
    )


@pytest.mark.parametrize("name", ["ir", "raman_vv", "depolarisation_ratio"])
def test_of_two_result_files_the_finer_one_is_computed_again(tmp_path, name):
    fine, coarse = stored(tmp_path, 1, 40.0, "bohman"), stored(tmp_path, 2, 80.0)
    a, b, done = at_one_resolution(*sources(fine, coarse, name))
    assert done == [
        "compared at a resolution of 80 cm⁻¹: A (40) is computed again from its "
        "correlations with the window bohman"
    ]
    expected = compute_spectra(
        fine.dipole, fine.polarizability, volume=VOLUME, temperature=TEMPERATURE,
        resolution=80.0, window="bohman",
    )[name]  # fmt: skip
    np.testing.assert_array_equal(a.spectrum.intensity, expected.intensity)
    np.testing.assert_array_equal(a.spectrum.error, expected.error)
    assert a.spectrum.resolution == b.spectrum.resolution == 80.0
    assert b.spectrum is coarse.spectra[name]
    assert len(a.without) == len(a.samples) >= 8
    assert len(b.without) >= 8
    # The same run at two resolutions differs; brought to one it does not.
    again = stored(tmp_path, 1, 80.0, "bohman")
    if name != "depolarisation_ratio":
        raw = compare(fine.spectra[name], again.spectra[name])
        assert raw.bray_curtis > 0.01
        assert any("the resolutions differ" in notice for notice in raw.notices)
    a, b, _ = at_one_resolution(*sources(fine, again, name))
    assert compare(a.spectrum, b.spectrum).bray_curtis < 1e-12


def test_the_corrected_axis_of_a_run_is_corrected_again(tmp_path):
    run = stored(tmp_path, 3, 40.0, spectrum_correct_integrator=1.0)
    found = StoredRun(run)
    assert found.can_recompute("ir")
    coarse = found.at_resolution("ir", 80.0).spectrum
    expected = compute_spectra(
        run.dipole, None, volume=VOLUME, temperature=TEMPERATURE, resolution=80.0
    )["ir"]
    n = len(coarse.wavenumbers)
    assert n >= len(expected.wavenumbers) - 1
    np.testing.assert_array_equal(
        coarse.wavenumbers, correct_axis(expected, 1.0).wavenumbers[:n]
    )
    np.testing.assert_array_equal(coarse.intensity, expected.intensity[:n])


def test_a_spectrum_that_the_correlations_do_not_give_is_broadened(tmp_path):
    """Such as one with a quantum correction, or of a file without correlations."""
    run, coarse = stored(tmp_path, 4, 40.0), stored(tmp_path, 5, 80.0)
    ir = run.spectra["ir"]
    altered = replace(ir, intensity=ir.intensity * (1 + ir.wavenumbers / 4000))
    bare = replace(run, dipole=None)
    for other in (replace(run, spectra={"ir": altered}), bare):
        assert not StoredRun(other).can_recompute("ir")
        a, _, done = at_one_resolution(*sources(other, coarse))
        assert done == [
            "compared at a resolution of 80 cm⁻¹: A (40) is broadened by a Gaussian "
            "of 69.3 cm⁻¹"
        ]
        assert a.spectrum.resolution == 80.0
        assert a.without == ()


def test_nothing_is_done_where_a_resolution_is_unknown_or_the_same():
    grid = np.linspace(500.0, 4000.0, 7001)
    one, two = lines(grid, 10.0), lines(grid, 10.05)
    a, b, done = at_one_resolution(Source("A", one), Source("B", two))
    assert (a.spectrum, b.spectrum, done) == (one, two, [])
    silent = replace(two, resolution=0.0)
    a, b, done = at_one_resolution(Source("A", one), Source("B", silent))
    assert (a.spectrum, b.spectrum) == (one, silent)
    assert done[0].startswith("B does not say its resolution")
