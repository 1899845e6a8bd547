"""Window: the frames under way to the driver, over one socket at a time.

It keeps a frame until the driver says that it is safe on disk. The driver may die, hang
or be started anew: where nothing is confirmed for too long the socket is closed, a new
one says HELLO, and all that is not confirmed is sent again. Nothing here blocks longer
than `advance` was told, and no message is ever sent into a socket that would wait.

Needs the standard library and pyzmq; Python 3.8 is enough. There is no thread.
"""

from __future__ import annotations

import math
import statistics
import time
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import zmq

from mimyria_driver.lammps.access import Door, ForeignError
from mimyria_driver.lammps.engine import HookError
from mimyria_driver.wire import Kind, Message, WireError, decode, encode

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["RefusedError", "Window"]

FIRST_PATIENCE = 1.0  # s for the answer to a HELLO; doubles ...
LAST_PATIENCE = 5.0  # ... up to this
ACK_PATIENCE = 5.0  # s without a confirmation, or ten times what a frame takes
FIRST_NOTICE = 30.0  # s between two lines about waiting; doubles ...
LAST_NOTICE = 600.0  # ... up to this
GOODBYE_PATIENCE = 5.0  # s to wait for the driver's last word
HEARTBEAT_MS = 1000
CREDIT_BYTES = 64 << 20  # under way at most, where the driver does not say how many


class RefusedError(HookError):
    """The driver does not take this run."""


