"""Messages: what is told of an engine at its present step, HELLO and the frame.

Python 3.8 and the standard library are enough.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from mimyria_driver.lammps.anyengine import AnyEngine
from mimyria_driver.runcard import pack_card
from mimyria_driver.wire import Kind, Message, pack_box

__all__ = ["Networks", "frame_message", "hello_message"]


class Networks:
    """Networks that a rank asks about its own atoms; see `mimyria_driver.domain`.

    Attributes:
        models: what they are, see `RunCard`.
    """

    models: dict[str, dict[str, Any]]

    def sums(self) -> bytes:
        """What they add up at the present step."""
        raise NotImplementedError


def hello_message(
    engine: AnyEngine,
    elements: tuple[str, ...],
    stride: int,
    step: int,
    networks: Networks | None,
) -> Message:
    """What introduces a run, with the rank and a number of this incarnation.

    Args:
        engine: at the first step that is sent.
        elements: chemical symbol of each atom type.
        stride: MD steps from one frame to the next.
        step: the first one, as the driver is to count it.
        networks: those that this rank asks itself, or None.
    """
    card = engine.card(elements, stride)
    if networks is not None:
        card = replace(card, models=networks.models)
    # Kept and sent again as it is: after a reconnection the atoms of two ranks could
    # otherwise be those of two different steps.
    return Message(
        Kind.HELLO,
        step=step,
        n_atoms=engine.n_atoms,
        n_local=engine.n_local,
        parts=(pack_card(card), engine.ids(), engine.types(), engine.masses()),
        rank=engine.rank,
        n_ranks=engine.n_ranks,
        incarnation=int.from_bytes(os.urandom(8), "little"),
    )


def frame_message(
    engine: AnyEngine,
    atoms: tuple[bytes, bytes, bytes],
    steps: tuple[int, int],
    time_step: float,
    networks: Networks | None,
) -> Message:
    """The present frame.

    Args:
        engine: at this frame.
        atoms: their ids, positions and velocities.
        steps: of this frame and of the one before it, −1 for none.
        time_step: of the run, engine's unit.
        networks: those that this rank asks itself, or None.
    """
    step, previous = steps
    rows, origin, _ = engine.box()
    parts: tuple[bytes, ...] = (pack_box(rows, origin), *atoms)
    kind = Kind.BEADS if engine.n_beads else Kind.FRAME
    if networks is not None:
        kind, parts = Kind.SUMS, (*parts, networks.sums())
    return Message(
        kind,
        step=step,
        previous_step=previous,
        time=step * time_step / engine.real("femtosecond"),
        n_atoms=engine.n_atoms,
        n_local=engine.n_local,
        parts=parts,
    )
