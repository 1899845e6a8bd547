"""Joined halves of a run are the whole run, to the bit."""

import dataclasses

import numpy as np
import pytest

from mimyria.currents import Currents
from mimyria.errors import FormatError, IncompatibleError, JournalError, OutputError
from mimyria.frame import Frame
from mimyria.io import read_extxyz
from mimyria.storage import read_result
from mimyria_driver import cli, joining
from mimyria_driver.identity import Identity, read_header
from mimyria_driver.joining import join_runs
from mimyria_driver.journal import Journal, read_journal
from mimyria_driver.pipeline import rebuild
from mimyria_driver.records import Record
from mimyria_driver.settings import SpectrumSettings
from mimyria_driver.uncertain import UNCERTAIN_NAME, UncertainFrames

IDENTITY = Identity(
    (8, 1, 1), 0.5, 4, {"apt": "a" * 64, "pgt": "b" * 64}, {"engine": "x"}
)
SETTINGS = SpectrumSettings(resolution=300.0, temperature=300.0)
N = 1500


def records(begin, end, *, seed=0, shift=0):
    """The frames of one long run, as a driver that started at `begin` keeps them."""
    found = []
    for index in range(begin, end):
        rng = np.random.default_rng((seed, index))
        step = 4 * index + shift
        previous = step - 4 if index > begin else -1
        found.append(
            Record(
                step,
                previous,
                0.5 * step,
                1000.0,
                300.0,
                Currents(rng.normal(size=3), rng.normal(size=6)),
                rng.bytes(8),
            )
        )
    return found


def run_folder(folder, entries, identity=IDENTITY):
    folder.mkdir()
    journal = Journal.create(folder / "journal", identity)
    for entry in entries:
        journal.append(entry)
    journal.sync()
    journal.close()
    return folder


def states(folder):
    identity, _ = read_header(folder / "journal")
    return rebuild(folder / "journal", identity, SETTINGS).state()


def assert_identical(one, other):
    """Every number of every correlator, to the bit."""
    first, second = states(one), states(other)
    assert first.keys() == second.keys()
    for target in first:
        for name, values in first[target].items():
            assert np.array_equal(values, second[target][name]), (target, name)


@pytest.mark.parametrize("cut", [1, 700, 1499])
@pytest.mark.parametrize("overlap", [0, 25])
def test_two_halves_are_the_whole_run_to_the_bit(tmp_path, cut, overlap):
    whole = run_folder(tmp_path / "whole", records(0, N))
    halves = [
        run_folder(tmp_path / "a", records(0, cut)),
        run_folder(tmp_path / "b", records(max(cut - overlap, 0), N)),
    ]
    joined, pipeline = join_runs(halves, tmp_path / "both", SETTINGS)
    assert [each.continues for each in joined] == [False, True]
    assert (pipeline.n_frames, pipeline.n_segments) == (N, 1)
    assert_identical(tmp_path / "both", whole)
    both, all_of_it = (
        (folder / "journal").read_bytes() for folder in (tmp_path / "both", whole)
    )
    assert both == all_of_it


def test_another_trajectory_is_a_segment(tmp_path):
    folders = [
        run_folder(tmp_path / "a", records(0, 700)),
        run_folder(tmp_path / "b", records(0, 400, seed=1)),
        run_folder(tmp_path / "c", records(900, 1100, seed=2)),
    ]
    joined, pipeline = join_runs(folders, tmp_path / "all", SETTINGS)
    assert [each.continues for each in joined] == [False] * 3
    assert (pipeline.n_frames, pipeline.n_segments) == (1300, 3)
    steps = [record.step for record in read_journal(tmp_path / "all" / "journal")]
    assert steps == sorted(set(steps))
    apart = [
        record.step
        for record in read_journal(tmp_path / "all" / "journal")
        if record.previous_step < 0
    ]
    assert apart == [0, 4 * 699 + 8, 4 * 699 + 8 + 4 * 399 + 8]
    result = read_result(tmp_path / "all" / "spectrum.h5")
    assert result.provenance["status"] == "joined"
    assert result.dipole.counts[1] == 1300 - 3


def test_what_does_not_belong_together_is_refused(tmp_path):
    first = run_folder(tmp_path / "a", records(0, 5))
    for name, changes in {
        "atoms": {"numbers": (8, 1)},
        "models": {"models": {"apt": "c" * 64, "pgt": "b" * 64}},
        "stride": {"stride": 2},
    }.items():
        other = dataclasses.replace(IDENTITY, **changes)
        second = run_folder(tmp_path / name, records(5, 9), other)
        with pytest.raises(IncompatibleError, match="does not belong to the first run"):
            join_runs([first, second], tmp_path / "both", SETTINGS)
    assert not (tmp_path / "both").exists()
    with pytest.raises(JournalError, match="there is no journal"):
        join_runs([first, tmp_path / "none"], tmp_path / "both", SETTINGS)
    with pytest.raises(OutputError, match="exists already"):
        join_runs([first, first], first, SETTINGS)


def test_the_command_says_what_continues(tmp_path, capsys):
    halves = [
        run_folder(tmp_path / "a", records(0, 700)),
        run_folder(tmp_path / "b", records(700, 900)),
    ]
    words = ["--directory", tmp_path / "both", "--resolution", "300"]
    assert cli.main(["join", *map(str, [*halves, *words])]) == 0
    out = capsys.readouterr().out
    assert "200 frames, continues the one before" in out
    assert "900 frames in 1 segment(s), 1.80 ps" in out