class Window:
    """One conversation with the driver.

    Attributes:
        credit: frames that may be under way; 0 before the driver grants any.
        credit_bytes: bytes of them, though one frame may always be under way.
        durable_step: the engine may forget up to here, −1: nothing is safe yet.
        detached: the driver has said goodbye, or does not want this run: there is
            nobody to send to.
    """

    def __init__(
        self, endpoint: str, hello: Message, log: Callable[[str], None]
    ) -> None:
        """Nothing is sent before the first `advance`.

        Args:
            endpoint: ZeroMQ address of the driver, or its endpoint file.
            hello: what introduces this run, with rank and incarnation; its step is the
                first one that will be sent.
            log: takes a line for people.
        """
        self.endpoint = endpoint
        self._door = Door(endpoint)
        self.credit = 0
        self.credit_bytes = CREDIT_BYTES
        self.durable_step = -1
        self.detached = False
        self._hello = hello
        self._log = log
        self._context: Any = zmq.Context()
        self._socket: Any = None
        self._welcomed = False
        self._waiting: deque[tuple[int, list[bytes]]] = deque()
        self._n_bytes = 0  # of those that wait
        self._renew_at = -math.inf
        self._patience = FIRST_PATIENCE
        self._moved_at = time.monotonic()
        self._frame_times: deque[float] = deque(maxlen=31)
        self._lost_at: float | None = None
        self._notice_at = -math.inf
        self._notice_interval = FIRST_NOTICE
        self._last_note = ""
        self.n_sockets = 0

    def __len__(self) -> int:
        """Frames that are not confirmed."""
        return len(self._waiting)

    @property
    def is_heard(self) -> bool:
        """Whether the driver has answered: what is sent now reaches it."""
        return self._welcomed

    @property
    def is_of_many(self) -> bool:
        """Whether other ranks send their parts of the same frames."""
        return self._hello.n_ranks > 1

    @property
    def has_room(self) -> bool:
        """Whether the driver takes another frame, one like the last."""
        if not self._waiting:
            return self.credit > 0
        _, last = self._waiting[-1]
        in_bytes = self._n_bytes + _size(last) <= self.credit_bytes
        return in_bytes and len(self._waiting) < self.credit

    def push(self, step: int, raw: list[bytes]) -> None:
        """Send a frame, and keep it until it is confirmed."""
        if not self._waiting:
            self._moved_at = time.monotonic()
            if self._welcomed:
                self._renew_at = self._moved_at + self._ack_patience()
        self._waiting.append((step, raw))
        self._n_bytes += _size(raw)
        if self._welcomed:
            self._send(raw)

    def advance(self, timeout: float) -> None:
        """Take what the driver says; wait for its first word, at most `timeout` s.

        Raises:
            RefusedError: it does not take this run.
        """
        deadline = time.monotonic() + timeout
        while not self.detached:
            now = time.monotonic()
            if now >= self._renew_at:
                if self._hear():
                    deadline = now
                else:
                    self._connect()
            message = self._receive(min(deadline, self._renew_at) - now)
            if message is not None:
                self._obey(message)
                deadline = now  # the rest of what is there, without waiting
            elif time.monotonic() >= deadline:
                return

    def say_goodbye(self, text: str) -> bool:
        """Tell the driver that no more frames come, and wait for its last word.

        Returns:
            Whether the driver knows. Where it is silent the next `advance` calls anew.
        """
        if self.detached:
            return True
        if not self._welcomed:
            return False
        self._send(self.stamped(Message(Kind.BYE, parts=(text.encode(),))))
        deadline = time.monotonic() + GOODBYE_PATIENCE
        while True:
            message = self._receive(deadline - time.monotonic())
            if message is None or message.kind is Kind.AGAIN:
                self._welcomed, self._renew_at = False, -math.inf
                return False
            if message.kind in (Kind.BYE_OK, Kind.BYE):
                return True

    def close(self) -> None:
        """Release the socket at once."""
        self._close_socket()
        self._context.term()

    def stamped(self, message: Message) -> list[bytes]:
        """Encoded, with the sender's rank and incarnation."""
        return encode(
            replace(
                message,
                rank=self._hello.rank,
                n_ranks=self._hello.n_ranks,
                incarnation=self._hello.incarnation,
            )
        )

    def _connect(self) -> None:
        """A new socket that says HELLO; the frames follow its answer."""
        now = time.monotonic()
        if self._socket is not None:
            self._lost(now)
        self._close_socket()
        self._socket = self._context.socket(zmq.DEALER)
        self.n_sockets += 1
        self._socket.linger = 0
        # The window bounds what is under way; libzmq must not hold more back.
        self._socket.sndhwm = self._socket.rcvhwm = 0
        self._socket.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_MS)
        self._socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 5 * HEARTBEAT_MS)
        self._renew_at = now + self._patience
        self._patience = min(2 * self._patience, LAST_PATIENCE)
        obstacle = self._enter()
        if obstacle:
            self._notice(now, obstacle)
            return
        # The step is the first that will follow: all before it is confirmed. The
        # credit tells a new driver that an old one has taken this run.
        first = (
            self._waiting[0][0]
            if self._waiting
            else max(self.durable_step + 1, self._hello.step)
        )
        self._send(encode(replace(self._hello, step=first, credit=self.credit)))

    def _hear(self) -> bool:
        """Take a word that came while the engine was busy; whether there was one.

        An engine whose steps take longer than its patience asks for it too late.
        """
        message = None
        if self._socket is not None and self._renew_at > -math.inf:
            message = self._receive(0.0)
        if message is not None:
            self._obey(message)
        return message is not None

    def _enter(self) -> str:
        """Connect the socket; else why it has to wait."""
        try:
            return self._door.open(self._socket)
        except ForeignError as error:
            if not self.credit:
                raise
            return str(error)  # no reason to end a run that is under way

    def _lost(self, now: float) -> None:
        """Say that the driver is away, now and then."""
        if self._lost_at is None:
            self._lost_at = self._moved_at
        self._welcomed = False
        text = f"waiting for the driver at {self.endpoint}"
        if self.credit:
            text += (
                f"; it has confirmed nothing for {now - self._lost_at:.0f} s, "
                f"{len(self._waiting)} frames wait"
            )
        self._notice(now, text)

    def _notice(self, now: float, text: str) -> None:
        """Say something about waiting, at growing intervals."""
        if now < self._notice_at or self._hello.rank != 0:
            return
        self._log(text)
        self._notice_at = now + self._notice_interval
        self._notice_interval = min(2 * self._notice_interval, LAST_NOTICE)

    def _welcome(self, message: Message) -> None:
        now = time.monotonic()
        returned = self.credit > 0 and self._notice_at > -math.inf
        self.credit = max(1, message.credit)
        self.credit_bytes = message.credit_bytes or CREDIT_BYTES
        if self._welcomed:
            return
        self._welcomed = True
        if returned and self._lost_at is not None and self._hello.rank == 0:
            self._log(
                f"the driver is there again after {now - self._lost_at:.0f} s; "
                f"{len(self._waiting)} frames are sent again"
            )
        self._lost_at, self._patience = None, FIRST_PATIENCE
        self._notice_at, self._notice_interval = -math.inf, FIRST_NOTICE
        self._moved_at = now
        self._renew_at = now + self._ack_patience() if self._waiting else math.inf
        for _, raw in self._waiting:
            self._send(raw)

    def _obey(self, message: Message) -> None:
        if message.kind is Kind.WELCOME:
            self._door.check()
        if message.kind in (Kind.ACK, Kind.WELCOME):
            self._forget(message.step)
        if message.kind is Kind.WELCOME:
            self._welcome(message)
        elif message.kind is Kind.AGAIN:
            self._renew_at = -math.inf
        elif message.kind is Kind.NOTE:
            if self._hello.rank == 0 and message.text != self._last_note:
                self._last_note = message.text
                self._log(message.text)
        elif message.kind is Kind.REJECT:
            self.detached = True
            raise RefusedError(f"The driver refuses this run: {message.text}")
        elif message.kind is Kind.BYE:
            self._log(f"the driver has left ({message.text}); the run goes on alone")
            self.detached = True
            self._waiting.clear()
            self._n_bytes = 0

    def _forget(self, durable_step: int) -> None:
        n_before = len(self._waiting)
        while self._waiting and self._waiting[0][0] <= durable_step:
            self.durable_step, raw = self._waiting.popleft()
            self._n_bytes -= _size(raw)
        n_forgotten = n_before - len(self._waiting)
        if not n_forgotten:
            return
        now = time.monotonic()
        self._frame_times.append((now - self._moved_at) / n_forgotten)
        self._moved_at = now
        if self._welcomed:  # else the answer to HELLO is still to come, or lost
            self._renew_at = now + self._ack_patience() if self._waiting else math.inf

    def _ack_patience(self) -> float:
        if not self._frame_times:
            return ACK_PATIENCE
        return max(ACK_PATIENCE, 10 * statistics.median(self._frame_times))

    def _send(self, raw: list[bytes]) -> None:
        try:
            self._socket.send_multipart(raw, zmq.NOBLOCK)
        except zmq.ZMQError:
            # Of no use any more, as libzmq's sockets are after a protocol error. The
            # message stays, and goes out over the next one.
            self._renew_at = min(self._renew_at, time.monotonic() + FIRST_PATIENCE)

    def _receive(self, timeout: float) -> Message | None:
        """The next message of this run, None after the timeout in seconds."""
        deadline = time.monotonic() + max(0.0, timeout)
        while True:
            left = max(0.0, deadline - time.monotonic())
            if not self._socket.poll(math.ceil(1000 * left)):
                return None
            try:
                message = decode(self._socket.recv_multipart(zmq.NOBLOCK))
            except zmq.Again:
                continue
            except WireError as error:
                self._log(f"ignored a message: {error}")
                continue
            if message.incarnation == self._hello.incarnation:
                return message

    def _close_socket(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _size(raw: list[bytes]) -> int:
    """Bytes of a message."""
    return sum(map(len, raw))
