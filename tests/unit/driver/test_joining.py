"""Joined halves of a run are the whole run, to the bit."""

import dataclasses

import numpy as np
import pytest

from mimyria.currents import Currents
from mimyria.errors import IncompatibleError, JournalError, OutputError
from mimyria.storage import read_result
from mimyria_driver import cli
from mimyria_driver.joining import join_runs
from mimyria_driver.journal import Journal, read_journal
from mimyria_driver.pipeline import rebuild
from mimyria_driver.records import Identity, Record, read_header
from mimyria_driver.settings import SpectrumSettings

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
