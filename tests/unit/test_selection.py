"""Which frames are chosen: the same for the same seed, different from each other."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mimyria import Frame
from mimyria.errors import FrameError, SettingsError, ShapeError
from mimyria.io.extxyz import read_extxyz
from mimyria.reference import (
    RadialDescriptor,
    Reservoir,
    SelectionSettings,
    committee_score,
    farthest_points,
    least_distance,
    most_uncertain,
    random_frames,
    select_frames,
)
from mimyria.settings.reader import read_section

WATER = Path(__file__).parents[1] / "data" / "water16-rpbe" / "configurations.extxyz"
TRICLINIC = np.array([[6.0, 0.0, 0.0], [2.5, 5.0, 0.0], [-1.5, 2.0, 4.5]])


def liquid(seed, n_atoms=12, cell=TRICLINIC, pbc=(True, True, True), step=0):
    rng = np.random.default_rng(seed)
    return Frame(
        np.array([8, 1, 1] * (n_atoms // 3)),
        rng.uniform(0, 1, (n_atoms, 3)) @ cell,
        cell, None, step, pbc=pbc,
    )  # fmt: skip


def changed(frame, **changes):
    names = ("numbers", "positions", "cell", "velocities", "step", "replica", "pbc")
    return Frame(**{name: getattr(frame, name) for name in names} | changes)


def naive(frame, descriptor, reach=4):
    """Every image within `reach` cells, loop by loop."""
    shifts = np.array(list(np.ndindex(*(2 * reach + 1,) * 3))) - reach
    shifts = shifts[(np.array(frame.pbc) | (shifts == 0)).all(axis=1)] @ frame.cell
    width = descriptor.cutoff / (descriptor.n_bins + 1)
    parts = []
    for first in descriptor.species:
        for second in descriptor.species:
            rows = []
            for i in np.flatnonzero(frame.numbers == first):
                row = np.zeros(descriptor.n_bins)
                for j in np.flatnonzero(frame.numbers == second):
                    r = np.linalg.norm(
                        frame.positions[j] - frame.positions[i] + shifts, axis=1
                    )
                    r = r[(r > 1e-9) & (r < descriptor.cutoff)]
                    for k in range(descriptor.n_bins):
                        d = np.abs(r - (k + 1) * width)
                        near = d < width
                        weights = np.cos(np.pi * d[near] / (2 * width)) ** 2
                        row[k] += (weights / r[near]).sum()
                rows.append(row)
            rows = np.array(rows or [np.zeros(descriptor.n_bins)])
            parts += [rows.mean(axis=0), rows.std(axis=0)]
    return np.concatenate(parts)


@pytest.mark.parametrize("pbc", [(True, True, True), (True, False, True), (False,) * 3])
def test_the_descriptor_is_the_sum_over_all_images(pbc):
    """Cutoff beyond half the box, cell skewed, one element absent."""
    frame = liquid(1, pbc=pbc)
    descriptor = RadialDescriptor((1, 7, 8), cutoff=5.0, n_bins=6)
    vector = descriptor.of(frame)
    assert vector.shape == (descriptor.size,) == (2 * 6 * 9,)
    np.testing.assert_allclose(vector, naive(frame, descriptor), atol=1e-12)
    assert vector.max() > 0.1


def test_the_descriptor_knows_no_orientation_order_origin_or_choice_of_cell(rotation):
    frame = liquid(2)
    rng = np.random.default_rng(2)
    descriptor = RadialDescriptor((1, 8))
    wanted = descriptor.of(frame)
    order = rng.permutation(12)
    moved = frame.positions + np.array([0.3, -7.0, 21.0])
    moved += rng.integers(-3, 4, (12, 3)) @ frame.cell
    sheared = frame.cell.copy()
    sheared[2] += sheared[0] - 2 * sheared[1]
    doubled = changed(
        frame,
        numbers=np.tile(frame.numbers, 2),
        positions=np.vstack([frame.positions, frame.positions + frame.cell[1]]),
        cell=frame.cell * [[1.0], [2.0], [1.0]],
    )
    for other in (
        changed(frame, positions=frame.positions @ rotation.T,
                cell=frame.cell @ rotation.T),
        changed(frame, positions=-frame.positions, cell=-frame.cell),
        changed(frame, positions=frame.positions[order], numbers=frame.numbers[order]),
        changed(frame, positions=moved),
        changed(frame, cell=sheared),
        doubled,
    ):  # fmt: skip
        np.testing.assert_allclose(descriptor.of(other), wanted, atol=1e-10)
    exchanged = changed(frame, numbers=frame.numbers[::-1])
    assert np.abs(descriptor.of(exchanged) - wanted).max() > 0.01


def test_the_descriptor_changes_steadily():
    """Also where a neighbour comes in over the cutoff or moves from bin to bin."""
    descriptor = RadialDescriptor((1,), cutoff=6.0, n_bins=11)
    cell = 100.0 * np.eye(3)
    distances = np.arange(0.45, 6.2, 4e-3)
    rows = []
    for distance in distances:
        positions = np.array([[0.0, 0, 0], [distance, 0, 0]])
        frame = Frame(np.array([1, 1]), positions, cell, None, 0, pbc=(False,) * 3)
        rows.append(descriptor.of(frame)[:11])
    steps = np.abs(np.diff(rows, axis=0)).max(axis=1)
    assert steps.max() < 0.08
    near = (distances > 0.5) & (distances < 5.5)
    total = np.sum(rows, axis=1)
    np.testing.assert_allclose(total[near], 1.0 / distances[near], rtol=1e-9)
    assert total[distances >= 6.0].max() == 0.0


def test_scaling_gives_every_pair_of_elements_the_same_say():
    descriptor = RadialDescriptor((1, 8))
    vectors = np.stack([descriptor.of(liquid(seed)) for seed in range(20)])
    vectors[:, :11] *= 1000.0
    scaled = descriptor.scaled(vectors).reshape(20, -1, 11)
    spread = np.sqrt(scaled.var(axis=0).mean(axis=-1))
    np.testing.assert_allclose(spread, 1.0, rtol=1e-9)
    constant = np.ones((3, descriptor.size))
    np.testing.assert_array_equal(descriptor.scaled(constant), constant)


def test_frames_that_the_descriptor_cannot_describe_are_refused():
    with pytest.raises(FrameError, match=r"holds the atomic numbers \[8\]"):
        RadialDescriptor((1,)).of(liquid(3))
    with pytest.raises(FrameError, match="its cell has no volume"):
        RadialDescriptor((1, 8)).of(changed(liquid(3), cell=np.zeros((3, 3))))
    with pytest.raises(SettingsError, match="rising atomic numbers"):
        RadialDescriptor((8, 1))
    with pytest.raises(SettingsError, match="a cutoff above 0"):
        RadialDescriptor((1, 8), cutoff=0.0)


def test_a_larger_choice_begins_with_the_smaller_one():
    """Whatever the method: a set can grow without a calculation being lost."""
    points = np.random.default_rng(4).normal(size=(60, 5))
    scores = np.random.default_rng(5).uniform(size=60)
    for choose in (
        lambda count: random_frames(60, count, seed=7),
        lambda count: farthest_points(points, count),
        lambda count: most_uncertain(scores, points, count, 1.0),
    ):
        twenty = choose(20)
        assert len(set(twenty)) == 20
        assert choose(10) == twenty[:10]
        assert choose(20) == twenty


def test_a_stream_of_any_length_gives_what_the_whole_gives():
    for n_frames in (0, 5, 10, 1000):
        reservoir = Reservoir(10, seed=3)
        for place in range(n_frames):
            reservoir.push(f"frame {place}")
        places = [place for place, _ in reservoir.items]
        keys = np.random.default_rng(3).random(n_frames)
        assert places == np.argsort(keys)[:10].tolist()
        assert places == random_frames(n_frames, 10, 3)
        assert [item for _, item in reservoir.items] == [f"frame {i}" for i in places]


def test_every_frame_has_the_same_chance():
    counts = np.zeros(20)
    for seed in range(2000):
        counts[random_frames(20, 5, seed)] += 1
    # 500 each, with a standard deviation of √(500 · 0.75) = 19.
    assert np.abs(counts - 500).max() < 5 * 19.4


def test_a_reservoir_holds_no_more_than_it_was_told():
    class Item:
        alive = 0

        def __init__(self):
            Item.alive += 1

        def __del__(self):
            Item.alive -= 1

    reservoir = Reservoir(8, seed=1)
    for _ in range(5000):
        reservoir.push(Item())
        assert Item.alive <= 9
    assert len(reservoir.items) == 8


def test_farthest_points_cover_what_random_ones_leave_out():
    rng = np.random.default_rng(6)
    crowd = rng.normal(size=(500, 4))
    rare = 12.0 + rng.normal(size=(3, 4))
    points = np.vstack([crowd, rare])
    picked = farthest_points(points, 10)
    assert len({500, 501, 502} & set(picked)) >= 1
    naive_order = [int(np.argmin(np.linalg.norm(points - points.mean(0), axis=1)))]
    for _ in range(9):
        distance = np.linalg.norm(points[:, None] - points[naive_order], axis=2)
        naive_order.append(int(distance.min(axis=1).argmax()))
    assert picked == naive_order


def test_points_that_are_there_already_are_kept_away_from():
    points = np.array([[0.0, 0], [0, 0.1], [5, 0], [5, 0.1], [0, 9.0]])
    assert farthest_points(points, 2, chosen=[0]) == [4, 3]
    assert farthest_points(points, 2, chosen=[0, 4]) == [3, 1]
    scores = [9.0, 8.0, 7.0, 6.0, 1.0]
    assert most_uncertain(scores, points, 3, 1.0) == [0, 2, 4]
    assert most_uncertain(scores, points, 3, 1.0, chosen=[0]) == [2, 4]
    assert most_uncertain(scores, points, 3, 0.0) == [0, 1, 2]


def test_copies_are_never_taken_twice():
    points = np.repeat(np.random.default_rng(7).normal(size=(4, 3)), 5, axis=0)
    assert len(farthest_points(points, 10)) == 4
    assert len(most_uncertain(np.arange(20.0), points, 10, 0.0)) == 4
    assert farthest_points(np.zeros((3, 2)), 3) == [0]


def test_what_cannot_be_picked_from_is_refused():
    with pytest.raises(ShapeError, match="and be finite"):
        farthest_points([[0.0, np.nan]], 1)
    with pytest.raises(ShapeError, match="scores must be 2 finite numbers"):
        most_uncertain([1.0, np.nan], np.zeros((2, 2)), 1, 0.0)
    with pytest.raises(ShapeError, match="scores must be 2 finite numbers"):
        most_uncertain([1.0], np.zeros((2, 2)), 1, 0.0)


def test_the_least_distance_is_part_of_the_median():
    points = np.random.default_rng(8).normal(size=(40, 6))
    apart = [np.linalg.norm(a - b) for i, a in enumerate(points) for b in points[:i]]
    assert least_distance(points, 0.5) == pytest.approx(0.5 * np.median(apart))
    many = np.random.default_rng(8).normal(size=(5000, 6))
    # √2 times the square root of the median of χ² with six degrees of freedom.
    assert least_distance(many, 1.0) == pytest.approx(3.270, rel=0.02)
    assert least_distance(points[:1], 0.5) == 0.0


def test_the_score_is_the_mass_weighted_variance_of_the_committee():
    rng = np.random.default_rng(9)
    predictions = [rng.normal(size=(5, 3, 3)) for _ in range(4)]
    masses = rng.uniform(1, 16, 5)
    expected = 0.0
    for i in range(5):
        for a in range(3):
            for b in range(3):
                values = [each[i, a, b] for each in predictions]
                mean = sum(values) / 4
                expected += sum((v - mean) ** 2 for v in values) / 3 / masses[i]
    assert committee_score(predictions, masses) == pytest.approx(expected, rel=1e-12)
    assert committee_score([predictions[0]] * 3, masses) == pytest.approx(
        0.0, abs=1e-25
    )
    with pytest.raises(ShapeError, match="at least two models"):
        committee_score(predictions[:1], masses)
    with pytest.raises(ShapeError, match="a mass for every atom"):
        committee_score(predictions, masses[:4])


def frames_of_water(n_copies=4):
    """Frames with near copies of each, as a trajectory sampled too often."""
    rng = np.random.default_rng(10)
    for labelled in read_extxyz(WATER):
        for _ in range(n_copies):
            jitter = 1e-3 * rng.normal(size=labelled.frame.positions.shape)
            yield changed(labelled.frame, positions=labelled.frame.positions + jitter)


@pytest.mark.parametrize("method", ["farthest", "uncertain"])
def test_near_copies_of_real_frames_are_passed_over(method):
    settings = SelectionSettings(method=method, count=7, pool=100)
    scores = np.random.default_rng(11).uniform(1, 2, 28).tolist()
    scores = scores if method == "uncertain" else None
    picked = select_frames(frames_of_water(), settings, scores=scores)
    groups = [place // 4 for place, _ in picked]
    assert sorted(groups) == list(range(7))
    frames = list(frames_of_water())
    for place, frame in picked:
        np.testing.assert_array_equal(frame.positions, frames[place].positions)
    if scores:
        best = [max(range(4 * g, 4 * g + 4), key=scores.__getitem__) for g in range(7)]
        assert [place for place, _ in picked] == sorted(best, key=lambda i: -scores[i])
    done = [frame for place, frame in picked if place // 4 in (2, 5)]
    rest = select_frames(frames_of_water(), SelectionSettings(
        method=method, count=5, pool=100), scores=scores, chosen=done)  # fmt: skip
    assert {place // 4 for place, _ in rest} == {0, 1, 3, 4, 6}


def test_a_pool_is_what_is_compared():
    frames = [liquid(seed, step=seed) for seed in range(30)]
    settings = SelectionSettings(method="farthest", count=5, pool=8, seed=2)
    picked = [place for place, _ in select_frames(iter(frames), settings)]
    assert set(picked) <= set(random_frames(30, 8, 2))
    scores = np.random.default_rng(12).uniform(size=30)
    settings = SelectionSettings(method="uncertain", count=5, pool=8, separation=0.0)
    picked = select_frames(iter(frames), settings, scores=scores)
    assert [place for place, _ in picked] == np.argsort(-scores)[:5].tolist()


def test_excluded_places_are_not_taken():
    frames = [liquid(seed) for seed in range(12)]
    scores = np.arange(12.0).tolist()
    for method in ("random", "farthest", "uncertain"):
        settings = SelectionSettings(method=method, count=12, pool=12, separation=0.0)
        picked = select_frames(frames, settings, scores=scores, exclude={3, 11})
        assert {place for place, _ in picked} == set(range(12)) - {3, 11}


def test_a_random_choice_in_two_steps_is_that_in_one():
    """Frames that are passed over keep the keys of all others what they are."""
    frames = [liquid(seed) for seed in range(30)]

    def places(count, exclude=()):
        settings = SelectionSettings(method="random", count=count, seed=4)
        return [p for p, _ in select_frames(frames, settings, exclude=exclude)]

    first = places(5)
    assert first + places(7, exclude=first) == places(12)


def test_scores_and_frames_must_match():
    frames = [liquid(seed) for seed in range(4)]
    settings = SelectionSettings(method="uncertain", count=2)
    with pytest.raises(SettingsError, match="needs the disagreement of a committee"):
        select_frames(frames, settings)
    for scores, text in (
        ([1.0] * 3, "3 scores for more"),
        ([1.0] * 5, "5 scores for 4"),
    ):
        with pytest.raises(ShapeError, match=text):
            select_frames(frames, settings, scores=scores)
    with pytest.raises(ShapeError, match="scores must be finite"):
        select_frames(frames, settings, scores=[1.0, np.nan, 1.0, 1.0])


def test_settings_come_from_their_section(tmp_path):
    section = {"method": "uncertain", "count": 30, "seed": 5, "separation": 0.25}
    settings = read_section(SelectionSettings, "selection", section, tmp_path)
    assert settings == SelectionSettings("uncertain", 30, 5, separation=0.25)
    for values, text in (
        ({"method": "farthests"}, "Did you mean 'farthest'"),
        ({"count": 0}, "selection.count must be 1 or more, but is 0"),
        ({"seed": -1}, "selection.seed must be 0 or more"),
        ({"pool": 10}, "selection.pool must be at least count, but is 10"),
        ({"cutoff": 0.0}, "selection.cutoff must be above 0"),
        ({"separation": 3.0}, "selection.separation must be 0 to 2"),
        ({"number": 3}, "Unknown setting 'selection.number'"),
    ):
        with pytest.raises(SettingsError, match=text):
            read_section(SelectionSettings, "selection", values, tmp_path)


PROGRAM = """
import numpy as np
from mimyria import Frame
from mimyria.reference import SelectionSettings, select_frames
rng = np.random.default_rng(0)
cell = np.array([[6.0, 0, 0], [2.5, 5, 0], [-1.5, 2, 4.5]])
numbers = np.array([8, 1, 1, 16, 11, 17])
frames = [Frame(numbers, rng.uniform(0, 6, (6, 3)), cell, None, i) for i in range(40)]
scores = rng.uniform(size=40)
for method in ("random", "farthest", "uncertain"):
    settings = SelectionSettings(method=method, count=9, pool=30, seed=4)
    print([i for i, _ in select_frames(frames, settings, scores=scores)])
"""


def test_the_choice_does_not_depend_on_the_seed_of_hashes():
    printed = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM], env={"PYTHONHASHSEED": seed, "PATH": "",
            "PYTHONPATH": ":".join(sys.path)}, capture_output=True, text=True,
            check=True, timeout=100,
        ).stdout
        for seed in ("1", "4711")
    }  # fmt: skip
    (lines,) = printed
    assert len(lines.splitlines()) == 3
