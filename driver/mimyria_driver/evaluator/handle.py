"""The service's side of the evaluator: never blocks, restarts a dead or stuck child.

Batches are answered in the order in which they were submitted. A child that dies or
misses its deadline is replaced and gets its batches again; if it dies a second time
without a result in between, that is an error.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import statistics
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from mimyria.contributions import Sample
from mimyria.errors import EvaluatorError, MimyriaError
from mimyria.files import open_private
from mimyria.frame import Frame
from mimyria.groups import Grouping
from mimyria_driver.evaluator import messages
from mimyria_driver.settings import ModelsSettings

__all__ = ["Evaluator"]

_FIRST_DEADLINE: Final = 900.0
"""Seconds for loading and for the first batch, in which kernels are compiled."""
_DEADLINE: Final = 60.0
_DEADLINE_FACTOR: Final = 20.0
_DEATHS: Final = 2
_PIECE: Final = 1 << 20

_log = logging.getLogger(__name__)


class Evaluator:
    """A child process with the networks.

    Attributes:
        ready: what the child said when it was ready: `device`, and `models` with the
            metadata of each target; None before.
        restarts: children that had to be replaced.
        seconds: duration of the last batches.
    """

    def __init__(
        self,
        settings: ModelsSettings,
        log_path: Path,
        *,
        first_deadline: float = _FIRST_DEADLINE,
        deadline: float = _DEADLINE,
    ) -> None:
        """Start the child; it loads while the caller goes on.

        Args:
            settings: the models, the device.
            log_path: where the child's stderr goes.
            first_deadline: seconds for loading and for the first batch.
            deadline: least seconds for any later batch.
        """
        self.ready: dict[str, Any] | None = None
        self.restarts = 0
        self.seconds: deque[float] = deque(maxlen=50)
        self._settings = messages.pack_json(
            {
                "apt": settings.apt,
                "pgt": settings.pgt,
                "device": settings.device,
                "threads": settings.threads,
                "charge": settings.charge,
                "search": str(settings.search),
            }
        )
        self._log_path = log_path
        self._first_deadline = first_deadline
        self._least_deadline = deadline
        self._grouping: bytes | None = None
        self._batches: deque[bytes] = deque()
        self._deaths = 0
        self._error: MimyriaError | None = None
        self._start()

    @property
    def pollable(self) -> int:
        """Descriptor to wait on; changes when the child is replaced."""
        return self._socket.fileno()

    @property
    def wants_write(self) -> bool:
        """Whether to wait until the descriptor can be written, too."""
        return bool(self._outgoing)

    @property
    def process_id(self) -> int:
        """Of the present child."""
        return self._process.pid

    @property
    def n_batches(self) -> int:
        """Batches without an answer."""
        return len(self._batches)

    def describe(self, grouping: Grouping) -> None:
        """Tell which groups the atoms are in, before the first batch."""
        self._grouping = messages.pack_json(grouping.as_dict())
        self._outgoing += messages.wrap(messages.ATOMS, self._grouping)

    def submit(self, frames: Sequence[Frame]) -> None:
        """Hand over a batch; `results` gives its samples later."""
        message = messages.wrap(messages.BATCH, messages.pack_batch(frames))
        if not self._batches:
            self._clock = time.monotonic()
        self._batches.append(message)
        self._outgoing += message
        self._write()  # a dead child is noticed by `results`

    def results(self) -> list[Sample]:
        """Move bytes without waiting; samples of all frames answered since.

        Raises:
            MimyriaError: what the child could not do.
            EvaluatorError: the child died or hung twice in a row.
        """
        if self._error is not None:
            raise self._error
        alive = self._write()
        received, open_ = self._read()
        samples: list[Sample] = []
        for kind, body in received:
            if kind == messages.ERROR:
                self._error = messages.unpack_error(body)
                if samples:
                    return samples  # what was answered before counts
                raise self._error
            samples += self._understand(kind, body)
        if not (alive and open_):
            self._replace(f"died ({_ending(self._process)})")
        elif self._overdue():
            self._replace(f"gave no answer in {self._deadline():.0f} s")
        return samples

    def close(self) -> None:
        """End the child: by closing its socket, and if that is ignored by SIGKILL."""
        self._socket.close()
        try:
            self._process.wait(0.5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _start(self) -> None:
        self._socket, theirs = socket.socketpair()
        environment = dict(os.environ)
        # Bit-identical sums on CUDA need this before CUDA wakes up.
        environment.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        with theirs, open(self._log_path, "ab", opener=open_private) as log:
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
        self._outgoing = bytearray(messages.wrap(messages.SETTINGS, self._settings))
        if self._grouping is not None:
            self._outgoing += messages.wrap(messages.ATOMS, self._grouping)
        self._clock = time.monotonic()
        self._loaded = False
        self._answered = False
        for batch in self._batches:
            self._outgoing += batch

    def _write(self) -> bool:
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

    def _read(self) -> tuple[list[tuple[bytes, bytes]], bool]:
        received: list[tuple[bytes, bytes]] = []
        try:
            while data := self._socket.recv(_PIECE):
                received += self._splitter.feed(data)
        except BlockingIOError:
            return received, True
        except OSError:
            pass
        return received, False

    def _understand(self, kind: bytes, body: bytes) -> list[Sample]:
        now = time.monotonic()
        if kind == messages.READY:
            ready = json.loads(body)
            if self.ready not in (None, ready):
                raise EvaluatorError(
                    "the models or the device changed while the run went on; start the "
                    "driver again with the models it began with."
                )
            self.ready = ready
            self._loaded = True
            self._clock = now
            return []
        self._batches.popleft()
        self.seconds.append(now - self._clock)
        self._clock = now
        self._deaths = 0
        self._answered = True
        return messages.unpack_samples(body)

    def _deadline(self) -> float:
        if not self._answered or not self.seconds:
            return self._first_deadline
        return max(
            self._least_deadline, _DEADLINE_FACTOR * statistics.median(self.seconds)
        )

    def _overdue(self) -> bool:
        busy = bool(self._batches) or not self._loaded
        return busy and time.monotonic() - self._clock > self._deadline()

    def _replace(self, cause: str) -> None:
        """Kill what is left of the child and start another with the same batches."""
        self._process.kill()
        self._process.wait()
        self._socket.close()
        self._deaths += 1
        if self._deaths >= _DEATHS or self.ready is None:
            raise EvaluatorError(
                f"the evaluator process {cause}"
                f"{' again' if self._deaths >= _DEATHS else ' while loading'}. "
                f"Its last words: {self._last_words()} (more in {self._log_path})."
            )
        _log.warning("the evaluator process %s; starting another", cause)
        self.restarts += 1
        self._start()

    def _last_words(self) -> str:
        with contextlib.suppress(OSError):
            lines = self._log_path.read_text(errors="replace").split("\n")
            said = [line.strip() for line in lines if line.strip()]
            return said[-1] if said else "none"
        return "none"


def _ending(process: subprocess.Popen[bytes]) -> str:
    try:
        code = process.wait(5.0)
    except subprocess.TimeoutExpired:
        return "closed its connection"
    return f"signal {-code}" if code < 0 else f"code {code}"
