"""The evaluator process: loads the networks, then answers batches until told to stop.

It holds nothing worth keeping: killed at any moment, it costs time only. Errors that
say something to the user travel back as one line; all others end the process, since
after a failed GPU call nothing can be trusted.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
import traceback
from typing import Any, Final, NoReturn

from mimyria.errors import MimyriaError
from mimyria.frame import Frame
from mimyria.groups import Grouping
from mimyria_driver.evaluator import messages
from mimyria_driver.evaluator.canary import WARM_UP, Canary
from mimyria_driver.evaluator.evaluation import (
    Evaluation,
    NotFinite,
    NotRepeated,
)
from mimyria_driver.evaluator.faults import FAILED, GONE, fault_of
from mimyria_driver.evaluator.gpu import Gpu
from mimyria_driver.evaluator.loading import load_sources

__all__ = ["main"]

_DEVICE_FAILED: Final = 3
"""Exit code after a fatal error of the device."""
_GPU_SECONDS: Final = 10.0


def main(descriptor: int) -> None:
    """Serve on an inherited socket until the other side closes it."""
    # Ctrl-C and a scheduler's SIGTERM are for the service, which closes the socket
    # when it has what it needs (and started this process with them held back).
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    connection = socket.socket(fileno=descriptor)
    worker = _Worker(connection)
    splitter = messages.Splitter()
    while data := connection.recv(1 << 20):
        for kind, body in splitter.feed(data):
            try:
                worker.answer(kind, body)
            except Exception as error:
                worker.end_if_lost(error)
                if not isinstance(error, MimyriaError):
                    raise
                worker.send(messages.ERROR, messages.pack_error(error))
        worker.say_gpu()


class _Worker:
    """What the process knows, and its answer to each message."""

    def __init__(self, connection: socket.socket) -> None:
        """Nothing is loaded yet."""
        self._connection = connection
        self._evaluation: Evaluation | None = None
        self._canary: Canary | None = None
        self._warm = False
        self._gpu: Gpu | None = None
        self._next_gpu = 0.0

    def send(self, kind: bytes, body: bytes) -> None:
        """One message to the service."""
        self._connection.sendall(messages.wrap(kind, body))

    def end_if_lost(self, error: BaseException) -> None:
        """End the process if what is behind an error is the end of the device."""
        cause: BaseException | None = error
        while cause is not None:
            fault = fault_of(cause)
            if fault in (FAILED, GONE):
                self._end(fault, cause)
            cause = cause.__cause__

    def _end(self, fault: str, error: BaseException) -> NoReturn:
        """Say why and leave at once: nothing may touch the dead device again."""
        traceback.print_exc()
        sys.stderr.flush()
        text = " ".join(str(error).split())
        document = {"fault": fault, "text": text}
        self.send(messages.FAULT, messages.pack_json(document))
        os._exit(_DEVICE_FAILED)

    def say_gpu(self) -> None:
        """The state of the GPU, if there is one and it is time to."""
        now = time.monotonic()
        if self._gpu is not None and now >= self._next_gpu:
            self._next_gpu = now + _GPU_SECONDS
            self.send(messages.GPU, messages.pack_json(self._gpu.look()))

    def answer(self, kind: bytes, body: bytes) -> None:
        """Do what a message asks for."""
        if kind == messages.SETTINGS:
            self._load(json.loads(body))
            return
        assert self._evaluation is not None
        assert self._canary is not None
        if kind == messages.ATOMS:
            self._evaluation.grouping = Grouping.from_dict(json.loads(body))
        elif kind == messages.CANARY:
            self.send(messages.CANARY, messages.pack_text(self._canary.check()))
        else:
            frames = messages.unpack_batch(body)
            if not self._warm:
                self._evaluation.warm_up(frames[:1], WARM_UP)
                self._canary.begin(frames)
                self._warm = True
            self._evaluate(self._evaluation, frames, twice=kind == messages.TWICE)

    def _load(self, settings: dict[str, Any]) -> None:
        """Load, and compile: no engine waits for it, and its deadline is long.

        A process behind others that died gives the device some rest first. Whoever
        wants its end in the meantime kills it.
        """
        time.sleep(settings["pause"])
        sources, ready = load_sources(settings, self._say)
        self._canary = Canary(sources)
        ready["canary"] = self._canary.digest
        other = {**settings, "device": "cpu"}
        self._evaluation = Evaluation(
            sources,
            ready["device"],
            self._say,
            None
            if ready["device"] == "cpu"
            else lambda: load_sources(other, self._say)[0],
            unusual_above=settings["unusual_above"],
            say_unusual=self._say_unusual,
        )
        self._gpu = Gpu.find(ready["device"])
        self.send(messages.READY, messages.pack_json(ready))

    def _evaluate(
        self, evaluation: Evaluation, frames: list[Frame], *, twice: bool
    ) -> None:
        try:
            samples = evaluation.samples(frames, twice=twice)
        except NotRepeated as wrong:
            self.send(messages.WRONG, messages.pack_text(str(wrong)))
            return
        except NotFinite as poison:
            self.send(messages.RESULT, messages.pack_samples(poison.before))
            self.send(messages.POISON, messages.pack_text(poison.reason))
            return
        self.send(messages.RESULT, messages.pack_samples(samples))

    def _say_unusual(self, step: int, size: float) -> None:
        document = {"step": step, "size": size}
        self.send(messages.UNUSUAL, messages.pack_json(document))

    def _say(self, text: str) -> None:
        self.send(messages.NOTE, messages.pack_text(text))


if __name__ == "__main__":
    main(int(sys.argv[1]))
