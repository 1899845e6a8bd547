"""Frames from the hook inside the real LAMMPS against a dump of the same steps."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import zmq

from mimyria_driver.lammps.receiver import LammpsReceiver
from mimyria_driver.sources import Started
from tests.integration.hookruns import (
    STEPS,
    STRIDE,
    TIMEOUT,
    Collected,
    Engine,
    collect,
    die,
    output,
    read_dump,
    run_through,
    script,
    start,
    with_options,
)

pytestmark = pytest.mark.engine

CELL = {
    False: np.diag([16.0, 16.0, 16.0]),
    True: np.array([[16.0, 0, 0], [3.0, 16.0, 0], [-2.5, 1.5, 16.0]]),
}


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize(
    ("units", "triclinic"), [("real", False), ("real", True), ("metal", True)]
)
def test_frames_equal_a_dump_of_the_same_step_bit_for_bit(
    engine: Engine, short_directory: Path, units: str, triclinic: bool, ranks: int
) -> None:
    receiver = LammpsReceiver(f"ipc://{short_directory}/s")
    text = script(receiver.endpoint, units=units)
    process = start(engine, short_directory, text, triclinic=triclinic, ranks=ranks)
    collected = Collected()
    collect(receiver, process, collected)
    log = output(process)
    receiver.close()

    assert process.returncode == 0, log
    assert "LAMMPS" in (short_directory / "log.lammps").read_text()
    assert len(collected.started) == 1
    description = collected.started[0].description
    assert description.engine.startswith("LAMMPS 20")
    assert description.stride == STRIDE
    assert description.time_step == pytest.approx(2.0, rel=1e-15)
    assert [each.reason for each in collected.ended] == ["end of the run"]
    assert collected.steps == list(range(STRIDE, STEPS + 1, STRIDE))
    previous = [each.previous_step for each in collected.frames]
    assert previous == [-1, *range(STRIDE, STEPS, STRIDE)]
    dump = read_dump(short_directory / "check.dump")
    velocity_unit = {"real": 1.0, "metal": 1e-3}[units]
    for arrived in collected.frames:
        frame = arrived.frame
        types, positions, velocities = dump[frame.step]
        np.testing.assert_array_equal(frame.numbers, np.where(types == 1, 18, 10))
        np.testing.assert_array_equal(frame.positions, positions)
        np.testing.assert_array_equal(frame.velocities, velocities * velocity_unit)
        np.testing.assert_allclose(frame.cell, CELL[triclinic], rtol=0, atol=1e-12)
        assert frame.pbc == (True, True, True)
    np.testing.assert_array_equal(
        description.masses, np.where(types == 1, 39.948, 20.1797)
    )


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"units": "lj"}, "this run uses `units lj`"),
        ({"elements": "Ar Xx"}, "'Xx' is no chemical element"),
        ({"elements": "Ne Ar"}, "Atoms of type 1 have the mass 39.948, but Ne has"),
        ({"elements": "Ar"}, "atoms of type 2, but the hook was given 1 elements"),
    ],
)
def test_a_refused_run_ends_lammps_with_one_clear_line(
    engine: Engine,
    short_directory: Path,
    options: dict[str, str],
    line: str,
    ranks: int,
) -> None:
    receiver = LammpsReceiver(f"ipc://{short_directory}/s")
    process = start(
        engine, short_directory, script(receiver.endpoint, **options), ranks=ranks
    )
    collected = Collected()
    collect(receiver, process, collected)
    log = output(process)
    receiver.close()
    assert process.returncode not in (0, None)
    lines = [each for each in log.splitlines() if "mimyria: ERROR: " in each]
    assert lines
    assert all(line in each for each in lines)
    assert "Traceback" not in log
    assert not collected.started
    assert not collected.frames


def test_the_service_can_refuse_a_run(engine: Engine, short_directory: Path) -> None:
    receiver = LammpsReceiver(f"ipc://{short_directory}/s")
    process = start(engine, short_directory, script(receiver.endpoint))
    poller = zmq.Poller()
    poller.register(receiver.pollable, zmq.POLLIN)
    events = []
    while not events and poller.poll(1000 * TIMEOUT):
        events = receiver.receive()
    assert isinstance(events[0], Started)
    receiver.refuse("the model knows no argon")
    log = output(process)
    receiver.close()
    assert process.returncode == 76
    assert "mimyria: ERROR: The driver refuses this run: the model knows no" in log


@pytest.mark.parametrize("ranks", [1, 2])
def test_no_frame_is_lost_or_doubled_when_the_driver_dies_and_comes_back(
    engine: Engine, short_directory: Path, ranks: int
) -> None:
    endpoint = f"ipc://{short_directory}/s"
    steps = 100 * STRIDE
    receiver = LammpsReceiver(endpoint)
    process = start(engine, short_directory, script(endpoint, steps=steps), ranks=ranks)
    before = Collected()
    collect(receiver, process, before, until_frames=31)
    durable = before.steps[-1]
    # Frames that were read after the last acknowledgement die with the driver.
    collect(receiver, process, Collected(), until_frames=5, acknowledge=False)
    die(receiver)

    receiver = LammpsReceiver(endpoint)
    after = Collected()
    collect(receiver, process, after, durable_step=durable)
    log = output(process)
    receiver.close()
    assert process.returncode == 0, log
    assert len(after.started) == 1
    assert before.steps + after.steps == list(range(STRIDE, steps + 1, STRIDE))
    assert after.frames[0].previous_step == durable
    dump = read_dump(short_directory / "check.dump")
    for arrived in before.frames + after.frames:
        _, positions, velocities = dump[arrived.frame.step]
        np.testing.assert_array_equal(arrived.frame.positions, positions)
        np.testing.assert_array_equal(arrived.frame.velocities, velocities)


def test_lammps_waits_for_a_driver_that_starts_late(
    engine: Engine, short_directory: Path
) -> None:
    endpoint = f"ipc://{short_directory}/s"
    process = start(engine, short_directory, script(endpoint))
    assert process.stdout is not None
    for line in process.stdout:
        if "mimyria: waiting for the driver" in line:
            break
    receiver = LammpsReceiver(endpoint)
    collected = Collected()
    collect(receiver, process, collected)
    output(process)
    receiver.close()
    assert collected.steps == list(range(STRIDE, STEPS + 1, STRIDE))


def test_lammps_goes_on_alone_when_the_driver_says_goodbye(
    engine: Engine, short_directory: Path
) -> None:
    receiver = LammpsReceiver(f"ipc://{short_directory}/s")
    process = start(engine, short_directory, script(receiver.endpoint, steps=2000))
    collected = Collected()
    collect(receiver, process, collected, until_frames=5)
    receiver.close()
    log = output(process)
    assert process.returncode == 0, log
    assert "the driver has left (the driver has ended); the run goes on alone" in log


def test_a_step_counter_set_back_goes_on_in_a_new_segment(
    engine: Engine, short_directory: Path
) -> None:
    """Frames after `reset_timestep` are added, and replace none; one place is free."""
    receiver = LammpsReceiver(f"ipc://{short_directory}/s")
    text = script(receiver.endpoint).replace(
        f"run {STEPS}", f"run {STEPS}\nundump check\nreset_timestep 0\nrun {STEPS}"
    )
    collected, log = run_through(engine, short_directory, receiver, text)
    assert len(collected.started) == 2
    assert len(collected.ended) == 1
    first = list(range(STRIDE, STEPS + 1, STRIDE))
    second = [STEPS + STRIDE + step for step in first]
    assert collected.steps == first + second
    assert collected.frames[len(first)].previous_step == -1
    assert (
        f"the steps went back to {STRIDE}; for the driver they go on at {second[0]}"
        in log
    )


def test_the_hook_works_from_settings_in_the_environment(
    engine: Engine, short_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver = LammpsReceiver(f"ipc://{short_directory}/s")
    monkeypatch.setenv("MIMYRIA_ENDPOINT", receiver.endpoint)
    monkeypatch.setenv("MIMYRIA_ELEMENTS", "Ar,Ne")
    monkeypatch.setenv("MIMYRIA_STRIDE", str(STRIDE))
    lines = [
        "python mimyria_frame file mimyria_hook.py" if "file" in line else line
        for line in script(receiver.endpoint).splitlines()
        if "mimyria_start invoke" not in line and "mimyria_finish" not in line
    ]
    process = start(engine, short_directory, "\n".join(lines) + "\n")
    collected = Collected()
    collect(receiver, process, collected)
    output(process)
    receiver.close()
    assert collected.steps == list(range(STRIDE, STEPS + 1, STRIDE))
    assert len(collected.ended) == 1  # said at the exit of Python


@pytest.mark.parametrize("ranks", [1, 2])
def test_nothing_hangs_or_is_lost_when_the_driver_restarts_often_and_fast(
    engine: Engine, short_directory: Path, ranks: int
) -> None:
    """Ranks that learn of a restart at different steps must not wait for each other."""
    endpoint = f"ipc://{short_directory}/s"
    steps = 150 * STRIDE
    receiver = LammpsReceiver(endpoint)
    process = start(engine, short_directory, script(endpoint, steps=steps), ranks=ranks)
    seen: list[int] = []
    durable = -1
    for restart in range(12):
        part = Collected()
        # Also restarts in the middle of a join, when only some ranks have been heard.
        collect(receiver, process, part, durable_step=durable, until_frames=3 + restart)
        seen += part.steps
        durable = part.steps[-1]
        die(receiver)
        receiver = LammpsReceiver(endpoint)
    part = Collected()
    collect(receiver, process, part, durable_step=durable)
    log = output(process)
    receiver.close()
    assert process.returncode == 0, log
    assert seen + part.steps == list(range(STRIDE, steps + 1, STRIDE))


# -- while the driver is away ---------------------------------------------------------


@pytest.mark.parametrize("ranks", [1, 2])
def test_policy_stop_ends_all_ranks_cleanly_with_a_restart_file(
    engine: Engine, short_directory: Path, ranks: int
) -> None:
    text = with_options(script(f"ipc://{short_directory}/s"), '"policy=stop wait=1"')
    process = start(engine, short_directory, text, ranks=ranks)
    log = output(process)
    assert process.returncode == 0, log
    assert f"The run stops at step {STRIDE}." in log
    assert log.count("mimyria.restart holds the state") == 1
    restart = (short_directory / "mimyria.restart").read_bytes()
    assert restart.startswith(b"LammpS RestartT")
    assert b"LammpS RestartT" in restart[-64:]


@pytest.mark.parametrize("ranks", [1, 2])
def test_policy_abort_ends_all_ranks_with_an_error(
    engine: Engine, short_directory: Path, ranks: int
) -> None:
    text = with_options(script(f"ipc://{short_directory}/s"), '"policy=abort wait=1"')
    process = start(engine, short_directory, text, ranks=ranks)
    log = output(process)
    assert process.returncode == 76, log
    assert "ERROR: The driver at" in log
    assert "has confirmed nothing for 1 s" in log


@pytest.mark.parametrize("ranks", [1, 2])
def test_policy_drop_loses_the_same_frames_on_all_ranks(
    engine: Engine, short_directory: Path, ranks: int
) -> None:
    endpoint = f"ipc://{short_directory}/s"
    steps = 3200
    # LAMMPS idles in between: the run must not be over before the driver is back.
    paced = f"run {steps} every 200 'shell sleep 0.7'"
    text = script(endpoint, steps=steps).replace(f"run {steps}", paced)
    text = with_options(text, '"policy=drop wait=0.5"')
    receiver = LammpsReceiver(endpoint)
    process = start(engine, short_directory, text, ranks=ranks)
    before = Collected()
    collect(receiver, process, before, until_frames=30)
    die(receiver)
    assert process.stdout is not None
    for line in process.stdout:
        if "frames are dropped so far" in line:
            break
    receiver = LammpsReceiver(endpoint)
    after = Collected()
    collect(receiver, process, after, durable_step=before.steps[-1])
    log = output(process)
    receiver.close()
    assert process.returncode == 0, log
    assert after.frames
    found = before.frames + after.frames
    got = [each.frame.step for each in found]
    assert got == sorted(set(got))
    n_dropped = steps // STRIDE - len(got)
    assert n_dropped > 0
    assert f"mimyria: {n_dropped} frames were dropped" in log
    # Whoever has no neighbour says so.
    for last, each in zip([-1, *got], found, strict=False):
        assert each.previous_step in (last, -1)
        assert each.previous_step == -1 or each.frame.step == last + STRIDE


def test_a_run_that_is_refused_later_goes_on_alone(
    engine: Engine, short_directory: Path
) -> None:
    """The new driver has other settings: MD is not brought down by that."""
    endpoint = f"ipc://{short_directory}/s"
    receiver = LammpsReceiver(endpoint)
    process = start(engine, short_directory, script(endpoint, steps=2000))
    before = Collected()
    collect(receiver, process, before, until_frames=20)
    die(receiver)
    receiver = LammpsReceiver(endpoint)
    poller = zmq.Poller()
    poller.register(receiver.pollable, zmq.POLLIN)
    events: list[object] = []
    while not events and poller.poll(1000 * TIMEOUT):
        events += receiver.receive()
    receiver.refuse("the journal was written with other models")
    log = output(process)
    receiver.close()
    assert process.returncode == 0, log
    assert (
        "mimyria: ERROR: The driver refuses this run: the journal was written with "
        "other models The run goes on alone; its spectrum ends here." in log
    )


def test_a_frame_before_the_run_and_a_box_that_flips(
    engine: Engine, short_directory: Path
) -> None:
    """`mimyria_frame` by hand gives step 0, once; `run 0` adds nothing."""
    receiver = LammpsReceiver(f"ipc://{short_directory}/s")
    text = script(
        receiver.endpoint,
        extra="fix shear all deform 1 xy erate 0.004 remap x flip yes",
        steps=400,
    ).replace(
        "run 400",
        "python mimyria_frame input 1 SELF format p exists\n"
        "python mimyria_frame invoke\nrun 0\nrun 400",
    )
    collected, _ = run_through(engine, short_directory, receiver, text, triclinic=True)
    assert collected.steps == list(range(0, 401, STRIDE))
    cells = np.array([each.frame.cell for each in collected.frames])
    assert (np.diff(cells[:, 1, 0]) < -10.0).any()  # it has flipped
    np.testing.assert_allclose(np.linalg.det(cells), 16.0**3, rtol=1e-9)


def test_the_newer_whole_restart_file_is_found(tmp_path: Path) -> None:
    from mimyria_driver.lammps.hook import mimyria_newest

    first, second = str(tmp_path / "a"), str(tmp_path / "b")
    assert mimyria_newest(first, second) == "none"
    mark = b"LammpS RestartT\0"
    for age, path in ((100.0, first), (200.0, second)):
        Path(path).write_bytes(mark + bytes(500) + mark)
        os.utime(path, (age, age))
    assert mimyria_newest(first, second) == second
    Path(second).write_bytes(mark + bytes(400))  # killed while it was written
    assert mimyria_newest(first, second) == first
