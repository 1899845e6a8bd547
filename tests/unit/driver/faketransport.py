"""A ZeroMQ of lists, in which a test decides what arrives, how often and when."""

from __future__ import annotations

from typing import Any


class Again(Exception):  # noqa: N818 - its name in zmq
    """As zmq.Again."""


class FakeZmq:
    """Stands in for the module `zmq` in window and receiver.

    Attributes:
        flying: (socket that gets it, parts) of every message under way.
    """

    DEALER, ROUTER, NOBLOCK = 5, 6, 1
    MAXMSGSIZE = LAST_ENDPOINT = HEARTBEAT_IVL = HEARTBEAT_TIMEOUT = 0
    Again, ZMQError = Again, Again

    def __init__(self) -> None:
        self.flying: list[tuple[FakeSocket, list[bytes]]] = []
        self.router: FakeSocket | None = None
        self.dealers: dict[bytes, FakeSocket] = {}
        self.n_sockets = 0

    def Context(self) -> FakeZmq:
        return self

    def term(self) -> None:
        pass

    def socket(self, kind: int) -> FakeSocket:
        self.n_sockets += 1
        made = FakeSocket(self, kind, self.n_sockets.to_bytes(4, "big"))
        if kind == self.ROUTER:
            self.router = made
        else:
            self.dealers[made.identity] = made
        return made

    def deliver(self, index: int, *, keep: bool = False) -> None:
        target, parts = self.flying[index]
        if not keep:
            del self.flying[index]
        if not target.closed:
            target.inbox.append(parts)


class FakeFrame:
    def __init__(self, part: bytes) -> None:
        self.bytes = part

    def get(self, _: Any) -> int:
        return -1


class FakeSocket:
    def __init__(self, net: FakeZmq, kind: int, identity: bytes) -> None:
        self.net, self.kind, self.identity = net, kind, identity
        self.inbox: list[list[bytes]] = []
        self.rest: list[bytes] = []  # of a message that is taken part by part
        self.closed = False

    def setsockopt(self, *_: Any) -> None:
        pass

    def getsockopt_string(self, _: int) -> str:
        return "ipc:///tmp/fake"

    def bind(self, _: str) -> None:
        pass

    connect = bind

    def close(self) -> None:
        self.closed = True
        self.net.dealers.pop(self.identity, None)

    def poll(self, _: int = 0) -> bool:
        return bool(self.inbox)

    def send_multipart(self, parts: list[bytes], _: int = 0) -> None:
        if self.kind == FakeZmq.DEALER:
            if self.net.router is not None and not self.net.router.closed:
                self.net.flying.append((self.net.router, [self.identity, *parts]))
            return
        target = self.net.dealers.get(parts[0])
        if target is None:
            error = Again("no route")
            error.errno = 113  # type: ignore[attr-defined]
            raise error
        self.net.flying.append((target, list(parts[1:])))

    @property
    def rcvmore(self) -> bool:
        return bool(self.rest)

    def recv(self, _: int = 0, *, copy: bool = True) -> Any:
        if not self.rest:
            self.rest = list(self.recv_multipart())
        part = self.rest.pop(0)
        return part if copy else FakeFrame(part)

    def recv_multipart(self, _: int = 0) -> list[bytes]:
        if not self.inbox:
            raise Again
        return self.inbox.pop(0)


class FakeDoorman:
    """Lets everybody in: who may come is another test's business."""

    connections: frozenset[int] = frozenset()

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def guard(self, *_: Any) -> None:
        pass

    watch = relax = guard

    def number(self, _: int) -> int:
        return 0  # not known
