"""Durable mark: how many records of a journal were once safe on disk.

It stands beside the journal, is renewed after each sync, and is itself synced at the
start only: it survives a kill, and after a power cut it may be older than the truth,
never newer. With it a hole that a power cut tore behind the last sync is told from
damage before it.
"""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import Final

__all__ = ["DurableMark", "mark_path", "read_mark"]

_LAYOUT: Final = struct.Struct("<4sQ")


class DurableMark:
    """The mark of one journal, which only its writer renews."""

    def __init__(self, journal: Path, key: bytes) -> None:
        """Nothing is written yet.

        Args:
            journal: the file.
            key: 4 bytes that tell it from other journals, the CRC of its header.
        """
        self._path = mark_path(journal)
        self._key = key
        self._descriptor = -1

    def write(self, n_records: int, *, synced: bool = False) -> None:
        """Renew it; without it the journal is only judged more strictly.

        Args:
            n_records: of the journal that are safe on disk.
            synced: make the mark itself so, as at the start of a driver.
        """
        body = _LAYOUT.pack(self._key, n_records)
        try:
            if self._descriptor < 0:
                flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
                self._descriptor = os.open(self._path, flags, 0o666)
            os.pwrite(self._descriptor, body + _crc(body), 0)
            if synced:
                os.fsync(self._descriptor)
        except OSError:
            self.close()

    def close(self) -> None:
        """Release the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def read_mark(journal: Path, key: bytes) -> int | None:
    """Records that were durable; None where it is not known."""
    try:
        content = mark_path(journal).read_bytes()
    except OSError:
        return None
    body, crc = content[: _LAYOUT.size], content[_LAYOUT.size :]
    if len(body) != _LAYOUT.size or _crc(body) != crc:
        return None
    found, n_records = _LAYOUT.unpack(body)
    return int(n_records) if found == key else None


def _crc(body: bytes) -> bytes:
    return zlib.crc32(body).to_bytes(4, "little")


def mark_path(journal: Path) -> Path:
    """Where the mark of a journal stands."""
    return journal.with_name(journal.name + ".mark")
