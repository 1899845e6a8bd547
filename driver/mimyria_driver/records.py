"""Records: the layout of a journal file, and how it is read and checked.

    file     magic(8) · version u32 · length u32 · identity JSON · crc32 u32 · records
    record   136 bytes, little-endian, as in `RECORD`; the CRC covers the others
             with groups of atoms their contributions stand before the last 8 bytes

The size of a record follows from the groups in the identity. Version 1 had no groups,
version 2 no velocity probes; such journals are read and continued as they are. Where
`excess` stands, older journals have zero, which is "not known". Version 4 is that of
means over the beads of ring polymers, which an older program must not continue; its
records are those of version 3, and all other journals still have that number.

This module never writes. A torn tail (nothing valid after the first bad record, or
nothing that was durable) is left out; any other bad record is damage and an error.
"""

from __future__ import annotations

import json
import math
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mimyria.contributions import Layout
from mimyria.currents import Currents
from mimyria.errors import JournalError
from mimyria.frame import Array
from mimyria.groups import Grouping
from mimyria.uncertainty import LARGEST
from mimyria_driver.durablemark import read_mark
from mimyria_driver.scanning import FRAME, ROLLBACK, Scan, rows_at_once, scan

__all__ = [
    "RECORD",
    "Identity",
    "Record",
    "check_records",
    "first_rollback",
    "header_key",
    "live_records",
    "pack_header",
    "pack_record",
    "read_header",
    "read_journal",
    "record_type",
]

MAGIC: Final = b"MIMYRJNL"
VERSION: Final = 3
_VERSION_BEADS: Final = 4
_READABLE: Final = (1, 2, 3, 4)

_FIELDS: Final[list[tuple[Any, ...]]] = [
    ("kind", "<u4"),
    ("excess", "<f4"),
    ("step", "<i8"),
    ("previous_step", "<i8"),
    ("time", "<f8"),
    ("volume", "<f8"),
    ("kinetic_temperature", "<f8"),
    ("dipole", "<f8", (3,)),
    ("polarizability", "<f8", (6,)),
    ("digest", "V8"),
]
_CHECKSUM: Final[list[tuple[Any, ...]]] = [("padding", "<u4"), ("crc", "<u4")]


def record_type(n_contributions: int) -> np.dtype[np.void]:
    """Layout of one record; absent currents are NaN.

    Args:
        n_contributions: numbers that the groups of atoms add; 0 without groups.
    """
    middle = [("contributions", "<f8", (n_contributions,))] if n_contributions else []
    return np.dtype([*_FIELDS, *middle, *_CHECKSUM])


RECORD: Final = record_type(0)
"""Layout of a record without groups."""

_PACKED: Final = struct.Struct("<Ifqqddd3d6d8s")
_HEADER: Final = struct.Struct("<8sII")
_LARGEST_RECORD: Final = 1 << 24  # bytes; the most probes there can be take less


@dataclass(frozen=True, slots=True)
class Record:
    """What is kept of one frame.

    Attributes:
        step: MD step.
        previous_step: step of the sample before it in the same unbroken segment, −1
            where a segment starts.
        time: fs.
        volume: Å³.
        kinetic_temperature: K.
        currents: the two samples.
        digest: 8 bytes of a hash of positions, cell and velocities.
        contributions: what the groups of atoms add, as `mimyria.contributions` lays it
            out; None without groups.
        excess: how uncertain the networks are, see `mimyria.uncertainty`; 0: not known.
    """

    step: int
    previous_step: int
    time: float
    volume: float
    kinetic_temperature: float
    currents: Currents
    digest: bytes
    contributions: Array | None = None
    excess: float = 0.0


