"""`mimyria autotrain`: from trajectories to converged spectra, by itself."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from mimyria.cli.parsing import Subparsers, add_command
from mimyria.errors import SettingsError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from mimyria.autotrain.loop import Ending
    from mimyria.autotrain.settings import Settings
    from mimyria.spectra import Spectrum

__all__ = ["add_parser"]

STOPPED = 75  # EX_TEMPFAIL: not at its end; raise a limit, or start it again

_EXAMPLES = """\
examples:
  mimyria autotrain --example cp2k > water.toml   every setting, with a sentence
  mimyria autotrain water.toml                    start, or go on
  mimyria autotrain --status water.toml           where it stands

Stop it any time, by Ctrl-C or kill: the same command goes on. It ends with code 0 when
the spectra are good enough, and with 75 when a limit or a signal ended it before."""


def add_parser(subparsers: Subparsers) -> None:
    """Describe the command and its arguments."""
    parser = add_command(
        subparsers,
        "autotrain",
        "from trajectories to converged spectra, by itself",
        "Choose configurations of stored trajectories, compute their tensors with an "
        "electronic-\nstructure code, train committees, make spectra, and go on until "
        "the spectra are good\nenough (docs/autotrain.md).",
        _EXAMPLES,
    )
    parser.add_argument(
        "run_file", nargs="?", type=Path, metavar="RUN.toml", help="the settings file"
    )
    parser.add_argument(
        "--status",
        type=Path,
        metavar="RUN",
        help="where a run stands: its settings file, or its folder",
    )
    parser.add_argument(
        "--example",
        nargs="?",
        const="cp2k",
        metavar="KIND",
        help="print a settings file for a code: cp2k, pyscf, tblite, ase or files",
    )
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    given = (arguments.run_file, arguments.status, arguments.example)
    if sum(each is not None for each in given) != 1:
        raise SettingsError(
            "give one of RUN.toml (start or go on), --status RUN, --example KIND."
        )
    if arguments.example is not None:
        from mimyria.autotrain.settings import settings_text

        print(settings_text(arguments.example))
        return 0
    if arguments.status is not None:
        return _status(arguments.status)
    return _start(arguments.run_file)


def _status(given: Path) -> int:
    from mimyria.autotrain.settings import load_settings
    from mimyria.autotrain.state import RunFolder
    from mimyria.autotrain.status import status_lines

    folder = given if given.is_dir() else load_settings(given).directory
    print("\n".join(status_lines(RunFolder(folder))))
    return 0


def _start(path: Path) -> int:
    from mimyria.autotrain.settings import load_settings

    settings = load_settings(path)
    settings.code()  # what is wrong with it is said before anything is read
    if settings.spectra.experiment:
        from mimyria.experiments import load_experiment

        load_experiment(settings.spectra.experiment)
    try:
        with _signals():
            ending = _loop(settings)
    except _Terminated:
        print(f"stopped by a signal; the same command goes on: {path}", file=sys.stderr)
        return STOPPED
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            "interrupted; what is done is kept, the same command goes on"
        ) from None
    print(f"{'converged' if ending.converged else 'ended'}: {ending.reason}")
    print(f"report: {settings.directory / 'report.html'}")
    return 0 if ending.converged else STOPPED


def _loop(settings: Settings) -> Ending:
    from rich.console import Console

    from mimyria.autotrain.context import Context
    from mimyria.autotrain.loop import run_loop
    from mimyria.autotrain.publishing import publish
    from mimyria.autotrain.state import RunFolder

    run = RunFolder(settings.directory)
    with run.lock(), _bar(Console(stderr=True)) as teller:
        context = Context(settings, run, teller)
        after_cycle = partial(publish, bands=_bands)
        ending = run_loop(context, after_cycle)
        after_cycle(context, ending.cycles, ending)
    return ending


def _bands(spectra: Mapping[str, Spectrum], experiment: str) -> list[str]:
    """Bands beside those of an experiment, as `mimyria compare` prints them."""
    from mimyria.cli.bands import beside_experiment
    from mimyria.experiments import load_experiment

    return beside_experiment(spectra, load_experiment(experiment))


class _Teller:
    """Shows a bar for the step at work, and a line for each that is done."""

    def __init__(self, bar: Progress, console: Console) -> None:
        self._bar = bar
        self._console = console
        self._row = bar.add_task("", total=1.0, visible=False)

    def begin(self, title: str) -> None:
        """A step begins."""
        self._bar.reset(self._row, description=title, total=1.0, visible=True)
        if not self._console.is_terminal:
            self.say(f"{title} …")

    def progress(self, fraction: float) -> None:
        """How far it is."""
        self._bar.update(self._row, completed=fraction)

    def say(self, line: str) -> None:
        """A line of its own, however narrow the terminal is."""
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def _bar(console: Console) -> Iterator[_Teller]:
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        yield _Teller(bar, console)


class _Terminated(KeyboardInterrupt):
    """A signal asks for the end; like Ctrl-C, but with the code of a stopped run."""


@contextmanager
def _signals() -> Iterator[None]:
    """SIGTERM, and the warning of Slurm, end the run where it can go on later."""

    def end(number: int, frame: FrameType | None) -> None:
        raise _Terminated

    names = (signal.SIGTERM, signal.SIGUSR1)
    before = {name: signal.signal(name, end) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
