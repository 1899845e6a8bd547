"""What people look at after a training: its curve and its predictions, as pictures.

One page of HTML that holds them all, and the same pictures as PNG files beside it.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from ase.data import chemical_symbols
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mimyria.data.dataset import TensorDataset
from mimyria.drawing import COLOURS, save_figure
from mimyria.files import replace_file
from mimyria.frame import Array
from mimyria.models.card import model_card
from mimyria.models.coupling import change_of_basis
from mimyria.models.metadata import ModelMetadata
from mimyria.models.network import irrep_blocks
from mimyria.targets import Target
from mimyria.training.curve import CurveRow

__all__ = ["REPORT", "Part", "write_report"]

REPORT: Final = "report.html"
_DOTS: Final = 110
_BLUE, _RED, *_ = COLOURS
_PANEL: Final = 2.6  # inches

Part = tuple[str, TensorDataset, Sequence[Array]]
"""Name of a part of the data, the part, and the predictions shaped like its labels."""


def write_report(
    folder: Path,
    metadata: ModelMetadata,
    curve: Sequence[CurveRow],
    parts: Sequence[Part],
) -> Path:
    """Write `report.html` and its pictures; gives the path of the page.

    Args:
        folder: existing folder.
        metadata: of the model.
        curve: the learning curve; empty for a committee, whose members have theirs.
        parts: what to show of the data; empty ones are left out.
    """
    shown = [part for part in parts if len(part[1])]
    pictures = {"learning-curve": _learning_curve(curve)} if curve else {}
    for target in metadata.targets:
        pictures[f"parity-{target.name}"] = _parity(target, shown)
    drawn = []
    for name, figure in pictures.items():
        drawn.append(folder / f"{name}.png")
        save_figure(figure, drawn[-1], dots=_DOTS)
    page = folder / REPORT
    replace_file(page, _page(metadata, drawn).encode())
    return page


def _learning_curve(curve: Sequence[CurveRow]) -> Figure:
    figure = Figure(figsize=(2.4 * _PANEL, 1.4 * _PANEL), layout="constrained")
    axes = figure.add_subplot()
    epochs = [row.epoch for row in curve]
    axes.plot(epochs, [row.loss for row in curve], color=_BLUE, label="training")
    held_out = [
        (row.epoch, row.validation) for row in curve if row.validation is not None
    ]
    if held_out:
        axes.plot(*np.transpose(held_out), color=_RED, label="validation")
    axes.set(xlabel="epoch", ylabel="loss (1: the best constant)", yscale="log")
    axes.legend(frameon=False)
    return figure


def _parity(target: Target, parts: Sequence[Part]) -> Figure:
    """One panel for each element and irrep: predictions against labels."""
    basis = change_of_basis([target]).numpy()
    names = list(dict.fromkeys(block.name for block in irrep_blocks([target])))
    elements = sorted({int(z) for _, part, _ in parts for z in part.labelled_numbers})
    figure = Figure(
        figsize=(_PANEL * len(names), _PANEL * len(elements)), layout="constrained"
    )
    grid = figure.subplots(len(elements), len(names), squeeze=False)
    for row, number in enumerate(elements):
        for column, name in enumerate(names):
            axes = grid[row, column]
            axes.set_title(f"{chemical_symbols[number]} {name}", fontsize=9)
            for (title, part, predictions), colour in zip(parts, COLOURS, strict=False):
                atoms = part.labelled_numbers == number
                wanted, found = (
                    _components(part, tensors, target, name, basis)[atoms]
                    for tensors in (part.labels, predictions)
                )
                axes.plot(
                    wanted.ravel(), found.ravel(), ".", ms=3, color=colour, label=title
                )
            _diagonal(axes)
    grid[0, 0].legend(frameon=False, fontsize=8)
    figure.supxlabel(f"labels / {target.unit}")
    figure.supylabel(f"predictions / {target.unit}")
    return figure


def _components(
    part: TensorDataset,
    tensors: Sequence[Array],
    target: Target,
    name: str,
    basis: Array,
) -> Array:
    """(n_labelled, n) — components of all irreps of one name."""
    rows = part.select(tensors)[:, part.columns[target.name]] @ basis.T
    columns = [
        np.arange(block.start, block.stop)
        for block in irrep_blocks([target])
        if block.name == name
    ]
    return rows[:, np.concatenate(columns)]


def _diagonal(axes: Axes) -> None:
    low = min(axes.get_xlim()[0], axes.get_ylim()[0])
    high = max(axes.get_xlim()[1], axes.get_ylim()[1])
    axes.plot([low, high], [low, high], color="0.6", lw=0.8, zorder=0)
    axes.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    axes.tick_params(labelsize=7)


def _page(metadata: ModelMetadata, pictures: Sequence[Path]) -> str:
    images = "\n".join(
        f'<h2>{path.stem}</h2>\n<img alt="{path.stem}" src="data:image/png;base64,'
        f'{base64.b64encode(path.read_bytes()).decode()}">'
        for path in pictures
    )
    title = html.escape(metadata.name)
    return (
        f"<!doctype html>\n<html lang=en>\n<meta charset=utf-8>\n<title>{title}</title>"
        "\n<style>body{font:16px sans-serif;max-width:60em;margin:2em auto}"
        "img{max-width:100%}pre{white-space:pre-wrap}</style>\n"
        f"<h1>{title}</h1>\n{images}\n<pre>{html.escape(model_card(metadata))}</pre>\n"
    )