@dataclass(frozen=True, slots=True)
class Identity:
    """What must not change within one journal.

    Attributes:
        numbers: atomic numbers in the order of every frame.
        time_step: fs.
        stride: MD steps between frames.
        models: SHA-256 of the model of each target; only of those in use.
        notes: for people (engine, version); may change.
        grouping: groups of the atoms, from the first frame; None: not known, or none.
        charge: total charge that the models were told, e.
        n_beads: beads of each frame, whose currents are averaged; 0: frames have none.
    """

    numbers: tuple[int, ...]
    time_step: float
    stride: int
    models: Mapping[str, str]
    notes: Mapping[str, Any]
    grouping: Grouping | None = None
    charge: float = 0.0
    n_beads: int = 0

    @property
    def record_size(self) -> int:
        """Bytes of each record."""
        return RECORD.itemsize + 8 * Layout.of(self.grouping).size

    @property
    def interval(self) -> float:
        """Time from one frame to the next, fs."""
        return self.time_step * self.stride

    @property
    def beads(self) -> dict[str, int]:
        """What documents say of the beads: nothing where there are none."""
        return {"beads": self.n_beads} if self.n_beads else {}

    def to_json(self) -> bytes:
        """Canonical JSON."""
        document: dict[str, Any] = {
            "numbers": list(self.numbers),
            "time_step": self.time_step,
            "stride": self.stride,
            "models": dict(self.models),
            "notes": dict(self.notes),
        }
        if self.grouping is not None:
            document["groups"] = self.grouping.as_dict()
        if self.charge:
            document["charge"] = self.charge
        document |= self.beads
        return json.dumps(document, sort_keys=True).encode()

    @classmethod
    def from_json(cls, text: bytes) -> Identity:
        """The inverse of `to_json`."""
        document = json.loads(text)
        return cls(
            tuple(document["numbers"]),
            document["time_step"],
            document["stride"],
            document["models"],
            document["notes"],
            Grouping.from_dict(document["groups"]) if "groups" in document else None,
            document.get("charge", 0.0),
            document.get("beads", 0),
        )


def pack_record(record: Record, kind: int = FRAME) -> bytes:
    """Bytes of one record, checksum included."""
    missing = (math.nan,) * 6
    dipole = record.currents.dipole
    polarizability = record.currents.polarizability
    body = _PACKED.pack(
        kind,
        min(record.excess, LARGEST),
        record.step,
        record.previous_step,
        record.time,
        record.volume,
        record.kinetic_temperature,
        *(missing[:3] if dipole is None else dipole),
        *(missing if polarizability is None else polarizability),
        record.digest,
    )
    if record.contributions is not None:
        body += record.contributions.astype("<f8").tobytes()
    body += bytes(4)
    return body + zlib.crc32(body).to_bytes(4, "little")


def pack_header(identity: Identity) -> bytes:
    """Bytes of a journal without records."""
    text = identity.to_json()
    version = _VERSION_BEADS if identity.n_beads else VERSION
    header = _HEADER.pack(MAGIC, version, len(text)) + text
    return header + zlib.crc32(header).to_bytes(4, "little")


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


def read_header(path: Path) -> tuple[Identity, int]:
    """Identity, and the offset of the first record."""
    advice = "Move the run folder away, or restore the file from a copy."
    try:
        with path.open("rb") as file:
            head = file.read(_HEADER.size)
            if len(head) < _HEADER.size or not head.startswith(MAGIC):
                raise JournalError(f"{path}: is not a mimyria journal. {advice}")
            _, version, length = _HEADER.unpack(head)
            if length > os.fstat(file.fileno()).st_size:
                raise JournalError(f"{path}: the header is damaged. {advice}")
            text = file.read(length)
            crc = file.read(4)
    except FileNotFoundError as error:
        raise JournalError(f"{path}: there is no journal.") from error
    if zlib.crc32(head + text).to_bytes(4, "little") != crc:
        raise JournalError(f"{path}: the header is damaged. {advice}")
    if version not in _READABLE:
        raise JournalError(
            f"{path}: has the format version {version}, but this program reads "
            f"{', '.join(map(str, _READABLE))}. Use the version of mimyria that "
            "wrote it, or a newer one."
        )
    return _identity(path, text), _HEADER.size + length + 4


def _identity(path: Path, text: bytes) -> Identity:
    """What the header says, if it can be."""
    try:
        identity = Identity.from_json(text)
        sound = (
            all(type(each) is int and 0 < each < 119 for each in identity.numbers)
            and 0 < identity.time_step < math.inf
            and type(identity.stride) is int
            and identity.stride > 0
            and math.isfinite(identity.charge)
            and type(identity.n_beads) is int
            and identity.n_beads >= 0
            and all(isinstance(each, str) for each in identity.models.values())
            and isinstance(identity.notes, dict)
            and identity.record_size <= _LARGEST_RECORD
        )
    except (
        *(ArithmeticError, AttributeError, LookupError, RecursionError, TypeError),
        ValueError,
    ) as error:
        raise _senseless(path, error) from error
    if not sound:
        raise _senseless(path, "a value is out of its range")
    return identity


def _senseless(path: Path, cause: object) -> JournalError:
    return JournalError(
        f"{path}: the header is complete, but makes no sense ({cause}). No version of "
        "mimyria has written this file; do not use it."
    )


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


def header_key(path: Path, start: int) -> bytes:
    """The CRC of the header, which tells one journal from another."""
    with path.open("rb") as file:
        file.seek(start - 4)
        return file.read(4)


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
