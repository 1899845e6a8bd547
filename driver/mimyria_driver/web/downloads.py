"""Downloads: figures and tables of a result, made as `mimyria plot` and `table` do.

Names of files are made here, never taken from a request.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from mimyria import __version__
from mimyria.cli.table import remarks_of
from mimyria.errors import SettingsError
from mimyria.figures import FigureStyle, draw_figure
from mimyria.io.jcamp import write_jcamp
from mimyria.io.tables import write_table
from mimyria.recomputed import parts_of
from mimyria.spectra import Spectrum
from mimyria.storage import RESULT_NAME, Result
from mimyria_driver.web.document import View

__all__ = ["FIGURE_TYPES", "File", "csv_file", "figure_file", "jcamp_file"]

FIGURE_TYPES: Final = {
    "png": "image/png",
    "pdf": "application/pdf",
    "svg": "image/svg+xml",
}
_RANGE: Final = (0.0, 4000.0)
_SIZE: Final = (16.0, 8.0)  # cm; two panels get twice the height


@dataclass(frozen=True, slots=True)
class File:
    """What a browser gets to save."""

    name: str
    kind: str
    content: bytes


def figure_file(
    result: Result, view: View, *, names: list[str], kind: str, parts: bool
) -> File:
    """A figure of some spectra with their error bands.

    Raises:
        SettingsError: a spectrum or a kind of figure is not known.
    """
    if kind not in FIGURE_TYPES:
        raise SettingsError(f"a figure is one of {', '.join(FIGURE_TYPES)}.")
    spectra = [_chosen(view, name) for name in names]
    n_panels = len({spectrum.unit for spectrum in spectra})
    style = FigureStyle(
        size=(_SIZE[0], _SIZE[1] * max(1, n_panels) * 0.8), dots=200, limits=_RANGE
    )
    stack = parts_of(result, spectra[0]) if parts and spectra else None

    def write(path: Path) -> None:
        draw_figure(spectra, path, style, parts=stack or None)

    name = f"{'-'.join(spectrum.name for spectrum in spectra)}.{kind}"
    return File(name, FIGURE_TYPES[kind], _written(f"figure.{kind}", write))


def csv_file(result: Result, view: View) -> File:
    """All spectra of the page as one table."""
    spectra = [sampled.spectrum for sampled in view.values()]
    remarks = remarks_of(result, spectra, RESULT_NAME)
    write = partial(write_table, spectra=spectra, remarks=remarks)
    return File("spectra.csv", "text/csv; charset=utf-8", _written("table", write))


def jcamp_file(result: Result, view: View, *, name: str) -> File:
    """One spectrum as JCAMP-DX.

    Raises:
        SettingsError: there is no such spectrum.
    """
    del result
    spectrum = _chosen(view, name)
    origin = f"mimyria {__version__}, {RESULT_NAME}"
    write = partial(write_jcamp, spectrum=spectrum, origin=origin)
    return File(f"{spectrum.name}.jdx", "chemical/x-jcamp-dx", _written("jcamp", write))


def _chosen(view: View, name: str) -> Spectrum:
    if name not in view:
        raise SettingsError(f"there is no such spectrum, only {', '.join(view)}.")
    return view[name].spectrum


def _written(name: str, write: Callable[[Path], None]) -> bytes:
    """What a function writes into a file."""
    with tempfile.TemporaryDirectory(prefix="mimyria-web-") as folder:
        path = Path(folder) / name
        write(path)
        return path.read_bytes()
