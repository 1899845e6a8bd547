"""Band positions of lines whose places are known."""

import numpy as np
import pytest

from mimyria.errors import SettingsError, ShapeError
from mimyria.spectra import Spectrum, find_band, find_bands

GRID = 2.5 * np.arange(1801)


def spectrum(*lines, noise=0.0, error=None):
    """Gaussian lines (place, height, standard deviation)."""
    intensity = noise * np.random.default_rng(1).normal(size=len(GRID))
    for place, height, width in lines:
        intensity += height * np.exp(-0.5 * ((GRID - place) / width) ** 2)
    return Spectrum(GRID, intensity, "cm^-1", "ir", error, 10.0)


def test_a_band_is_found_between_grid_points():
    band = find_band(spectrum((1651.3, 40.0, 30.0)), 1500.0, 1800.0)
    assert band.position == pytest.approx(1651.3, abs=0.02)
    assert band.centroid == pytest.approx(1651.3, abs=0.05)
    assert band.height == pytest.approx(40.0, rel=1e-4)
    assert (band.low, band.high) == (1500.0, 1800.0)


def test_the_centroid_of_a_double_band_lies_between_its_tops():
    band = find_band(spectrum((3300.0, 3.0, 20.0), (3500.0, 1.0, 20.0)), 3000.0, 3800.0)
    assert band.position == pytest.approx(3300.0, abs=0.1)
    assert band.centroid == pytest.approx(3350.0, abs=0.1)


def test_a_band_at_the_border_of_its_range_is_the_border():
    assert find_band(spectrum((1000.0, 1.0, 50.0)), 1000.0, 1200.0).position == 1000.0


def test_all_bands_are_found_in_order():
    lines = [(620.0, 10.0, 60.0), (1650.0, 4.0, 25.0), (3401.2, 30.0, 80.0)]
    bands = find_bands(spectrum(*lines))
    assert [band.position for band in bands] == pytest.approx(
        [line[0] for line in lines], abs=0.1
    )
    for band, (place, _, width) in zip(bands, lines, strict=True):
        assert band.low < place < band.high
        assert band.high - band.low == pytest.approx(2.355 * width, abs=5.0)


def test_noise_below_three_errors_is_no_band():
    error = np.full(len(GRID), 0.5)
    bands = find_bands(spectrum((1650.0, 10.0, 40.0), noise=0.2, error=error))
    assert len(bands) == 1
    assert bands[0].position == pytest.approx(1650.0, abs=25.0)


def test_nan_and_negative_intensity_are_no_band():
    flat = spectrum()
    flat.intensity[:] = -1.0
    flat.intensity[10] = np.nan
    assert find_bands(flat) == []
    with pytest.raises(SettingsError, match="ir has no band from 1500 to 1800"):
        find_band(flat, 1500.0, 1800.0)


def test_a_range_outside_is_refused():
    with pytest.raises(
        SettingsError, match=r"no two points from 5000 to 6000 cm⁻¹; it"
    ):
        find_band(spectrum(), 5000.0, 6000.0)


def test_a_part_keeps_error_and_resolution():
    part = spectrum(error=np.arange(len(GRID)) * 1.0).between(100.0, 110.0)
    assert part.wavenumbers.tolist() == [100.0, 102.5, 105.0, 107.5, 110.0]
    assert part.error.tolist() == [40.0, 41.0, 42.0, 43.0, 44.0]
    assert part.spacing == 2.5
    assert part.resolution == 10.0


def test_a_spectrum_of_unequal_arrays_is_refused():
    with pytest.raises(ShapeError, match=r"error of ir must have the shape \(1801,\)"):
        spectrum(error=np.zeros(3))
