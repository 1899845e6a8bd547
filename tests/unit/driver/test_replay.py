import numpy as np
import pytest

from mimyria.errors import FormatError, FrameError, UnitError
from mimyria_driver.assembly import build_source
from mimyria_driver.replay import ReplaySource
from mimyria_driver.sequence import Sequencer
from mimyria_driver.settings import parse_settings
from mimyria_driver.sources import Arrived, Ended, Started


def write(path, steps, velocities=True, unit="Angstrom/fs", numbered=True):
    rng = np.random.default_rng(0)
    lines = []
    for step in steps:
        columns = "species:S:1:pos:R:3" + (":velocities:R:3" if velocities else "")
        entries = ['Lattice="8 0 0 0 8 0 0 0 8"', f"Properties={columns}"]
        if unit:
            entries.append(f'velocities_unit="{unit}"')
        if numbered:
            entries.append(f"step={step}")
        lines += ["3", " ".join([*entries, 'pbc="T T T"'])]
        for symbol in "OHH":
            numbers = rng.normal(size=6 if velocities else 3)
            lines.append(" ".join([symbol, *(f"{x:.17g}" for x in numbers)]))
    path.write_text("\n".join(lines) + "\n")
    return path


def drain(source, durable=-1):
    (started,) = source.receive()
    assert isinstance(started, Started)
    source.accept(durable)
    events = []
    while not events or not isinstance(events[-1], Ended):
        events += source.receive()
    source.close()
    return started.description, [e for e in events if isinstance(e, Arrived)]


def test_steps_are_those_of_the_file(tmp_path):
    path = write(tmp_path / "a.extxyz", [40, 50, 60, 80])
    description, arrived = drain(ReplaySource(path, 0.5, 10))
    assert description.interval == 5.0
    np.testing.assert_allclose(description.masses, [15.999, 1.008, 1.008])
    assert [(a.frame.step, a.previous_step) for a in arrived] == [
        (40, -1),
        (50, 40),
        (60, 50),
        (80, 60),
    ]


def test_frames_without_steps_are_counted_in_strides(tmp_path):
    path = write(tmp_path / "a.extxyz", range(6), numbered=False)
    _, arrived = drain(ReplaySource(path, 0.5, 4))
    assert [a.frame.step for a in arrived] == [0, 4, 8, 12, 16, 20]


def test_replay_goes_on_behind_what_is_durable(tmp_path):
    path = write(tmp_path / "a.extxyz", range(6), numbered=False)
    _, arrived = drain(ReplaySource(path, 0.5, 4), durable=8)
    assert [(a.frame.step, a.previous_step) for a in arrived] == [
        (12, 8),
        (16, 12),
        (20, 16),
    ]


def test_stride_that_is_not_that_of_the_file_is_refused(tmp_path):
    path = write(tmp_path / "a.extxyz", [0, 10, 20])
    with pytest.raises(FrameError, match="10 steps apart, but the stride is 4"):
        ReplaySource(path, 0.5, 4)


def test_single_frame_is_a_trajectory(tmp_path):
    _, arrived = drain(ReplaySource(write(tmp_path / "a.extxyz", [0]), 0.5, 4))
    assert len(arrived) == 1


def test_nothing_is_sent_before_the_answer(tmp_path):
    source = ReplaySource(write(tmp_path / "a.extxyz", [0, 4]), 0.5, 4)
    source.receive()
    assert source.receive() == []
    source.refuse("no")
    assert source.receive() == []


def test_absent_trajectory_is_named(tmp_path):
    with pytest.raises(FormatError, match=r"b.extxyz: there is no such trajectory"):
        ReplaySource(tmp_path / "b.extxyz", 0.5, 4)


def test_velocities_without_unit_are_refused_unless_told(tmp_path):
    path = write(tmp_path / "a.extxyz", [0, 4], unit=None)
    with pytest.raises(UnitError, match="velocities_unit"):
        ReplaySource(path, 0.5, 4)
    drain(ReplaySource(path, 0.5, 4, velocities_unit="Angstrom/fs"))


def test_several_trajectories_are_segments_of_their_own(tmp_path):
    first = write(tmp_path / "a.extxyz", [40, 50, 60])
    second = write(tmp_path / "b.extxyz", [40, 50])
    third = write(tmp_path / "c.extxyz", range(3), numbered=False)
    source = ReplaySource([first, second, third], 0.5, 10)
    assert 0 <= source.progress <= 1 / 3
    description, arrived = drain(source)
    assert description.engine == "replay of a.extxyz and 2 more"
    assert [(a.frame.step, a.previous_step) for a in arrived] == [
        *((40, -1), (50, 40), (60, 50)),
        *((80, -1), (90, 80)),
        *((110, -1), (120, 110), (130, 120)),
    ]
    assert source.progress == 1.0
    sequencer = Sequencer(10)
    places = [
        sequencer.place(a.frame.step, a.previous_step, bytes(8)).previous_step
        for a in arrived
    ]
    assert places == [-1, 40, 50, -1, 80, -1, 110, 120]


def test_several_trajectories_go_on_behind_what_is_durable(tmp_path):
    paths = [write(tmp_path / f"{name}.extxyz", [0, 10, 20]) for name in "ab"]
    _, arrived = drain(ReplaySource(paths, 0.5, 10), durable=50)
    assert [(a.frame.step, a.previous_step) for a in arrived] == [(60, 50)]
    _, arrived = drain(ReplaySource(paths, 0.5, 10), durable=20)
    assert [(a.frame.step, a.previous_step) for a in arrived] == [
        (40, -1),
        (50, 40),
        (60, 50),
    ]


def test_a_trajectory_without_velocities_is_refused(tmp_path):
    path = write(tmp_path / "a.extxyz", [0, 10], velocities=False, unit=None)
    with pytest.raises(FrameError, match="has no velocities"):
        ReplaySource(path, 0.5, 10)


def test_settings_name_several_trajectories_and_the_elements_of_types(tmp_path):
    for name in ("a.dump", "b.txt"):
        lines = []
        for step in (0, 4):
            lines += [f"ITEM: TIMESTEP\n{step}\nITEM: NUMBER OF ATOMS\n2"]
            lines += ["ITEM: BOX BOUNDS pp pp pp\n0 8\n0 8\n0 8"]
            lines += ["ITEM: ATOMS id type x y z vx vy vz"]
            lines += ["2 1 1 0 0 4 5 6\n1 2 0 0 0 1 2 3"]
        (tmp_path / name).write_text("\n".join(lines) + "\n")
    document = {
        "source": {
            "kind": "replay",
            "path": "a.dump",
            "more": ["b.txt"],
            "format": "lammps",
            "types": ["1=O", "2=H"],
            "velocities_unit": "Angstrom/ps",
            "time_step": 0.5,
            "stride": 4,
        },
        "models": {"apt": "water-compact-apt"},
    }
    description, arrived = drain(build_source(parse_settings(document, tmp_path)))
    assert description.numbers.tolist() == [1, 8]
    assert [(a.frame.step, a.previous_step) for a in arrived] == [
        (0, -1),
        (4, 0),
        (12, -1),
        (16, 12),
    ]
    np.testing.assert_allclose(arrived[0].frame.velocities[1], [4e-3, 5e-3, 6e-3])