APART = 1000
"""Steps in half a picosecond: two frames that are closer are rivals."""


def frame_at(step):
    positions = np.array([[0.0, 0.0, 1e-4 * step], [0.9, 0.0, 0.0], [0.0, 0.8, 0.0]])
    velocities = np.full((3, 3), 1e-3)
    return Frame(np.array(IDENTITY.numbers), positions, 9 * np.eye(3), velocities, step)


def watched(folder, excesses, most=50):
    """Let a run look at its frames, given by step, as a driver does."""
    frames = UncertainFrames(folder, 2.0, most, IDENTITY.time_step)
    for step, excess in sorted(excesses.items()):
        frames.look(frame_at(step), excess)
    return folder


def excesses(steps, seed=3):
    rng = np.random.default_rng(seed)
    return {step: float(rng.uniform(2.1, 9.0)) for step in steps}


@pytest.mark.parametrize("overlap", [0, 25])
@pytest.mark.parametrize("every", [APART, 52])
def test_joined_halves_have_the_uncertain_frames_of_the_whole(
    tmp_path, every, overlap, monkeypatch
):
    monkeypatch.setattr(joining, "KEEP_UNCERTAIN", 3)
    cut = 700
    all_of_them = excesses(range(0, 4 * N, every))
    # Of close frames what a half has dropped may matter, so that none lies at the cut.
    clear = range(4 * cut - APART, 4 * cut + APART)
    if every < APART:
        all_of_them = {s: e for s, e in all_of_them.items() if s not in clear}
    begin = cut - overlap
    parts = {"whole": (0, N), "a": (0, cut), "b": (begin, N)}
    for name, (first, end) in parts.items():
        folder = run_folder(tmp_path / name, records(first, end))
        seen = {s: e for s, e in all_of_them.items() if 4 * first <= s < 4 * end}
        watched(folder, seen, most=3)
    join_runs([tmp_path / "a", tmp_path / "b"], tmp_path / "both", SETTINGS)
    both, whole = (
        (tmp_path / name / UNCERTAIN_NAME).read_bytes() for name in ("both", "whole")
    )
    assert both == whole
    assert len(list(read_extxyz(tmp_path / "both" / UNCERTAIN_NAME))) == 3


def test_uncertain_frames_of_a_segment_move_with_their_records(tmp_path):
    watched(run_folder(tmp_path / "a", records(0, 700)), {400: 3.0})
    watched(run_folder(tmp_path / "b", records(0, 600, seed=1)), {0: 2.5, 2000: 4.0})
    join_runs([tmp_path / "a", tmp_path / "b"], tmp_path / "both", SETTINGS)
    shift = 4 * 699 + 8
    found = list(read_extxyz(tmp_path / "both" / UNCERTAIN_NAME))
    steps = [labelled.frame.step for labelled in found]
    assert steps == [400, shift, shift + 2000]
    known = {record.step for record in read_journal(tmp_path / "both" / "journal")}
    assert known.issuperset(steps)
    np.testing.assert_array_equal(
        found[2].frame.positions, frame_at(2000).positions, strict=True
    )
    assert [labelled.info["uncertainty"] for labelled in found] == [3.0, 2.5, 4.0]


def test_of_repeated_frames_the_first_run_has_the_say(tmp_path):
    watched(run_folder(tmp_path / "a", records(0, 700)), {2780: 3.0})
    # The second run begins with the last 25 frames of the first.
    watched(run_folder(tmp_path / "b", records(675, N)), {2780: 3.0, 4800: 2.5})
    join_runs([tmp_path / "a", tmp_path / "b"], tmp_path / "both", SETTINGS)
    found = read_extxyz(tmp_path / "both" / UNCERTAIN_NAME)
    assert [labelled.frame.step for labelled in found] == [2780, 4800]


def test_more_are_kept_where_a_run_has_kept_more(tmp_path, monkeypatch):
    monkeypatch.setattr(joining, "KEEP_UNCERTAIN", 1)
    watched(run_folder(tmp_path / "a", records(0, 700)), {0: 3.0, 2000: 4.0})
    watched(run_folder(tmp_path / "b", records(700, N)), {4000: 5.0})
    join_runs([tmp_path / "a", tmp_path / "b"], tmp_path / "both", SETTINGS)
    found = read_extxyz(tmp_path / "both" / UNCERTAIN_NAME)
    assert [labelled.frame.step for labelled in found] == [2000, 4000]


def test_certain_runs_have_no_file_of_uncertain_frames(tmp_path):
    folders = [run_folder(tmp_path / "a", records(0, 9))]
    join_runs(folders, tmp_path / "both", SETTINGS)
    assert not (tmp_path / "both" / UNCERTAIN_NAME).exists()


@pytest.mark.parametrize("content", ["2\nno lattice\n", "no number\n"])
def test_damaged_uncertain_frames_are_named_before_anything_is_joined(
    tmp_path, content
):
    folder = run_folder(tmp_path / "a", records(0, 9))
    (folder / UNCERTAIN_NAME).write_text(content)
    text = r"uncertain\.extxyz: is no file of uncertain frames .* Move it away"
    with pytest.raises(FormatError, match=text):
        join_runs([folder], tmp_path / "both", SETTINGS)
    assert not list((tmp_path / "both").glob("journal*"))
    (folder / UNCERTAIN_NAME).unlink()
    join_runs([folder], tmp_path / "both", SETTINGS)
