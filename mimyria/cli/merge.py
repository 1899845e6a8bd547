"""`mimyria merge`: one result from several runs of the same system."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from mimyria.cli.parsing import Subparsers, add_command
from mimyria.errors import OutputError, SettingsError
from mimyria.spectra import WINDOWS

if TYPE_CHECKING:
    from mimyria.merging import Merged, RunSummary

__all__ = ["add_parser"]

_DESCRIPTION = """\
Pool the correlations of several runs: every pair of samples counts once, so a run of
twice the length weighs twice as much. Spectra are computed anew, with the mean
temperature and volume of the samples. Runs of other atoms, models or intervals are
refused. A run that was interrupted needs no merging: started again in its folder it
goes on, and pairs across the interruption are counted too.
"""


def add_parser(subparsers: Subparsers) -> None:
    """Describe the command and its arguments."""
    parser = add_command(
        subparsers,
        "merge",
        "one result from several runs",
        _DESCRIPTION,
        "example: mimyria merge run*/spectrum.h5 --output all.h5",
    )
    parser.add_argument("results", type=Path, nargs="+", metavar="RESULT")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE")
    parser.add_argument(
        "--resolution", type=float, metavar="CM-1", help="default: as stored"
    )
    parser.add_argument("--window", choices=list(WINDOWS), help="default: as stored")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from mimyria.merging import merge_results
    from mimyria.storage import read_result, write_result

    resolution = arguments.resolution
    if resolution is not None and not resolution > 0:
        raise SettingsError(f"resolution must be above 0 cm⁻¹, but is {resolution}.")
    if any(_same(path, arguments.output) for path in arguments.results):
        raise OutputError(
            f"{arguments.output} is one of the files to merge. Choose another --output."
        )
    merged = merge_results(
        [read_result(path) for path in arguments.results],
        [str(path) for path in arguments.results],
        resolution=resolution,
        window=arguments.window,
    )
    write_result(arguments.output, merged.result)
    print("\n".join(_report(merged)))
    print(f"wrote {arguments.output}")
    return 0


def _same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()


def _report(merged: Merged) -> list[str]:
    runs = merged.runs
    width = max(len(run.name) for run in runs)
    total = sum(run.n_samples for run in runs)
    lines = [
        f"{'run':{width}s} {'samples':>9s} {'ps':>9s} {'weight':>7s} {'T / K':>8s} "
        f"{'V / A^3':>10s}"
    ]
    for run in runs:
        lines.append(
            f"{run.name:{width}s} {run.n_samples:9d} {run.length:9.2f} "
            f"{run.n_samples / max(total, 1):7.3f} {run.temperature:8.2f} "
            f"{run.volume:10.2f}"
        )
    result = merged.result
    lines.append(
        f"{'merged':{width}s} {total:9d} {sum(r.length for r in runs):9.2f} "
        f"{1:7.3f} {result.temperature:8.2f} {result.volume:10.2f}"
    )
    lines.append(
        f"{'spread (standard deviation)':{width + 28}s}"
        f"{_spread(runs, lambda run: run.temperature):8.2f} "
        f"{_spread(runs, lambda run: run.volume):10.2f}"
    )
    return lines + [f"note: {notice}" for notice in merged.notices]


def _spread(runs: tuple[RunSummary, ...], of: Callable[[RunSummary], float]) -> float:
    """Standard deviation between the runs, each weighted by its samples."""
    total = max(sum(run.n_samples for run in runs), 1)
    mean = sum(of(run) * run.n_samples for run in runs) / total
    return math.sqrt(sum((of(r) - mean) ** 2 * r.n_samples for r in runs) / total)
