"""Replies: what the driver says to the ranks of an engine, as messages.

It knows the protocol and what an engine may have under way, and no socket.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from mimyria_driver.credit import CREDIT_BYTES, bounded
from mimyria_driver.wire import MAX_CREDIT_BYTES, MAX_TEXT_BYTES, Kind, Message

__all__ = ["CREDIT", "early_welcome", "gap", "most_early", "reply", "welcome"]

CREDIT: Final = 12
"""Frames that an engine may have under way."""

# What a rank may send beyond its window while a new driver waits for the other ranks.
# They hear of it in their next call only, and make no step until this one does.
_ADVANCE: Final = 8


def reply(message: Message, kind: Kind, *, step: int = -1, text: str = "") -> Message:
    """A message to the rank that sent one."""
    has_text = kind in (Kind.REJECT, Kind.BYE, Kind.NOTE)
    return Message(
        kind,
        step=step,
        rank=message.rank,
        n_ranks=message.n_ranks,
        incarnation=message.incarnation,
        parts=(text.encode()[:MAX_TEXT_BYTES],) if has_text else (),
    )


def welcome(hello: Message, step: int) -> Message:
    """The run goes on after a step; a rank may send its part of what all may."""
    return replace(
        reply(hello, Kind.WELCOME, step=step),
        credit=bounded(CREDIT, hello.n_atoms),
        credit_bytes=CREDIT_BYTES // hello.n_ranks,
    )


def early_welcome(hello: Message) -> Message:
    """To a rank that had a driver before, while the other ranks have not called.

    Frames alone count: were it to wait here, the others would never call.
    """
    credit = min(hello.credit, bounded(CREDIT, hello.n_atoms)) + _ADVANCE
    return replace(
        reply(hello, Kind.WELCOME), credit=credit, credit_bytes=MAX_CREDIT_BYTES
    )


def most_early(message: Message) -> int:
    """Messages that all ranks together may send before the last one has called."""
    return (bounded(CREDIT, message.n_atoms) + _ADVANCE) * message.n_ranks


def gap(durable_step: int, begin: int, stride: int) -> str:
    """What the engine's log is told about frames that nobody has."""
    missing = (begin - durable_step - 1) // stride
    return (
        f"the driver has frames up to step {durable_step}, but this run begins at step "
        f"{begin}: {missing} frames are missing, and a new segment begins. Start from "
        "an older restart file to have them."
    )
