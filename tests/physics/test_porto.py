"""Geometries of light scattering: forms against explicit projections of the tensors."""

import numpy as np
import pytest

from mimyria.correlators import Correlator
from mimyria.currents import from_voigt, to_voigt
from mimyria.errors import SettingsError, UnitError
from mimyria.spectra import raman_spectra, window_of_length
from mimyria.spectra.grid import grid_for
from mimyria.spectra.porto import parse_geometry, parse_vector, polarisation_scan
from mimyria.spectra.scattering import (
    FORMS,
    contract,
    depolarisation_linear,
    depolarisation_natural,
    form_spectrum,
    polarised_form,
    raman_factor,
)
from mimyria.units import POLARIZABILITY_CORRELATION_UNIT, RAMAN_CONSTANT

N_LAGS = 40


def series(seed=1, n_samples=400):
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(n_samples + 8, 3, 3))
    smooth = sum(noise[k : k + n_samples] for k in range(8))
    return to_voigt(smooth + 2.0 * np.eye(3) * rng.normal(size=(n_samples, 1, 1)))


def correlate(samples):
    correlator = Correlator(6, N_LAGS, 0.5, POLARIZABILITY_CORRELATION_UNIT)
    correlator.push(samples)
    return correlator.result()


def scalar_correlation(scalar):
    n = len(scalar)
    return np.array([scalar[: n - k] @ scalar[k:] / (n - k) for k in range(N_LAGS)])


CORRELATION = correlate(series())


def geometry_correlation(text):
    return contract(CORRELATION, parse_geometry(text).form())


@pytest.mark.parametrize("seed", [2, 3, 4])
def test_any_polarisations_equal_the_correlation_of_the_projected_tensor(seed):
    rng = np.random.default_rng(seed)
    incident, scattered = (v / np.linalg.norm(v) for v in rng.normal(size=(2, 3)))
    projected = np.einsum("a,tab,b->t", scattered, from_voigt(series()), incident)
    found = contract(CORRELATION, polarised_form(incident, scattered))
    expected = scalar_correlation(projected)
    assert np.abs(found - expected).max() < 1e-12 * expected[0]


def test_simple_geometries_are_single_columns():
    column = CORRELATION.column
    assert np.allclose(geometry_correlation("z(xx)z"), column(0, 0), rtol=1e-14)
    assert np.allclose(geometry_correlation("z(xy)z"), column(3, 3), rtol=1e-14)
    assert np.allclose(geometry_correlation("z(yx)z"), column(3, 3), rtol=1e-14)
    assert np.allclose(geometry_correlation("x(zz)-x"), column(2, 2), rtol=1e-14)
    assert np.allclose(geometry_correlation("y( x z )-y"), column(4, 4), rtol=1e-14)
    assert np.allclose(geometry_correlation("z(-x,x)z"), column(0, 0), rtol=1e-14)


def test_without_analyser_intensities_add_and_natural_light_is_a_mean():
    column = CORRELATION.column
    total = column(0, 0) + column(3, 3)
    assert np.allclose(geometry_correlation("z(x,x+y)z"), total, rtol=1e-13)
    assert np.allclose(geometry_correlation("z(x+y,x)z"), 0.5 * total, rtol=1e-13)
    diagonal = 0.5 * (column(0, 0) + column(3, 3)) + column(0, 3)
    assert np.allclose(geometry_correlation("z(x[1,1,0])z"), diagonal, rtol=1e-12)


def test_forms_of_an_isotropic_sample_are_those_of_the_raman_spectra():
    window = window_of_length("bohman", 15.0, N_LAGS, 0.5)
    spectra = raman_spectra(CORRELATION, window=window)
    grid = grid_for(CORRELATION, window)
    assert np.array_equal(grid.wavenumbers, spectra["raman_vv"].wavenumbers)
    for name in set(FORMS) & set(spectra):
        found = form_spectrum(CORRELATION, grid, FORMS[name])
        scale = np.abs(spectra[name].intensity).max()
        assert np.abs(found - spectra[name].intensity).max() < 1e-13 * scale, name
    iso, g2 = (spectra[f"raman_{kind}"].intensity for kind in ("iso", "aniso"))
    found = form_spectrum(CORRELATION, grid, FORMS["raman_natural_90"])
    assert np.allclose(found, (iso + 13 * g2 / 45) / 2, rtol=1e-12)
    linear = depolarisation_linear(CORRELATION, grid)
    assert np.allclose(linear, 3 * g2 / (45 * iso + 4 * g2), rtol=1e-10)
    natural = depolarisation_natural(CORRELATION, grid)
    assert np.allclose(natural, 6 * g2 / (45 * iso + 7 * g2), rtol=1e-10)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("x(zz)y", "raman_vv"),
        ("x(zx)y", "raman_vh"),
        ("x(yx)y", "raman_vh"),  # HH at 90 degrees
        ("x(z,z+x)y", "raman_unpolarised"),
        ("z(x,x+y)-z", "raman_unpolarised"),  # backscattering
        ("x(y+z,x+z)y", "raman_natural_90"),
    ],
)
def test_the_average_over_orientations_is_the_isotropic_form(text, name, orientations):
    """The rows of the table of experiments, by exact quadrature."""
    form = parse_geometry(text).form()
    tensors = from_voigt(np.eye(6))  # the action of a rotation on the six components
    average = np.zeros((6, 6))
    for rotation, weight in orientations:
        turned = to_voigt(np.einsum("ax,by,uxy->uab", rotation, rotation, tensors))
        average += weight * turned @ form @ turned.T
    assert np.abs(average - FORMS[name]).max() < 1e-12


