"""Mutated messages for the wire, the run card, i-PI's protocol and binary dumps.

    python fuzzing.py [--inputs N] [--seed S] [--target NAME ...]

Every input must be decoded, or refused by the error that is made for it; any other
exception is a failure, printed with what reproduces it. The process may take 48 MiB
more address space than it has at the start, so that one allocation of 64 MB, made of a
number in the input, fails as well. Inputs are valid messages with up to eight
mutations; of most of them the checksum is right again, since otherwise nothing behind
it would ever be reached.
"""

from __future__ import annotations

import argparse
import random
import resource
import struct
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from mimyria.errors import FormatError, FrameError, UnitError
from mimyria.io.dumpatoms import atoms_of
from mimyria.io.lammpsbinary import DumpParser
from mimyria_driver.ipi.protocol import Connection, IpiProtocolError
from mimyria_driver.runcard import RunCard, pack_card, unpack_card
from mimyria_driver.strictjson import unpack_json
from mimyria_driver.wire import (
    Kind,
    Message,
    WireError,
    decode,
    encode,
    pack_box,
    unpack_box,
)

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tests.binary_dumps import stream

ROOM = 48 << 20
CARD = RunCard("LAMMPS 1", "real", ("O", "H"), 0.5, 4, 1.0, 1.0, (1, 1, 0))
EDGES = (0, 1, 2, 3, 7, 8, 127, 128, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1)
DOUBLES = (0.0, -0.0, 1e308, -1e308, 5e-324, float("nan"), float("inf"), -float("inf"))
WORDS = (
    b"NaN", b"-Infinity", b"1e999", b"true", b"null", b'"', b"{", b"}", b"[", b"]",
    b",", b":", b"\\ud800", b"\\u0000", b'"__proto__"', b'"x_"', b"9" * 400, b"-",
    b"0.", b"\xff",
)  # fmt: skip
HEADERS = (
    b"STATUS", b"INIT", b"POSDATA", b"GETFORCE", b"EXIT", b"READY", b"NONSENSE", b"",
)  # fmt: skip
# Where the numbers of the header stand, and how they are packed.
FIELDS = (
    (4, "<H"), (6, "<H"), (8, "<I"), (12, "<I"), (16, "<H"), (18, "<H"), (20, "<I"),
    (24, "<q"), (32, "<q"), (40, "<d"), (48, "<Q"), (56, "<I"),
)  # fmt: skip


def seal(raw: list[bytes]) -> list[bytes]:
    """With a right checksum, if there is a header."""
    if not raw or len(raw[0]) != 64:
        return raw
    value = zlib.crc32(raw[0][:60])
    for part in raw[1:]:
        value = zlib.crc32(part, zlib.crc32(struct.pack("<Q", len(part)), value))
    return [raw[0][:60] + struct.pack("<I", value), *raw[1:]]


def messages(n_local: int = 3) -> list[list[bytes]]:
    """One message of each kind."""
    ids, types, masses = bytes(4 * n_local), bytes(4 * n_local), bytes(8 * n_local)
    box = pack_box([9.0, 0, 0, 0, 9.0, 0, 0, 0, 9.0], [0.0, 0, 0])
    vectors = bytes(24 * n_local)
    parts: dict[Kind, tuple[bytes, ...]] = {
        Kind.HELLO: (pack_card(CARD), ids, types, masses),
        Kind.FRAME: (box, ids, vectors, vectors),
        Kind.SUMS: (box, ids, vectors, vectors, bytes(8)),
    }
    found = []
    for kind in Kind:
        usual = parts.get(kind, ())
        for given in (usual, (b"text",), (b"text", ids)):
            try:
                message = Message(kind, 8, 4, 4.0, 3, n_local, parts=given)
                found.append(encode(message))
            except WireError:
                continue
            break
    return found


