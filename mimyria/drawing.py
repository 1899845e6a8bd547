"""Drawing: what every picture of mimyria has in common: colours, and how it is saved.

Figures are made without pyplot: no global state, no window, safe in any process.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Final

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mimyria.errors import SettingsError
from mimyria.files import replace_file

__all__ = ["COLOURS", "WAVENUMBER_LABEL", "save_figure"]

COLOURS: Final = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#404040",
)  # fmt: skip
"""Colours of lines, told apart by colour-blind eyes as well (Okabe and Ito)."""

WAVENUMBER_LABEL: Final = r"$\tilde\nu$ / cm$^{-1}$"

_DATES: Final = {"pdf": "CreationDate", "svg": "Date"}


def save_figure(figure: Figure, path: Path, *, dots: int) -> None:
    """Write a figure; the same data give the same file, since it carries no date.

    Args:
        figure: complete.
        path: its ending says the format; png without one.
        dots: resolution of pixel formats, dots per inch.

    Raises:
        SettingsError: the format is unknown.
        OutputError: the file cannot be written.
    """
    kind = path.suffix.lstrip(".").lower() or "png"
    canvas = FigureCanvasAgg(figure)
    known = canvas.get_supported_filetypes()
    if kind not in known:
        raise SettingsError(
            f"a picture must end in .png, .pdf or .svg (or in {', '.join(known)}), but "
            f"is {path.name}."
        )
    metadata = {_DATES[kind]: None} if kind in _DATES else None
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=dots, metadata=metadata)
    replace_file(path, buffer.getvalue())
