"""Pictures of the report: learning curves, and the spectra of all cycles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from ase.data import chemical_symbols
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mimyria.autotrain.judging import CycleEvidence, Judgement
from mimyria.drawing import COLOURS, WAVENUMBER_LABEL, save_figure
from mimyria.frame import Array

__all__ = ["TITLES", "draw_learning_curve", "draw_parts", "draw_spectra"]

TITLES: Final = {
    "ir": "IR",
    "raman_iso": "Raman, isotropic",
    "raman_vv": "Raman, VV",
    "raman_aniso": "Raman, anisotropic",
}
_DOTS: Final = 110
_LEAST_SHOWN: Final = 1e-3  # % of the maximum; less is nothing
_BLUE, _RED, _GREEN, _PINK, _ORANGE, *_ = COLOURS


def draw_learning_curve(
    path: Path,
    history: Mapping[str, Sequence[CycleEvidence]],
    judgements: Mapping[str, Judgement],
    tolerances: Mapping[str, float],
) -> None:
    """ε of every spectrum against the number of configurations, with the targets."""
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.add_subplot()
    colours = iter(COLOURS)
    for observable, cycles in history.items():
        counts = [cycle.n_configurations for cycle in cycles]
        for kind in cycles[-1].test.kinds:
            found = [cycle.test.kinds[kind] for cycle in cycles]
            colour = next(colours)
            axes.errorbar(
                counts,
                [100 * each.epsilon for each in found],
                [100 * np.nan_to_num(each.epsilon_error) for each in found],
                fmt="o-", ms=4, lw=1, capsize=2, color=colour, label=TITLES[kind],
            )  # fmt: skip
            if kind == judgements[observable].kind:
                limit = 100 * tolerances[observable]
                axes.axhline(limit, color=colour, lw=0.8, ls=(0, (4, 3)))
    axes.set(xlabel="configurations", ylabel="ε of the test set / %", yscale="log")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, fontsize=8)
    save_figure(figure, path, dots=_DOTS)


def draw_parts(path: Path, history: Sequence[CycleEvidence]) -> None:
    """Error of each element and irrep against the number of configurations."""
    counts = [cycle.n_configurations for cycle in history]
    curves: dict[tuple[int, str], list[float]] = {}
    for k, cycle in enumerate(history):
        for part in cycle.test.parts:
            own = curves.setdefault(
                (part.number, part.irrep), [float("nan")] * len(history)
            )
            own[k] = 100 * part.epsilon
    elements = sorted({number for number, _ in curves})
    figure = Figure(figsize=(3.2 * len(elements), 3.0), layout="constrained")
    panels = figure.subplots(1, len(elements), sharey=True, squeeze=False)[0]
    for axes, number in zip(panels, elements, strict=True):
        irreps = sorted(irrep for z, irrep in curves if z == number)
        for colour, irrep in zip(COLOURS, irreps, strict=False):
            axes.plot(
                counts, curves[number, irrep], "o-", ms=4, lw=1, color=colour,
                label=irrep,
            )  # fmt: skip
        axes.set(title=chemical_symbols[number], xlabel="configurations", yscale="log")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(frameon=False, fontsize=8)
    panels[0].set_ylabel("error of this part / %")
    save_figure(figure, path, dots=_DOTS)


def draw_spectra(
    path: Path,
    kind: str,
    history: Sequence[CycleEvidence],
    judgement: Judgement,
    reference: float,
) -> None:
    """The spectrum of every cycle, and the three errors of the last one apart.

    Args:
        path: picture to write.
        kind: which spectrum.
        history: all cycles.
        judgement: of the last one.
        reference: relative error of the labels, as the finite fields have it.
    """
    figure = Figure(figsize=(7.0, 5.6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[2.0, 1.0])
    last = history[-1].spectra.kinds[kind]
    claim = judgement.claims[kind]
    x, top = last.wavenumbers, float(last.mean.max()) or 1.0
    mean = last.mean / top
    _band(above, x, mean, last.error / top, _BLUE, "sampling: ±1 standard error")
    _band(
        above, x, mean, claim.curve / top, _RED, f"model: claimed at {claim.level:.0%}"
    )
    for k, cycle in enumerate(history[:-1]):
        spectra = cycle.spectra.kinds[kind]
        grey = str(0.75 - 0.4 * k / max(1, len(history) - 1))
        above.plot(
            spectra.wavenumbers, spectra.mean / top, color=grey, lw=0.7,
            label=f"{cycle.n_configurations} configurations",
        )  # fmt: skip
    above.plot(
        x, mean, color="black", lw=1.1,
        label=f"{history[-1].n_configurations} configurations",
    )  # fmt: skip
    above.set_ylabel(f"{TITLES[kind]} / its maximum")
    above.legend(frameon=False, fontsize=7)
    for colour, values, label in (
        (_BLUE, last.error, "sampling"),
        (_RED, claim.curve, "model"),
        (_GREEN, (2 * reference + reference**2) * last.mean, "reference, at most"),
    ):
        below.plot(x, 100 * np.abs(values) / top, color=colour, lw=1, label=label)
    below.set(xlabel=WAVENUMBER_LABEL, ylabel="error / % of maximum", xlim=(0, x[-1]))
    below.set_yscale("log", nonpositive="mask")
    below.set_ylim(bottom=_LEAST_SHOWN)
    below.legend(frameon=False, fontsize=7)
    save_figure(figure, path, dots=_DOTS)


def _band(
    axes: Axes,
    x: Array,
    y: Array,
    width: Array,
    colour: str,
    label: str,
) -> None:
    axes.fill_between(
        x, y - width, y + width, color=colour, alpha=0.3, linewidth=0, label=label
    )
