"""`mimyria-driver watch`: the view of a driver that runs elsewhere."""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mimyria.cli.parsing import Subparsers, add_command

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["add_parser"]

_WATCH = """\
Show a run on the whole terminal, from its run folder: a job on a cluster, a service in
the background, a run that is over. Spectra with their bands, how far they are from the
wanted error, checks, pace and warnings. It only reads; leaving it leaves the run alone.

  q, Ctrl-C   leave
  tab         all spectra, IR alone, Raman alone; also i and r
  s           square root of the intensity, which shows weak bands

It stays when the run has ended, and shows the last result, until somebody leaves; then
it says in one line how the run is. Without a terminal, or with TERM=dumb, it prints a
line every 10 s and ends with the run. NO_COLOR=1 takes the colours away. A terminal
without UTF-8 gets a picture in ASCII. The exit code is that of `mimyria-driver status`.

With --web a browser shows the spectra as they grow, with error bands, checks and
downloads: open the link that it prints. The page stays when the driver has ended, until
Ctrl-C, and shows the last result. Only this machine can reach it, and only with the
link; from elsewhere: ssh -L 8680:127.0.0.1:8680 THIS-MACHINE.
"""

_SECONDS: Final = 1.0
_LINE_SECONDS: Final = 10.0
_PORT: Final = 8680


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the parser."""
    parser = add_command(subparsers, "watch", "show a driver that runs", _WATCH)
    parser.add_argument("directory", type=Path, metavar="RUNDIR")
    parser.add_argument("--once", action="store_true", help="print one view and end")
    parser.add_argument("--web", action="store_true", help="as a page for a browser")
    parser.add_argument(
        "--port",
        type=int,
        default=_PORT,
        metavar="N",
        help="of the page (default: 8680); another one where it is taken",
    )
    parser.add_argument(
        "--host",
        action="append",
        default=[],
        metavar="NAME",
        help="a further name that the page may be asked by, as behind a proxy",
    )
    parser.set_defaults(run=_watch)


def _watch(arguments: argparse.Namespace) -> int:
    if arguments.web:
        return _serve(arguments)
    from rich.console import Console

    from mimyria.errors import OutputError
    from mimyria_driver.screen import show_once, watch_screen
    from mimyria_driver.verdict import UNKNOWN, WORDS, judge

    console = Console(highlight=False)
    try:
        if arguments.once:
            return judge(show_once(arguments.directory, console))[0]
        if not console.is_terminal or console.is_dumb_terminal:
            return judge(_follow(arguments.directory, console))[0]
        code, reason = judge(watch_screen(arguments.directory, console))
    except OutputError as error:
        print(" ".join(str(error).split()))
        return UNKNOWN
    _say(f"{WORDS[code]}: {reason}", console)
    return code


def _serve(arguments: argparse.Namespace) -> int:
    """The page, until Ctrl-C."""
    from mimyria.errors import SettingsError
    from mimyria_driver.web.address import link_of, open_port, take_token
    from mimyria_driver.web.server import serve

    directory = arguments.directory
    if not directory.is_dir():
        raise SettingsError(f"{directory} is no run folder (run.directory).")
    if not 0 <= arguments.port < 65536:
        raise SettingsError(f"--port must be 0 to 65535, but is {arguments.port}.")
    token = take_token(directory)

    def say(end: Callable[[], None]) -> None:
        del end  # Ctrl-C is what ends it
        print(
            f"{link_of(listener, token)}\nCtrl-C ends the page, not the run.",
            flush=True,
        )

    with open_port(arguments.port) as listener, contextlib.suppress(KeyboardInterrupt):
        serve(directory, listener, token, arguments.host, watch=say)
    return 0


def _follow(directory: Path, console: Console) -> dict[str, Any]:
    """Print lines until the driver has ended or is gone; the last status."""
    from mimyria_driver.snapshot import LIVE
    from mimyria_driver.status import read_status
    from mimyria_driver.verdict import is_gone
    from mimyria_driver.views import describe_status

    next_line = 0.0
    while True:
        status = read_status(directory)
        over = status["state"] not in LIVE or is_gone(status)
        if over or time.monotonic() >= next_line:
            next_line = time.monotonic() + _LINE_SECONDS
            _say(describe_status(status), console)
        if over:
            return status
        time.sleep(_SECONDS)


def _say(line: str, console: Console) -> None:
    """Print a line, with the characters that there are."""
    from mimyria_driver.screen.glyphs import can_show, to_ascii

    print(line if can_show(console.encoding) else to_ascii(line), flush=True)
