"""The language between the hook inside an MD engine and the driver: bytes only.

This module knows no socket and no array; the standard library is all it imports, since
it runs inside the engine's own Python (3.8 or later). A message is a header of 64 bytes
and, after it, the parts that its kind demands; `decode` accepts exactly what `encode`
makes and refuses everything else by `WireError`. What the card says is in `runcard.py`.

    engine                                driver
      HELLO(card, ids, types, masses) ──►         every rank, about its own atoms
                   ◄── WELCOME(durable, credit, bytes) | REJECT(text)
      FRAME(box, ids, x, v) ──►                   no more than these unacknowledged
      SUMS(box, ids, x, v, sums) ──►              the same, where ranks ask networks
      BEADS(box, ids, x, v) ──►                   the same, with all beads of each atom
                   ◄── ACK(durable)               the engine may forget these steps
                   ◄── AGAIN                      say HELLO again and send the rest anew
      BYE ──►                                     the run is over
                   ◄── BYE_OK
                   ◄── BYE(text)                  the driver leaves; go on alone
                   ◄── NOTE(text)                 a line for the engine's log
"""

from __future__ import annotations

import enum
import math
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "MAX_CREDIT_BYTES",
    "MAX_PART_BYTES",
    "VERSION",
    "Kind",
    "Message",
    "WireError",
    "decode",
    "encode",
    "pack_box",
    "unpack_box",
]

VERSION = 1
MAX_ATOMS = 100_000_000
MAX_TEXT_BYTES = 65_536
MAX_PART_BYTES = 24 * MAX_ATOMS
MAX_CREDIT_BYTES = 2**53  # above, a double is no longer exact

_MAGIC = b"mmyr"
# magic, version, kind, n_atoms, n_local, rank, n_ranks, credit, step, previous step,
# time (in WELCOME: the bytes of credit, which older hooks pass over), incarnation,
# reserved, checksum of all that stands before it and of the parts.
_HEADER = struct.Struct("<4sHHIIHHIqqdQII")
_CHECKSUM = struct.Struct("<I")
_BOX = struct.Struct("<12d")


class WireError(ValueError):
    """A message that this version of the protocol does not allow."""


class Kind(enum.IntEnum):
    """What a message is for."""

    HELLO = 1
    WELCOME = 2
    REJECT = 3
    FRAME = 4
    ACK = 5
    AGAIN = 6
    BYE = 7
    BYE_OK = 8
    NOTE = 9
    SUMS = 10
    BEADS = 11

    @property
    def is_frame(self) -> bool:
        """Whether it holds the atoms of a step."""
        return self in (Kind.FRAME, Kind.SUMS, Kind.BEADS)


@dataclass(frozen=True)
class _Part:
    """Size of one part: bytes for one local atom (any of these), fixed, or at most.

    With `times` each atom has them once or more often, all atoms equally often.
    """

    name: str
    per_atom: tuple[int, ...] = ()
    fixed: int = 0
    at_most: int = 0
    times: bool = False

    def check(self, size: int, n_local: int) -> None:
        """Refuse a part of the wrong size."""
        if self.times:
            unit = max(1, self.per_atom[0] * n_local)
            allowed = size % unit == 0 and (size > 0) == (n_local > 0)
            wanted = f"a multiple of {unit}"
        elif self.at_most:
            allowed = size <= self.at_most
            wanted = f"at most {self.at_most}"
        else:
            sizes = [each * n_local for each in self.per_atom] or [self.fixed]
            allowed = size in sizes
            wanted = " or ".join(str(each) for each in sizes)
        if not allowed:
            raise WireError(
                f"Part '{self.name}' must have {wanted} bytes, but has {size}."
            )


