"""Report of the demo: bands of the IR spectrum beside those of the atoms' velocities.

A band can only be where atoms move, so the velocity spectrum of the same run checks
positions without any network. IR sees a molecule's dipole turn and stretch, not its
twist about the dipole axis; the molecular axis, v_H1 + v_H2 − 2 v_O, moves in just that
way, while the plain sum over atoms includes the twist.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

import numpy as np

from mimyria.errors import SettingsError
from mimyria.frame import Array
from mimyria.spectra import Spectrum, find_band
from mimyria.spectra.elements import VelocitySpectra
from mimyria.spectra.peaks import WATER_BANDS
from mimyria.storage import RESULT_NAME, Result, read_result

__all__ = ["report", "table", "top"]

_EXPERIMENT: Final = {"libration": 670.0, "bend": 1645.0, "OH stretch": 3400.0}
_MAX_WAVENUMBER: Final = 4500.0


def report(folder: Path) -> list[str]:
    """Lines that say what came out of the run in `folder`."""
    results = folder / "spectrum"
    result = read_result(results / RESULT_NAME)
    correlation = result.dipole
    assert correlation is not None  # the inputs name both models
    ir, vv = result.spectra["ir"], result.spectra["raman_vv"]
    length = correlation.n_samples * result.interval / 1000
    lines = [
        "",
        f"{correlation.n_samples} frames, {length:.1f} ps, resolution "
        f"{ir.resolution:g} cm⁻¹. Tops of bands in cm⁻¹:",
        "",
    ]
    velocities = folder / "velocities.npz"
    if velocities.exists():
        axis, atoms = _velocity_spectra(velocities, result)
        columns = {"IR": ir, "Raman VV": vv, "all atoms": atoms, "molecular axis": axis}
        lines += [*table(columns), *_verdicts(ir, axis)]
    else:
        lines += table({"IR": ir, "Raman VV": vv})
    names = ("spectrum.h5", "ir.png", "raman.png")
    return [*lines, "", "left behind:", *(f"  {results / name}" for name in names)]


def _verdicts(ir: Spectrum, axis: Spectrum) -> list[str]:
    """Whether each IR band is where the molecular axis moves."""
    lines = ["", "IR and the velocity of the molecular axis (half height), same run:"]
    for name, (low, high) in WATER_BANDS.items():
        position = top(ir, low, high)
        begin, end = _half_height(axis, low, high)
        inside = begin - ir.resolution <= position <= end + ir.resolution
        lines.append(
            f"  {name:<12}{position:6.0f}   {'inside' if inside else 'OUTSIDE'}"
            f"   {begin:.0f} to {end:.0f}"
        )
    return lines


def _half_height(spectrum: Spectrum, low: float, high: float) -> tuple[float, float]:
    """Where the highest band between `low` and `high` falls to half its height."""
    part = spectrum.between(low, high)
    above = part.intensity >= 0.5 * part.intensity.max()
    return float(part.wavenumbers[above][0]), float(part.wavenumbers[above][-1])


def table(spectra: dict[str, Spectrum]) -> list[str]:
    """Lines with the top of each band of water in each spectrum, and as measured."""
    header = "".join(f"{name:>15}" for name in spectra)
    lines = [f"  {'':<12}{header}{'experiment':>13}"]
    for name, (low, high) in WATER_BANDS.items():
        tops = (top(each, low, high) for each in spectra.values())
        numbers = "".join(f"{each:15.0f}" for each in tops)
        lines.append(f"  {name:<12}{numbers}{_EXPERIMENT[name]:13.0f}")
    return lines


def top(spectrum: Spectrum, low: float, high: float) -> float:
    """Where the band is highest, cm⁻¹; NaN where a run is too short to have it."""
    try:
        return find_band(spectrum, low, high).position
    except SettingsError:
        return math.nan


def _velocity_spectra(path: Path, result: Result) -> tuple[Spectrum, Spectrum]:
    """Velocity spectra of the molecular axes and of all atoms (order O, H, H)."""
    with np.load(path, allow_pickle=False) as stored:
        velocities = stored["velocities"].astype(np.float64)
        masses = stored["masses"].astype(np.float64)
    molecules = velocities.reshape(len(velocities), -1, 3, 3)
    axes = molecules[:, :, 1] + molecules[:, :, 2] - 2 * molecules[:, :, 0]
    unit_masses = np.ones(axes.shape[1])
    return (
        _velocity_spectrum(axes, unit_masses, result),
        _velocity_spectrum(velocities, masses, result),
    )


def _velocity_spectrum(velocities: Array, masses: Array, result: Result) -> Spectrum:
    """The same lags, window and grid as those of the IR spectrum."""
    assert result.dipole is not None
    n_lags, interval = result.dipole.n_lags, result.interval
    accumulated = VelocitySpectra(["all"] * len(masses), masses, n_lags, interval)
    accumulated.push(velocities)
    window = str(result.provenance["window"])
    resolution = result.spectra["ir"].resolution
    (spectrum,) = accumulated.spectra(window, resolution, _MAX_WAVENUMBER)
    return spectrum
