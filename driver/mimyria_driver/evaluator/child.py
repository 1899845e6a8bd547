"""Child: one evaluator process and the bytes to and from it; it never blocks.

It knows messages by their borders only. What to do when the process is gone or slow is
decided in `handle`.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Final

from mimyria.files import open_private
from mimyria_driver.evaluator import messages
from mimyria_driver.signals import held_back

__all__ = ["Child"]

_PIECE: Final = 1 << 20


class Child:
    """A process of `worker`, which takes messages as soon as it is started."""

    def __init__(self, log_path: Path) -> None:
        """Start it.

        Args:
            log_path: where its stderr goes.
        """
        self._log_path = log_path
        self._socket, theirs = socket.socketpair()
        environment = dict(os.environ)
        # Bit-identical sums on CUDA need this before CUDA wakes up.
        environment.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        with theirs, open(log_path, "ab", opener=open_private) as log, held_back():
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "mimyria_driver.evaluator.worker",
                    str(theirs.fileno()),
                ],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,  # Ctrl-C is for the service
            )
        self._socket.setblocking(False)
        self._splitter = messages.Splitter()
        self._outgoing = bytearray()

    @property
    def pollable(self) -> int:
        """Descriptor to wait on."""
        return self._socket.fileno()

    @property
    def wants_write(self) -> bool:
        """Whether to wait until the descriptor can be written, too."""
        return bool(self._outgoing)

    @property
    def process_id(self) -> int:
        """Of the process."""
        return self._process.pid

    def send(self, message: bytes) -> None:
        """Hand over a whole message; it goes out with `write`."""
        self._outgoing += message

    def write(self) -> bool:
        """Send what can be sent; False: nobody listens any more."""
        try:
            while self._outgoing:
                # A copy: bytearray must not change its size under a memoryview.
                sent = self._socket.send(bytes(self._outgoing[:_PIECE]))
                del self._outgoing[:sent]
        except BlockingIOError:
            return True
        except OSError:
            return False
        return True

    def read(self) -> tuple[list[tuple[bytes, bytes]], bool]:
        """Whole messages that came, and whether more may come."""
        received: list[tuple[bytes, bytes]] = []
        try:
            while data := self._socket.recv(_PIECE):
                received += self._splitter.feed(data)
        except BlockingIOError:
            return received, True
        except OSError:
            pass
        return received, False

    def kill(self) -> None:
        """End it now: a process in a call of CUDA hears nothing but SIGKILL."""
        self._process.kill()

    def bury(self) -> None:
        """Kill it and leave nothing of it."""
        self._process.kill()
        self._process.wait()
        self._socket.close()

    def close(self) -> None:
        """End it: by closing its socket, and if that is ignored by SIGKILL."""
        self._socket.close()
        try:
            self._process.wait(0.5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def ending(self) -> str:
        """How it ended, for people; waits a little for it."""
        try:
            code = self._process.wait(5.0)
        except subprocess.TimeoutExpired:
            return "closed its connection"
        return f"signal {-code}" if code < 0 else f"code {code}"

    def last_words(self) -> str:
        """The last line of its log."""
        with contextlib.suppress(OSError):
            lines = self._log_path.read_text(errors="replace").split("\n")
            said = [line.strip() for line in lines if line.strip()]
            return said[-1] if said else "none"
        return "none"
