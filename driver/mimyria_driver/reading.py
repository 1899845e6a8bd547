"""Reading: the records of a journal, checked, without those that became void.

This module never writes. A torn tail (nothing valid after the first bad record, or
nothing that was durable) is left out; any other bad record is damage and an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mimyria.contributions import Layout
from mimyria.currents import Currents
from mimyria.errors import JournalError
from mimyria_driver.durablemark import read_mark
from mimyria_driver.identity import header_key, read_header
from mimyria_driver.records import RECORD, Record, record_type
from mimyria_driver.scanning import FRAME, ROLLBACK, Scan, rows_at_once, scan

__all__ = ["check_records", "first_rollback", "live_records", "read_journal"]


def read_journal(path: Path) -> Iterator[Record]:
    """The live records of a journal, in order; an unfinished tail is left out.

    Raises:
        JournalError: the header or a record in the middle is damaged.
    """
    identity, _ = read_header(path)
    grouped = identity.grouping is not None
    for chunk in live_records(path):
        for row in chunk:
            yield Record(
                int(row["step"]),
                int(row["previous_step"]),
                float(row["time"]),
                float(row["volume"]),
                float(row["kinetic_temperature"]),
                Currents(
                    row["dipole"].copy() if "apt" in identity.models else None,
                    row["polarizability"].copy() if "pgt" in identity.models else None,
                ),
                row["digest"].tobytes(),
                row["contributions"].copy() if grouped else None,
                float(row["excess"]),
            )


def live_records(
    path: Path, first: int = 0, end: int | None = None
) -> Iterator[NDArray[np.void]]:
    """The live records as structured arrays of `record_type`.

    A record is live unless a later rollback went to its step or below.

    Args:
        path: the journal.
        first: records before this one are left out.
        end: as if the journal ended before this one; None: all of it.
    """
    identity, start = read_header(path)
    behind, _ = check_records(path, start, identity.record_size)
    if end is not None:
        behind = min(behind, start + end * identity.record_size)
    dtype = record_type(Layout.of(identity.grouping).size)
    rollbacks: list[tuple[int, int]] = []
    for offset, chunk in _chunks(path, start, first, behind, dtype):
        for row in np.flatnonzero(chunk["kind"] == ROLLBACK):
            rollbacks.append((offset + int(row), int(chunk["step"][row])))
    places = np.array([place for place, _ in rollbacks], dtype=np.int64)
    steps = np.array([step for _, step in rollbacks], dtype=np.int64)
    # Lowest step that any rollback from here on went to; none: no limit.
    limits = np.append(np.minimum.accumulate(steps[::-1])[::-1], np.iinfo(np.int64).max)
    for offset, chunk in _chunks(path, start, first, behind, dtype):
        next_rollback = np.searchsorted(places, np.arange(len(chunk)) + offset)
        live = (chunk["kind"] == FRAME) & (chunk["step"] < limits[next_rollback])
        yield chunk[live]


def first_rollback(path: Path, first: int) -> int | None:
    """Lowest step that a rollback went to, from a record on; None: there is none.

    The records are not checked; whoever folds them does it.
    """
    identity, start = read_header(path)
    dtype = record_type(Layout.of(identity.grouping).size)
    whole = (path.stat().st_size - start) // dtype.itemsize * dtype.itemsize
    lowest: int | None = None
    for _, chunk in _chunks(path, start, first, start + whole, dtype):
        steps = chunk["step"][chunk["kind"] == ROLLBACK]
        if len(steps):
            step = int(steps.min())
            lowest = step if lowest is None else min(lowest, step)
    return lowest


def check_records(
    path: Path, start: int, size: int = RECORD.itemsize
) -> tuple[int, Scan]:
    """Check every record.

    Args:
        path: the journal.
        start: offset of the first record.
        size: bytes of a record.

    Returns:
        Offset behind the last good record, and what was found.

    Raises:
        JournalError: a record that was durable is damaged.
    """
    found = scan(path, start, size)
    if found.is_damaged(read_mark(path, header_key(path, start))):
        bad = found.n_good
        raise JournalError(
            f"{path}: record {bad} (byte {start + bad * size}) is damaged, but record "
            f"{found.next_sound} after it is sound, so this is not an unfinished "
            "write. Nothing was changed. Restore the file from a copy, or see "
            "`mimyria-driver repair --help` for what can be kept."
        )
    return start + size * found.n_good, found


def _chunks(
    path: Path, start: int, first: int, end: int, dtype: np.dtype[np.void]
) -> Iterator[tuple[int, NDArray[np.void]]]:
    """Index of the first record, and the records, of each piece of the file."""
    index = first
    size = dtype.itemsize
    with path.open("rb") as file:
        file.seek(start + first * size)
        while start + index * size < end:
            left = (end - start) // size - index
            data = file.read(size * min(rows_at_once(size), left))
            chunk = np.frombuffer(data, dtype=dtype)
            yield index, chunk
            index += len(chunk)
