"""Any quantity of the catalogue, with its window, grid, error and name."""

import numpy as np
import pytest

from mimyria.correlators import Correlator
from mimyria.errors import SettingsError
from mimyria.spectra import compute_spectra
from mimyria.spectra.catalogue import QUANTITIES, Conditions
from mimyria.spectra.dielectric import Cell
from mimyria.spectra.porto import parse_geometry
from mimyria.spectra.quantities import (
    compute_quantities,
    geometry_spectra,
    missing_for,
)
from mimyria.units import (
    DIPOLE_CORRELATION_UNIT,
    POLARIZABILITY_CORRELATION_UNIT,
    RAMAN_CONSTANT,
)

N_LAGS, INTERVAL = 128, 2.0
CELL = Cell(1900.0, 300.0, eps_inf=1.78, n_molecules=64)
CONDITIONS = Conditions(CELL, resolution=200.0, window="bohman")


def damped(n_channels, n_samples, rng):
    """Noise through a resonator near 1500 cm⁻¹, plus a white floor."""
    noise = rng.normal(size=(n_samples, n_channels))
    out = np.zeros_like(noise)
    for t in range(2, n_samples):
        out[t] = 1.6 * out[t - 1] - 0.9 * out[t - 2] + noise[t]
    return out + 0.3 * rng.normal(size=out.shape)


def correlations(n_samples=6000, seed=1):
    rng = np.random.default_rng(seed)
    dipole = Correlator(3, N_LAGS, INTERVAL, DIPOLE_CORRELATION_UNIT)
    alpha = Correlator(6, N_LAGS, INTERVAL, POLARIZABILITY_CORRELATION_UNIT)
    dipole.push(1e-2 * damped(3, n_samples, rng))
    alpha.push(damped(6, n_samples, rng))
    return dipole.result(), alpha.result()


@pytest.fixture(scope="module")
def stored():
    return correlations()


def test_every_quantity_has_a_unit_an_error_and_no_hole(stored):
    spectra = compute_quantities(QUANTITIES, *stored, CONDITIONS)
    assert list(spectra) == list(QUANTITIES)
    for name, spectrum in spectra.items():
        assert spectrum.unit == QUANTITIES[name].unit
        assert spectrum.error is not None, name
        assert spectrum.error_dof is not None, name
        assert spectrum.error_kind == "blocks", name
        known = np.isfinite(spectrum.intensity)
        assert known.mean() > (0.5 if "ratio" in name else 1 - 1e-9), name
        assert (spectrum.error[known] >= 0).all(), name
        assert spectrum.wavenumbers[-1] <= 4500.0
        low = 0.0 if QUANTITIES[name].from_zero else 10.0
        assert low <= spectrum.wavenumbers[0] < low + 25.1


def test_the_common_spectra_are_those_of_compute_spectra(stored):
    common = compute_spectra(
        *stored, volume=1900.0, temperature=300.0, resolution=200.0, window="bohman"
    )
    found = compute_quantities(common, *stored, CONDITIONS)
    for name, spectrum in common.items():
        scale = np.nanmax(np.abs(spectrum.intensity))
        assert np.array_equal(found[name].wavenumbers, spectrum.wavenumbers)
        both = np.isfinite(spectrum.intensity) & np.isfinite(found[name].intensity)
        assert both.sum() > 0.9 * np.isfinite(spectrum.intensity).sum()
        difference = np.abs(found[name].intensity - spectrum.intensity)[both]
        assert difference.max() < 1e-12 * scale, name
        assert np.allclose(found[name].error[both], spectrum.error[both], rtol=1e-6)


def test_the_error_of_a_nonlinear_quantity_is_its_scatter_over_runs():
    """ε', n, κ, α and ρ of 40 short runs scatter as their errors say."""
    names = ["permittivity_real", "refractive_index", "absorption", "extinction",
             "depolarisation_ratio", "depolarisation_ratio_natural"]  # fmt: skip
    runs = [
        compute_quantities(names, *correlations(6000, seed), CONDITIONS)
        for seed in range(10, 50)
    ]
    for name in names:
        grid = runs[0][name].wavenumbers
        inside = (grid > 800) & (grid < 2200)
        values = np.array([run[name].intensity[inside] for run in runs])
        errors = np.array([run[name].error[inside] for run in runs])
        ratio = np.sqrt((errors**2).mean() / values.var(axis=0, ddof=1).mean())
        assert 0.85 < ratio < 1.15, name


