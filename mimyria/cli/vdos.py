"""`mimyria vdos`: velocity spectra of the elements, of a result or a trajectory."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from scipy.integrate import trapezoid

from mimyria import __version__
from mimyria.cli.parsing import Subparsers, add_command
from mimyria.errors import FormatError, SettingsError
from mimyria.frame import Frame
from mimyria.spectra import WINDOWS, Spectrum, find_bands, lags_for_resolution
from mimyria.spectra.elements import VelocitySpectra, element_spectra

__all__ = ["add_parser"]

_MOST_BANDS = 5
_RESOLUTION = 10.0
_WINDOW = "gaussian"
_DESCRIPTION = """\
Vibrational density of states: where the atoms move, without any network. A band of an
IR or Raman spectrum can only be where this one has one. Each element gives a spectrum
whose area is its number of modes, 3 N.

It is taken from the result of a run with groups.velocity_probes (an estimate by a few
random-sign sums, with their noise in the error), or from all atoms of trajectories.
"""
_EXAMPLES = """\
examples:
  mimyria vdos run/spectrum.h5 --resolution 20
  mimyria vdos water.dump --interval 2 --types 1=O 2=H --plot vdos.png"""


def add_parser(subparsers: Subparsers) -> None:
    """Describe the command and its arguments."""
    parser = add_command(
        subparsers,
        "vdos",
        "velocity spectra of a result or a trajectory",
        _DESCRIPTION,
        _EXAMPLES,
    )
    add = parser.add_argument
    add(
        "trajectories",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="result of a run; or extxyz, LAMMPS dumps, H5MD",
    )
    add(
        "--interval",
        type=float,
        metavar="FS",
        help="trajectories: time from one frame to the next",
    )
    add("--types", nargs="+", default=[], metavar="1=O", help="element of each type")
    add("--velocities-unit", help="where the file does not say it")
    add(
        "--resolution",
        type=float,
        metavar="CM-1",
        help="(10, or that of the spectra in the result)",
    )
    add("--window", choices=list(WINDOWS), help="(gaussian, or that of the result)")
    add("--max-wavenumber", type=float, default=4500.0, metavar="CM-1", help="(4500)")
    add("--csv", type=Path, metavar="FILE", help="write a table")
    add("--plot", type=Path, metavar="FILE", help="draw: .png, .pdf, .svg or .eps")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    spectra = _spectra(arguments)
    for spectrum in spectra:
        strongest = sorted(find_bands(spectrum), key=lambda band: -band.height)
        positions = sorted(band.position for band in strongest[:_MOST_BANDS])
        bands = ", ".join(f"{position:.0f}" for position in positions) or "none"
        area = float(trapezoid(spectrum.intensity, spectrum.wavenumbers))
        print(
            f"{spectrum.name:10s} {area:8.1f} modes{_error_text(spectrum)}; "
            f"bands at {bands} cm⁻¹"
        )
    if arguments.csv is not None:
        from mimyria.io.tables import write_table

        write_table(arguments.csv, spectra, remarks=[f"mimyria {__version__} vdos"])
        print(f"wrote {arguments.csv}")
    if arguments.plot is not None:
        from mimyria.figures import draw_figure

        draw_figure(spectra, arguments.plot)
        print(f"wrote {arguments.plot}")
    return 0


def _error_text(spectrum: Spectrum) -> str:
    """Σ error / Σ intensity, where errors are known."""
    if spectrum.error is None:
        return ""
    return f", error {spectrum.error.sum() / spectrum.intensity.sum():.1%}"


def _spectra(arguments: argparse.Namespace) -> list[Spectrum]:
    from mimyria.storage import is_result

    stored = [path for path in arguments.trajectories if is_result(path)]
    if stored:
        if len(arguments.trajectories) > 1:
            raise SettingsError(
                f"{stored[0]} is the result of a run: give it alone, or merge results "
                "by `mimyria merge` first."
            )
        return _of_result(stored[0], arguments)
    interval = arguments.interval
    if interval is None or not (math.isfinite(interval) and interval > 0):
        raise SettingsError(
            "a trajectory needs --interval FS, the time above 0 from one frame to the "
            f"next, but it is {interval}."
        )
    return _read(arguments).spectra(
        arguments.window or _WINDOW, _resolution(arguments), arguments.max_wavenumber
    )


def _resolution(arguments: argparse.Namespace, default: float = _RESOLUTION) -> float:
    wanted: float | None = arguments.resolution
    return default if wanted is None else wanted


def _of_result(path: Path, arguments: argparse.Namespace) -> list[Spectrum]:
    from mimyria.storage import read_result

    result = read_result(path)
    velocities = result.velocities
    if velocities is None:
        raise SettingsError(
            f"{path} holds no velocities. Set groups.velocity_probes in the run.toml "
            "of a new run, or give a trajectory."
        )
    stored = [s.resolution for s in result.spectra.values()]
    spectra = element_spectra(
        velocities,
        window=arguments.window or str(result.provenance.get("window", _WINDOW)),
        resolution=_resolution(arguments, max(stored, default=_RESOLUTION)),
        max_wavenumber=arguments.max_wavenumber,
    )
    return list(spectra.values())


def _read(arguments: argparse.Namespace) -> VelocitySpectra:
    """All frames of all trajectories, each a segment of its own."""
    first: Frame | None = None
    accumulated: VelocitySpectra | None = None
    for frame in _frames(arguments):
        if accumulated is None or first is None:
            if frame is None:
                continue
            first, accumulated = frame, _begin(frame, arguments)
        if frame is None:  # the border between two trajectories
            accumulated.end_segment()
            continue
        if not np.array_equal(frame.numbers, first.numbers):
            raise FormatError(
                f"step {frame.step}: the atoms must be the same in every frame, but "
                "their number or order has changed."
            )
        if frame.velocities is None:
            raise FormatError(f"step {frame.step}: the frame has no velocities.")
        accumulated.push(frame.velocities)
    if accumulated is None:
        raise FormatError("the trajectory holds no frame.")
    return accumulated


def _begin(frame: Frame, arguments: argparse.Namespace) -> VelocitySpectra:
    from ase.data import atomic_masses, chemical_symbols

    n_lags = lags_for_resolution(
        arguments.window or _WINDOW, _resolution(arguments), arguments.interval
    )
    labels = [chemical_symbols[number] for number in frame.numbers]
    masses = atomic_masses[frame.numbers]
    return VelocitySpectra(labels, masses, n_lags, arguments.interval)


def _frames(arguments: argparse.Namespace) -> Iterator[Frame | None]:
    """Frames of all trajectories with a progress bar; None between two of them."""
    from mimyria.io.trajectory import Trajectory, parse_elements

    elements = parse_elements(arguments.types)
    with _progress(len(arguments.trajectories)) as advance:
        for position, path in enumerate(arguments.trajectories):
            if position:
                yield None
            trajectory = Trajectory(
                path, velocities_unit=arguments.velocities_unit, elements=elements
            )
            for frame in trajectory:
                advance(position + trajectory.fraction)
                yield frame


@contextmanager
def _progress(total: int) -> Iterator[Callable[[float], None]]:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading", total=total)
        yield lambda done: bar.update(task, completed=done)
