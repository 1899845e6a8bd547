"""IMD, version 3: bytes to session and frames, no I/O.

The server speaks first, then the client says GO:

    handshake │ session info │              frames: time, energies, box, positions,
              │              │ GO ◄──       velocities, forces, as the session says

A header is two big-endian integers, what follows and how many; bodies are in the byte
order of the server, which the handshake shows: its version is the one number in a
header that is not swapped. Numbers are those of the engine; units are not looked at.

Source: IMDv3 protocol, https://imdclient.readthedocs.io/en/latest/protocol_v3.html.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from mimyria.errors import FormatError, FrameError, ProtocolError
from mimyria.frame import Array

__all__ = ["Connection", "Heard", "ImdFrame", "Kind", "Left", "SessionInfo", "message"]

VERSION: Final = 3
_HEADER: Final = struct.Struct(">ii")
_FLAGS: Final = 7


class Kind(enum.IntEnum):
    """First number of a header."""

    DISCONNECT = 0
    ENERGIES = 1
    POSITIONS = 2
    GO = 3
    HANDSHAKE = 4
    PAUSE = 7
    SESSION_INFO = 10
    RESUME = 11
    TIME = 12
    BOX = 13
    VELOCITIES = 14
    FORCES = 15


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """What each frame of a session has, in the order of the bytes that say it."""

    time: bool
    energies: bool
    box: bool
    positions: bool
    wrapped: bool
    velocities: bool
    forces: bool

    def require_all(self) -> None:
        """Refuse a session without something that a frame of ours needs.

        Raises:
            FormatError: names what is missing.
        """
        needed = ("time", "box", "positions", "velocities")
        missing = [name for name in needed if not getattr(self, name)]
        if missing:
            raise FormatError(
                f"the engine sends no {' and no '.join(missing)} by IMD, but "
                f"{', '.join(needed[:-1])} and velocities are all needed. Switch them "
                "on in its input (LAMMPS: `time on box on coordinates on velocities "
                "on`)."
            )


@dataclass(frozen=True, slots=True, eq=False)
class ImdFrame:
    """One frame in the units of the engine.

    Attributes:
        step: MD step.
        time: of the simulation.
        cell: (3, 3) — rows are the lattice vectors.
        positions: (n_atoms, 3).
        velocities: (n_atoms, 3).
    """

    step: int
    time: float
    cell: Array
    positions: Array
    velocities: Array


@dataclass(frozen=True, slots=True)
class Left:
    """The engine said that it leaves."""


Heard = SessionInfo | ImdFrame | Left


def message(kind: Kind, value: int = 0) -> bytes:
    """A message of a client: a header and nothing else."""
    return _HEADER.pack(kind, value)


class Connection:
    """The client's end of one connection; takes bytes in pieces of any size."""

    def __init__(self, n_atoms: int) -> None:
        """Begin before the handshake.

        Args:
            n_atoms: that every frame must have.
        """
        self._n_atoms = n_atoms
        self._bytes = bytearray()
        self._order = ""  # "<" or ">", known from the handshake on
        self._info: SessionInfo | None = None
        self._blocks: tuple[Kind, ...] = ()
        self._found: dict[Kind, bytes] = {}  # of the frame that is under way

    @property
    def is_between_frames(self) -> bool:
        """Whether everything that came was whole, and a frame could begin now."""
        return self._info is not None and not self._bytes and not self._found

    def receive(self, data: bytes) -> Iterator[Heard]:
        """What the bytes say, as far as they are whole.

        Raises:
            FormatError: another version of IMD.
            FrameError: another number of atoms.
            ProtocolError: this is no IMD.
        """
        self._bytes += data
        while (block := self._next_block()) is not None:
            heard = self._take(*block)
            if heard is not None:
                yield heard

    def _next_block(self) -> tuple[Kind, bytes] | None:
        """The next header and its body, if they are whole."""
        if len(self._bytes) < _HEADER.size:
            return None
        kind, value = _HEADER.unpack_from(self._bytes)
        size = 0
        if not self._order:
            self._take_handshake(kind)
        elif kind != Kind.DISCONNECT:
            self._check(kind, value)
            size = self._size_of(Kind(kind))
        end = _HEADER.size + size
        if len(self._bytes) < end:
            return None
        body = bytes(self._bytes[_HEADER.size : end])
        del self._bytes[:end]
        return Kind(kind), body

    def _take(self, kind: Kind, body: bytes) -> Heard | None:
        """What a block completes."""
        if kind is Kind.HANDSHAKE:
            return None
        if kind is Kind.DISCONNECT:
            return Left()
        if self._info is None:
            return self._begin(body)
        self._found[kind] = body
        return self._frame() if len(self._found) == len(self._blocks) else None

    def _take_handshake(self, kind: int) -> None:
        order = next((o for o in "<>" if self._version_in(o) in (2, VERSION)), None)
        if kind != Kind.HANDSHAKE or order is None:
            raise ProtocolError(
                "what answers is no server of IMD: its first message is of the kind "
                f"{kind}. Set source.address to that of the engine."
            )
        if self._version_in(order) != VERSION:
            raise FormatError(
                "the engine speaks IMD version 2, which has no velocities. Switch "
                "version 3 on in its input (LAMMPS: `version 3`), or take a newer one."
            )
        self._order = order

    def _version_in(self, order: str) -> int:
        (version,) = struct.unpack_from(f"{order}i", self._bytes, 4)
        return int(version)

    def _check(self, kind: int, value: int) -> None:
        """Hold a header against what must come now."""
        expected = Kind.SESSION_INFO
        if self._info is not None:
            expected = self._blocks[len(self._found)]
        if kind != expected:
            raise ProtocolError(
                f"the engine must send {expected.name} by IMD now, but sent a message "
                f"of the kind {kind}. Take another version of it."
            )
        if expected in (Kind.POSITIONS, Kind.VELOCITIES, Kind.FORCES):
            if value != self._n_atoms:
                raise FrameError(
                    f"the engine sends {value} atoms, but the settings name "
                    f"{self._n_atoms}. Make source.elements or source.structure agree "
                    "with it, and send all atoms of the system."
                )
        elif value != (_FLAGS if expected is Kind.SESSION_INFO else 1):
            raise ProtocolError(
                f"a message {expected.name} of IMD has the length {value}. Take "
                "another version of the engine."
            )

    def _size_of(self, kind: Kind) -> int:
        fixed = {Kind.SESSION_INFO: _FLAGS, Kind.TIME: 24, Kind.ENERGIES: 40}
        return fixed.get(kind, 36 if kind is Kind.BOX else 12 * self._n_atoms)

    def _begin(self, body: bytes) -> SessionInfo:
        self._info = info = SessionInfo(*(bool(flag) for flag in body))
        order = (
            (info.time, Kind.TIME),
            (info.energies, Kind.ENERGIES),
            (info.box, Kind.BOX),
            (info.positions, Kind.POSITIONS),
            (info.velocities, Kind.VELOCITIES),
            (info.forces, Kind.FORCES),
        )
        self._blocks = tuple(kind for there, kind in order if there)
        info.require_all()
        return info

    def _frame(self) -> ImdFrame:
        found, self._found = self._found, {}
        _, time, step = struct.unpack(f"{self._order}ddq", found[Kind.TIME])
        return ImdFrame(
            step,
            time,
            self._vectors(found[Kind.BOX]),
            self._vectors(found[Kind.POSITIONS]),
            self._vectors(found[Kind.VELOCITIES]),
        )

    def _vectors(self, body: bytes) -> Array:
        vectors = np.frombuffer(body, f"{self._order}f4").astype(np.float64)
        return vectors.reshape(-1, 3)
