"""Binary LAMMPS dumps: bytes in any pieces to snapshots; no file, no pipe, no clock.

`dump ID GROUP custom N FILE.bin id type x y z vx vy vz` writes frame after frame: a
head (`dumphead`) and the numbers of the atoms in chunks, one for each rank that wrote,

    for each chunk: number of values i32, values f64

What a stream must not change is held against its first frame.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from mimyria.errors import FormatError, FrameError
from mimyria.frame import Array
from mimyria.io.dumphead import GENERAL, MARK, MOST_HEAD_BYTES, Head, read_head
from mimyria.io.lammpsdump import restricted_box

__all__ = ["DumpParser", "Snapshot"]


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """One frame as it stands in the dump, in the units of the dump.

    Attributes:
        step: MD step.
        time: simulated time, None where the dump does not say it.
        units: unit style; LAMMPS says it in the first frame of a dump only.
        columns: names of the columns.
        values: (n_atoms, n_columns) — in the order of the dump.
        origin: (3,) — corner of the box.
        cell: (3, 3) — rows are the lattice vectors.
        pbc: whether the cell repeats along each of them.
        end: bytes of the stream up to the end of this frame.
    """

    step: int
    time: float | None
    units: str | None
    columns: tuple[str, ...]
    values: Array
    origin: Array
    cell: Array
    pbc: tuple[bool, bool, bool]
    end: int


class DumpParser:
    """Takes the bytes of one dump, gives its snapshots.

    Attributes:
        skipped: bytes that belong to no whole frame and were left out.
    """

    def __init__(self, *, mends: bool = False) -> None:
        """Begin.

        Args:
            mends: the stream may begin in the middle of a frame and may have lost its
                writer in one: what is no whole frame is left out. Else it is an error.
        """
        self.skipped = 0
        self._mends = mends
        self._buffer = bytearray()
        self._passed = 0  # bytes of the stream before the buffer
        self._head: Head | None = None
        self._first: Head | None = None

    @property
    def is_whole(self) -> bool:
        """Whether the last byte that came ended a frame."""
        return not self._buffer

    def feed(self, data: bytes) -> list[Snapshot]:
        """Take the next bytes; give the frames that are now whole.

        Raises:
            FormatError: this is no such dump, or a damaged one.
            FrameError: number of atoms or columns have changed.
        """
        self._buffer += data
        found = []
        while (snapshot := self._next()) is not None:
            found.append(snapshot)
        return found

    def finish(self) -> None:
        """The stream is over.

        Raises:
            FormatError: it ends in the middle of a frame.
        """
        if self._buffer and not self._mends:
            raise FormatError(
                f"the last frame is not complete: it ends after {len(self._buffer)} "
                "bytes. Was the program that wrote it killed?"
            )
        self._drop(len(self._buffer))

    def _next(self) -> Snapshot | None:
        if self._mends and self._head is None:
            self._seek(0)
        if self._head is None:
            self._head = self._read_head()
        head = self._head
        if head is None or len(self._buffer) < head.size:
            return None
        if self._mends:
            again = _mark_within(self._buffer, head.size)
            if again > 0:  # its writer was killed within it, and another one came
                self._drop(again)
                self._head = None
                return self._next()
        values = _values(self._buffer, head)
        del self._buffer[: head.size]
        self._passed += head.size
        self._head = None
        return _snapshot(head, values, self._passed)

    def _read_head(self) -> Head | None:
        # A mark that began within what is read here has all its bytes in the buffer;
        # more than these come behind every head.
        length = max(0, len(self._buffer) - len(MARK))
        try:
            head = read_head(bytes(self._buffer[: min(length, MOST_HEAD_BYTES)]))
            if head is not None:
                self._compare(head)
        except (FormatError, FrameError):
            if not (self._mends and self._seek(1)):
                raise
            return self._read_head()
        return head

    def _seek(self, begin: int) -> bool:
        """Leave out what comes before the next head; whether there is one."""
        place = self._buffer.find(MARK, begin)
        if place >= 0:
            self._drop(place)
        elif begin == 0:
            # The last bytes may be the beginning of one.
            self._drop(max(0, len(self._buffer) - len(MARK) + 1))
        return place >= 0

    def _drop(self, size: int) -> None:
        del self._buffer[:size]
        self._passed += size
        self.skipped += size

    def _compare(self, head: Head) -> None:
        """Refuse what must not change within a stream; a new one says its units."""
        first = self._first
        if first is None or (self._mends and head.units):
            self._first = head
            return
        if head.n_atoms != first.n_atoms:
            raise FrameError(
                f"step {head.step}: the dump began with {first.n_atoms} atoms, but now "
                f"has {head.n_atoms}. Atoms must be neither lost nor inserted, and the "
                "group of the dump must stay."
            )
        if head.columns != first.columns:
            raise FrameError(
                f"step {head.step}: the dump began with the columns "
                f"{' '.join(first.columns)}, but now has {' '.join(head.columns)}."
            )


def _mark_within(buffer: bytearray, size: int) -> int:
    """Where the next frame begins inside the bytes of this one; −1: it does not.

    Its first bytes may be the last ones here: as the end of a number they make it NaN
    or more than 1e15, which no velocity is.
    """
    place = buffer.find(MARK, 1, size)
    for n_last in range(len(MARK) - 1, 0, -1):
        if place >= 0:
            break
        if buffer.endswith(MARK[:n_last], 1, size):
            place = size - n_last
    return place


def _snapshot(head: Head, values: Array, end: int) -> Snapshot:
    if head.kind == GENERAL:
        cell, origin = np.array(head.box[:9]).reshape(3, 3), np.array(head.box[9:])
    else:
        low, high = np.array(head.box[:6]).reshape(3, 2).T
        origin, cell = restricted_box(low, high, np.array(head.box[6:] or (0, 0, 0)))
    x, y, z = (head.boundary[2 * k : 2 * k + 2] == (0, 0) for k in range(3))
    return Snapshot(
        head.step,
        head.time,
        head.units,
        head.columns,
        values,
        origin,
        cell,
        (x, y, z),
        end,
    )


def _values(buffer: bytearray, head: Head) -> Array:
    """(n_atoms, n_columns), from the chunks of a frame that is whole.

    Raises:
        FormatError: the chunks are not as long as they must be.
    """
    n_columns = len(head.columns)
    wanted = head.n_atoms * n_columns
    place, pieces, found = head.length, [], 0
    for _ in range(head.n_chunks):
        (size,) = struct.unpack_from("<i", buffer, place)
        if not 0 <= size <= wanted - found or size % n_columns:
            break
        # A copy: the buffer cannot shrink while something looks into it.
        pieces.append(np.frombuffer(buffer, "<f8", size, place + 4).copy())
        found += size
        place += 4 + 8 * size
    if found != wanted or place != head.size:
        raise FormatError(
            f"step {head.step}: the {head.n_chunks} chunks of the frame do not hold "
            f"{head.n_atoms} atoms with {n_columns} columns. Is the dump damaged?"
        )
    values: Array = np.concatenate(pieces).astype(np.float64, copy=False)
    return values.reshape(-1, n_columns)
