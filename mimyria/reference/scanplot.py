"""Picture of a field-strength scan: errors of both tensors against the field."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from mimyria.drawing import COLOURS, save_figure
from mimyria.frame import Array
from mimyria.reference.scan import ErrorModel, FieldScan

__all__ = ["plot_scan"]

_DPI: Final = 200
_MARGIN: Final = 2.0  # factor by which the curves go beyond the steps
_DECADES: Final = 1e-4  # of the highest point, the lower end of the ordinate
_BLUE, _RED, _GREEN, *_, _GREY = COLOURS


def plot_scan(scan: FieldScan, path: str | Path) -> None:
    """Draw the errors of APT and PGT, what they are made of, and the best fields.

    Args:
        scan: what to draw.
        path: picture to write; the ending says the format (png, pdf, svg).

    Raises:
        SettingsError: the format is unknown.
        OutputError: the file cannot be written.
    """
    h = np.geomspace(scan.steps[0] / _MARGIN, scan.steps[-1] * _MARGIN, 200)
    panels = [("APT", "e", scan.apt_error, [scan.apt], scan.best_for_apt)]
    if scan.diagonal is not None and scan.off_diagonal is not None:
        unit = r"$e^2 a_0^2 E_h^{-1}$ Å$^{-1}$"
        models = [scan.diagonal, *2 * [scan.off_diagonal]]
        panels.append(("PGT", unit, scan.pgt_error, models, scan.best_for_pgt))
    figure = Figure(figsize=(7.0, 2.0 + 1.8 * len(panels)), layout="constrained")
    all_axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (name, unit, error, models, best) in zip(all_axes, panels, strict=True):
        noise, truncation, bound = _shares(models, h, scan.force_noise)
        _draw(axes, h, error(h), noise, truncation)
        if (bound > error(h)).any():
            axes.fill_between(
                h, error(h), bound, color=_BLUE, alpha=0.2, linewidth=0,
                label="what noise may hide",
            )  # fmt: skip
        axes.plot(scan.steps, error(scan.steps), "o", color=_BLUE, markersize=4)
        dashes = (0, (4, 3))
        axes.axvline(
            best,
            color=_GREY,
            linewidth=0.8,
            linestyle=dashes,
            label="best for it alone",
        )
        axes.axvline(scan.best, color=_GREEN, linewidth=0.8, label="best for both")
        axes.set_ylabel(f"error of the {name} / {unit}")
        _finish(axes, scan, (float(h[0]), float(h[-1])))
    entries: dict[Any, Any] = {}
    for axes in all_axes:
        handles, labels = axes.get_legend_handles_labels()
        entries.update(zip(labels, handles, strict=True))
    all_axes[-1].legend(
        list(entries.values()), list(entries), frameon=False, fontsize="small"
    )
    all_axes[0].set_title(_title(scan), fontsize="medium")
    all_axes[-1].set_xlabel("field component / a.u.")
    save_figure(figure, Path(path), dots=_DPI)


def _shares(
    models: Sequence[ErrorModel], h: Array, force_noise: float
) -> tuple[Array, Array, Array]:
    """Root mean squares over the kinds of elements: noise, truncation, upper bound."""
    noise = np.array([model.noise(h, force_noise) for model in models])
    truncation = np.array([model.truncation * h**2 for model in models])
    bound = np.array([model.bound(h, force_noise) for model in models])
    first, second, third = (
        np.sqrt((each**2).mean(axis=0)) for each in (noise, truncation, bound)
    )
    return first, second, third


def _draw(axes: Axes, h: Array, error: Array, noise: Array, truncation: Array) -> None:
    dashes = (0, (4, 2))
    axes.loglog(h, error, color=_BLUE, linewidth=1.4, label="predicted error")
    # Over less than a decade matplotlib would write 3×10⁻⁴ into 4×10⁻⁴.
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    for values, label, style in (
        (noise, "noise of the forces", dashes),
        (truncation, "truncation", (0, (1, 1))),
    ):
        if (values > 0).any():
            axes.plot(
                h, values, color=_RED, linewidth=0.9, linestyle=style, label=label
            )
    top = float(error.max())
    if top > 0:
        axes.set_ylim(max(_DECADES * top, 0.5 * float(error.min())), 2.0 * top)


def _finish(axes: Axes, scan: FieldScan, limits: tuple[float, float]) -> None:
    if scan.limit < limits[1]:
        axes.axvspan(
            scan.limit,
            limits[1],
            color="0.9",
            linewidth=0,
            zorder=0,
            label="too strong for the gap",
        )
    axes.set_xlim(*limits)
    axes.tick_params(which="both", direction="in", top=True, right=True)


def _title(scan: FieldScan) -> str:
    words = [
        rf"best {scan.best:.2g} a.u.",
        rf"$\sigma_F$ = {scan.force_noise:.1e} $E_h/a_0$",
    ]
    for name, value in (("F'''", scan.third), ("F''''", scan.fourth)):
        if math.isfinite(value):
            words.append(rf"${name}$ = {value:.3g} a.u.")
    return ", ".join(words)
