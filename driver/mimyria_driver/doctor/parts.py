"""Parts of the service: sockets carry messages, a journal keeps and checks records."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from mimyria.currents import Currents
from mimyria.doctor import Finding
from mimyria.errors import JournalError
from mimyria.frame import Array
from mimyria_driver.journal import JOURNAL_NAME, Identity, Journal, Record, read_journal

__all__ = ["look_at_journal", "look_at_sockets"]

_MESSAGES: Final = 200
_WAIT: Final = 5000  # ms
_RECORDS: Final = 1000
_FRAME_BYTES: Final = 192 * 48  # positions and velocities of 192 atoms


def look_at_sockets() -> Iterator[Finding]:
    """Frames of 192 atoms there and back, through the transport of the LAMMPS hook."""
    import zmq

    with (
        tempfile.TemporaryDirectory(prefix="mim-") as folder,
        zmq.Context() as context,
        context.socket(zmq.ROUTER) as driver,
        context.socket(zmq.DEALER) as engine,
    ):
        for each in (driver, engine):
            each.linger = 0
            each.rcvtimeo = _WAIT
        address = f"ipc://{folder}/engine"
        driver.bind(address)
        engine.connect(address)
        frame = bytes(_FRAME_BYTES)
        start = time.perf_counter()
        for _ in range(_MESSAGES):
            engine.send(frame)
            name, received = driver.recv_multipart()
            driver.send_multipart([name, received[:8]])
            engine.recv()
        seconds = (time.perf_counter() - start) / _MESSAGES
    yield Finding(
        "sockets",
        f"pyzmq {zmq.__version__}, libzmq {zmq.zmq_version()}: a frame of 192 atoms "
        f"and its answer take {1e3 * seconds:.2g} ms",
        numbers={"round_trip_s": seconds},
    )


def look_at_journal(folder: Path) -> Iterator[Finding]:
    """Write records, read the same ones, and find out about one that was changed."""
    with tempfile.TemporaryDirectory(prefix=".mimyria-", dir=folder) as name:
        path = Path(name) / JOURNAL_NAME
        wanted = np.random.default_rng(1).normal(size=(_RECORDS, 3))
        seconds, synced = _write(path, wanted)
        found = np.array([record.currents.dipole for record in read_journal(path)])
        same = bool(np.array_equal(found, wanted))
        yield Finding(
            "journal",
            f"{_RECORDS} records written in {seconds:.2g} s, safe on disk in "
            f"{1e3 * synced:.2g} ms, read back {'the same' if same else 'CHANGED'}",
            "the same to the bit",
            "ok" if same else "problem",
            "" if same else "this disk changes data: do not use it",
            {"records_per_s": _RECORDS / seconds, "sync_s": synced},
        )
        noticed = _notices_damage(path)
        yield Finding(
            "checksums",
            f"a changed byte is {'noticed' if noticed else 'NOT noticed'}",
            "noticed",
            "ok" if noticed else "problem",
            ""
            if noticed
            else "zlib gives wrong checksums here: install another Python",
        )


def _write(path: Path, dipoles: Array) -> tuple[float, float]:
    """How long records and the sync took, s.

    Args:
        path: of the journal, which is made.
        dipoles: (n, 3) e Å/fs.
    """
    identity = Identity((8, 1, 1), 0.5, 4, {"apt": "self-test"}, {})
    journal = Journal.create(path, identity)
    start = time.perf_counter()
    for number, dipole in enumerate(dipoles):
        step, before = 4 * number, 4 * number - 4 if number else -1
        currents = Currents(dipole, None)
        time_fs = 0.5 * step
        journal.append(Record(step, before, time_fs, 1000.0, 300.0, currents, bytes(8)))
    written = time.perf_counter()
    journal.sync()
    synced = time.perf_counter()
    journal.close()
    return written - start, synced - written


def _notices_damage(path: Path) -> bool:
    """Whether a byte in the middle of the file can change without a word."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)
    try:
        return len(list(read_journal(path))) < _RECORDS
    except JournalError:
        return True
