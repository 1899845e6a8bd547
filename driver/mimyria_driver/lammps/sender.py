"""The sending end: a window of unconfirmed frames over one ZeroMQ socket.

It knows the protocol of `mimyria_driver.wire` and what an engine offers, and needs only
the standard library and pyzmq; Python 3.8 is enough. There is no thread: everything
happens while the engine waits for `sample` to return.

A frame is kept until the driver says that it is safe on disk. While `credit` frames
wait for that, the engine waits too, also for a driver that died: it is found again when
it is back, and gets once more all it has not confirmed.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import zmq

from mimyria_driver.lammps.access import Door, ForeignError
from mimyria_driver.lammps.engine import Engine, HookError
from mimyria_driver.wire import (
    Kind,
    Message,
    WireError,
    decode,
    encode,
    pack_box,
    pack_card,
)

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["RefusedError", "Sender", "write_line"]

FIRST_PATIENCE = 2.0  # s without an answer until the socket is made anew; doubles ...
LAST_PATIENCE = 30.0  # ... up to this
NOTICE_INTERVAL = 30.0  # s between two lines about waiting
GOODBYE_PATIENCE = 5.0  # s to wait for the driver's last word


class RefusedError(HookError):
    """The driver does not take this run."""


class Sender:
    """Sends the frames of one engine and forgets them when they are safe."""

    def __init__(
        self,
        endpoint: str,
        elements: tuple[str, ...],
        stride: int,
        log: Callable[[str], None] | None = None,
    ) -> None:
        """Nothing is opened before the first frame.

        Args:
            endpoint: ZeroMQ address of the driver, or its endpoint file.
            elements: chemical symbol of each atom type.
            stride: MD steps from one frame to the next.
            log: takes a line for people; stderr if not given.
        """
        if not endpoint or not elements or stride < 1:
            raise HookError(
                "The hook needs the driver's endpoint, one element for each atom type "
                f"and a stride, but got '{endpoint}', {elements} and {stride}."
            )
        self.endpoint = endpoint
        self._door = Door(endpoint)
        self._elements = elements
        self._stride = stride
        self._log = log or write_line
        self._context: Any = None
        self._socket: Any = None
        self._detached = False
        self._notice_at = 0.0
        self.seconds_waited = 0.0
        self._forget_run()

    def _forget_run(self) -> None:
        self._hello: Message | None = None
        self._incarnation = 0
        self._run_key: tuple[float, int] = (0.0, 0)
        self._rank, self._n_ranks = 0, 1
        self._last_step = -1
        self._durable_step = -1
        self._credit = 0  # until the driver grants some
        self._waiting: deque[tuple[int, list[bytes]]] = deque()
        self._still_same: tuple[bytes, ...] = ()
        self.n_sent = 0

    def sample(self, engine: Engine) -> None:
        """Send the present frame; waits when the driver is behind or not there.

        Raises:
            HookError: the frame cannot be streamed, or the driver refuses the run.
        """
        if self._detached:
            return
        step = engine.step
        if self._hello and step == self._last_step:
            return
        run_key = (engine.time_step, engine.n_atoms)
        if self._hello and (step < self._last_step or run_key != self._run_key):
            # reset_timestep, `clear`, another time step: a new run for the driver.
            self.finish()
            if self._detached:
                return
        if not self._hello:
            self._introduce(engine, run_key)
        previous, self._last_step = self._last_step, step
        if step <= self._durable_step:
            return
        self._read_answers(0.0)
        self._wait_until(lambda: len(self._waiting) < self._credit)
        if self._detached:
            return
        raw = self._stamped(self._frame(engine, step, previous))
        self._waiting.append((step, raw))
        self._socket.send_multipart(raw)
        self.n_sent += 1
        self._read_answers(0.0)

    def finish(self) -> None:
        """Wait until all frames are safe, say goodbye, close the socket."""
        if not self._hello:
            return
        self._wait_until(lambda: not self._waiting)
        if not self._detached:
            goodbye = Message(Kind.BYE, parts=(b"end of the run",))
            self._socket.send_multipart(self._stamped(goodbye))
            self._wait_for_goodbye()
        self._close_socket()
        self._forget_run()

    def close(self) -> None:
        """Release the socket at once; what is not confirmed may be lost."""
        self._close_socket()
        if self._context is not None:
            self._context.term()
            self._context = None
        self._forget_run()

    # -- messages -------------------------------------------------------------------

    def _stamped(self, message: Message) -> list[bytes]:
        """Encoded, with the sender's rank and incarnation."""
        return encode(
            replace(
                message,
                rank=self._rank,
                n_ranks=self._n_ranks,
                incarnation=self._incarnation,
            )
        )

    def _introduce(self, engine: Engine, run_key: tuple[float, int]) -> None:
        self._rank, self._n_ranks = engine.rank, engine.n_ranks
        self._incarnation = int.from_bytes(os.urandom(8), "little")
        self._run_key = run_key
        card = engine.card(self._elements, self._stride)
        # Kept and sent again as it is: after a reconnection the atoms of two ranks
        # could otherwise be those of two different steps.
        self._hello = Message(
            Kind.HELLO,
            step=engine.step,
            n_atoms=engine.n_atoms,
            n_local=engine.n_local,
            parts=(pack_card(card), engine.ids(), engine.types(), engine.masses()),
        )
        self._connect()

    def _frame(self, engine: Engine, step: int, previous: int) -> Message:
        rows, origin, _ = engine.box()
        ids, positions = engine.ids(), engine.positions()
        velocities = engine.velocities()
        if self.n_sent < 2:
            self._check_velocities(ids, positions, velocities)
        time_step, _ = self._run_key
        return Message(
            Kind.FRAME,
            step=step,
            previous_step=previous,
            time=step * time_step / engine.real("femtosecond"),
            n_atoms=engine.n_atoms,
            n_local=engine.n_local,
            parts=(pack_box(rows, origin), ids, positions, velocities),
        )

    def _check_velocities(
        self, ids: bytes, positions: bytes, velocities: bytes
    ) -> None:
        """Refuse velocities that stay while the atoms move (fix ipi, rerun)."""
        before, self._still_same = self._still_same, (ids, positions, velocities)
        if (
            before
            and velocities
            and before[0] == ids
            and before[2] == velocities
            and before[1] != positions
        ):
            raise HookError(
                "The atoms move but their velocities never change, as with fix ipi or "
                "a rerun without velocities. Stream from the program that integrates."
            )

    # -- connection -----------------------------------------------------------------

    def _connect(self) -> None:
        """Open a socket and say HELLO until the driver answers; resend the rest."""
        assert self._hello is not None
        patience = FIRST_PATIENCE
        while True:
            self._close_socket()
            if self._context is None:
                self._context = zmq.Context()
            self._socket = self._context.socket(zmq.DEALER)
            self._socket.linger = 0
            # The window bounds what is under way; libzmq must not block besides.
            self._socket.sndhwm = self._socket.rcvhwm = 0
            obstacle = self._enter()
            if obstacle:
                self._notice(obstacle)
                time.sleep(min(patience, FIRST_PATIENCE))
                continue
            # The credit tells a new driver that an old one has taken this run.
            hello = replace(self._hello, credit=self._credit)
            self._socket.send_multipart(self._stamped(hello))
            if self._wait_for_welcome(patience) or self._detached:
                break
            patience = min(2 * patience, LAST_PATIENCE)
        for _, raw in self._waiting:
            self._socket.send_multipart(raw)

    def _enter(self) -> str:
        """Connect the socket; else why it has to wait."""
        try:
            return self._door.open(self._socket)
        except ForeignError as error:
            if not self._credit:
                raise
            return str(error)  # no reason to end a run that is under way

    def _wait_for_welcome(self, patience: float) -> bool:
        deadline = time.monotonic() + patience
        while not self._detached:
            message = self._receive(deadline - time.monotonic())
            if message is None:
                self._notice(f"waiting for the driver at {self.endpoint}")
                return False
            self._door.check()
            self._obey(message)
            if message.kind is Kind.WELCOME:
                return True
        return True

    def _wait_until(self, reached: Callable[[], bool]) -> None:
        patience = FIRST_PATIENCE
        begin = mark = time.monotonic()
        while not (reached() or self._detached):
            before = self._durable_step
            self._read_answers(mark + patience - time.monotonic())
            now = time.monotonic()
            if self._durable_step > before:
                mark, patience = now, FIRST_PATIENCE
            elif now - mark >= patience:
                self._notice(f"waiting for the driver to take step {self._last_step}")
                self._connect()
                mark, patience = time.monotonic(), min(2 * patience, LAST_PATIENCE)
        self.seconds_waited += time.monotonic() - begin

    def _wait_for_goodbye(self) -> None:
        deadline = time.monotonic() + GOODBYE_PATIENCE
        while True:
            message = self._receive(deadline - time.monotonic())
            if message is None:
                self._log("the driver has all frames, but did not say goodbye")
                return
            if message.kind is Kind.BYE_OK:
                return

    def _read_answers(self, timeout: float) -> None:
        """Obey all messages that are there; wait for the first one if none is."""
        message = self._receive(timeout)
        while message is not None:
            if message.kind is Kind.AGAIN:
                self._connect()
                return
            self._obey(message)
            message = None if self._detached else self._receive(0.0)

    def _obey(self, message: Message) -> None:
        if message.kind is Kind.WELCOME:
            self._credit = max(1, message.credit)
        if message.kind in (Kind.ACK, Kind.WELCOME):
            self._forget(message.step)
        elif message.kind is Kind.REJECT:
            raise RefusedError(f"The driver refuses this run: {message.text}")
        elif message.kind is Kind.BYE:
            self._log(f"the driver has left ({message.text}); the run goes on alone")
            self._detached = True
            self._waiting.clear()

    def _forget(self, durable_step: int) -> None:
        self._durable_step = max(self._durable_step, durable_step)
        while self._waiting and self._waiting[0][0] <= self._durable_step:
            self._waiting.popleft()

    def _receive(self, timeout: float) -> Message | None:
        """The next message of this run, None after the timeout in seconds."""
        deadline = time.monotonic() + max(0.0, timeout)
        while True:
            left = max(0.0, deadline - time.monotonic())
            if not self._socket.poll(math.ceil(1000 * left)):
                return None
            try:
                message = decode(self._socket.recv_multipart())
            except WireError as error:
                self._log(f"ignored a message: {error}")
                continue
            if message.incarnation == self._incarnation:
                return message

    def _close_socket(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _notice(self, text: str) -> None:
        now = time.monotonic()
        if now >= self._notice_at and self._rank == 0:
            self._notice_at = now + NOTICE_INTERVAL
            self._log(text)


def write_line(text: str) -> None:
    """One line for people, on stderr, which no engine buffers."""
    sys.stderr.write(f"mimyria: {text}\n")
    sys.stderr.flush()
