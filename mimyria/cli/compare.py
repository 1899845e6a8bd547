"""`mimyria compare`: scores of two spectra, or a run beside an experiment."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING

from mimyria.errors import FormatError, IncompatibleError, SettingsError
from mimyria.experiments import experiment_names, load_experiment

if TYPE_CHECKING:
    from mimyria.comparison import Comparison
    from mimyria.experiments import Experiment, ExperimentalBand
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
square per degree of freedom is 1 then.
"""


def add_parser(
    subparsers: argparse._SubParsersAction[argparse.ArgumentParser],
) -> None:
    """Describe the command and its arguments."""
    parser = subparsers.add_parser(
        "compare",
        help="scores of two spectra, or a run beside an experiment",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="examples: mimyria compare a.h5 b.h5\n"
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
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw both spectra")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    name = str(arguments.second)
    if name in experiment_names() and not arguments.second.exists():
        experiment = load_experiment(name)
        print("\n".join(_beside(_read(arguments.first, arguments), experiment)))
        return 0
    pairs = _matched(
        _read(arguments.first, arguments),
        _read(arguments.second, arguments),
        arguments,
    )
    low, high = arguments.range or (None, None)
    from mimyria.comparison import compare

    results, left_out = [], []
    for key, a, b in pairs:
        try:
            scores = compare(
                a, b, low=low, high=high, normalisation=arguments.normalise
            )
        except IncompatibleError as error:
            if arguments.spectrum or len(pairs) == 1:
                raise
            left_out.append(f"note: {key} is left out: {error}")
            continue
        results.append((key, scores))
    print("\n".join([*_table(results, arguments), *left_out]))
    if arguments.plot is not None and results:
        from mimyria.plots import plot_overlay

        drawn, scores = results[0]
        low, high = scores.low, scores.high
        one, two = next((a, b) for key, a, b in pairs if key == drawn)
        plot_overlay(
            one.between(low, high),
            two.between(low, high),
            arguments.plot,
            labels=(arguments.first.name, arguments.second.name),
            normalise=scores.normalisation == "area",
        )
        print(f"wrote {arguments.plot}")
    return 0


def _read(path: Path, arguments: argparse.Namespace) -> dict[str, Spectrum]:
    """Spectra by name; the one of a table or JCAMP-DX file has the name ''."""
    if not path.is_file():
        raise FormatError(
            f"{path}: there is no such file, and no experiment of this name (known: "
            f"{', '.join(experiment_names())})."
        )
    suffix = path.suffix.lower()
    if suffix in (".jdx", ".dx", ".jcamp"):
        from mimyria.io.jcamp import read_jcamp

        return {"": read_jcamp(path)}
    if suffix in (".h5", ".hdf5"):
        from mimyria.storage import read_result

        return dict(read_result(path).spectra)
    from mimyria.io.tables import read_table

    return {"": read_table(path, column=arguments.column)}


def _matched(
    one: dict[str, Spectrum], two: dict[str, Spectrum], arguments: argparse.Namespace
) -> list[tuple[str, Spectrum, Spectrum]]:
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
        f"{'cosine':>7s} {'shift of centre':>16s} {'Wasserstein':>11s} "
        f"{'chi2/dof':>8s} {'dof':>5s} {'area B/A':>8s}",
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
            f"{shift:>16s} {c.wasserstein:11.1f} {_number(c.chi_square, 8, 2)} "
            f"{c.n_independent:5.0f} {_number(ratio, 8, 4)}"
        )
        notices |= dict.fromkeys(c.notices)
    lines.append("range, shift and Wasserstein distance in cm^-1")
    if any(c.normalisation == "area" for _, c in results):
        lines.append("compared after both were given an area of 1 (--normalise)")
    return lines + [f"note: {notice}" for notice in notices]


def _number(value: float, width: int, digits: int) -> str:
    return f"{'-':>{width}s}" if math.isnan(value) else f"{value:{width}.{digits}f}"


def _beside(spectra: dict[str, Spectrum], experiment: Experiment) -> list[str]:
    """Bands of a run beside those of the experiment."""
    lines = [
        f"{experiment.title}",
        "",
        f"{'':10s} {'':16s} {'position / cm^-1':>19s}  {'height / cm^-1':>17s}  "
        f"{'integral / cm^-2':>30s}",
        f"{'spectrum':10s} {'band':16s} {'run':>9s} {'exp.':>9s}  {'run':>8s} "
        f"{'exp.':>8s}  {'run':>21s} {'exp.':>8s}  source",
    ]
    marked = False
    for band in experiment.bands:
        spectrum = spectra.get(band.spectrum)
        if spectrum is None and "" in spectra and band.spectrum == "ir":
            spectrum = spectra[""]
        if spectrum is None:
            continue
        lines.append(_band_line(spectrum, band))
        marked = marked or band.status == "memory"
    if len(lines) == 4:
        raise SettingsError(
            f"the file has no spectrum that the experiment '{experiment.name}' knows."
        )
    if marked:
        lines.append("* quoted from memory of the literature: orientation, not a test")
    lines += [
        f"{key}: {text}" for key, text in experiment.sources.items() if key != "common"
    ]
    return lines


def _band_line(spectrum: Spectrum, band: ExperimentalBand) -> str:
    from mimyria.comparison import integral
    from mimyria.spectra import find_band

    position, height, total = "-", "-", "-"
    absolute = spectrum.unit == "cm^-1"
    try:
        part = spectrum.between(band.low, band.high)
        if band.position is not None:
            found = find_band(part, band.low, band.high)
            position = f"{found.position:.0f}"
            height = f"{found.height:.0f}" if absolute else "-"
        if absolute and band.integral is not None:
            value, error = integral(part)
            total = f"{value:.3g}"
            if not math.isnan(error):
                total += f" ± {error:.2g}"
    except SettingsError:
        pass  # the spectrum does not reach there: dashes say so
    wanted = [
        "-" if number is None else form.format(number)
        for number, form in (
            (band.position, "{:.0f}"),
            (band.height, "{:.0f}"),
            (band.integral, "{:.3g}"),
        )
    ]
    mark = "*" if band.status == "memory" else ""
    return (
        f"{band.spectrum:10s} {band.name:16s} {position:>9s} {wanted[0]:>9s}  "
        f"{height:>8s} {wanted[1]:>8s}  {total:>21s} {wanted[2]:>8s}  "
        f"{band.source}{mark}{'  (' + band.note + ')' if band.note else ''}"
    )
