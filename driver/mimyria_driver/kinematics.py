"""Kinematics: whether the velocities of a run belong to its positions, by its frames.

Between two frames τ apart, with Δx and Δv what positions and velocities change by and
v̄ the mean of the two velocities,

    share = Σ Δx·v̄ / τ Σ v̄²             1, or more where τ is long
    delay = Σ (Δx − τ v̄)·Δv / Σ Δv²     0

The delay is how much later the positions are than the velocities: a motion at ω whose
velocities are those of t − δ gives sin(ω δ)/ω, whatever τ is, and reversible dynamics
gives zero. The motion of the cell is taken out. No socket, no file.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from mimyria.errors import FrameError
from mimyria.frame import Array, Frame

__all__ = ["Kinematics", "check_clock", "check_motion"]

_PAIRS: Final = 20
_LEAST_SHARE: Final = 0.85
_ERRORS: Final = 5.0
"""Standard errors beyond which a deviation is one."""
_POSSIBLE: Final = (0.2, 5.0)
"""Shares of two frames: vibrations seen every 4 fs reach 3, wrong units begin at 10."""
_CLOCK: Final = 1e-6
"""How far the time between two frames may be off, relative."""
_SAME_CELL: Final = 0.01
"""Relative change beyond which two cells are not those of one motion (they flip)."""


class Kinematics:
    """Looks at the first pairs of frames, and says once what it has found."""

    def __init__(self, time_step: float) -> None:
        """Nothing is known yet.

        Args:
            time_step: of the dynamics, fs.
        """
        self._time_step = time_step
        self._before: Frame | None = None
        self._sums: list[tuple[float, ...]] = []

    def push(self, frame: Frame, previous_step: int) -> str | None:
        """Take the next frame.

        Args:
            frame: with velocities.
            previous_step: of the frame that it follows, −1: of none.

        Returns:
            What the user should look at; None: nothing, or not known yet.
        """
        if len(self._sums) >= _PAIRS:
            return None
        before, self._before = self._before, frame
        if before is None or before.step != previous_step:
            return None
        change = _change(before, frame)
        if change is None:
            return None
        assert before.velocities is not None
        assert frame.velocities is not None
        passed = (frame.step - before.step) * self._time_step
        moved = passed * (before.velocities + frame.velocities) / 2
        gained = frame.velocities - before.velocities
        self._sums.append(
            (
                float(np.vdot(change, moved)),
                float(np.vdot(moved, moved)),
                float(np.vdot(change - moved, gained)),
                float(np.vdot(gained, gained)),
            )
        )
        if len(self._sums) < _PAIRS:
            return None
        self._before = None
        return self._judged()

    @property
    def share(self) -> tuple[float, float]:
        """Of the motion that the velocities amount to, and its standard error."""
        return _ratio(self._sums, 0)

    @property
    def delay(self) -> tuple[float, float]:
        """Of the positions behind the velocities, fs, and its standard error."""
        return _ratio(self._sums, 2)

    def _judged(self) -> str | None:
        share, error = self.share
        if share + _ERRORS * error < _LEAST_SHARE:
            return (
                f"the atoms move by {share:.2f} of what their velocities say: these "
                "are no velocities of these positions (normal modes of a ring polymer, "
                "a wrong unit, or old ones), and the spectra are wrong"
            )
        delay, error = self.delay
        if abs(delay) - _ERRORS * error > self._time_step / 4:
            when = "earlier" if delay > 0 else "later"
            return (
                f"the velocities are {abs(delay):.2f} fs {when} than the positions, as "
                "those of half steps are (gjf vhalf, leap-frog): temperatures, sum "
                "rules and the shapes of lines suffer. Have the engine send those of "
                "full steps"
            )
        return None


def check_clock(
    step: int, apart: int, passed: float, now: float, time_step: float, advice: str
) -> None:
    """Hold the clock of an engine against its steps.

    Args:
        step: of the present frame.
        apart: steps since the frame before.
        passed: time since then by the engine, fs.
        now: time of the present frame by the engine, fs.
        time_step: as the settings have it, fs.
        advice: what to do, a sentence.

    Raises:
        FrameError: steps and time do not agree.
    """
    expected = apart * time_step
    # Times are sums of many steps: they are rounded as the largest of them is.
    if not abs(passed - expected) <= _CLOCK * abs(expected) + 1e-12 * abs(now):
        raise FrameError(
            f"step {step}: {apart} steps take {passed:g} fs, but with "
            f"source.time_step = {time_step:g} fs they must take {expected:g} fs. "
            f"{advice}"
        )


def check_motion(before: Frame, after: Frame, interval: float) -> None:
    """Compare displacements with velocities at once: the share of two frames.

    Args:
        before: a frame.
        after: the next one.
        interval: τ, time between them, fs.

    Raises:
        FrameError: they differ by more than vibrations can.
    """
    assert before.velocities is not None
    assert after.velocities is not None
    moved = _change(before, after)
    if moved is None:
        return
    mean = (before.velocities + after.velocities) / 2
    scale = float((mean**2).sum()) * interval
    # Of atoms at rest the ratio says nothing.
    if not (np.isfinite(scale) and moved.any()):
        return
    ratio = float((moved * mean).sum()) / scale if scale else math.inf
    if not _POSSIBLE[0] <= ratio <= _POSSIBLE[1]:
        raise FrameError(
            f"step {after.step}: in the {interval:g} fs since step {before.step} the "
            f"atoms moved {ratio:.3g} times as far as their velocities say. Time step, "
            "velocities and positions must have the units that the source is said to "
            "have, and be of the same instant."
        )


def _change(before: Frame, frame: Frame) -> Array | None:
    """(n_atoms, 3) Å — how far atoms moved, without the cell; None if it flipped."""
    largest = np.abs(before.cell).max()
    if np.abs(frame.cell - before.cell).max() > _SAME_CELL * largest:
        return None
    change: Array = frame.positions @ np.linalg.inv(frame.cell)
    change -= before.positions @ np.linalg.inv(before.cell)
    change -= np.where(np.array(frame.pbc), np.rint(change), 0.0)
    moved: Array = change @ ((before.cell + frame.cell) / 2)
    return moved


def _ratio(sums: list[tuple[float, ...]], at: int) -> tuple[float, float]:
    """Σ a / Σ b, and its error from the scatter of single pairs."""
    a, b = (np.array([each[k] for each in sums]) for k in (at, at + 1))
    total = float(b.sum())
    if not total > 0:
        return (1.0 if at == 0 else 0.0), math.inf
    ratio = float(a.sum()) / total
    return ratio, float(np.linalg.norm(a - ratio * b)) / total
