"""Lines: what is logged, for people, on stderr.

The first line of its kind comes at once, then at most one a minute, which says how many
there were.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Callable, Iterator
from typing import Final

from mimyria_driver.events import code_of
from mimyria_driver.labels import REPLICA

__all__ = ["Lines", "shown"]

_EVERY: Final = 60.0
_KINDS: Final = 256
_BEGIN: Final = "mimyria-driver: "


class Lines(logging.Handler):
    """A handler that says the same thing once a minute.

    Lines of one code and one wording (before its values are put in) are of one kind.
    """

    def __init__(
        self, level: int = logging.WARNING, *, clock: Callable[[], float] | None = None
    ) -> None:
        """Begin.

        Args:
            level: least level that is shown; DEBUG shows every line.
            clock: seconds that only grow.
        """
        super().__init__(level)
        self.setFormatter(logging.Formatter(f"{_BEGIN}%(message)s"))
        self._clock = clock or time.monotonic
        self._kinds: dict[tuple[str, str], _Kind] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Show a line or count it; called by `logging`, which holds the lock."""
        text = self.format(record)
        replica = REPLICA.get()  # of the thread that logs
        if replica is not None:
            text = text.replace(_BEGIN, f"{_BEGIN}replica {replica}: ", 1)
        if self.level <= logging.DEBUG:
            _say(text)
            return
        if getattr(record, "shown", False):
            return  # whoever logged it has told the user in another way
        self._release(self._clock())
        kind = self._kinds.get((code_of(record), str(record.msg)))
        if kind is not None:
            kind.count += 1
            kind.text = text
            return
        _say(text)
        if len(self._kinds) < _KINDS:
            self._kinds[code_of(record), str(record.msg)] = _Kind(self._clock())

    def tick(self) -> None:
        """Show what has been held back for a minute."""
        self.acquire()
        try:
            self._release(self._clock())
        finally:
            self.release()

    def close(self) -> None:
        """Show all that is held back."""
        self._release(float("inf"))
        super().close()

    def _release(self, now: float) -> None:
        for name, kind in list(self._kinds.items()):
            if now - kind.since < _EVERY:
                continue
            if kind.count:
                more = f" (and {kind.count - 1} more)" if kind.count > 1 else ""
                _say(kind.text + more)
                self._kinds[name] = _Kind(now)
            else:
                del self._kinds[name]


class _Kind:
    """What is held back of one kind."""

    def __init__(self, since: float) -> None:
        self.since = since
        self.count = 0
        self.text = ""


@contextlib.contextmanager
def shown(*, debug: bool) -> Iterator[None]:
    """Inside, what is logged is shown."""
    root = logging.getLogger()
    before = root.level
    lines = Lines(logging.DEBUG if debug else logging.WARNING)
    root.addHandler(lines)
    root.setLevel(lines.level)
    try:
        yield
    finally:
        root.removeHandler(lines)
        root.setLevel(before)
        lines.close()


def _say(text: str) -> None:
    """As `logging` does, to the stderr of this moment: a live view may stand there."""
    # Where the terminal is gone, events.jsonl has the line.
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
