"""A proxy between two unix sockets that spoils what goes through it."""

from __future__ import annotations

import random
import select
import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class ChaosProxy:
    """Resets, cuts, stalls and bit flips; `done` counts what really happened.

    Attributes:
        listen: where the engine connects.
        target: where the driver listens.
        flips: share of pieces with one bit changed.
        cuts: share of pieces after which a connection is closed, half of them in the
            middle of the piece, and half of all connections by a reset.
        stalls: share of pieces that wait for `pause` seconds.
        black_hole: while set, everything is swallowed and nothing said.
    """

    listen: Path
    target: Path
    seed: int = 0
    flips: float = 0.0
    cuts: float = 0.0
    stalls: float = 0.0
    pause: float = 0.2
    done: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.black_hole = threading.Event()
        self.ending = threading.Event()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.listen))
        self.listener.listen(16)
        self.listener.settimeout(0.1)
        self.threads = [threading.Thread(target=self._accept, daemon=True)]
        self.threads[0].start()

    def close(self) -> None:
        self.ending.set()
        for thread in self.threads:
            thread.join(10.0)
        self.listener.close()

    def _accept(self) -> None:
        while not self.ending.is_set():
            try:
                near, _ = self.listener.accept()
            except OSError:
                continue
            far = socket.socket(socket.AF_UNIX)
            try:
                far.connect(str(self.target))
            except OSError:
                near.close()
                far.close()
                continue
            self.done["connections"] += 1
            thread = threading.Thread(target=self._pump, args=(near, far), daemon=True)
            self.threads.append(thread)
            thread.start()

    def _pump(self, near: socket.socket, far: socket.socket) -> None:
        other = {near: far, far: near}
        try:
            while not self.ending.is_set():
                for source in select.select([near, far], [], [], 0.1)[0]:
                    data = source.recv(4096)
                    if not data:
                        return
                    if self.black_hole.is_set():
                        self.done["swallowed"] += 1
                    elif not self._pass_on(data, other[source]):
                        return
        except OSError:
            pass
        finally:
            near.close()
            far.close()

    def _pass_on(self, data: bytes, target: socket.socket) -> bool:
        if self.rng.random() < self.stalls:
            self.done["stalls"] += 1
            time.sleep(self.pause)
        if self.rng.random() < self.flips:
            self.done["flips"] += 1
            spoiled = bytearray(data)
            spoiled[self.rng.randrange(len(data))] ^= 1 << self.rng.randrange(8)
            data = bytes(spoiled)
        if self.rng.random() < self.cuts:
            self.done["cuts"] += 1
            if self.rng.random() < 0.5:
                target.sendall(data[: len(data) // 2])
            return False
        target.sendall(data)
        return True
