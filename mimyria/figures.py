"""Figures for a paper: several spectra, their error bands, and parts as a stack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mimyria.drawing import COLOURS, WAVENUMBER_LABEL, save_figure
from mimyria.errors import SettingsError
from mimyria.frame import Array
from mimyria.spectra import Spectrum

__all__ = ["FORMATS", "FigureStyle", "draw_figure"]

FORMATS: Final = ("pdf", "svg", "png", "eps")
_DECADES: Final = 1e-5  # of the highest point, lower end of a logarithmic ordinate
_LABELS: Final = {
    "ir": r"$\alpha(\tilde\nu)\,n(\tilde\nu)$",
    "raman_iso": "isotropic Raman",
    "raman_aniso": "anisotropic Raman",
    "raman_vv": "Raman, VV",
    "raman_vh": "Raman, VH",
    "raman_unpolarised": "Raman, unpolarised",
    "depolarisation_ratio": r"$\rho$ = VH/VV",
}


@dataclass(frozen=True, slots=True)
class FigureStyle:
    """How a figure looks.

    Attributes:
        size: width and height, cm; 8.5 is a column of most journals.
        dots: resolution of pixel formats, dots per inch.
        limits: range of wavenumbers, cm⁻¹; None: all.
        log_intensity: logarithmic ordinate.
        log_wavenumber: logarithmic abscissa.
        errors: standard errors of the band around each line; 0 draws none.
        font_size: points.
    """

    size: tuple[float, float] = (8.5, 6.0)
    dots: int = 300
    limits: tuple[float, float] | None = None
    log_intensity: bool = False
    log_wavenumber: bool = False
    errors: float = 1.0
    font_size: float = 8.0

    def __post_init__(self) -> None:
        """Check limits."""
        low, high = self.limits or (0.0, 1.0)
        if not (low < high and low >= 0):
            raise SettingsError(
                f"the range must rise from 0 or more, but is {low:g} to {high:g} cm⁻¹."
            )
        if not all(1 <= length <= 200 for length in self.size):
            raise SettingsError(
                f"a figure of {self.size} cm cannot be drawn; 1 to 200."
            )
        if not (self.errors >= 0 and 1 <= self.font_size <= 100):
            raise SettingsError(
                "errors must be 0 or more and the font from 1 to 100 points, but are "
                f"{self.errors:g} and {self.font_size:g}."
            )
        if not 20 <= self.dots <= 2400:
            raise SettingsError(f"dots per inch must be 20 to 2400, not {self.dots}.")


def draw_figure(
    spectra: Sequence[Spectrum],
    path: str | Path,
    style: FigureStyle | None = None,
    *,
    parts: Mapping[str, Spectrum] | None = None,
) -> None:
    """Draw spectra over each other, each unit in a panel of its own.

    Args:
        spectra: what to draw.
        path: the file; its ending is the format (pdf, svg, png, eps).
        style: how it looks; None: as for one column of a journal.
        parts: contributions to the first spectrum, on the same wavenumbers. Those of
            groups are stacked areas, those of pairs lines, because they may be
            negative. The band around the edge of an area is the error of that group
            alone.

    Raises:
        SettingsError: the format is unknown, or there is nothing to draw.
        OutputError: the file cannot be written.
    """
    style = style or FigureStyle()
    path = Path(path)
    kind = path.suffix.lstrip(".").lower()
    if kind not in FORMATS:
        raise SettingsError(
            f"a figure must end in .{', .'.join(FORMATS)}, but is {path.name}."
        )
    panels: dict[str, list[Spectrum]] = {}
    for spectrum in spectra:
        panels.setdefault(spectrum.unit, []).append(_clipped(spectrum, style))
    if not panels:
        raise SettingsError("there is no spectrum to draw.")
    # Text stays text in svg, and fonts are embedded whole, as journals ask for.
    options: Any = {
        "font.size": style.font_size,
        "svg.fonttype": "none",
        "pdf.fonttype": 42,
    }
    with rc_context(options):
        width, height = (length / 2.54 for length in style.size)
        figure = Figure(figsize=(width, height), dpi=style.dots, layout="constrained")
        all_axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        for axes, group in zip(all_axes, panels.values(), strict=True):
            _draw_panel(axes, group, style)
        if parts:
            first = {n: _clipped(part, style) for n, part in parts.items()}
            _draw_parts(all_axes[0], first, style)
        for axes in all_axes:
            _finish(axes, style)
        all_axes[-1].set_xlabel(WAVENUMBER_LABEL)
        save_figure(figure, path, dots=style.dots)


def _draw_panel(axes: Axes, group: list[Spectrum], style: FigureStyle) -> None:
    for colour, spectrum in zip(_cycle(len(group)), group, strict=True):
        x, y = spectrum.wavenumbers, spectrum.intensity
        label = _label(spectrum)
        axes.plot(x, y, color=colour, linewidth=1.0, label=label)
        _draw_error(axes, spectrum, y, colour, style)
    unit = "" if group[0].unit == "1" else f" / {_unit_text(group[0].unit)}"
    axes.set_ylabel((_label(group[0]) if len(group) == 1 else "intensity") + unit)
    if style.log_intensity:
        top = max(float(np.nanmax(spectrum.intensity)) for spectrum in group)
        if not top > 0:
            raise SettingsError("nothing is above zero: no logarithmic ordinate.")
        axes.set_yscale("log", nonpositive="mask")
        axes.set_ylim(_DECADES * top, 2 * top)
    if len(group) > 1:
        axes.legend(frameon=False)


def _label(spectrum: Spectrum) -> str:
    """What the spectrum is called; of an oriented sample its geometry alone."""
    name = spectrum.name
    return _LABELS.get(name, name.removeprefix("raman_") if "(" in name else name)


def _draw_error(
    axes: Axes, spectrum: Spectrum, centre: Array, colour: str, style: FigureStyle
) -> None:
    """The band of the error of a spectrum around a line."""
    if spectrum.error is None or not style.errors > 0:
        return
    width = style.errors * spectrum.error
    low, high = centre - width, centre + width
    axes.fill_between(
        spectrum.wavenumbers, low, high, color=colour, alpha=0.25, linewidth=0
    )


def _draw_parts(axes: Axes, parts: Mapping[str, Spectrum], style: FigureStyle) -> None:
    """Groups as a stack from zero, cross terms as thin lines."""
    alone = {name: part for name, part in parts.items() if "×" not in name}
    pairs = {name: part for name, part in parts.items() if "×" in name}
    floor: Array | None = None
    for colour, (name, part) in zip(_cycle(len(alone), 1), alone.items(), strict=True):
        low = np.zeros(len(part.wavenumbers)) if floor is None else floor
        floor = low + part.intensity
        axes.fill_between(
            part.wavenumbers, low, floor, color=colour, alpha=0.35, linewidth=0,
            label=name,
        )  # fmt: skip
        _draw_error(axes, part, floor, colour, style)
    if not style.log_intensity:
        for colour, (name, part) in zip(
            _cycle(len(pairs), 3), pairs.items(), strict=True
        ):
            axes.plot(
                part.wavenumbers, part.intensity, color=colour, linewidth=0.7,
                linestyle=(0, (4, 2)), label=name,
            )  # fmt: skip
            _draw_error(axes, part, part.intensity, colour, style)
        axes.axhline(0.0, color="0.6", linewidth=0.5)
    axes.legend(frameon=False)


def _finish(axes: Axes, style: FigureStyle) -> None:
    if style.log_wavenumber:
        axes.set_xscale("log")
    axes.margins(x=0)
    if style.limits is not None and not (style.log_wavenumber and not style.limits[0]):
        axes.set_xlim(*style.limits)
    axes.minorticks_on()
    axes.tick_params(which="both", direction="in", top=True, right=True)
    if not style.log_intensity:
        axes.ticklabel_format(axis="y", scilimits=(-3, 4), useMathText=True)


def _clipped(spectrum: Spectrum, style: FigureStyle) -> Spectrum:
    low, high = style.limits or (0.0, np.inf)
    if style.log_wavenumber:
        low = max(low, float(np.nextafter(0.0, 1.0)))  # there is no logarithm of zero
    return spectrum.between(low, high)


def _cycle(number: int, first: int = 0) -> list[str]:
    return [COLOURS[(first + i) % len(COLOURS)] for i in range(number)]


def _unit_text(unit: str) -> str:
    """`cm^-1` as matplotlib writes it."""
    words = []
    for word in unit.split():
        base, _, power = word.partition("^")
        words.append(f"{base}$^{{{power}}}$" if power else base)
    return " ".join(words).replace("a0", "$a_0$").replace("Eh", "$E_h$")
