"""Keys: single keys from a terminal, which is given back as it was.

Where there is no keyboard, or no termios (Windows), no key ever comes.
"""

from __future__ import annotations

import os
import select
import sys
import time
from types import TracebackType
from typing import Any, Final

__all__ = ["LEAVE", "Keys"]

LEAVE: Final = ("q", "Q", "\x03", "\x04")
"""q, and Ctrl-C and Ctrl-D where the terminal hands them on."""

_MOST: Final = 64


class Keys:
    """Keys, without Enter and without being shown.

    Attributes:
        there: whether there is a keyboard.
    """

    def __init__(self) -> None:
        """Nothing is changed before the context begins."""
        self._descriptor: int | None = None
        self._before: list[Any] | None = None
        self.there = False

    def __enter__(self) -> Keys:
        """Take the keyboard, if there is one and it is ours."""
        try:
            import termios
            import tty
        except ImportError:
            return self
        try:
            descriptor = sys.stdin.fileno()
            # In the background, the terminal belongs to another program.
            if os.isatty(descriptor) and os.tcgetpgrp(descriptor) == os.getpgrp():
                self._before = termios.tcgetattr(descriptor)
                tty.setcbreak(descriptor)
                self._descriptor, self.there = descriptor, True
        except (OSError, ValueError, termios.error):  # closed, or no terminal
            self.there = False
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give it back."""
        if self._descriptor is None or self._before is None:
            return
        import contextlib
        import termios

        with contextlib.suppress(termios.error):
            termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._before)
        self._descriptor, self.there = None, False

    def wait(self, seconds: float) -> str:
        """The keys pressed within a time; it ends with the first of them."""
        if self._descriptor is None:
            time.sleep(seconds)
            return ""
        if not select.select([self._descriptor], [], [], seconds)[0]:
            return ""
        pressed = os.read(self._descriptor, _MOST)
        if not pressed:  # the terminal was closed
            self.there = False
            return LEAVE[0]
        return pressed.decode(errors="ignore")