def test_short_runs_have_errors_of_theory_or_where_it_has_no_formula_of_a_bootstrap():
    dipole, alpha = correlations(500)
    spectra = compute_quantities(QUANTITIES, dipole, alpha, CONDITIONS)
    kinds = {name: s.error_kind for name, s in spectra.items()}
    drawn = {name for name, kind in kinds.items() if kind == "bootstrap"}
    assert drawn == {
        "absorption", "permittivity_real", "refractive_index", "extinction",
        "molar_absorption",
    }  # fmt: skip
    assert {kinds[name] for name in set(kinds) - drawn} == {"theory"}
    for name, spectrum in spectra.items():
        known = np.isfinite(spectrum.intensity)
        assert np.isfinite(spectrum.error[known]).all(), name
        assert spectrum.error_dof == (63 if name in drawn else None)
        crosses = name.endswith(("_xy", "_xz", "_yz"))
        assert (spectrum.dof is None) == (name in drawn or crosses), name
    geometries = [parse_geometry(text) for text in ("z(xy)z", "z(x,x+y)z")]
    single, both = geometry_spectra(geometries, alpha, CONDITIONS).values()
    iso = spectra["raman_iso"]
    assert single.error / single.intensity == pytest.approx(iso.error / iso.intensity)
    # A sum over two directions has less noise than one.
    share = (both.error / both.intensity) / (iso.error / iso.intensity)
    assert (share <= 1 + 1e-9).all()
    assert np.median(share) < 0.95
    relative = spectra["ir"].error[5:] / spectra["ir"].intensity[5:]
    assert relative == pytest.approx(
        spectra["conductivity"].error[5:] / spectra["conductivity"].intensity[5:]
    )


def test_kinds_of_raman_spectra_have_other_names_and_units(stored):
    conditions = Conditions(
        CELL, resolution=200.0, window="bohman", raman_kind="stokes",
        laser_wavelength=532.0, min_wavenumber=50.0,
    )  # fmt: skip
    names = ["raman_vv", "depolarisation_ratio"]
    stokes = compute_quantities(names, *stored, conditions)
    assert list(stokes) == ["raman_vv_stokes", "depolarisation_ratio"]
    vv = stokes["raman_vv_stokes"]
    assert vv.unit == "cm^2 sr^-1 cm"
    assert vv.wavenumbers[0] >= 50.0
    plain = compute_quantities(names, *stored, CONDITIONS)
    at = np.isin(plain["raman_vv"].wavenumbers, vv.wavenumbers)
    nu = vv.wavenumbers
    x = 1.438776878 * nu / 300.0
    factor = RAMAN_CONSTANT / 300 * (1e7 / 532 - nu) ** 4 / (nu * (1 - np.exp(-x)))
    assert np.allclose(
        vv.intensity, factor * plain["raman_vv"].intensity[at], rtol=1e-8
    )
    assert np.allclose(vv.error, factor * plain["raman_vv"].error[at], rtol=1e-6)
    ratio = stokes["depolarisation_ratio"].intensity
    expected = plain["depolarisation_ratio"].intensity
    assert np.array_equal(ratio, expected, equal_nan=True)


def test_any_geometry_is_a_spectrum_with_an_error(stored):
    geometries = [parse_geometry(text) for text in ("z(xx)z", "z([1,1,0],y)-z")]
    spectra = geometry_spectra(geometries, stored[1], CONDITIONS)
    assert list(spectra) == ["raman_z(xx)z", "raman_z([1,1,0],y)-z"]
    assert all(s.error is not None for s in spectra.values())


def test_quantum_corrections_multiply_what_is_proportional_and_refuse_the_rest(stored):
    conditions = Conditions(
        CELL, resolution=200.0, window="bohman", correction="standard"
    )
    names = ["ir", "raman_vv"]
    corrected = compute_quantities(names, *stored, conditions)
    plain = compute_quantities(names, *stored, CONDITIONS)
    for name in names:
        ratio = (
            corrected[f"{name}_standard"].intensity[40:] / plain[name].intensity[40:]
        )
        x = 1.438776878 * plain[name].wavenumbers[40:] / 300.0
        assert ratio == pytest.approx(
            2 / (1 + np.exp(-x)) * (1 - np.exp(-x)) / x, rel=1e-8
        )
    with pytest.raises(SettingsError, match="needs the harmonic quantum correction"):
        compute_quantities(["refractive_index"], *stored, conditions)


def test_what_is_missing_is_said_before_anything_is_computed(stored):
    bare = Conditions(Cell(1900.0, 300.0), resolution=200.0, window="bohman")
    dipole, alpha = stored
    assert missing_for("ir", dipole, alpha, bare) is None
    assert missing_for("absorption", dipole, alpha, bare) == "eps_inf"
    assert missing_for("naperian_molar", dipole, alpha, bare) == "n_molecules"
    assert "polarizability" in missing_for("raman_vv", dipole, None, bare)
    with pytest.raises(SettingsError, match=r"'absorption' .* needs eps_inf"):
        compute_quantities(["absorption"], dipole, alpha, bare)
    with pytest.raises(
        SettingsError, match="unknown quantity 'raman_hv'; known are ir"
    ):
        compute_quantities(["raman_hv"], dipole, alpha, bare)
    unknown = Conditions(CELL, resolution=200.0, window="bohman", raman_kind="bright")
    with pytest.raises(SettingsError, match="unknown kind of Raman spectrum 'bright'"):
        compute_quantities(["raman_vv"], dipole, alpha, unknown)
