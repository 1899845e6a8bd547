"""Web page: a child process that shows the run in a browser; its death never matters.

The driver opens the port and writes the link; the child takes both from there, so that
one that died is followed by another at the same place. It is told nothing: it reads the
run folder like anybody else.
"""

from __future__ import annotations

import importlib.util
import logging
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from mimyria.errors import SettingsError
from mimyria.files import open_private, replace_file
from mimyria_driver.signals import held_back
from mimyria_driver.web.address import link_of, open_port, take_token

__all__ = ["LINK_NAME", "WebPage"]

LINK_NAME: Final = "web.url"
_LOG_NAME: Final = "web.log"
_PAUSE: Final = 60.0
"""Seconds between two starts at least."""

_log = logging.getLogger(__name__)


class WebPage:
    """Keeps the page of a run folder open inside its context, as far as it can."""

    def __init__(self, directory: Path, port: int) -> None:
        """Nothing is open yet.

        Args:
            directory: the run folder.
            port: the wish; 0: any that is free.
        """
        self._directory = directory
        self._wanted = port
        self._listener: socket.socket | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._given_up = False
        self._next_start = 0.0

    @property
    def process_id(self) -> int | None:
        """Of the child."""
        return None if self._child is None else self._child.pid

    def __enter__(self) -> WebPage:
        """It opens with the first status: then the folder is ours."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the child, which has nothing to lose and shall cost no time."""
        if self._child is not None:
            assert self._child.stdin is not None
            self._child.stdin.close()
            self._child.kill()
            self._child.wait()
        if self._listener is not None:
            self._listener.close()
            with suppress(OSError):
                (self._directory / LINK_NAME).unlink()

    def __call__(self, status: Mapping[str, Any]) -> None:
        """See to it that the page is there; called with each status."""
        if self._given_up:
            return
        if self._listener is None:
            self._open()
        elif self._child is not None and self._child.poll() is not None:
            self._start_again()

    def _open(self) -> None:
        self._given_up = True  # unless all goes well
        missing = [n for n in ("starlette", "uvicorn") if not _is_installed(n)]
        if missing:
            self._say(f"it needs {missing[0]}; say: pip install 'mimyria[web]'")
            return
        try:
            token = take_token(self._directory)
            listener = open_port(self._wanted)
            link = link_of(listener, token) + "\n"
            replace_file(self._directory / LINK_NAME, link.encode(), private=True)
        except (OSError, SettingsError) as error:
            self._say(str(error))
            return
        self._listener = listener
        self._given_up = False
        port = listener.getsockname()[1]
        text = "live page at http://127.0.0.1:%d; the link with its token is in %s"
        path = self._directory / LINK_NAME
        _log.info(text, port, path, extra={"code": "web_page"})
        self._start()

    def _start_again(self) -> None:
        now = time.monotonic()
        if now < self._next_start:
            return
        assert self._child is not None
        _log.warning(
            "the live page ended with code %s and is started again; see %s",
            self._child.returncode,
            _LOG_NAME,
            extra={"code": "web_page"},
        )
        assert self._child.stdin is not None
        self._child.stdin.close()
        self._start()

    def _start(self) -> None:
        assert self._listener is not None
        self._next_start = time.monotonic() + _PAUSE
        descriptor = self._listener.fileno()
        path = self._directory / _LOG_NAME
        with open(path, "wb", opener=open_private) as log, held_back():
            self._child = subprocess.Popen(
                [
                    *(sys.executable, "-m", "mimyria_driver.web.server"),
                    *(str(descriptor), str(self._directory)),
                ],
                pass_fds=(descriptor,),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the driver
            )

    def _say(self, reason: str) -> None:
        _log.warning(
            "no live page: %s. The run goes on without it",
            reason.rstrip("."),
            extra={"code": "web_page"},
        )


def _is_installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None