def mutated_bytes(rng: random.Random, data: bytes) -> bytes:
    """One change at one place."""
    if not data:
        return rng.randbytes(rng.randrange(20))
    at = rng.randrange(len(data))
    choice = rng.randrange(6)
    if choice == 0:
        return data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]
    if choice == 1:
        return data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]
    if choice == 2:
        return data[:at]
    if choice == 3:
        return data[:at] + rng.randbytes(rng.randrange(1, 30)) + data[at:]
    if choice == 4:
        return data[:at] + data[at + rng.randrange(1, 30) :]
    return data[:at] + rng.choice(WORDS) + data[at:]


def mutated_header(rng: random.Random, header: bytes) -> bytes:
    """One field that lies."""
    if len(header) != 64:
        return mutated_bytes(rng, header)
    at, code = rng.choice(FIELDS)
    size = struct.calcsize(code)
    if code == "<d":
        value = struct.pack(code, rng.choice(DOUBLES))
    elif rng.random() < 0.3:
        value = rng.randbytes(size)
    else:
        number = rng.choice(EDGES) * rng.choice((1, 1, 1, 2**31))
        value = (number % 256**size).to_bytes(size, "little")
    return header[:at] + value + header[at + size :]


def mutated_message(rng: random.Random, raw: list[bytes]) -> list[bytes]:
    """Changes of header, parts, or what parts there are."""
    raw = list(raw)
    for _ in range(rng.randrange(1, 9)):
        choice = rng.randrange(8)
        if not raw or choice == 0:
            raw.insert(rng.randrange(len(raw) + 1), rng.randbytes(rng.randrange(40)))
        elif choice == 1:
            del raw[rng.randrange(len(raw))]
        elif choice == 2:
            one, other = rng.randrange(len(raw)), rng.randrange(len(raw))
            raw[one], raw[other] = raw[other], raw[one]
        elif choice < 6:
            raw[0] = mutated_header(rng, raw[0])
        else:
            at = rng.randrange(len(raw))
            raw[at] = mutated_bytes(rng, raw[at])
    return seal(raw) if rng.random() < 0.7 else raw


SEEDS = messages()


def wire(rng: random.Random) -> str:
    """One message for the decoder, and what follows from it."""
    raw = mutated_message(rng, rng.choice(SEEDS))
    try:
        message = decode(raw)
    except WireError:
        return "refused"
    assert decode(encode(message)) == message
    if message.kind.is_frame:
        unpack_box(message.parts[0])
    if message.kind in (Kind.REJECT, Kind.BYE):
        assert message.text.isprintable()
    if message.kind is Kind.HELLO:
        return card_of(message.parts[0])
    return "decoded"


def card(rng: random.Random, seed: bytes = pack_card(CARD)) -> str:
    """One run card."""
    data = seed
    for _ in range(rng.randrange(1, 9)):
        data = mutated_bytes(rng, data)
    return card_of(data)


def card_of(data: bytes) -> str:
    for read in (unpack_json, unpack_card):
        try:
            read(data)
        except WireError:
            return "refused"
    return "decoded"


def ipi_stream(rng: random.Random) -> bytes:
    """What an i-PI could say in a while, with lies."""
    said = b""
    for _ in range(rng.randrange(1, 8)):
        name = rng.choice(HEADERS)
        said += name.ljust(12)
        if name == b"INIT":
            text = rng.choice((b"", b"dt_fs : 0.5,", b"\xff" * 9))
            length = rng.choice((len(text), len(text), rng.choice(EDGES), -1))
            said += struct.pack("<II", rng.choice(EDGES), length % 2**32) + text
        elif name == b"POSDATA":
            sent = rng.randrange(5)
            n_atoms = rng.choice((sent, sent, sent, rng.choice(EDGES)))
            body = rng.randbytes(24 * sent)
            said += bytes(144) + struct.pack("<I", n_atoms % 2**32) + body
    if rng.random() < 0.3:
        said = mutated_bytes(rng, said)
    return said


