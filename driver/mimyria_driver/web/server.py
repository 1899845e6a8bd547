"""Server: the application at a port of this machine's loopback.

As a command (`python -m mimyria_driver.web.server FD RUNDIR`) it is the child of a
driver: it takes the open socket FD, and ends when its stdin does, so that no death of
the driver leaves it behind.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from mimyria.errors import SettingsError
from mimyria_driver.web.address import take_token

__all__ = ["serve"]

_CONVERSATIONS: Final = 64
_LARGEST_HEAD: Final = 16 * 1024
_IDLE_SECONDS: Final = 30
_END_SECONDS: Final = 2
_NICENESS: Final = 10
"""Spectra for people may wait; frames of the run may not."""


def serve(
    directory: Path,
    listener: socket.socket,
    token: str,
    hosts: Iterable[str] = (),
    *,
    watch: Callable[[Callable[[], None]], None] | None = None,
) -> None:
    """Serve the page of a run folder until a signal comes.

    Args:
        directory: the run folder.
        listener: a listening socket.
        token: of the page.
        hosts: further names that the page may be asked by.
        watch: gets a function that ends the server.

    Raises:
        SettingsError: what the page needs is not installed.
    """
    try:
        import uvicorn

        from mimyria_driver.web.application import build_application
    except ModuleNotFoundError as error:
        if error.name not in ("starlette", "uvicorn", "h11", "anyio"):
            raise
        raise SettingsError(
            f"the live page needs {error.name}, which is not installed. Say: "
            "pip install 'mimyria[web]'"
        ) from None
    application = build_application(directory, token, listener.getsockname()[1], hosts)
    config = uvicorn.Config(
        application,
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="off",
        log_level="error",
        access_log=False,  # a request may hold the token
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_CONVERSATIONS,
        h11_max_incomplete_event_size=_LARGEST_HEAD,
        timeout_keep_alive=_IDLE_SECONDS,
        timeout_graceful_shutdown=_END_SECONDS,
    )
    logging.getLogger("uvicorn.error").addFilter(_is_news)
    server = uvicorn.Server(config)

    def end() -> None:
        server.should_exit = True

    if watch is not None:
        watch(end)
    server.run(sockets=[listener])


def _is_news(record: logging.LogRecord) -> bool:
    """Not that a browser was still there at the end."""
    return "graceful shutdown" not in record.getMessage()


def _end_with_stdin(end: Callable[[], None]) -> None:
    """End the server when the driver has closed its end of the pipe, or is dead."""

    def wait() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 1):
                pass
        end()

    threading.Thread(target=wait, name="driver", daemon=True).start()


def main(arguments: list[str]) -> int:
    """Serve as the child of a driver; the code of the process."""
    descriptor, directory = int(arguments[0]), Path(arguments[1])
    os.nice(_NICENESS)
    with socket.socket(fileno=descriptor) as listener:
        serve(directory, listener, take_token(directory), watch=_end_with_stdin)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
