"""A driver in a thread: it confirms frames, and places them as the service does."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import zmq

from mimyria.frame import Frame
from mimyria_driver.checks import frame_digest
from mimyria_driver.lammps.receiver import LammpsReceiver
from mimyria_driver.sequence import Sequencer
from mimyria_driver.sources import Arrived, Ended, RunDescription, Started

__all__ = ["PlayedDriver"]

TIMEOUT = 60.0


class PlayedDriver:
    """Listens until the engine has said goodbye, or is told to leave.

    Attributes:
        descriptions: of each engine that came, or came back.
        sent: steps in the order in which frames arrived.
        frames: frame of each step of the series.
        before: step of the neighbour of each, −1 where a segment begins.
    """

    def __init__(self, *, refuse: str = "", pause: float = 0.0) -> None:
        """Listen at once.

        Args:
            refuse: reason for which every run is refused.
            pause: seconds from a frame to its confirmation.
        """
        self._folder = tempfile.TemporaryDirectory(prefix="mim-")
        self.endpoint = f"ipc://{Path(self._folder.name)}/s"
        self.descriptions: list[RunDescription] = []
        self.sent: list[int] = []
        self.frames: dict[int, Frame] = {}
        self.before: dict[int, int] = {}
        self._refuse, self._pause = refuse, pause
        self._sequencer: Sequencer | None = None
        self._listen()

    def _listen(self) -> None:
        self._receiver = LammpsReceiver(self.endpoint)
        self._leaving = self._ended = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self) -> PlayedDriver:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()
        self._folder.cleanup()

    def leave(self) -> None:
        """End as after a signal: the engine waits for the next one."""
        self._leaving = True
        self._thread.join(TIMEOUT)
        assert not self._thread.is_alive()

    def come_back(self) -> None:
        """Another process with the same journal."""
        self.leave()
        self._listen()

    def wait_for(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + TIMEOUT
        while not condition():
            assert time.monotonic() < deadline, self.sent
            time.sleep(0.005)

    def join(self) -> PlayedDriver:
        """Until the engine has said goodbye."""
        self.wait_for(lambda: self._ended)
        return self

    @property
    def steps(self) -> list[int]:
        return sorted(self.frames)

    def _serve(self) -> None:
        poller = zmq.Poller()
        poller.register(self._receiver.pollable, zmq.POLLIN)
        while not self._leaving:
            poller.poll(20)
            for event in self._receiver.receive():
                self._take(event)
        self._receiver.close(coming_back=True)

    def _take(self, event: Started | Arrived | Ended) -> None:
        if isinstance(event, Started):
            self.descriptions.append(event.description)
            if self._refuse:
                self._receiver.refuse(self._refuse)
                return
            stride = event.description.stride
            self._sequencer = self._sequencer or Sequencer(stride)
            self._sequencer.start_stream()
            self._receiver.accept(self._sequencer.last_step)
        elif isinstance(event, Ended):
            self._ended = True
        else:
            time.sleep(self._pause)
            self._place(event)
            self._receiver.acknowledge(event.frame.step)

    def _place(self, arrived: Arrived) -> None:
        frame = arrived.frame
        self.sent.append(frame.step)
        assert self._sequencer is not None
        digest = frame_digest(frame)
        place = self._sequencer.place(frame.step, arrived.previous_step, digest)
        if place is None:
            return
        if place.rollback:
            self.frames = {n: f for n, f in self.frames.items() if n < frame.step}
        self.frames[frame.step] = frame
        self.before[frame.step] = place.previous_step
