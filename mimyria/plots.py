"""Plots of spectra with their error bands, as picture files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.integrate import trapezoid

from mimyria.drawing import COLOURS, WAVENUMBER_LABEL, save_figure
from mimyria.errors import SettingsError
from mimyria.spectra import Spectrum, find_bands

__all__ = [
    "HasSpectra",
    "plot_ir",
    "plot_overlay",
    "plot_raman",
    "plot_spectrum",
    "plot_velocities",
]

_RANGE: Final = (0.0, 4000.0)
_DPI: Final = 200
_MOST_LABELS: Final = 5
_LABEL_HEIGHT: Final = 0.04  # of the highest point; lower bands get no label
_STRETCHES: Final = 2500.0  # cm⁻¹; stretches of X–H dwarf what lies below
_MAGNIFICATIONS: Final = (2, 5, 10, 20, 50, 100, 200)
_BLUE, _RED, _GREEN, *_, _GREY = COLOURS
_COLOURS: Final = {
    "ir": _BLUE,
    "raman_vv": _BLUE,
    "raman_vh": _RED,
    "raman_iso": _GREEN,
    "depolarisation_ratio": _GREY,
}


class HasSpectra(Protocol):
    """Anything with spectra by name, such as a `Result`."""

    @property
    def spectra(self) -> Mapping[str, Spectrum]:
        """Spectra by name."""
        ...


def plot_ir(
    source: HasSpectra | Mapping[str, Spectrum],
    path: str | Path,
    *,
    limits: tuple[float, float] = _RANGE,
) -> None:
    """α n against the wavenumber, with a band of one standard error.

    Args:
        source: spectra with the name `ir`.
        path: picture to write; the ending says the format (png, pdf, svg).
        limits: range of wavenumbers, cm⁻¹.
    """
    spectrum = _pick(source, "ir").between(*limits)
    figure = Figure(figsize=(7.0, 3.8), layout="constrained")
    axes = figure.subplots()
    _draw(axes, spectrum, None)
    _label_bands(axes, spectrum)
    axes.set_ylabel(r"$\alpha(\tilde\nu)\,n(\tilde\nu)$ / cm$^{-1}$")
    axes.set_xlabel(WAVENUMBER_LABEL)
    _finish(axes, limits)
    _write_note(axes, spectrum)
    save_figure(figure, Path(path), dots=_DPI)


def plot_raman(
    source: HasSpectra | Mapping[str, Spectrum],
    path: str | Path,
    *,
    limits: tuple[float, float] = _RANGE,
) -> None:
    """VV, VH and isotropic Raman spectra, and the depolarisation ratio below.

    Args:
        source: spectra with the names that `compute_spectra` gives.
        path: picture to write; the ending says the format (png, pdf, svg).
        limits: range of wavenumbers, cm⁻¹.
    """
    figure = Figure(figsize=(7.0, 5.2), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[2.4, 1.0])
    for name, label in (("raman_vv", "VV"), ("raman_iso", "iso"), ("raman_vh", "VH")):
        _draw(above, _pick(source, name).between(*limits), label)
    vv = _pick(source, "raman_vv").between(*limits)
    _draw_magnified(above, vv)
    above.legend(frameon=False, loc="upper left")
    above.set_ylabel(r"$S(\dot\alpha)$ / $a_0^6$ fs$^{-1}$")
    _finish(above, limits)
    _write_note(above, vv)
    ratio = _pick(source, "depolarisation_ratio").between(*limits)
    _draw(below, ratio, None)
    if not np.isfinite(ratio.intensity).any():
        below.text(
            *(0.5, 0.4, "VV is within three errors of zero everywhere"),
            transform=below.transAxes,
            ha="center",
            fontsize=8,
            color="0.4",
        )
    below.axhline(0.75, color="0.6", linewidth=0.8, linestyle=(0, (4, 3)))
    below.set_ylabel(r"$\rho$ = VH/VV")
    below.set_xlabel(WAVENUMBER_LABEL)
    _finish(below, limits)
    below.set_ylim(0.0, 0.85)
    save_figure(figure, Path(path), dots=_DPI)


def plot_velocities(
    source: HasSpectra | Mapping[str, Spectrum],
    path: str | Path,
    *,
    limits: tuple[float, float] = _RANGE,
) -> None:
    """Density of states of each element, each with a band of one standard error.

    Args:
        source: spectra of which some have the names `vdos_<element>`.
        path: picture to write; the ending says the format (png, pdf, svg).
        limits: range of wavenumbers, cm⁻¹.

    Raises:
        SettingsError: there is none.
    """
    spectra = source if isinstance(source, Mapping) else source.spectra
    elements = [s for name, s in spectra.items() if name.startswith("vdos_")]
    if not elements:
        raise SettingsError(
            "this plot needs velocity spectra, but there are none. Set "
            "groups.velocity_probes in the run.toml of a new run."
        )
    figure = Figure(figsize=(7.0, 3.8), layout="constrained")
    axes = figure.subplots()
    for index, spectrum in enumerate(elements):
        label = spectrum.name.removeprefix("vdos_")
        colour = COLOURS[index % len(COLOURS)]
        _draw(axes, spectrum.between(*limits), label, colour=colour)
    axes.legend(frameon=False)
    axes.set_ylabel("velocity density of states / cm")
    axes.set_xlabel(WAVENUMBER_LABEL)
    _finish(axes, limits)
    _write_note(axes, elements[0])
    save_figure(figure, Path(path), dots=_DPI)


def plot_spectrum(
    spectrum: Spectrum,
    path: str | Path,
    *,
    title: str,
    limits: tuple[float, float] = _RANGE,
) -> None:
    """One spectrum of any kind, with a band of one standard error.

    Args:
        spectrum: what to draw; it may be negative.
        path: picture to write; the ending says the format (png, pdf, svg).
        title: what the vertical axis is; the unit is added.
        limits: range of wavenumbers, cm⁻¹.
    """
    part = spectrum.between(*limits)
    figure = Figure(figsize=(7.0, 3.8), layout="constrained")
    axes = figure.subplots()
    _draw(axes, part, None)
    axes.set_ylabel(title if part.unit == "1" else f"{title} / {part.unit}")
    axes.set_xlabel(WAVENUMBER_LABEL)
    axes.set_xlim(*limits)
    axes.minorticks_on()
    axes.tick_params(which="both", direction="in", top=True, right=True)
    _write_note(axes, part)
    save_figure(figure, Path(path), dots=_DPI)


def plot_overlay(
    first: Spectrum,
    second: Spectrum,
    path: str | Path,
    *,
    labels: tuple[str, str],
    normalise: bool = False,
) -> None:
    """Two spectra in one picture, each with its band of one standard error.

    Args:
        first: one spectrum.
        second: the other.
        path: picture to write; the ending says the format (png, pdf, svg).
        labels: names for the legend.
        normalise: give each an area of 1, as for different units.
    """
    figure = Figure(figsize=(7.0, 3.8), layout="constrained")
    axes = figure.subplots()
    for spectrum, label, colour in zip(
        (first, second), labels, (_BLUE, _RED), strict=True
    ):
        area = trapezoid(np.nan_to_num(spectrum.intensity), spectrum.wavenumbers)
        _draw(axes, spectrum, label, colour=colour, scale=area if normalise else 1.0)
    axes.legend(frameon=False)
    axes.set_ylabel("intensity / area" if normalise else f"intensity / {first.unit}")
    axes.set_xlabel(WAVENUMBER_LABEL)
    low = min(first.wavenumbers[0], second.wavenumbers[0])
    high = max(first.wavenumbers[-1], second.wavenumbers[-1])
    _finish(axes, (float(low), float(high)))
    save_figure(figure, Path(path), dots=_DPI)


def _pick(source: HasSpectra | Mapping[str, Spectrum], name: str) -> Spectrum:
    spectra = source if isinstance(source, Mapping) else source.spectra
    if name not in spectra:
        raise SettingsError(
            f"this plot needs the spectrum '{name}', but there are only "
            f"{sorted(spectra)}. Was the tensor for it evaluated?"
        )
    return spectra[name]


def _draw(
    axes: Axes,
    spectrum: Spectrum,
    label: str | None,
    *,
    colour: str | None = None,
    scale: float = 1.0,
) -> None:
    """A line, and a band of one standard error on both sides; both over `scale`."""
    colour = colour or _COLOURS.get(spectrum.name, _BLUE)
    x, y = spectrum.wavenumbers, spectrum.intensity / scale
    axes.plot(x, y, color=colour, linewidth=1.2, label=label)
    if spectrum.error is not None and np.isfinite(spectrum.error).any():
        error = spectrum.error / scale
        low, high = y - error, y + error
        band: dict[str, Any] = {"color": colour, "alpha": 0.22, "linewidth": 0}
        axes.fill_between(x, low, high, **band)


def _draw_magnified(axes: Axes, spectrum: Spectrum) -> None:
    """The weak part below the stretches again, enlarged to a third of the height."""
    weak = spectrum.wavenumbers < _STRETCHES
    if not weak.any() or not spectrum.intensity[weak].max() > 0:
        return
    room = spectrum.intensity.max() / (3 * spectrum.intensity[weak].max())
    factor = max((f for f in _MAGNIFICATIONS if f <= room), default=1)
    if factor > 1:
        axes.plot(
            spectrum.wavenumbers[weak],
            factor * spectrum.intensity[weak],
            color=_COLOURS[spectrum.name],
            linewidth=0.8,
            linestyle=(0, (4, 2)),
            label=f"VV × {factor}",
        )


def _label_bands(axes: Axes, spectrum: Spectrum) -> None:
    """Write the wavenumber over the strongest bands."""
    bands = find_bands(spectrum, prominence=_LABEL_HEIGHT)
    for band in sorted(bands, key=lambda band: -band.height)[:_MOST_LABELS]:
        axes.annotate(
            f"{band.position:.0f}",
            (band.position, band.height + _error_at(spectrum, band.position)),
            xytext=(0, 4),
            textcoords="offset points",
            ha="center",
            fontsize=8,
            color="0.25",
        )


def _error_at(spectrum: Spectrum, wavenumber: float) -> float:
    if spectrum.error is None:
        return 0.0
    return float(np.interp(wavenumber, spectrum.wavenumbers, spectrum.error))


def _finish(axes: Axes, limits: tuple[float, float]) -> None:
    axes.set_xlim(*limits)
    top = axes.get_ylim()[1]
    axes.set_ylim(-0.02 * top, 1.04 * top)
    axes.minorticks_on()
    axes.tick_params(which="both", direction="in", top=True, right=True)
    axes.ticklabel_format(axis="y", scilimits=(-3, 4), useMathText=True)


def _write_note(axes: Axes, spectrum: Spectrum) -> None:
    note = f"resolution {spectrum.resolution:.0f} cm$^{{-1}}$"
    if spectrum.error is not None:
        note += "; band: ±1 standard error"
        if spectrum.error_kind is not None:
            note += f" ({spectrum.error_source})"
    axes.text(
        1.0,
        1.015,
        note,
        transform=axes.transAxes,
        ha="right",
        va="bottom",
        fontsize=7.5,
        color="0.4",
    )