def test_turning_the_polarisation_is_turning_the_crystal_backwards():
    angle = np.radians(25.0)
    c, s = np.cos(angle), np.sin(angle)
    backwards = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])
    turned_crystal = to_voigt(
        np.einsum("ax,by,txy->tab", backwards, backwards, from_voigt(series()))
    )
    geometry = parse_geometry("z(xy)z")
    (turned,) = polarisation_scan(geometry, [25.0])
    assert turned.name == "z(xy)z@25"
    expected = contract(correlate(turned_crystal), geometry.form())
    assert np.allclose(contract(CORRELATION, turned.form()), expected, rtol=1e-10)


def test_a_scan_of_the_whole_circle_has_the_symmetry_of_light():
    geometry = parse_geometry("z(xx)z")
    forms = [g.form() for g in polarisation_scan(geometry, [0.0, 90.0, 180.0])]
    assert np.allclose(forms[0], forms[2], atol=1e-15)
    assert np.allclose(forms[1], parse_geometry("z(yy)z").form(), atol=1e-15)
    fixed = geometry.turned(90.0, analyser=False)
    assert np.allclose(fixed.form(), parse_geometry("z(yx)z").form(), atol=1e-15)


def test_longitudinal_light_is_pointed_out_but_allowed():
    assert parse_geometry("z(xy)z").warnings() == []
    assert parse_geometry("z(xz)y").warnings() == []
    warnings = parse_geometry("x(xz)z").warnings()
    assert len(warnings) == 2
    assert "incident polarisation has a part of 1.00 along its own" in warnings[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("xx", "is no geometry: a geometry is written"),
        ("z(x)z", "has no two polarisations"),
        ("z(xyz)z", "has no two polarisations"),
        ("z(x,y,z)z", "has no two polarisations"),
        ("q(xy)z", "'q' is no direction; write x, -y or three numbers"),
        ("z([1,1],x)z", r"'\[1,1\]' is no direction"),
        ("z([0,0,0],x)z", "is no direction"),
        ("z([a,b,c],x)z", "is no direction"),
        ("", "is no geometry"),
    ],
)
def test_what_is_no_geometry_is_refused_with_an_example(text, message):
    with pytest.raises(SettingsError, match=message):
        parse_geometry(text)


def test_vectors_are_normalised():
    assert np.allclose(parse_vector("[3,0,4]"), [0.6, 0.0, 0.8])
    assert parse_vector("-y").tolist() == [0.0, -1.0, 0.0]


def test_kinds_of_raman_spectra_are_one_spectrum_in_other_units():
    nu = np.array([981.0])
    factor = {
        kind: raman_factor(kind, nu, 300.0, laser_wavelength=532.0)[0]
        for kind in ("lineshape", "reduced", "stokes", "anti-stokes")
    }
    assert factor["lineshape"] == 1.0
    assert factor["reduced"] == pytest.approx(RAMAN_CONSTANT / 300.0)
    assert factor["stokes"] / factor["reduced"] == pytest.approx(1.03638254e14)
    assert factor["anti-stokes"] < factor["stokes"]
    photons = raman_factor(
        "stokes", nu, 300.0, laser_wavelength=532.0, detector="photons"
    )
    assert photons[0] > factor["stokes"]
    schofield = raman_factor("lineshape", nu, 300.0, correction="schofield")
    assert schofield[0] > 1.0
    with pytest.raises(SettingsError, match="needs the wavelength of the laser"):
        raman_factor("stokes", nu, 300.0)
    with pytest.raises(SettingsError, match="known are lineshape, reduced, stokes"):
        raman_factor("experimental", nu, 300.0)


def test_forms_of_the_dipole_are_refused():
    dipole = Correlator(3, N_LAGS, 0.5, "e^2 Angstrom^2 fs^-2").result()
    with pytest.raises(UnitError, match="Is it the dipole's"):
        contract(dipole, FORMS["raman_iso"])