def good_ipi_stream(rng: random.Random) -> bytes:
    """A right conversation, mutated at few places."""
    said = b""
    for _ in range(rng.randrange(1, 4)):
        said += b"STATUS".ljust(12) + b"INIT".ljust(12) + struct.pack("<ii", 0, 0)
        said += b"POSDATA".ljust(12) + bytes(144) + struct.pack("<i", 2) + bytes(48)
        said += b"GETFORCE".ljust(12)
    for _ in range(rng.randrange(0, 3)):
        said = mutated_bytes(rng, said)
    return said


def ipi(rng: random.Random) -> str:
    """One conversation, in pieces of any size."""
    make = good_ipi_stream if rng.random() < 0.5 else ipi_stream
    said = make(rng)
    connection = Connection(b"{}", max_atoms=1000)
    at = 0
    try:
        while at < len(said):
            size = rng.choice((1, 12, 100, 10_000))
            connection.receive(said[at : at + size])
            connection.take_outgoing()
            at += size
    except IpiProtocolError:
        return "refused"
    return "decoded"


DUMP = b"".join(stream(3)[0])
# Counts in the head of the first frame: atoms, kind, columns, chunks, size of a chunk.
COUNTS = ((34, 8), (42, 4), (118, 4), (122, 4), (139, 4), (165, 4), (169, 4))


def dump(rng: random.Random) -> str:
    """One binary dump, in pieces of any size, with and without mending."""
    data = DUMP
    if rng.random() < 0.5:
        at, size = rng.choice(COUNTS)
        number = rng.choice(EDGES) * rng.choice((1, 1, -1, 2**20))
        data = data[:at] + (number % 256**size).to_bytes(size, "little")
        data += DUMP[at + size :]
    for _ in range(rng.randrange(0, 5)):
        data = mutated_bytes(rng, data)
    parser = DumpParser(mends=rng.random() < 0.5)
    found, at = 0, 0
    try:
        while at < len(data):
            size = rng.choice((1, 30, 100, 10_000))
            for snapshot in parser.feed(data[at : at + size]):
                atoms_of(snapshot, "real")
                found += 1
            at += size
        parser.finish()
    except (FormatError, FrameError, UnitError):
        return "refused"
    return "decoded" if found else "refused"


TARGETS: dict[str, Callable[[random.Random], str]] = {
    "wire": wire,
    "card": card,
    "ipi": ipi,
    "dump": dump,
}


def limit_memory() -> None:
    """No allocation of `ROOM` bytes can succeed from here on."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    size = pages * resource.getpagesize() + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (size, size))


def fuzz(name: str, n_inputs: int, seed: int) -> str:
    """Run one target; what came of it.

    Raises:
        SystemExit: with the input that did what it must not.
    """
    target = TARGETS[name]
    outcomes: Counter[str] = Counter()
    begin = time.monotonic()
    for number in range(n_inputs):
        try:
            outcomes[target(random.Random(f"{name} {seed} {number}"))] += 1
        except Exception as error:
            sys.exit(
                f"{name}: input {number} of seed {seed} gave {error!r}. Again with "
                f"TARGETS[{name!r}](random.Random('{name} {seed} {number}'))"
            )
    seconds = time.monotonic() - begin
    # Not ru_maxrss: that begins with the parent's.
    status = Path("/proc/self/status").read_text()
    peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
    return (
        f"{name}: {n_inputs} inputs, {outcomes['refused']} refused, "
        f"{outcomes['decoded']} decoded, {seconds:.1f} s, peak {peak:.0f} MiB"
    )


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--target", nargs="+", choices=TARGETS, default=list(TARGETS))
    arguments = parser.parse_args()
    limit_memory()
    sys.stdout.write(f"seed {arguments.seed}\n")
    for name in arguments.target:
        sys.stdout.write(fuzz(name, arguments.inputs, arguments.seed) + "\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
