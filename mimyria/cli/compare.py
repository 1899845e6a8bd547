"""`mimyria compare`: scores of two spectra, or a run beside an experiment."""

from __future__ import annotations

import argparse
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mimyria.cli.bands import beside_experiment
from mimyria.cli.parsing import Subparsers, add_command
from mimyria.errors import FormatError, IncompatibleError, SettingsError
from mimyria.experiments import experiment_names, load_experiment

if TYPE_CHECKING:
    from mimyria.comparison import Comparison, ScoreErrors
    from mimyria.resolution import Source
    from mimyria.spectra import Spectrum

__all__ = ["add_parser"]

_DESCRIPTION = """\
Compare the spectra of two results, or of a result and an experiment.

A and B are result files (.h5), tables (.csv, .txt, .dat: a column of wavenumbers in
cm^-1 and one of intensities) or JCAMP-DX files (.jdx, .dx). B may also be the name of
an experiment that ships with the program, such as `water`: then its bands are printed
beside those of A.

Bray-Curtis is 0 for equal spectra and 1 without overlap; what stands beside it as
"noise" is its mean for two spectra that differ by their statistical errors only. Chi
square per degree of freedom is 1 then. Where runs have blocks, each score has its own
standard error below it.

Spectra of different resolution are compared at the coarser one: runs are computed again
from their correlations, other curves are broadened. What was done is printed.
"""


def add_parser(subparsers: Subparsers) -> None:
    """Describe the command and its arguments."""
    parser = add_command(
        subparsers,
        "compare",
        "scores of two spectra, or a run beside an experiment",
        _DESCRIPTION,
        "examples: mimyria compare a.h5 b.h5\n"
        "          mimyria compare run.h5 water\n"
        "          mimyria compare run.h5 measured.csv --spectrum ir --range 500 4000",
    )
    parser.add_argument("first", type=Path, metavar="A")
    parser.add_argument("second", type=Path, metavar="B")
    parser.add_argument(
        "--spectrum",
        action="append",
        metavar="NAME",
        help="which spectrum of the result files, such as ir (default: all common "
        "ones, ir beside an experiment); may be repeated",
    )
    parser.add_argument(
        "--column", metavar="NAME", help="column of a table: its name, or number from 1"
    )
    parser.add_argument(
        "--range", type=float, nargs=2, metavar=("LOW", "HIGH"), help="in cm^-1"
    )
    parser.add_argument(
        "--normalise",
        choices=("auto", "none", "area"),
        default="auto",
        help="area: compare shapes (default: only where the units differ)",
    )
    parser.add_argument(
        "--resolution",
        type=float,
        metavar="CM-1",
        help="resolution of a table or JCAMP-DX file that does not say its own",
    )
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw both spectra")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    name = str(arguments.second)
    if name in experiment_names() and not arguments.second.exists():
        if arguments.resolution is not None:
            raise SettingsError(
                f"--resolution has no meaning beside the bands of '{name}'; leave it "
                "out."
            )
        found = _read(arguments.first, "A", arguments)
        spectra = {key: source.spectrum for key, source in found.items()}
        print("\n".join(beside_experiment(spectra, load_experiment(name))))
        return 0
    pairs = _matched(*_read_both(arguments), arguments)
    results, left_out = [], []
    for key, a, b in pairs:
        try:
            results.append((key, *_compared(a, b, arguments)))
        except IncompatibleError as error:
            if arguments.spectrum or len(pairs) == 1:
                raise
            left_out.append(f"note: {key} is left out: {error}")
    table = [(key, scores) for key, scores, *_ in results]
    print("\n".join([*_table(table, arguments), *left_out]))
    if arguments.plot is not None and results:
        _draw(*results[0][1:], arguments)
        print(f"wrote {arguments.plot}")
    return 0


def _compared(
    a: Source, b: Source, arguments: argparse.Namespace
) -> tuple[Comparison, Spectrum, Spectrum]:
    """The scores, and the spectra at the resolution they were compared at."""
    from mimyria.resolution import at_one_resolution
    from mimyria.scoreerrors import compare_sampled

    low, high = arguments.range or (None, None)
    one, two, done = at_one_resolution(a, b)
    scores = compare_sampled(
        one, two, low=low, high=high, normalisation=arguments.normalise
    )
    scores = replace(scores, notices=(*done, *scores.notices))
    return scores, one.spectrum, two.spectrum


def _draw(
    scores: Comparison, one: Spectrum, two: Spectrum, arguments: argparse.Namespace
) -> None:
    from mimyria.plots import plot_overlay

    plot_overlay(
        one.between(scores.low, scores.high),
        two.between(scores.low, scores.high),
        arguments.plot,
        labels=(arguments.first.name, arguments.second.name),
        normalise=scores.normalisation == "area",
    )


def _read_both(
    arguments: argparse.Namespace,
) -> tuple[dict[str, Source], dict[str, Source]]:
    """Both files; --resolution goes to the curves that do not say theirs."""
    both = (
        _read(arguments.first, "A", arguments),
        _read(arguments.second, "B", arguments),
    )
    width = arguments.resolution
    if width is None:
        return both
    if not (math.isfinite(width) and width > 0):
        raise SettingsError(f"--resolution must be above 0 cm⁻¹, but is {width}.")
    silent = [s for s in both if "" in s and not s[""].spectrum.resolution > 0]
    if not silent:
        raise SettingsError(
            "--resolution is for a table or JCAMP-DX file that does not say its own, "
            "but both files say it. Leave it out: the coarser one is used."
        )
    for sources in silent:
        spectrum = replace(sources[""].spectrum, resolution=width)
        sources[""] = replace(sources[""], spectrum=spectrum)
    return both