_IDS = _Part("ids", per_atom=(4, 8))  # LAMMPS is built with 4 or 8 bytes for an id
_TEXT = _Part("text", at_most=MAX_TEXT_BYTES)
_FRAME = (
    _Part("box", fixed=_BOX.size),
    _IDS,
    _Part("positions", per_atom=(24,)),
    _Part("velocities", per_atom=(24,)),
)
_PARTS: dict[Kind, tuple[_Part, ...]] = {
    Kind.HELLO: (
        _Part("card", at_most=MAX_TEXT_BYTES),
        _IDS,
        _Part("types", per_atom=(4,)),
        _Part("masses", per_atom=(8,)),
    ),
    Kind.WELCOME: (),
    Kind.REJECT: (_TEXT,),
    Kind.FRAME: _FRAME,
    Kind.ACK: (),
    Kind.AGAIN: (),
    Kind.BYE: (_TEXT,),
    Kind.BYE_OK: (),
    Kind.NOTE: (_TEXT,),
    Kind.SUMS: (*_FRAME, _Part("sums", at_most=MAX_TEXT_BYTES)),
    Kind.BEADS: (
        *_FRAME[:2],
        _Part("positions", per_atom=(24,), times=True),
        _Part("velocities", per_atom=(24,), times=True),
    ),
}


@dataclass(frozen=True)
class Message:
    """One message.

    Attributes:
        kind: what it is for; decides which parts there are.
        step: MD step of a frame; the durable step in WELCOME and ACK (−1: none); the
            first step that is not confirmed in HELLO.
        previous_step: step of the frame before, −1 for the first one.
        time: simulation time of a frame, fs.
        n_atoms: atoms in the whole system.
        n_local: atoms in this message.
        rank: MPI rank that sends, or is spoken to.
        n_ranks: how many ranks there are.
        credit: frames that may be under way unacknowledged (WELCOME); what the engine
            had from a driver before this one, 0 if none took it yet (HELLO).
        credit_bytes: bytes of frames that this rank may have under way
            unacknowledged, though one frame may always be (WELCOME); 0: not said, as
            by an older driver.
        incarnation: number that the engine draws at its start; tells one run of an
            engine from the next one.
        parts: what follows the header.
    """

    kind: Kind
    step: int = -1
    previous_step: int = -1
    time: float = 0.0
    n_atoms: int = 0
    n_local: int = 0
    rank: int = 0
    n_ranks: int = 1
    credit: int = 0
    credit_bytes: int = 0
    incarnation: int = 0
    parts: tuple[bytes, ...] = ()

    @property
    def text(self) -> str:
        """The text of a REJECT, BYE or NOTE, fit for a terminal."""
        text = self.parts[0].decode("utf-8", "replace")
        return "".join(each if each.isprintable() else " " for each in text)


def encode(message: Message) -> list[bytes]:
    """The parts of a multipart message, header first.

    Raises:
        WireError: the message breaks a rule, or a number does not fit its field.
    """
    _check(message)
    try:
        header = _HEADER.pack(
            _MAGIC,
            VERSION,
            int(message.kind),
            message.n_atoms,
            message.n_local,
            message.rank,
            message.n_ranks,
            message.credit,
            message.step,
            message.previous_step,
            message.credit_bytes if _tells_bytes(message.kind) else message.time,
            message.incarnation,
            0,
            0,
        )
    except struct.error as error:
        raise WireError(f"A number does not fit the header: {error}.") from None
    checksum = _checksum(header, message.parts)
    return [header[: -_CHECKSUM.size] + _CHECKSUM.pack(checksum), *message.parts]


