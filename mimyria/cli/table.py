"""`mimyria table`: spectra of a result as CSV and JCAMP-DX, for other programs."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mimyria import __version__
from mimyria.cli.parsing import Subparsers, add_command
from mimyria.errors import SettingsError
from mimyria.files import make_folder

if TYPE_CHECKING:
    from mimyria.spectra import Spectrum
    from mimyria.storage import Result

__all__ = ["add_parser", "chosen_spectra", "known_parts", "remarks_of"]

_DESCRIPTION = """\
Write spectra as text. CSV has a row of names, a row of units, and beside each spectrum
its standard error; --parts adds what groups of atoms contribute. JCAMP-DX (4.24, one
file for each spectrum) is what spectroscopy programs read. `mimyria compare` reads
both.
"""


def add_parser(subparsers: Subparsers) -> None:
    """Describe the command and its arguments."""
    parser = add_command(
        subparsers,
        "table",
        "spectra as CSV or JCAMP-DX",
        _DESCRIPTION,
        "example: mimyria table run/spectrum.h5 --csv run.csv --jcamp .",
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
        "--parts",
        action="store_true",
        help="with --csv: what each group and each pair contributes, and what is "
        "assigned to each group, as further columns",
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


def known_parts(
    result: Result, spectrum: Spectrum, *, assigned: bool = False
) -> dict[str, Spectrum]:
    """`recomputed.parts_of` for somebody who asked for them.

    Raises:
        SettingsError: the result has no parts, or none of this spectrum.
    """
    from mimyria.partspectra import PART_KINDS
    from mimyria.recomputed import parts_of

    if result.parts is None:
        raise SettingsError("the result has no parts; choose groups in the run first.")
    if spectrum.name not in PART_KINDS:
        raise SettingsError(
            f"parts are known of {', '.join(PART_KINDS)}, not of {spectrum.name}. "
            "Choose one of them by --spectrum."
        )
    return parts_of(result, spectrum, assigned=assigned)


def _with_parts(
    result: Result, names: list[str] | None, limits: list[float] | None
) -> list[Spectrum]:
    """The chosen spectra, each followed by its parts if there are any."""
    from mimyria.partspectra import PART_KINDS

    known = [name for name in names or result.spectra if name in PART_KINDS]
    if not known:
        raise SettingsError(
            f"parts are known of {', '.join(PART_KINDS)}, and none of these is chosen."
        )
    found = []
    for whole in chosen_spectra(result, names, None):
        found.append(whole)
        if whole.name not in known:
            continue
        parts = known_parts(result, whole)
        found += [replace(s, name=f"{s.name} {n}") for n, s in parts.items()]
        if any("×" in label for label in parts):  # else there are no pairs to share
            assigned = known_parts(result, whole, assigned=True)
            found += [
                replace(s, name=f"{s.name} assigned to {n}")
                for n, s in assigned.items()
            ]
    return [s.between(*limits) for s in found] if limits else found


def remarks_of(
    result: Result,
    spectra: list[Spectrum],
    name: str,
    table: list[Spectrum] | None = None,
) -> list[str]:
    """What the head of a table says.

    Args:
        result: that the spectra are of.
        spectra: without their parts.
        name: of the file of the result.
        table: all columns, where there are more.
    """
    return [
        f"mimyria {__version__}, {name}",
        f"temperature {result.temperature:g} K, volume {result.volume:g} A^3, "
        f"resolution {spectra[0].resolution:g} cm^-1",
        *_remarks(table or spectra),
    ]


def _remarks(spectra: list[Spectrum]) -> list[str]:
    """One line for each kind of error."""
    sources: dict[str, list[str]] = {}
    for spectrum in spectra:
        if spectrum.error is not None:
            sources.setdefault(spectrum.error_source, []).append(spectrum.name)
    return [
        f"error: one standard error of each point, from {source}: {'; '.join(names)}"
        for source, names in sources.items()
    ]


def _run(arguments: argparse.Namespace) -> int:
    from mimyria.io.jcamp import write_jcamp
    from mimyria.io.tables import write_table
    from mimyria.storage import read_result

    if arguments.csv is None and arguments.jcamp is None:
        raise SettingsError("say what to write: --csv FILE, --jcamp DIR, or both.")
    if arguments.parts and arguments.csv is None:
        raise SettingsError("--parts are columns of a table: give --csv FILE as well.")
    result = read_result(arguments.result)
    spectra = chosen_spectra(result, arguments.spectrum, arguments.range)
    origin = f"mimyria {__version__}, {arguments.result.name}"
    if arguments.csv is not None:
        table = spectra
        if arguments.parts:
            table = _with_parts(result, arguments.spectrum, arguments.range)
        remarks = remarks_of(result, spectra, arguments.result.name, table)
        write_table(arguments.csv, table, remarks=remarks)
        print(f"wrote {arguments.csv}")
    if arguments.jcamp is not None:
        make_folder(arguments.jcamp)
        for spectrum in spectra:
            path = arguments.jcamp / f"{spectrum.name}.jdx"
            write_jcamp(path, spectrum, origin=origin)
            print(f"wrote {path}")
    return 0
