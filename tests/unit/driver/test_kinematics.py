"""Velocities of other times, units and coordinates than the positions are noticed."""

from __future__ import annotations

import numpy as np
import pytest

from mimyria.frame import Frame
from mimyria_driver.kinematics import Kinematics

TIME_STEP, STRIDE = 0.5, 4
CELL = np.array([[9.0, 0.0, 0.0], [2.0, 8.0, 0.0], [-3.0, 1.0, 7.0]])
N_FRAMES = 21


def frames(rng, *, delay=0.0, scale=1.0, n_atoms=60, stride=STRIDE):
    """Atoms in wells up to 3700 cm⁻¹ that drift through a cell that breathes."""
    frequency = rng.uniform(0.05, 0.7, (n_atoms, 3))  # rad/fs
    amplitude = 0.01 / frequency
    phase = rng.uniform(0, 2 * np.pi, (n_atoms, 3))
    begin = rng.uniform(0, 9, (n_atoms, 3))
    drift = rng.normal(scale=0.003, size=(n_atoms, 3))
    made = []
    for index in range(N_FRAMES):
        step = index * stride
        t = step * TIME_STEP
        breath = 1 + 0.002 * np.sin(0.05 * t)
        x = begin + drift * t + amplitude * np.sin(frequency * t + phase)
        v = drift + amplitude * frequency * np.cos(frequency * (t - delay) + phase)
        fractional = (x * breath) @ np.linalg.inv(CELL * breath)
        inside = (fractional - np.floor(fractional)) @ (CELL * breath)
        made.append(
            Frame(np.full(n_atoms, 8), inside, CELL * breath, scale * v, step=step)
        )
    return made


def looked_at(made):
    kinematics = Kinematics(TIME_STEP)
    said = []
    for before, frame in zip([None, *made], made, strict=False):
        said.append(kinematics.push(frame, -1 if before is None else before.step))
    return kinematics, [each for each in said if each]


@pytest.mark.parametrize("stride", [1, 4, 8])
def test_velocities_of_full_steps_pass_in_a_skewed_cell_that_breathes(rng, stride):
    kinematics, said = looked_at(frames(rng, stride=stride))
    delay, error = kinematics.delay
    assert abs(delay) < 3 * error < 0.1
    share, error = kinematics.share
    assert share > 1 - 3 * error
    assert said == []


@pytest.mark.parametrize("stride", [1, 4])
@pytest.mark.parametrize("sign", [1, -1])
def test_velocities_of_half_steps_are_said_with_how_far_they_are_off(rng, sign, stride):
    delay = sign * TIME_STEP / 2
    kinematics, said = looked_at(frames(rng, delay=delay, stride=stride))
    found, error = kinematics.delay
    assert found == pytest.approx(delay, abs=max(3 * error, 0.02))
    (text,) = said
    when = "earlier" if sign > 0 else "later"
    assert f"fs {when} than the positions, as those of half steps are" in text


def test_velocities_in_a_wrong_unit_are_said(rng):
    _, said = looked_at(frames(rng, scale=1.8897))
    assert "the atoms move by 0.5" in said[0]


def test_normal_modes_of_two_beads_are_said(rng):
    """The first bead is (a + b)/√2, and a's velocity is given for it."""
    a, b = frames(rng), frames(rng)
    mixed = [
        Frame(
            one.numbers,
            CELL.mean() + (one.positions + other.positions) / np.sqrt(2),
            np.diag([1e3, 1e3, 1e3]),
            one.velocities,
            step=one.step,
            pbc=(False, False, False),
        )
        for one, other in zip(unwrapped(a), unwrapped(b), strict=True)
    ]
    kinematics, said = looked_at(mixed)
    share, error = kinematics.share
    assert share == pytest.approx(1 / np.sqrt(2), abs=max(4 * error, 0.05))
    assert "no velocities of these positions" in said[0]


def unwrapped(made):
    """The same motion without jumps over the borders."""
    before = made[0]
    yield before
    for frame in made[1:]:
        step = (frame.positions - before.positions) @ np.linalg.inv(frame.cell)
        moved = before.positions + (step - np.rint(step)) @ frame.cell
        before = Frame(
            frame.numbers, moved, frame.cell, frame.velocities, step=frame.step
        )
        yield before


def test_only_frames_that_follow_each_other_are_compared(rng):
    kinematics = Kinematics(TIME_STEP)
    for frame in frames(rng, delay=0.25):
        assert kinematics.push(frame, -1) is None
    assert kinematics.delay == (0.0, np.inf)


def test_atoms_at_rest_are_no_reason_for_a_word(rng):
    frame = frames(rng)[0]
    still = [
        Frame(frame.numbers, frame.positions, CELL, 0 * frame.velocities, step=step)
        for step in range(0, N_FRAMES * STRIDE, STRIDE)
    ]
    _, said = looked_at(still)
    assert said == []


def test_a_cell_that_flips_is_passed_over(rng):
    made = frames(rng)
    flipped = CELL + np.array([[0, 0, 0], [-9.0, 0, 0], [0, 0, 0]])
    made[5] = Frame(
        made[5].numbers, made[5].positions, flipped, made[5].velocities, made[5].step
    )
    kinematics, said = looked_at(made)
    assert said == []
    assert len(kinematics._sums) == N_FRAMES - 1 - 2
