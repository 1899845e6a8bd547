"""App: the loop that looks at a run folder and draws it until somebody leaves."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, Final

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from mimyria.errors import OutputError
from mimyria_driver.screen.findings import ResultReader
from mimyria_driver.screen.glyphs import can_show, to_ascii_text
from mimyria_driver.screen.history import History
from mimyria_driver.screen.keys import LEAVE, Keys
from mimyria_driver.screen.layout import compose
from mimyria_driver.screen.scene import Choice, Scene
from mimyria_driver.snapshot import LIVE
from mimyria_driver.status import read_status
from mimyria_driver.verdict import WORDS, is_gone, judge

__all__ = ["Watcher", "show_once", "watch_screen"]

_LOOK_SECONDS: Final = 1.0
_KEY_SECONDS: Final = 0.2


class Watcher:
    """What is known of one run folder.

    Attributes:
        status: the last one that could be read.
        choice: what the keys have chosen.
    """

    def __init__(self, directory: Path) -> None:
        """Look for the first time.

        Raises:
            OutputError: there is no status.
        """
        self._directory = directory
        self._history = History()
        self._reader = ResultReader(directory)
        self.choice = Choice()
        self.status: dict[str, Any] = {}
        self.look()

    @property
    def over(self) -> bool:
        """Whether the driver has ended or is gone."""
        return self.status["state"] not in LIVE or is_gone(self.status)

    def look(self) -> None:
        """Read what is there now.

        Raises:
            OutputError: there is no status.
        """
        self.status = read_status(self._directory)
        self._history.add(self.status)
        self._reader.look()

    def press(self, keys: str) -> bool:
        """Do what keys say; False: leave."""
        for key in keys:
            if key in LEAVE:
                return False
            if key in "\tir":
                self.choice = {
                    "\t": self.choice.next_kind(),
                    "i": Choice("ir", self.choice.root),
                    "r": Choice("raman_vv", self.choice.root),
                }[key]
            elif key == "s":
                self.choice = self.choice.other_scale()
        return True

    def scene(self, console: Console, *, keys: bool = False) -> Scene:
        """The picture of this moment."""
        coloured = console.color_system is not None and not console.no_color
        return Scene(
            self._directory.resolve().name,
            self.status,
            WORDS[judge(self.status)[0]],
            self.over,
            self._history,
            self._reader.findings,
            self._reader.trouble,
            time.time(),
            self.choice,
            keys,
            coloured,
        )


def show_once(directory: Path, console: Console) -> dict[str, Any]:
    """Print one view; the status.

    Raises:
        OutputError: there is none.
    """
    watcher = Watcher(directory)
    console.print(_drawn(compose(watcher.scene(console), console.width), console))
    return watcher.status


def watch_screen(directory: Path, console: Console) -> dict[str, Any]:
    """Show it until somebody leaves; the last status.

    Without a keyboard it ends with the run.

    Raises:
        OutputError: there is no status at first.
    """
    watcher = Watcher(directory)
    going = True
    while going:
        with _ending(), Keys() as keys, _Stopped() as stopped:
            going = _show(watcher, console, keys, stopped)
        if going:
            # Ctrl-Z: the terminal is as it was, and `fg` brings us back.
            os.kill(os.getpid(), signal.SIGSTOP)
    return watcher.status


def _show(watcher: Watcher, console: Console, keys: Keys, stopped: _Stopped) -> bool:
    """Draw until somebody leaves; True: the process shall be stopped and go on."""
    shown: object = None
    next_look = 0.0
    with _whole_screen(console) as live, contextlib.suppress(KeyboardInterrupt):
        while not stopped.asked:
            if time.monotonic() >= next_look:
                next_look = time.monotonic() + _LOOK_SECONDS
                with contextlib.suppress(OutputError):  # the last one is still shown
                    watcher.look()
            present = (next_look, watcher.choice, console.size)
            if present != shown:
                shown = present
                size = console.size
                scene = watcher.scene(console, keys=keys.there)
                lines = compose(scene, size.width, size.height)
                live.update(_drawn(lines, console), refresh=True)
            if watcher.over and not keys.there:
                return False
            if not watcher.press(keys.wait(_KEY_SECONDS)):
                return False
    return stopped.asked


@contextlib.contextmanager
def _whole_screen(console: Console) -> Iterator[Live]:
    """The alternate screen, left empty.

    A tmux whose size has changed meanwhile would mix it with what stood there before.
    """
    live = Live(console=console, screen=True, auto_refresh=False, transient=True)
    with live:
        try:
            yield live
        finally:
            live.update(Text(), refresh=True)


def _drawn(lines: list[Text], console: Console) -> Group:
    """For this terminal: with its characters, no line broken."""
    if not can_show(console.encoding):
        lines = [to_ascii_text(line) for line in lines]
    for line in lines:
        line.no_wrap = True
    return Group(*lines)


class _Stopped:
    """Whether Ctrl-Z was pressed; inside the context it stops nothing by itself."""

    def __init__(self) -> None:
        self.asked = False
        self._before: Any = None

    def __enter__(self) -> _Stopped:
        if hasattr(signal, "SIGTSTP"):
            self._before = signal.signal(signal.SIGTSTP, self._ask)
        return self

    def __exit__(self, *error: object) -> None:
        if hasattr(signal, "SIGTSTP"):
            signal.signal(signal.SIGTSTP, self._before)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True


@contextlib.contextmanager
def _ending() -> Iterator[None]:
    """Let signals end the process by an exception, so that the terminal is restored."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    names = [n for n in ("SIGTERM", "SIGHUP") if hasattr(signal, n)]
    before = {n: signal.signal(getattr(signal, n), leave) for n in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)
