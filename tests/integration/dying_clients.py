"""Clients of i-PI that are killed one after the other, each at another moment.

    python dying_clients.py FOLDER DEATH...

Each is the client of a run for spectra in a process of its own, with the positions of
all of them in FOLDER/run. A death is where SIGKILL hits it, in its first request or in
another one, `DEATH@REQUEST`:

    read:N      N bytes of the request were read, the rest was not (no read-ahead)
    unanswered  all of the request was read, nothing of the reply was sent
    half        half of the reply was sent
    answered    the reply was sent

With `bare` in front (`bare-read:N`) it has no keeper.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from pathlib import Path

import numpy as np

from mimyria_driver.ipi import line as line_module
from mimyria_driver.ipi.client import IpiClient
from mimyria_driver.ipi.line import Line
from mimyria_driver.sources import Started

NUMBERS = np.array([8, 1, 1] * 3)
MASSES = np.where(NUMBERS == 8, 15.9994, 1.00794)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class DyingLine(Line):
    """A line of which one byte at a time is read, and at which the client dies."""

    death, request = "", 1
    _n_read, _n_replies = 0, 0

    def read(self, *, under_way: bool) -> bytes | None:
        if not self.death.startswith("read:") or self._n_replies + 1 < self.request:
            return super().read(under_way=under_way)
        if self._n_read == int(self.death.removeprefix("read:")):
            # Only where there is something that stays unread.
            select.select([self.pollable], [], [], 10.0)
            die()
        line_module._CHUNK_BYTES = 1
        data = super().read(under_way=under_way)
        self._n_read += len(data or b"")
        return data

    def send(self, data: bytes) -> None:
        is_reply = data.startswith(b"FORCEREADY")
        self._n_replies += is_reply
        if not is_reply or self._n_replies < self.request:
            super().send(data)
            return
        if self.death == "unanswered":
            die()
        super().send(data[: len(data) // 2] if self.death == "half" else data)
        if self.death in ("half", "answered"):
            die()


def serve(folder: Path, death: str) -> None:
    death, _, request = death.partition("@")
    if death.startswith("bare-"):
        line_module.guard = lambda _: None
    client = IpiClient(
        f"unix:{folder}/driver", NUMBERS, MASSES, 0.5, 1, folder=folder / "run"
    )
    dying = DyingLine(f"unix:{folder}/driver", client._clock)
    dying.death, dying.request = death.removeprefix("bare-"), int(request or 1)
    client._conversation._line = dying
    parent = os.getppid()
    while os.getppid() == parent:
        select.select([client.pollable], [], [], 0.01)
        for event in client.receive():
            if isinstance(event, Started):
                client.accept(-1)


def main(folder: Path, deaths: list[str]) -> int:
    for death in deaths:
        child = os.fork()
        if not child:
            serve(folder, death)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
