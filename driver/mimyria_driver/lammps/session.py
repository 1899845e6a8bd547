"""One run of an engine as its messages tell it: ranks joined to whole frames.

This module knows the messages of `mimyria_driver.wire` and the types of `sources`, and
no socket. A session begins with the HELLO of every rank; from then on it takes FRAME
(or SUMS) messages in any order over the ranks and gives each step once, in rising
order, with the atoms sorted by id.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mimyria.errors import FrameError
from mimyria.frame import Array, Beads, Frame
from mimyria.ringpolymer import ring_polymer
from mimyria_driver.lammps.elements import numbers_of
from mimyria_driver.lammps.summing import engine_models, joined_sums
from mimyria_driver.runcard import RunCard, unpack_card
from mimyria_driver.sources import Arrived, RunDescription
from mimyria_driver.wire import Kind, Message, unpack_box

__all__ = ["Session"]

_MAX_PENDING = 64  # steps, far above any window
_CLOCK = 1e-6  # how far a time may be from step x time step, relative
_MAX_STEP = 2**53  # above, a time is no longer exact
_Ids = NDArray[np.int64]


class Session:
    """The frames of one run, joined."""

    def __init__(self, hellos: Mapping[int, Message]) -> None:
        """Check what the ranks say about themselves.

        Args:
            hellos: the HELLO of each rank, all ranks.

        Raises:
            FrameError: they do not agree, or types and masses do not fit the elements.
            WireError: a run card is not valid.
        """
        greetings = [hellos[rank] for rank in sorted(hellos)]
        self.n_ranks = len(greetings)
        self.n_atoms = greetings[0].n_atoms
        self.card = _same_card(greetings)
        ids = np.concatenate([_ids(each.parts[1], each.n_local) for each in greetings])
        order = np.argsort(ids)
        self._ids: _Ids = ids[order]
        _check_ids(self._ids, self.n_atoms)
        types = _concatenate(greetings, 2, np.dtype("<i4"))[order]
        masses = _concatenate(greetings, 3, np.dtype("<f8"))[order].astype(np.float64)
        elements = {kind: each for kind, each in enumerate(self.card.elements, 1)}
        self._numbers, _ = numbers_of(types.astype(np.int64), elements, masses)
        self._kinds = engine_models(self.card, types, masses)
        self.description = RunDescription(
            self.card.engine,
            self._numbers,
            masses,
            self.card.time_step,
            self.card.stride,
            self._kinds,
            self.card.beads,
        )
        self._pending: dict[int, dict[int, Message]] = {}
        self._last_step = -1

    @property
    def last_step(self) -> int:
        """Step of the last frame given, −1 before the first one."""
        return self._last_step

    def start_after(self, step: int) -> None:
        """Treat all frames up to this step as known."""
        self._last_step = max(self._last_step, step)

    def add(self, message: Message) -> list[Arrived]:
        """Take the frame of one rank; give the frames that are now whole.

        Raises:
            FrameError: the atoms are not those of the HELLO, or ranks disagree.
        """
        wanted = Kind.FRAME if self.card.models is None else Kind.SUMS
        if self.card.beads:
            wanted = Kind.BEADS
        if not message.kind.is_frame:
            raise ValueError("only a FRAME or SUMS can be joined")
        if message.kind is not wanted:
            raise FrameError(
                f"step {message.step}: the run began with messages {wanted.name}, but "
                f"now sends {message.kind.name}. Ranks ask networks from the first "
                "frame on, or not at all."
            )
        if message.n_atoms != self.n_atoms:
            raise FrameError(
                f"step {message.step}: the run began with {self.n_atoms} atoms, but "
                f"now has {message.n_atoms}. Atoms must be neither lost nor inserted."
            )
        self._check_clock(message)
        if message.step <= self._last_step:
            return []
        self._pending.setdefault(message.step, {})[message.rank] = message
        if len(self._pending) > _MAX_PENDING:
            raise FrameError(
                f"step {message.step}: frames of {_MAX_PENDING} steps wait for a rank "
                "that does not send. Look at the engine's log."
            )
        arrived = []
        while True:
            step = min(self._pending, default=-1)
            parts = self._pending.get(step, {})
            if len(parts) < self.n_ranks:
                break
            frame = self._join([parts[rank] for rank in sorted(parts)])
            if frame.previous_step > self._last_step:
                break  # the frame before it is still under way
            del self._pending[step]
            self._last_step = step
            arrived.append(frame)
        return arrived

    def _check_clock(self, message: Message) -> None:
        """Refuse a step whose time is not that of the card."""
        expected = message.step * self.card.time_step
        near = abs(message.time - expected) <= _CLOCK * max(1.0, abs(expected))
        if not near or message.step > _MAX_STEP:
            raise FrameError(
                f"step {message.step}: its time must be {expected:g} fs (time step "
                f"{self.card.time_step:g} fs), but is {message.time:g} fs. The time "
                "step must not change within a run."
            )

    def _join(self, parts: list[Message]) -> Arrived:
        step = parts[0].step
        if len({(each.previous_step, each.time, each.parts[0]) for each in parts}) > 1:
            raise FrameError(
                f"step {step}: the ranks disagree about box, time or the step before. "
                "Two engines seem to send to one driver; give each its own."
            )
        ids = np.concatenate([_ids(each.parts[1], each.n_local) for each in parts])
        order = np.argsort(ids)
        if len(ids) != self.n_atoms or not np.array_equal(ids[order], self._ids):
            raise FrameError(
                f"step {step}: the {len(ids)} atom ids are not those the run began "
                f"with ({self.n_atoms} atoms). Atoms must be neither lost nor inserted."
            )
        frame = self._frame(parts, order, step)
        summed = None
        if self._kinds is not None:
            raws = [each.parts[4] for each in parts]
            summed = joined_sums(raws, self._kinds.n_kinds, step)
        return Arrived(frame, parts[0].previous_step, summed)

    def _frame(self, parts: list[Message], order: _Ids, step: int) -> Frame:
        rows, _ = unpack_box(parts[0].parts[0])
        length = 1.0 / self.card.angstrom
        cell = np.array(rows).reshape(3, 3) * length
        x, y, z = (bool(flag) for flag in self.card.periodic)
        # Positions stay where the engine has them: the origin of the box means nothing
        # to a periodic system, and so they equal a dump of the same step.
        positions = self._vectors(parts, 2, step)[order] * length
        velocities = self._vectors(parts, 3, step)[order]
        velocities = velocities * (self.card.femtosecond / self.card.angstrom)
        if not self.card.beads:
            return Frame(
                self._numbers,
                positions[:, 0],
                cell,
                velocities[:, 0],
                step,
                pbc=(x, y, z),
            )
        beads = Beads(
            np.ascontiguousarray(positions.swapaxes(0, 1)),
            np.ascontiguousarray(velocities.swapaxes(0, 1)),
        )
        return ring_polymer(self._numbers, beads, cell, step, (x, y, z))

    def _vectors(self, messages: list[Message], part: int, step: int) -> Array:
        """(n_atoms, n_beads or 1, 3) of all ranks, in their order."""
        n_beads = max(1, self.card.beads)
        flat = _concatenate(messages, part, np.dtype("<f8")).astype(np.float64)
        if len(flat) != 3 * n_beads * self.n_atoms:
            raise FrameError(
                f"step {step}: the run began with {n_beads} beads, but now has "
                f"{len(flat) // (3 * self.n_atoms)}. The number must stay the same."
            )
        return flat.reshape(self.n_atoms, n_beads, 3)


def _same_card(hellos: list[Message]) -> RunCard:
    if len({(each.parts[0], each.n_atoms, each.n_ranks) for each in hellos}) > 1:
        raise FrameError(
            "The MPI ranks describe different runs. Two engines seem to send to one "
            "driver; give each its own."
        )
    card = unpack_card(hellos[0].parts[0])
    if card.units == "lj":
        raise FrameError("A spectrum needs physical units, but the run uses lj units.")
    return card


def _ids(raw: bytes, n_local: int) -> _Ids:
    small = len(raw) == 4 * n_local
    return np.frombuffer(raw, "<i4" if small else "<i8").astype(np.int64)


def _check_ids(ids: _Ids, n_atoms: int) -> None:
    if len(ids) != n_atoms or n_atoms == 0:
        raise FrameError(
            f"The run has {n_atoms} atoms, but the ranks sent {len(ids)}. "
            "Atoms were lost, or a rank is missing."
        )
    if (np.diff(ids) <= 0).any():
        raise FrameError("Atom ids must be unique; use `reset_atom_ids` in LAMMPS.")


def _concatenate(
    messages: list[Message], part: int, dtype: np.dtype[np.generic]
) -> NDArray[np.generic]:
    return np.concatenate([np.frombuffer(each.parts[part], dtype) for each in messages])
