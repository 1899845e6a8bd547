"""Stillness: velocities that stay while the atoms move otherwise are none of theirs.

Needs the standard library; Python 3.8 is enough.
"""

from __future__ import annotations

from array import array

from mimyria_driver.lammps.engine import HookError

__all__ = ["Stillness"]


class Stillness:
    """Compares the first frames of a run."""

    def __init__(self) -> None:
        """Nothing was seen yet."""
        self._before: tuple[bytes, bytes, bytes] | None = None

    def check(
        self, ids: bytes, positions: bytes, velocities: bytes, passed: float
    ) -> None:
        """Refuse velocities that stay while the atoms move (fix ipi, rerun).

        The atoms of one rank may fly freely, or be none.

        Args:
            ids: of the atoms of this rank.
            positions: (n, 3) float64, engine's unit.
            velocities: (n, 3) float64, engine's unit.
            passed: time since the frame before, engine's unit.

        Raises:
            HookError: the velocities are the same bytes as in the frame before, and do
                not explain where most atoms went.
        """
        before, self._before = self._before, (ids, positions, velocities)
        if before is None or before[0] != ids or before[2] != velocities:
            return
        if _n_astray(before[1], positions, velocities, passed) > len(positions) // 16:
            raise HookError(
                "The atoms move but their velocities never change, as with fix ipi or "
                "a rerun without velocities. Stream from the program that integrates."
            )


def _n_astray(before: bytes, now: bytes, velocities: bytes, passed: float) -> int:
    """Coordinates that are not where constant velocities lead."""
    old, new, speeds = (array("d", each) for each in (before, now, velocities))
    moved = (passed * each for each in speeds)
    return sum(
        abs(new[k] - old[k] - way) > 1e-6 * abs(way) + 1e-12 * abs(old[k])
        for k, way in enumerate(moved)
    )
