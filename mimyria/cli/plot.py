"""`mimyria plot`: a figure of a result, ready for a paper."""

from __future__ import annotations

import argparse
from pathlib import Path

from mimyria.cli.parsing import Subparsers, add_command
from mimyria.cli.table import chosen_spectra, known_parts

__all__ = ["add_parser"]

_DESCRIPTION = """\
Draw spectra of a result with their error bands. Spectra of different units get panels
of their own. With --parts the contributions of the groups of atoms are drawn into the
first panel: groups as a stack, pairs of groups as lines, each with its error band.
"""


def add_parser(subparsers: Subparsers) -> None:
    """Describe the command and its arguments."""
    parser = add_command(
        subparsers,
        "plot",
        "a figure of a result, ready for a paper",
        _DESCRIPTION,
        "example: mimyria plot run/spectrum.h5 ir.pdf --spectrum ir --parts",
    )
    add = parser.add_argument
    add("result", type=Path, help="result file")
    add("figure", type=Path, help="file to write: .pdf, .svg, .png or .eps")
    add(
        "--spectrum",
        action="append",
        metavar="NAME",
        help="which spectrum (default: ir and raman_vv, as far as there); may be "
        "repeated",
    )
    add("--parts", action="store_true", help="contributions of the groups")
    add("--range", type=float, nargs=2, metavar=("LOW", "HIGH"), help="in cm^-1")
    add("--log", action="store_true", help="logarithmic intensity")
    add("--log-wavenumber", action="store_true", help="logarithmic wavenumber")
    add(
        "--size",
        type=float,
        nargs=2,
        default=(8.5, 6.0),
        metavar=("WIDTH", "HEIGHT"),
        help="in cm (default: 8.5 6, one column)",
    )
    add("--dots", type=int, default=300, help="per inch, of pixel formats (300)")
    add("--font-size", type=float, default=8.0, help="in points (8)")
    add(
        "--errors",
        type=float,
        default=1.0,
        metavar="N",
        help="standard errors in the band (1); 0: no band",
    )
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from mimyria.figures import FigureStyle, draw_figure
    from mimyria.storage import read_result

    style = FigureStyle(
        size=tuple(arguments.size),
        dots=arguments.dots,
        limits=tuple(arguments.range) if arguments.range else None,
        log_intensity=arguments.log,
        log_wavenumber=arguments.log_wavenumber,
        errors=arguments.errors,
        font_size=arguments.font_size,
    )
    result = read_result(arguments.result)
    usual: list[str] = [name for name in ("ir", "raman_vv") if name in result.spectra]
    spectra = chosen_spectra(result, arguments.spectrum or usual, None)
    parts = known_parts(result, spectra[0]) if arguments.parts else None
    draw_figure(spectra, arguments.figure, style, parts=parts)
    print(f"wrote {arguments.figure}")
    return 0