def _read(path: Path, label: str, arguments: argparse.Namespace) -> dict[str, Source]:
    """Spectra by name; the one of a table or JCAMP-DX file has the name ''."""
    from mimyria.resolution import Source

    if not path.exists():
        raise FormatError(
            f"{path}: there is no such file, and no experiment of this name (known: "
            f"{', '.join(experiment_names())})."
        )
    suffix = path.suffix.lower()
    if suffix in (".jdx", ".dx", ".jcamp"):
        from mimyria.io.jcamp import read_jcamp

        return {"": Source(label, read_jcamp(path))}
    if suffix in (".h5", ".hdf5") or path.is_dir():
        from mimyria.recomputed import StoredRun
        from mimyria.storage import read_result

        run = StoredRun(read_result(path))  # says what to give for a folder
        return {name: Source(label, s, run) for name, s in run.spectra.items()}
    from mimyria.io.tables import read_table

    return {"": Source(label, read_table(path, column=arguments.column))}


def _matched(
    one: dict[str, Source], two: dict[str, Source], arguments: argparse.Namespace
) -> list[tuple[str, Source, Source]]:
    stored = [spectra for spectra in (one, two) if "" not in spectra]
    common = [name for name in stored[0] if name in stored[-1]] if stored else [""]
    names = arguments.spectrum or common
    if len(stored) == 1 and not arguments.spectrum:
        names = ["ir"]
    for name in names:
        for path, spectra in ((arguments.first, one), (arguments.second, two)):
            if "" not in spectra and name not in spectra:
                raise SettingsError(
                    f"{path} has no spectrum '{name}', only {', '.join(spectra)}. "
                    "Choose one by --spectrum."
                )
    if not names:
        raise SettingsError("the two results have no spectrum in common.")
    return [(n, one.get(n) or one[""], two.get(n) or two[""]) for n in names]


def _table(
    results: list[tuple[str, Comparison]], arguments: argparse.Namespace
) -> list[str]:
    lines = [
        f"A  {arguments.first}",
        f"B  {arguments.second}",
        "",
        f"{'spectrum':22s} {'range':>11s} {'Bray-Curtis':>11s} {'noise':>7s} "
        f"{'cosine':>7s} {'centre A':>8s} {'centre B':>8s} {'shift of centre':>16s} "
        f"{'Wasserstein':>11s} {'chi2/dof':>8s} {'dof':>5s} {'area B/A':>8s}",
    ]
    notices: dict[str, None] = {}
    for name, c in results:
        shift = f"{c.shift:+.1f}"
        if not math.isnan(c.shift_error):
            shift += f" ± {c.shift_error:.1f}"
        ratio = c.areas[1] / c.areas[0] if c.areas[0] else math.nan
        lines.append(
            f"{name or 'A, B':22s} {f'{c.low:.0f}-{c.high:.0f}':>11s} "
            f"{c.bray_curtis:11.4f} {_number(c.floor, 7, 4)} {c.cosine:7.4f} "
            f"{c.first_moments[0]:8.1f} {c.first_moments[1]:8.1f} "
            f"{shift:>16s} {c.wasserstein:11.1f} {_number(c.chi_square, 8, 2)} "
            f"{c.n_independent:5.0f} {_number(ratio, 8, 4)}"
        )
        if c.errors is not None:
            lines.append(_error_line(c.errors))
        notices |= dict.fromkeys(c.notices)
    lines.append("range, centres, shift and Wasserstein distance in cm^-1")
    if any(c.errors is not None for _, c in results):
        lines.append("±: one standard error, from the blocks of A and of B (jackknife)")
    if any(c.normalisation == "area" for _, c in results):
        lines.append("compared after both were given an area of 1 (--normalise)")
    same = [name for name, c in results if c.same_data]
    if same:
        what = "all of these" if len(same) == len(results) else ", ".join(same)
        lines.append(
            f"note: A and B hold the same data ({what}): there is no difference to "
            "give an error of"
        )
    return lines + [f"note: {notice}" for notice in notices]


def _error_line(errors: ScoreErrors) -> str:
    """Standard errors, each below its score; the shift has its own beside it."""
    blocks = "  ± ({} and {} blocks)".format(*errors.n_blocks)
    first, second = (_number(error or math.nan, 8, 1) for error in errors.first_moments)
    return (
        f"{blocks:22s} {'':11s} {_number(errors.bray_curtis, 11, 4)} {'':7s} "
        f"{_number(errors.cosine, 7, 4)} {first} {second} {'':16s} "
        f"{_number(errors.wasserstein, 11, 1)} {_number(errors.chi_square, 8, 2)}"
    )


def _number(value: float, width: int, digits: int) -> str:
    return f"{'-':>{width}s}" if math.isnan(value) else f"{value:{width}.{digits}f}"
