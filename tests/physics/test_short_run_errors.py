"""Errors of runs too short for blocks: formulas and bootstrap against simulations."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.signal import lfilter

from mimyria.correlators import Correlator
from mimyria.spectra import find_band
from mimyria.spectra.analysis import compute_spectra
from mimyria.spectra.bootstrap import N_DRAWS, bootstrap_error, drawn_correlations
from mimyria.spectra.catalogue import Conditions
from mimyria.spectra.dielectric import Cell
from mimyria.spectra.porto import parse_geometry
from mimyria.spectra.quantities import compute_quantities, geometry_spectra
from mimyria.spectra.replicates import replicates
from mimyria.spectra.windows import window_for_resolution
from mimyria.units import DIPOLE_CORRELATION_UNIT, POLARIZABILITY_CORRELATION_UNIT

N_LAGS = 202
CONDITIONS = Conditions(
    Cell(1000.0, 300.0, eps_inf=1.78, n_molecules=30.0),
    resolution=250.0,
    max_wavenumber=4000.0,
)
WINDOW = window_for_resolution("gaussian", 250.0, N_LAGS, 1.0)
OPTICS = (
    "refractive_index",
    "extinction",
    "permittivity_real",
    "absorption",
    "molar_absorption",
)
CROSSES = ("permittivity_imag_xy", "permittivity_imag_yz")
RATIOS = ("depolarisation_ratio", "depolarisation_ratio_natural")
GEOMETRIES = [parse_geometry(text) for text in ("z(x,x+y)z", "z(x+y,x)z", "z(xy)z")]
GEOMETRY_NAMES = [f"raman_{geometry.name}" for geometry in GEOMETRIES]
LINES = ((0.32, 0.03), (0.62, 0.04))  # rad and decay per sample
MIXED = np.array([[1.0, 0.0, 0.0], [0.5, 1.0, 0.0], [0.0, -0.4, 1.0]])
"""How the three directions of an oriented sample follow from independent ones."""


def simulate(rng, n_samples, n_channels):
    total = np.zeros((n_samples, n_channels))
    for frequency, decay in LINES:
        r = np.exp(-decay)
        noise = rng.normal(size=(n_samples + 400, n_channels))
        series = lfilter([1.0], [1.0, -2 * r * np.cos(frequency), r * r], noise, axis=0)
        total += series[400:]
    return total


def tensor_noise(rng, n_samples):
    """An isotropic tensor: a trace and five equal components without one."""
    series = np.zeros((n_samples, 6))
    five = simulate(rng, n_samples, 5)
    trace = 1.5 * simulate(rng, n_samples, 1)[:, 0]
    series[:, 0] = trace + five[:, 0] / np.sqrt(2) - five[:, 1] / np.sqrt(6)
    series[:, 1] = trace - five[:, 0] / np.sqrt(2) - five[:, 1] / np.sqrt(6)
    series[:, 2] = trace + 2 * five[:, 1] / np.sqrt(6)
    series[:, 3:] = five[:, 2:] / np.sqrt(2)
    return series


def dipole(rng, n_samples, mixed=MIXED, max_blocks=32):
    correlator = Correlator(
        3, N_LAGS, 1.0, DIPOLE_CORRELATION_UNIT, max_blocks=max_blocks
    )
    correlator.push(3e-3 * simulate(rng, n_samples, 3) @ mixed.T)
    return correlator.result()


def polarizability(rng, n_samples):
    correlator = Correlator(6, N_LAGS, 1.0, POLARIZABILITY_CORRELATION_UNIT)
    correlator.push(tensor_noise(rng, n_samples))
    return correlator.result()


def optics(correlation, names=OPTICS):
    found = compute_quantities(names, correlation, None, CONDITIONS)
    # Below 500 cm⁻¹ ε has the whole absorption in its tail, over ω.
    return {name: s.between(500.0, 4000.0) for name, s in found.items()}


def scattered(correlation):
    found = compute_quantities(RATIOS, None, correlation, CONDITIONS)
    found |= geometry_spectra(GEOMETRIES, correlation, CONDITIONS)
    return {name: s.between(500.0, 4000.0) for name, s in found.items()}


def coverage(spectra, runs, truth):
    inside = {name: [] for name in truth}
    kinds = {}
    for correlation in runs:
        for name, spectrum in spectra(correlation).items():
            kinds[name] = spectrum.error_kind
            off = np.abs(spectrum.intensity - truth[name].intensity)
            known = np.isfinite(off)
            inside[name].append((off <= 2 * spectrum.error)[known])
    shares = {name: float(np.concatenate(h).mean()) for name, h in inside.items()}
    return shares, kinds


def check_optics(n_samples, n_runs, names):
    """The isotropic sample that n and κ belong to."""
    rng = np.random.default_rng(n_samples)
    # Long enough that its own error is a tenth of that of the runs.
    truth = optics(dipole(rng, 100 * n_samples, np.eye(3)), names)
    runs = (dipole(rng, n_samples, np.eye(3)) for _ in range(n_runs))
    shares, kinds = coverage(lambda c: optics(c, names), runs, truth)
    assert set(kinds.values()) == {"bootstrap"}
    for name, share in shares.items():
        assert 0.90 <= share <= 0.97, (name, shares)


def test_the_truth_lies_within_two_errors_of_n_and_kappa():
    check_optics(3000, 25, ("refractive_index", "extinction"))


@pytest.mark.slow
@pytest.mark.parametrize("n_samples", [2000, 6000])
def test_the_truth_lies_within_two_errors_of_n_and_kappa_in_200_runs(n_samples):
    """Of ten and of thirty windows."""
    check_optics(n_samples, 200, OPTICS)


def test_the_truth_lies_within_two_errors_of_crosses():
    rng = np.random.default_rng(12)
    truth = optics(dipole(rng, 400_000), CROSSES)
    runs = (dipole(rng, 4000) for _ in range(40))
    shares, kinds = coverage(lambda c: optics(c, CROSSES), runs, truth)
    assert set(kinds.values()) == {"theory"}
    for name, share in shares.items():
        assert 0.90 <= share <= 0.97, (name, shares)


def test_the_truth_lies_within_two_errors_of_ratios_and_geometries():
    rng = np.random.default_rng(13)
    truth = scattered(polarizability(rng, 400_000))
    runs = (polarizability(rng, 4000) for _ in range(30))
    shares, kinds = coverage(scattered, runs, truth)
    assert set(kinds.values()) == {"theory"}
    assert set(shares) == {*RATIOS, *GEOMETRY_NAMES}
    for name, share in shares.items():
        assert 0.90 <= share <= 0.97, (name, shares)


def ratio_of_errors(spectra, correlation):
    """Theory over blocks, median over the points, by name."""
    with_blocks = spectra(correlation)
    without = spectra(replace(correlation, blocks=None))
    found = {}
    for name, spectrum in with_blocks.items():
        assert spectrum.error_kind == "blocks"
        assert spectrum.error_dof >= 11
        assert without[name].error_kind in ("theory", "bootstrap")
        found[name] = np.nanmedian(without[name].error / spectrum.error)
    return found


def test_in_a_long_run_it_is_the_error_of_blocks():
    rng = np.random.default_rng(14)
    dipoles = dipole(rng, 60_000)
    found = ratio_of_errors(lambda c: optics(c, OPTICS + CROSSES), dipoles)
    found |= ratio_of_errors(scattered, polarizability(rng, 60_000))
    assert set(found) == {*OPTICS, *CROSSES, *RATIOS, *GEOMETRY_NAMES}
    assert list(found.values()) == pytest.approx([1.0] * len(found), abs=0.2)


def test_the_bootstrap_of_a_linear_spectrum_is_its_error_of_theory():
    correlation = dipole(np.random.default_rng(15), 5000, np.eye(3))

    def ir(part):
        return compute_spectra(
            part, None, volume=1000.0, temperature=300.0, resolution=250.0
        )["ir"]

    drawn = [ir(part).intensity for part in drawn_correlations(correlation, WINDOW)]
    whole = ir(correlation)
    ratio = bootstrap_error(whole.intensity, drawn) / whole.error
    assert np.median(ratio) == pytest.approx(1.0, abs=0.1)


def test_the_error_of_a_peak_position_is_its_scatter_over_short_runs():
    rng = np.random.default_rng(16)

    def compute(part):
        return compute_spectra(
            part, None, volume=1e3, temperature=300.0, resolution=250.0
        )

    def position(spectra):
        return find_band(spectra["ir"], 1300.0, 2200.0).position

    positions, errors = [], []
    for _ in range(24):
        found = replicates(compute, dipole(rng, 5000, np.eye(3)), WINDOW)
        assert found.kind == "bootstrap"
        assert found.error_dof == N_DRAWS - 1
        positions.append(position(found.whole))
        errors.append(found.error_of(position))
    scatter = np.std(positions, ddof=1)
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(scatter, rel=0.35)


def test_the_same_correlation_gives_the_same_error():
    correlation = dipole(np.random.default_rng(17), 3000)
    one, other = (optics(correlation, ("extinction",)) for _ in range(2))
    np.testing.assert_array_equal(one["extinction"].error, other["extinction"].error)


@pytest.mark.parametrize("n_samples", [0, 1, 50])
def test_runs_shorter_than_the_window_have_an_error(n_samples):
    correlation = dipole(np.random.default_rng(18), n_samples)
    for name, spectrum in optics(correlation, OPTICS + CROSSES).items():
        if n_samples:
            assert np.isfinite(spectrum.error).all(), name
            assert (spectrum.error > 0).any(), name
        elif name not in CROSSES:
            assert np.isinf(spectrum.error).all(), name


def test_a_masked_draw_is_left_out_and_a_masked_value_has_no_error():
    drawn = [[1.0, 1.0, 1.0], [3.0, np.nan, 2.0], [np.nan, np.nan, 3.0]]
    error = bootstrap_error([2.0, 1.0, np.nan], drawn)
    assert error[0] == pytest.approx(np.sqrt(2.0))
    assert np.isnan(error[1:]).all()
