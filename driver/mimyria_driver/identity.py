"""Identity: what must not change within a journal, and the header that says it.

    file     magic(8) · version u32 · length u32 · identity JSON · crc32 u32 · records

The size of a record follows from the groups in the identity. Version 1 had no groups,
version 2 no velocity probes; such journals are read and continued as they are. Version
4 is that of means over the beads of ring polymers, which an older program must not
continue; its records are those of version 3, and all other journals still have that
number.

This module never writes. What stands in a record is in `records.py`.
"""

from __future__ import annotations

import json
import math
import os
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mimyria.contributions import Layout
from mimyria.errors import JournalError
from mimyria.groups import Grouping
from mimyria_driver.records import RECORD

__all__ = ["Identity", "header_key", "pack_header", "read_header"]

MAGIC: Final = b"MIMYRJNL"
VERSION: Final = 3
_VERSION_BEADS: Final = 4
_READABLE: Final = (1, 2, 3, 4)

_HEADER: Final = struct.Struct("<8sII")
_LARGEST_RECORD: Final = 1 << 24  # bytes; the most probes there can be take less


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


def pack_header(identity: Identity) -> bytes:
    """Bytes of a journal without records."""
    text = identity.to_json()
    version = _VERSION_BEADS if identity.n_beads else VERSION
    header = _HEADER.pack(MAGIC, version, len(text)) + text
    return header + zlib.crc32(header).to_bytes(4, "little")


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


def header_key(path: Path, start: int) -> bytes:
    """The CRC of the header, which tells one journal from another."""
    with path.open("rb") as file:
        file.seek(start - 4)
        return file.read(4)
