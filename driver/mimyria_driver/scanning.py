"""Scanning: which records of a journal file are sound.

It knows that a record has a fixed size, begins with its kind and its step, and ends
with the CRC of all before; not what else is in it. It never writes.

A kill leaves at most an unfinished last record. A power cut may leave holes as well,
but only behind what was durable. A bad record before that is damage.
"""

from __future__ import annotations

import struct
import zlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

__all__ = ["FRAME", "ROLLBACK", "Scan", "rows_at_once", "scan", "sound_records"]

FRAME: Final = 1
ROLLBACK: Final = 2

_CHUNK: Final = 8192
_CHUNK_BYTES: Final = 1 << 26

_HEAD: Final = struct.Struct("<Ifq")


@dataclass(frozen=True, slots=True)
class Scan:
    """What a journal file holds.

    Attributes:
        n_good: sound records before the first bad one.
        n_places: records that there is room for, with an unfinished last one.
        bad: ranges (begin, end) of places without a sound record, in order.
        last_step: last live step of the good ones, −1: none.
        n_rollbacks: rollbacks among the good ones.
    """

    n_good: int
    n_places: int
    bad: tuple[tuple[int, int], ...]
    last_step: int
    n_rollbacks: int

    @property
    def next_sound(self) -> int:
        """The first sound record behind a bad one, −1: none."""
        if not self.bad or self.bad[0][1] == self.n_places:
            return -1
        return self.bad[0][1]

    def is_damaged(self, durable: int | None) -> bool:
        """Whether a bad record is more than an unfinished write.

        Args:
            durable: records that are known to have been safe on disk; None: not known,
                and any bad record with a sound one behind it counts.
        """
        if self.next_sound < 0:
            return False
        return durable is None or self.n_good < durable


def scan(path: Path, start: int, size: int) -> Scan:
    """Look at every record.

    Args:
        path: the journal.
        start: offset of the first record.
        size: bytes of a record.
    """
    bad: list[list[int]] = []
    live = array("q")
    n_rollbacks = n_places = 0
    for begin, piece in _pieces(path, start, size):
        steps = None if bad else _plain_steps(piece, size)
        if steps is not None:
            live.frombytes(steps)
            n_places = begin + len(piece) // size
            continue
        for index, record in _places(begin, piece, size):
            n_places = index + 1
            if not _is_valid(record, size):
                if bad and bad[-1][1] == index:
                    bad[-1][1] = index + 1
                else:
                    bad.append([index, index + 1])
            elif not bad:
                kind, _, step = _HEAD.unpack_from(record)
                n_rollbacks += kind == ROLLBACK
                _follow(live, kind, step)
    return Scan(
        bad[0][0] if bad else n_places,
        n_places,
        tuple((begin, end) for begin, end in bad),
        live[-1] if live else -1,
        n_rollbacks,
    )


def rows_at_once(size: int) -> int:
    """Records to read at once: many small ones, few large ones.

    Args:
        size: bytes of a record.
    """
    return max(1, min(_CHUNK, _CHUNK_BYTES // size))


def sound_records(path: Path, start: int, size: int) -> Iterator[tuple[int, bytes]]:
    """Place and bytes of each sound record, whatever lies between."""
    for begin, piece in _pieces(path, start, size):
        for index, record in _places(begin, piece, size):
            if _is_valid(record, size):
                yield index, bytes(record)


def _pieces(path: Path, start: int, size: int) -> Iterator[tuple[int, bytes]]:
    """Place of the first record, and bytes of many records."""
    begin = 0
    with path.open("rb") as file:
        file.seek(start)
        rows = rows_at_once(size)
        while piece := file.read(size * rows):
            yield begin, piece
            begin += rows


def _places(begin: int, piece: bytes, size: int) -> Iterator[tuple[int, memoryview]]:
    view = memoryview(piece)
    for row, offset in enumerate(range(0, len(piece), size)):
        yield begin + row, view[offset : offset + size]


def _plain_steps(piece: bytes, size: int) -> bytes | None:
    """Steps of sound frames, as bytes; None where there is anything else.

    Nearly all pieces are plain, and so a long journal is looked through ten times
    faster than record by record.
    """
    if len(piece) % size:
        return None
    view = memoryview(piece)
    found = [zlib.crc32(view[at : at + size - 4]) for at in range(0, len(piece), size)]
    rows = np.frombuffer(piece, np.uint8).reshape(-1, size)
    kinds = np.ascontiguousarray(rows[:, :4]).view("<u4")
    if (kinds != FRAME).any():
        return None
    if (np.ascontiguousarray(rows[:, -4:]).view("<u4")[:, 0] != found).any():
        return None
    return np.ascontiguousarray(rows[:, 8:16]).tobytes()


def _follow(live: array[int], kind: int, step: int) -> None:
    """Add a step to the live ones, or take back those that a rollback voids."""
    if kind == FRAME:
        live.append(step)
    while kind == ROLLBACK and live and live[-1] >= step:
        live.pop()


def _is_valid(record: memoryview, size: int) -> bool:
    return len(record) == size and zlib.crc32(record[:-4]) == int.from_bytes(
        record[-4:], "little"
    )
