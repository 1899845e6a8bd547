"""`mimyria table`: spectra of a result as CSV and JCAMP-DX, for other programs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from mimyria import __version__
from mimyria.errors import SettingsError
from mimyria.files import make_folder

if TYPE_CHECKING:
    from mimyria.spectra import Spectrum
    from mimyria.storage import Result

__all__ = ["add_parser", "chosen_spectra"]

_DESCRIPTION = """\
Write spectra as text. CSV has a row of names, a row of units, and beside each spectrum
its standard error; JCAMP-DX (4.24, one file for each spectrum) is what spectroscopy
programs read. `mimyria compare` reads both.
"""


def add_parser(
    subparsers: argparse._SubParsersAction[argparse.ArgumentParser],
) -> None:
    """Describe the command and its arguments."""
    parser = subparsers.add_parser(
        "table",
        help="spectra as CSV or JCAMP-DX",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: mimyria table run/spectrum.h5 --csv run.csv --jcamp .",
    )
    parser.add_argument("result", type=Path, help="result file")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="one table of all")
    parser.add_argument(
        "--jcamp", type=Path, metavar="DIR", help="write NAME.jdx for each there"
    )
    parser.add_argument(
        "--spectrum",
        action="append",
        metavar="NAME",
        help="only this spectrum, such as ir; may be repeated",
    )
    parser.add_argument(
        "--range", type=float, nargs=2, metavar=("LOW", "HIGH"), help="in cm^-1"
    )
    parser.set_defaults(run=_run)


def chosen_spectra(
    result: Result, names: list[str] | None, limits: list[float] | None
) -> list[Spectrum]:
    """Spectra of a result by name (all without names), cut to a range.

    Raises:
        SettingsError: a spectrum is not there.
    """
    for name in names or []:
        if name not in result.spectra:
            raise SettingsError(
                f"there is no spectrum '{name}', only {', '.join(result.spectra)}."
            )
    chosen = [result.spectra[name] for name in names or result.spectra]
    if not chosen:
        raise SettingsError("the file holds no spectrum.")
    return [s.between(*limits) for s in chosen] if limits else chosen


def _run(arguments: argparse.Namespace) -> int:
    from mimyria.io.jcamp import write_jcamp
    from mimyria.io.tables import write_table
    from mimyria.storage import read_result

    if arguments.csv is None and arguments.jcamp is None:
        raise SettingsError("say what to write: --csv FILE, --jcamp DIR, or both.")
    result = read_result(arguments.result)
    spectra = chosen_spectra(result, arguments.spectrum, arguments.range)
    origin = f"mimyria {__version__}, {arguments.result.name}"
    if arguments.csv is not None:
        remarks = [
            origin,
            f"temperature {result.temperature:g} K, volume {result.volume:g} A^3, "
            f"resolution {spectra[0].resolution:g} cm^-1",
            "error: one standard error of each point",
        ]
        write_table(arguments.csv, spectra, remarks=remarks)
        print(f"wrote {arguments.csv}")
    if arguments.jcamp is not None:
        make_folder(arguments.jcamp)
        for spectrum in spectra:
            path = arguments.jcamp / f"{spectrum.name}.jdx"
            write_jcamp(path, spectrum, origin=origin)
            print(f"wrote {path}")
    return 0
