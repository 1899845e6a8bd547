"""Credit: how many frames of a run may be under way, by their number and their bytes.

A frame that has no record yet is in memory, at the engine and here. Their number is
what a user chooses; large systems are bounded by bytes as well. One frame always may be
under way, however large it is.
"""

from __future__ import annotations

from typing import Final

__all__ = ["CREDIT_BYTES", "bounded"]

CREDIT_BYTES: Final = 64 << 20
"""Bytes of frames that one engine may have under way."""

_ATOM_BYTES: Final = 56
"""Of an atom in a frame: position, velocity, and an id of eight bytes."""


def bounded(n_frames: int, n_atoms: int, least: int = 1) -> int:
    """So many frames, or as many of them as there is room for.

    Args:
        n_frames: wanted.
        n_atoms: of a frame.
        least: whatever their size.
    """
    room = CREDIT_BYTES // (_ATOM_BYTES * max(1, n_atoms))
    return min(n_frames, max(least, room))
