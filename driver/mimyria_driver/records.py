"""Records: the layout of a record in a journal, one for each frame.

    record   136 bytes, little-endian, as in `RECORD`; the CRC covers the others
             with groups of atoms their contributions stand before the last 8 bytes

Where `excess` stands, older journals have zero, which is "not known".

This module knows no file; that of the whole is in `identity.py`.
"""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from mimyria.currents import Currents
from mimyria.frame import Array
from mimyria.uncertainty import LARGEST
from mimyria_driver.scanning import FRAME

__all__ = ["RECORD", "Record", "pack_record", "record_type"]

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
