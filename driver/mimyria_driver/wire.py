"""The language between the hook inside an MD engine and the driver: bytes only.

This module knows no socket and no array; the standard library is all it imports, since
it runs inside the engine's own Python (3.8 or later). A message is a header of 64 bytes
and, after it, the parts that its kind demands; `decode` accepts exactly what `encode`
makes and refuses everything else by `WireError`.

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
import json
import math
import struct
import zlib
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "MAX_CREDIT_BYTES",
    "MAX_PART_BYTES",
    "VERSION",
    "Kind",
    "Message",
    "RunCard",
    "WireError",
    "decode",
    "encode",
    "pack_box",
    "pack_card",
    "unpack_box",
    "unpack_card",
    "unpack_json",
]

VERSION = 1
MAX_ATOMS = 100_000_000
MAX_TEXT_BYTES = 65_536
MAX_PART_BYTES = 24 * MAX_ATOMS
MAX_BEADS = 4096
_OPTIONAL = {"models", "beads"}  # of a run card
_MAX_DIGITS = 400  # of a number in JSON
_MAX_NAME = 200  # characters
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


@dataclass(frozen=True)
class RunCard:
    """What an engine says about its run, the same on all ranks.

    Attributes:
        engine: name and version.
        units: the engine's name for its units.
        elements: chemical symbol of each atom type, in order.
        time_step: fs.
        stride: MD steps from one frame to the next.
        angstrom: one Å in the engine's unit of length.
        femtosecond: one fs in the engine's unit of time.
        periodic: for each box direction, 1 where it repeats.
        models: what the ranks' own networks are, for each target `sha256` and
            `shares`, a number for each element or null; nothing where the driver has
            the networks.
        beads: beads of each atom in a message BEADS; 0: messages FRAME or SUMS.
    """

    engine: str
    units: str
    elements: tuple[str, ...]
    time_step: float
    stride: int
    angstrom: float
    femtosecond: float
    periodic: tuple[int, int, int]
    models: dict[str, dict[str, Any]] | None = None
    beads: int = 0


def pack_card(card: RunCard) -> bytes:
    """A run card as JSON; without networks or beads as before there were any."""
    document = asdict(card)
    for name in _OPTIONAL:
        if not document[name]:
            del document[name]
    return json.dumps(document, allow_nan=False, sort_keys=True).encode()


def unpack_card(raw: bytes) -> RunCard:
    """The run card that `pack_card` wrote.

    Raises:
        WireError: not JSON, a key missing or unknown, or a value that makes no sense.
    """
    try:
        document = unpack_json(raw)
    except WireError as error:
        raise WireError(f"The run card is not valid JSON: {error}") from None
    names = set(RunCard.__dataclass_fields__) - _OPTIONAL
    if not isinstance(document, dict) or set(document) - _OPTIONAL != names:
        raise WireError(f"A run card must have exactly the keys {sorted(names)}.")
    for name in ("time_step", "angstrom", "femtosecond"):
        value = _number(document, name, (float, int))
        if not (math.isfinite(value) and value > 0):
            raise WireError(f"'{name}' of the run card must be above zero.")
    if not 0 < _number(document, "stride", (int,)) < 2**31:
        raise WireError("'stride' of the run card must be above zero.")
    for name in ("engine", "units"):
        if not isinstance(document[name], str) or not _is_name(document[name]):
            raise WireError(f"'{name}' of the run card must be a short text.")
    elements = _texts(document["elements"])
    return RunCard(
        document["engine"],
        document["units"],
        elements,
        float(document["time_step"]),
        document["stride"],
        float(document["angstrom"]),
        float(document["femtosecond"]),
        _flags(document["periodic"]),
        _models(document["models"], len(elements)) if "models" in document else None,
        _beads(document["beads"]) if "beads" in document else 0,
    )


def unpack_json(raw: bytes) -> Any:  # noqa: ANN401 - whatever JSON can hold
    """JSON from outside, without what Python's reader lets through.

    Raises:
        WireError: it is too long or too deep, or has a key twice, a number that is not
            finite or has more than 400 digits, or text that is not UTF-8.
    """
    if len(raw) > MAX_TEXT_BYTES:
        raise WireError(f"it has more than {MAX_TEXT_BYTES} bytes.")
    try:
        document = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_without_repeats,
            parse_constant=_short_number,
            parse_float=lambda text: float(_short_number(text)),
            parse_int=lambda text: int(_short_number(text)),
        )
        json.dumps(document, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except RecursionError:
        raise WireError("it is too deep.") from None
    except ValueError as error:
        raise WireError(f"{str(error)[:200]}.") from None
    return document


def _without_repeats(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a key stands there twice")
    return document


def _short_number(text: str) -> str:
    if text.lstrip("-")[:1] not in tuple("0123456789") or len(text) > _MAX_DIGITS:
        raise ValueError("a number is not finite, or has too many digits")
    return text


def _is_name(text: str) -> bool:
    """Whether a text may stand in a line for people."""
    return 0 < len(text) <= _MAX_NAME and text.isprintable()


def _number(document: dict[str, Any], name: str, kinds: tuple[type, ...]) -> float:
    value = document[name]
    if isinstance(value, bool) or not isinstance(value, kinds):
        raise WireError(f"'{name}' of the run card must be a number.")
    try:
        return float(value)  # type: ignore[arg-type]
    except OverflowError:
        raise WireError(f"'{name}' of the run card is too large.") from None


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(
        isinstance(each, str) and _is_name(each) for each in value
    ):
        raise WireError("'elements' of the run card must be a list of symbols.")
    return tuple(value)


def _models(value: object, n_elements: int) -> dict[str, dict[str, Any]]:
    """What a card says of the ranks' networks."""
    if not isinstance(value, dict) or not value or not set(value) <= {"apt", "pgt"}:
        raise WireError("'models' of the run card must be of apt, pgt or both.")
    for model in value.values():
        if not isinstance(model, dict) or set(model) != {"sha256", "shares"}:
            raise WireError("A model of the run card must have sha256 and shares.")
        digest, shares = model["sha256"], model["shares"]
        if not isinstance(digest, str) or not _is_name(digest):
            raise WireError("'sha256' of the run card must be a short text.")
        good = shares is None or (
            isinstance(shares, list)
            and len(shares) == n_elements
            and all(type(each) is float and each >= 0 for each in shares)
        )
        if not good:
            raise WireError(
                "'shares' of the run card must be a number for each element."
            )
    return value


def _beads(value: object) -> int:
    if type(value) is not int or not 0 < value <= MAX_BEADS:
        raise WireError(f"'beads' of the run card must be from 1 to {MAX_BEADS}.")
    return value


def _flags(value: object) -> tuple[int, int, int]:
    if (
        not isinstance(value, list)
        or len(value) != 3
        or not all(type(each) is int and each in (0, 1) for each in value)
    ):
        raise WireError("'periodic' of the run card must be three times 0 or 1.")
    return (value[0], value[1], value[2])


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
