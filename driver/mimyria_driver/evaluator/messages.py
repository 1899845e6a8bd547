"""Messages between the service and its evaluator: bytes only, no sockets, no pickle.

stream    length u64 · message
message   kind (1 byte) · body

C  settings (JSON), to the child, first      Y  ready: models and device (JSON)
A  groups of the atoms (JSON), to the child
B  a batch of frames, to the child           R  samples of a batch, or of its first
T  the same, to be evaluated twice              frames, where Q comes next
                                             U  a frame that is unusual (JSON)
                                             W  why the batch, evaluated once more, was
                                                another one (JSON)
K  evaluate the canaries, to the child       K  why they are not as before; "" (JSON)
                                             Q  why the next frame has no sample (JSON)
                                             N  a note for people (JSON)
                                             G  the state of the GPU (JSON)
                                             F  the device failed; the child ends (JSON)
                                             E  an error (JSON)
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from mimyria import errors
from mimyria.contributions import Sample
from mimyria.currents import Currents
from mimyria.errors import EvaluatorError, MimyriaError
from mimyria.frame import Array, Beads, Frame
from mimyria.ringpolymer import ring_polymer

__all__ = [
    "ATOMS",
    "BATCH",
    "CANARY",
    "ERROR",
    "FAULT",
    "GPU",
    "NOTE",
    "POISON",
    "READY",
    "RESULT",
    "SETTINGS",
    "TWICE",
    "UNUSUAL",
    "WRONG",
    "Splitter",
    "pack_batch",
    "pack_error",
    "pack_json",
    "pack_samples",
    "pack_text",
    "unpack_batch",
    "unpack_error",
    "unpack_samples",
    "unpack_text",
    "wrap",
]

SETTINGS: Final = b"C"
ATOMS: Final = b"A"
BATCH: Final = b"B"
READY: Final = b"Y"
RESULT: Final = b"R"
CANARY: Final = b"K"
TWICE: Final = b"T"
UNUSUAL: Final = b"U"
WRONG: Final = b"W"
POISON: Final = b"Q"
NOTE: Final = b"N"
GPU: Final = b"G"
FAULT: Final = b"F"
ERROR: Final = b"E"

_LENGTH: Final = struct.Struct("<Q")
_BATCH: Final = struct.Struct("<III3?")
_STEP: Final = struct.Struct("<q")
_SAMPLES: Final = struct.Struct("<Q")
_COLUMNS: Final = 11  # currents, excess and its bead


def wrap(kind: bytes, body: bytes) -> bytes:
    """One message as it goes into the stream."""
    return _LENGTH.pack(len(body) + 1) + kind + body


class Splitter:
    """Cuts a stream of bytes, fed in any pieces, into messages."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[bytes, bytes]]:
        """All messages that are complete now, as (kind, body)."""
        self._buffer += data
        messages = []
        while len(self._buffer) >= _LENGTH.size:
            end = _LENGTH.size + _LENGTH.unpack_from(self._buffer)[0]
            if len(self._buffer) < end:
                break
            message = bytes(self._buffer[_LENGTH.size : end])
            del self._buffer[:end]
            messages.append((message[:1], message[1:]))
        return messages


def pack_json(document: dict[str, Any]) -> bytes:
    """A small table."""
    return json.dumps(document).encode()


def pack_text(text: str) -> bytes:
    """A sentence."""
    return pack_json({"text": text})


def unpack_text(body: bytes) -> str:
    """The inverse of `pack_text`."""
    return str(json.loads(body)["text"])


def pack_batch(frames: Sequence[Frame]) -> bytes:
    """Frames of the same atoms, all with velocities; of ring polymers the beads."""
    first = frames[0]
    n_beads = 0 if first.beads is None else len(first.beads)
    parts = [
        _BATCH.pack(len(frames), first.n_atoms, n_beads, *first.pbc),
        np.ascontiguousarray(first.numbers, dtype="<i8").tobytes(),
    ]
    for frame in frames:
        moving = frame if frame.beads is None else frame.beads
        assert moving.velocities is not None
        parts.append(_STEP.pack(frame.step))
        parts += [
            np.ascontiguousarray(array, dtype="<f8").tobytes()
            for array in (frame.cell, moving.positions, moving.velocities)
        ]
    return b"".join(parts)


def unpack_batch(body: bytes) -> list[Frame]:
    """The inverse of `pack_batch`."""
    n_frames, n_atoms, n_beads, *flags = _BATCH.unpack_from(body)
    pbc = (flags[0], flags[1], flags[2])
    rows = n_atoms * max(1, n_beads)
    offset = _BATCH.size
    numbers = np.frombuffer(body, "<i8", n_atoms, offset).astype(np.int64)
    offset += numbers.nbytes
    frames = []
    for _ in range(n_frames):
        (step,) = _STEP.unpack_from(body, offset)
        offset += _STEP.size
        arrays: list[Array] = []
        for size in (3, rows, rows):
            array = np.frombuffer(body, "<f8", 3 * size, offset).astype(np.float64)
            offset += array.nbytes
            arrays.append(array.reshape(size, 3))
        cell, positions, velocities = arrays
        if not n_beads:
            frames.append(Frame(numbers, positions, cell, velocities, step, pbc=pbc))
            continue
        shape = (n_beads, n_atoms, 3)
        beads = Beads(positions.reshape(shape), velocities.reshape(shape))
        frames.append(ring_polymer(numbers, beads, cell, step, pbc))
    return frames


def pack_samples(samples: Sequence[Sample]) -> bytes:
    """A row for each frame, NaN for what is absent, and what its groups add."""
    flat = [sample.contributions for sample in samples]
    extra = 0 if not flat or flat[0] is None else len(flat[0])
    table = np.full((len(samples), _COLUMNS + extra), np.nan)
    for row, sample in zip(table, samples, strict=True):
        if sample.currents.dipole is not None:
            row[:3] = sample.currents.dipole
        if sample.currents.polarizability is not None:
            row[3:9] = sample.currents.polarizability
        row[9] = sample.excess
        row[10] = sample.bead
        if sample.contributions is not None:
            row[_COLUMNS:] = sample.contributions
    return _SAMPLES.pack(extra) + table.astype("<f8").tobytes()


def unpack_samples(body: bytes) -> list[Sample]:
    """The inverse of `pack_samples`."""
    (extra,) = _SAMPLES.unpack_from(body)
    numbers = np.frombuffer(body, "<f8", offset=_SAMPLES.size).astype(np.float64)
    return [
        Sample(
            Currents(
                None if np.isnan(row[0]) else row[:3],
                None if np.isnan(row[3]) else row[3:9],
            ),
            row[_COLUMNS:] if extra else None,
            float(row[9]),
            int(row[10]),
        )
        for row in numbers.reshape(-1, _COLUMNS + extra)
    ]


def pack_error(error: MimyriaError) -> bytes:
    """The kind and the text of an error."""
    return pack_json({"kind": type(error).__name__, "text": str(error)})


def unpack_error(body: bytes) -> MimyriaError:
    """The same error on the side of the service."""
    document = json.loads(body)
    kind = getattr(errors, document["kind"], EvaluatorError)
    error: MimyriaError = kind(document["text"])
    return error