def decode(raw: Sequence[bytes]) -> Message:
    """The message that `encode` made these parts of.

    Raises:
        WireError: anything else; the text says what is wrong.
    """
    if not raw or len(raw[0]) != _HEADER.size:
        raise WireError(f"A message must begin with a header of {_HEADER.size} bytes.")
    header, parts = raw[0], tuple(raw[1:])
    fields = _HEADER.unpack(header)
    magic, version, kind_number = fields[:3]
    if magic != _MAGIC:
        raise WireError("The message does not begin with the mark of mimyria.")
    if version != VERSION:
        raise WireError(
            f"The peer speaks version {version} of the protocol, this is version "
            f"{VERSION}. Write the hook anew with `mimyria-driver hook`."
        )
    try:
        kind = Kind(kind_number)
    except ValueError:
        raise WireError(f"Unknown kind of message: {kind_number}.") from None
    reserved, checksum = fields[-2:]
    if reserved != 0 or checksum != _checksum(header, parts):
        raise WireError(f"The checksum of a {kind.name} is wrong.")
    n_atoms, n_local, rank, n_ranks, credit, step, previous, time, incarnation = fields[
        3:-2
    ]
    credit_bytes = 0
    if _tells_bytes(kind):
        credit_bytes, time = _whole(time), 0.0
    message = Message(
        kind,
        step,
        previous,
        time,
        n_atoms,
        n_local,
        rank,
        n_ranks,
        credit,
        credit_bytes,
        incarnation,
        parts,
    )
    _check(message)
    return message


def _tells_bytes(kind: Kind) -> bool:
    """Whether the field of the time holds bytes of credit."""
    return kind is Kind.WELCOME


def _whole(number: float) -> int:
    negative = math.copysign(1.0, number) < 0  # zero has a sign, too
    if negative or not (number <= MAX_CREDIT_BYTES and number == int(number)):
        raise WireError(
            f"Bytes of credit must be a whole number up to {MAX_CREDIT_BYTES}, but "
            f"are {number}."
        )
    return int(number)


def _checksum(header: bytes, parts: Sequence[bytes]) -> int:
    value = zlib.crc32(header[: -_CHECKSUM.size])
    for part in parts:
        # The length too, so that no byte can move from one part to the next.
        value = zlib.crc32(struct.pack("<Q", len(part)), value)
        value = zlib.crc32(part, value)
    return value


def _check(message: Message) -> None:
    """The rules that hold for a message on both sides."""
    table = _PARTS[message.kind]
    if len(message.parts) != len(table):
        raise WireError(
            f"A {message.kind.name} must have {len(table)} parts, but has "
            f"{len(message.parts)}."
        )
    if not 0 <= message.n_local <= message.n_atoms <= MAX_ATOMS:
        raise WireError(
            f"Atoms must obey 0 <= local <= all <= {MAX_ATOMS}, but local is "
            f"{message.n_local} and all {message.n_atoms}."
        )
    for index, part in enumerate(table):
        part.check(len(message.parts[index]), message.n_local)
    if not 0 <= message.rank < message.n_ranks:
        raise WireError(f"There is no rank {message.rank} of {message.n_ranks}.")
    if message.step < -1 or not -1 <= message.previous_step <= max(message.step, -1):
        raise WireError(
            f"Steps must rise, but {message.step} follows {message.previous_step}."
        )
    if message.kind.is_frame and message.step <= message.previous_step:
        raise WireError(
            f"Steps must rise, but {message.step} follows {message.previous_step}."
        )
    if not 0 <= message.credit_bytes <= MAX_CREDIT_BYTES:
        raise WireError(f"There is no credit of {message.credit_bytes} bytes.")
    if message.credit_bytes and not _tells_bytes(message.kind):
        raise WireError(f"No {message.kind.name} grants bytes.")
    if not math.isfinite(message.time):
        raise WireError("The time of a message must be finite.")


def pack_box(rows: Sequence[float], origin: Sequence[float]) -> bytes:
    """Box of a frame: 9 numbers, lattice vectors as rows, and 3 of the origin."""
    return _BOX.pack(*rows, *origin)


def unpack_box(raw: bytes) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Rows (9 numbers) and origin (3) of a box.

    Raises:
        WireError: wrong size.
    """
    if len(raw) != _BOX.size:
        raise WireError(f"A box must have {_BOX.size} bytes, but has {len(raw)}.")
    numbers = _BOX.unpack(raw)
    return numbers[:9], numbers[9:]
