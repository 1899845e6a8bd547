"""Choosing: what is held out, what keeps away from it, what is read of the files."""

import numpy as np
import pytest
from ase.data import atomic_masses

from mimyria.autotrain.choosing import (
    Candidates,
    choose_frames,
    draw_test_frames,
    pool_frames,
)
from mimyria.autotrain.evaluation import Evaluation
from mimyria.autotrain.settings import load_settings
from mimyria.autotrain.trajectoryset import (
    TrajectorySet,
    quick_digest,
    survey,
)
from mimyria.errors import (
    FormatError,
    FrameError,
    IncompatibleError,
    SettingsError,
    UnitError,
)
from mimyria.frame import Frame
from mimyria.io import LabelledFrame, write_extxyz
from mimyria.kinetics import kinetic_temperature
from mimyria.tensors import Tensors
from mimyria.units import BOLTZMANN

SETTINGS = """\
[autotrain]
trajectories = ["a.extxyz", "b.extxyz"]
pool = ["pool.extxyz", "later.extxyz"]
test_frames = 4
first_frames = 5
frames_per_cycle = 3
[dynamics]
interval = 10.0
[code]
kind = "tblite"
method = "GFN1-xTB"
"""


def frame(rng, step, numbers=(8, 1, 1), scale=0.3, velocities=True, cell=10.0):
    rest = np.array([[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])[: len(numbers)]
    return Frame(
        np.array(numbers),
        5 + rest + rng.uniform(-scale, scale, rest.shape),
        cell * np.eye(3),
        1e-2 * rng.normal(size=rest.shape) if velocities else None,
        step,
    )


def write(path, frames):
    write_extxyz(path, [LabelledFrame(each, Tensors()) for each in frames])


@pytest.fixture
def settings(tmp_path, rng):
    write(tmp_path / "a.extxyz", [frame(rng, 4 * k) for k in range(40)])
    write(tmp_path / "b.extxyz", [frame(rng, 4 * k) for k in range(30)])
    (tmp_path / "run.toml").write_text(SETTINGS)
    return load_settings(tmp_path / "run.toml")


@pytest.fixture
def candidates(settings):
    frames = TrajectorySet(tuple(settings.files(settings.autotrain.trajectories)))
    facts, _ = survey(frames)
    return Candidates(frames, facts, 10.0)


def places(chosen):
    return [int(each.info["place"]) for each in chosen]


def test_what_is_known_of_files(settings, candidates):
    first, second = candidates.facts
    assert (first.name, first.n_frames, first.stride, first.gaps) == (
        "a.extxyz",
        40,
        4,
        0,
    )
    assert second.volume == pytest.approx(1000)
    path = settings.files(settings.autotrain.trajectories)[0]
    assert first.digest == quick_digest(path)
    with path.open("a") as file:
        file.write("\n")
    assert first.digest != quick_digest(path)


def test_temperature_is_twice_the_kinetic_energy_over_its_degrees_of_freedom(rng):
    each = frame(rng, 0)
    naive = 0.0
    for mass, velocity in zip(atomic_masses[[8, 1, 1]], each.velocities, strict=True):
        naive += mass * float(velocity @ velocity)
    assert kinetic_temperature(
        atomic_masses[each.numbers], each.velocities
    ) == pytest.approx(naive / (6 * BOLTZMANN))


@pytest.mark.parametrize(
    ("frames", "error", "text"),
    [
        (lambda rng: [frame(rng, 0)], FrameError, "has 1 frames; a spectrum needs"),
        (
            lambda rng: [frame(rng, k, numbers=(1, 8, 1)) for k in range(3)],
            IncompatibleError,
            "the atoms are others than those of the first frame of a.extxyz",
        ),
        (
            lambda rng: [frame(rng, 2 * k) for k in range(3)],
            IncompatibleError,
            "has a frame every 2 steps and a.extxyz every 4",
        ),
        (
            lambda rng: [frame(rng, k, velocities=False) for k in range(3)],
            FrameError,
            "there are no velocities",
        ),
        (
            lambda rng: [frame(rng, k, cell=0.0) for k in range(3)],
            FrameError,
            "step 0: there is no cell, and spectra are per volume",
        ),
    ],
)
def test_files_of_another_kind_are_refused(settings, rng, frames, error, text):
    first, second = settings.files(settings.autotrain.trajectories)
    write(second, frames(rng))
    with pytest.raises(error, match=text):
        survey(TrajectorySet((first, second)))


DUMP = """\
ITEM: TIMESTEP
0
ITEM: NUMBER OF ATOMS
1
ITEM: BOX BOUNDS pp pp pp
0 2
0 2
0 2
ITEM: ATOMS id type x y z vx vy vz
1 1 0 0 0 1 2 3
"""


def test_a_unit_or_an_element_that_is_missing_is_asked_for_by_its_setting(tmp_path):
    dump, extended = tmp_path / "a.dump", tmp_path / "a.extxyz"
    dump.write_text(DUMP)
    extended.write_text(
        '1\nProperties=species:S:1:pos:R:3:velocities:R:3 Lattice="2 0 0 0 2 0 0 0 2"\n'
        "H 0 0 0 1 2 3\n"
    )
    unit = "this is velocities_unit in the section [dynamics]."
    for path, advice in ((dump, "dump_modify ... units yes"), (extended, "Add veloci")):
        with pytest.raises(UnitError) as error:
            survey(TrajectorySet((path,), types=("1=H",)))
        assert str(path) in str(error.value)
        assert advice in str(error.value)
        assert str(error.value).endswith(f"In the settings of autotrain {unit}")
    with pytest.raises(
        FormatError, match=r"this is types in the section \[autotrain\]"
    ):
        survey(TrajectorySet((dump,), velocities_unit="Angstrom/fs"))


def test_test_frames_are_random_repeatable_and_named(settings, candidates):
    drawn = draw_test_frames(candidates, settings)
    assert places(drawn) == places(draw_test_frames(candidates, settings))
    assert len(set(places(drawn))) == 6  # four, and two spare ones
    for each in drawn:
        place = int(each.info["place"])
        file, number = (0, place) if place < 40 else (1, place - 40)
        assert each.info["id"] == f"test-t{file}-{number:06d}"
        assert each.info["source"] == f"{'ab'[file]}.extxyz, frame {number}"
        assert each.frame.step == 4 * number


def test_what_is_trained_on_from_the_first_is_not_tested_with(settings, candidates):
    first = draw_test_frames(candidates, settings)
    known = [first[0].frame, first[3].frame]
    now = Candidates(candidates.frames, candidates.facts, 10.0, labelled=known)
    drawn = draw_test_frames(now, settings)
    rest = [place for k, place in enumerate(places(first)) if k not in (0, 3)]
    assert len(drawn) == 6
    assert places(drawn)[:4] == rest


def test_too_short_a_trajectory_for_test_and_first_cycle(settings, candidates):
    object.__setattr__(settings.autotrain, "test_frames", 70)
    with pytest.raises(
        SettingsError, match=r"have 70 frames, but autotrain\.test_frames"
    ):
        draw_test_frames(candidates, settings)


def test_chosen_frames_keep_away_in_time_from_test_frames_and_each_other(
    settings, candidates
):
    test = draw_test_frames(candidates, settings)
    now = Candidates(candidates.frames, candidates.facts, 10.0, taken=test)
    chosen = choose_frames(now, settings, 1)
    assert len(chosen) == 7
    for place in places(chosen):  # 20 fs are two frames
        assert min(abs(place - other) for other in places(test)) > 2
        others = [other for other in places(chosen) if other != place]
        assert min(abs(place - other) for other in others) > 2


def test_later_frames_are_those_of_large_disagreement(settings, candidates, rng):
    scores = rng.uniform(0, 1, 70)
    scores[[3, 20, 55]] = 5.0
    now = Candidates(candidates.frames, candidates.facts, 10.0, scores=scores)
    chosen = choose_frames(now, settings, 2)
    assert set(places(chosen)[:3]) == {3, 20, 55}
    assert chosen[0].info["score"] == 5.0


def test_frames_of_the_pool_are_chosen_unless_they_were_computed(
    settings, candidates, rng
):
    folder = settings.path.parent
    extra = [frame(rng, k, scale=0.6) for k in range(3)]
    other = frame(rng, 7, numbers=(7, 1, 1))
    write(folder / "pool.extxyz", [*extra, other])
    pool = [each.frame for each in pool_frames(settings, {1, 8})]
    assert [each.step for each in pool] == [0, 1, 2]  # later.extxyz is not there yet
    scores = np.array([0.1] * 70 + [3.0, 2.0, 1.0])
    taken = [LabelledFrame(pool[0], Tensors(), {"place": -1})]
    now = Candidates(
        candidates.frames, candidates.facts, 10.0, pool, taken, scores=scores
    )
    chosen = choose_frames(now, settings, 2)
    assert [each.info["id"] for each in chosen[:2]] == ["c002-p00001", "c002-p00002"]
    assert places(chosen)[:2] == [-1, -1]


def test_a_series_is_cut_at_gaps():
    steps = np.array([0, 4, 8, 16, 20, 0, 4])
    parts = list(Evaluation(steps, {}, {}).segments(4))
    assert parts == [slice(0, 3), slice(3, 5), slice(5, 7)]


def test_near_in_time_ends_with_a_file(settings, candidates, rng):
    """Neither the next trajectory nor the pool is near to the last frame of one."""
    assert candidates.around(38, 30.0) == range(35, 40)
    assert candidates.around(41, 30.0) == range(40, 45)
    assert candidates.around(69, 30.0) == range(66, 70)
    assert candidates.around(70, 30.0) == range(70, 71)
    pool = [frame(rng, k, scale=0.6) for k in range(2)]
    taken = [
        LabelledFrame(frame(rng, 0), Tensors(), {"place": place}) for place in (39, 69)
    ]
    scores = np.array([0.1] * 70 + [3.0, 2.0])
    scores[[40, 68]] = 5.0
    now = Candidates(
        candidates.frames, candidates.facts, 10.0, pool, taken, scores=scores
    )
    assert now.excluded(30.0) == {*range(36, 40), *range(66, 70)}
    assert places(choose_frames(now, settings, 2))[:3] == [40, -1, -1]
