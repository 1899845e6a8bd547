"""Row R13 of the catalogue: damaged, swapped, missing files, and what mends them."""

import os
import shutil

import numpy as np
import pytest

from mimyria.errors import JournalError
from mimyria.storage import read_result, write_result
from mimyria_driver import cli
from mimyria_driver.identity import read_header
from mimyria_driver.inspection import inspect_run
from mimyria_driver.journal import Journal, read_journal
from mimyria_driver.mending import rebuild_result, repair_journal
from mimyria_driver.ownership import Ownership
from mimyria_driver.pipeline import rebuild
from mimyria_driver.settings import SpectrumSettings
from tests.unit.driver.journals import IDENTITY, SIZE, record, written

SETTINGS = SpectrumSettings(resolution=300.0, temperature=300.0)
N = 400


@pytest.fixture
def run(tmp_path):
    """A run folder with a journal, its result, and a rollback in it."""
    folder = tmp_path / "run"
    folder.mkdir()
    journal = Journal.create(folder / "journal", IDENTITY)
    for index in range(N // 2):
        journal.append(record(index))
    journal.append(record(N // 2 - 20, value=0.5), replacing=True)
    for index in range(N // 2 - 19, N):
        journal.append(record(index, value=0.5))
    journal.sync()
    journal.close()
    rebuild_result(folder, SETTINGS)
    return folder


def steps(folder):
    return [entry.step for entry in read_journal(folder / "journal")]


def spoil(folder, *places):
    path = folder / "journal"
    data = bytearray(path.read_bytes())
    _, start = read_header(path)
    for place in places:
        data[start + place * SIZE + 70] ^= 16
    path.write_bytes(data)
    return bytes(data)


def command(*words):
    return cli.main([str(word) for word in words])


def test_sound_folder_is_said_to_be_sound_and_nothing_is_touched(run, capsys):
    before = {path: path.read_bytes() for path in run.iterdir()}
    assert command("verify", run) == 0
    out = capsys.readouterr().out
    assert f"{N + 21} sound records, 1 rollbacks, last step {4 * (N - 1)}" in out
    assert "spectrum.h5: is the fold of the journal\n" in out
    assert "all is sound" in out
    assert {path: path.read_bytes() for path in run.iterdir()} == before


def test_result_that_is_behind_the_journal_is_sound(run):
    journal = Journal.open(run / "journal")
    # What voids a part of what the result holds does not make it wrong.
    journal.append(record(N - 50, value=1.0), replacing=True)
    journal.append(record(N - 49, value=1.0))
    journal.close()
    findings = inspect_run(run)
    assert not findings.problems
    assert "without its last 3 records" in findings.lines[-1]


def test_torn_tail_is_told_and_is_no_problem(run, capsys):
    path = run / "journal"
    with path.open("ab") as file:
        file.write(b"\1" * 50)
    assert command("verify", run) == 0
    assert "50 bytes of an unfinished write" in capsys.readouterr().out


def test_damage_is_told_with_its_places(run, capsys):
    spoil(run, 17, 18, 19, 300)
    assert command("verify", run) == 74
    text = capsys.readouterr()
    assert "damaged at record 17 to 19, 300; see `mimyria-driver repair" in text.err
    assert "all is sound" not in text.out


def test_journal_that_lost_what_was_safe_is_a_problem(run):
    path = run / "journal"
    os.truncate(path, path.stat().st_size - 10 * SIZE)
    (problem,) = inspect_run(run).problems
    assert "421 records were once safe on disk, but it ends after 411" in problem


def test_result_with_another_number_is_a_problem_though_its_checksum_is_right(run):
    path = run / "spectrum.h5"
    result = read_result(path)
    result.dipole.values[7, 2] *= 1 + 1e-15
    result.dipole.values[7, 2] += np.spacing(result.dipole.values[7, 2])
    write_result(path, result)
    (problem,) = inspect_run(run).problems
    assert "is not the fold of the journal: dipole differ" in problem


def test_result_with_a_flipped_bit_is_a_problem(run):
    path = run / "spectrum.h5"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    (problem,) = inspect_run(run).problems
    assert problem.startswith("spectrum.h5:")


def test_swapped_files_are_a_problem(run, tmp_path):
    """Journal and result of two runs that are alike in everything but their frames."""
    other = tmp_path / "other"
    other.mkdir()
    written(other / "journal", [record(index, value=2.0) for index in range(N + 21)])
    shutil.copy(run / "spectrum.h5", other / "spectrum.h5")
    (problem,) = inspect_run(other).problems
    assert "is not the fold of the journal" in problem


@pytest.mark.parametrize("missing", ["spectrum.h5", "journal.mark", "journal"])
def test_missing_files(run, missing, capsys):
    (run / missing).unlink()
    assert command("verify", run) == (74 if missing == "journal" else 0)
    if missing == "spectrum.h5":
        assert "not there; `mimyria-driver rebuild`" in capsys.readouterr().out


def test_rebuild_gives_the_result_again_to_the_bit(run, capsys):
    path = run / "spectrum.h5"
    before = path.read_bytes()
    path.unlink()
    words = ["--resolution", 300, "--temperature", 300]
    assert command("rebuild", run, *words) == 0
    assert f"{N} frames in 1 segment(s)" in capsys.readouterr().out
    assert path.read_bytes() == before
    assert command("rebuild", run, *words, "--window", "hann") == 0
    assert read_result(path).provenance["window"] == "hann"
    assert not inspect_run(run).problems
    other = run / "other.h5"
    assert command("rebuild", run, *words, "--output", other) == 0
    assert other.read_bytes() == before


def test_what_changes_a_folder_does_not_work_beside_a_driver(run, capsys):
    spoil(run, 100)
    ownership = Ownership.take(run)
    try:
        for words in (("rebuild", run), ("repair", run, "--keep", "prefix")):
            assert command(*words) == 75
            assert f"process {os.getpid()} on" in capsys.readouterr().err
    finally:
        ownership.release()
    assert not list(run.glob("*damaged*"))


@pytest.mark.parametrize("keep", ["prefix", "segment"])
def test_sound_journal_is_not_repaired(run, keep, capsys):
    before = (run / "journal").read_bytes()
    assert command("repair", run, "--keep", keep) == 0
    assert "nothing was changed" in capsys.readouterr().out
    assert (run / "journal").read_bytes() == before


def test_repair_wants_to_be_told_what_to_keep(run):
    before = spoil(run, 100)
    with pytest.raises(SystemExit):
        command("repair", run)
    assert (run / "journal").read_bytes() == before


def test_prefix_is_kept(run, capsys):
    damaged = spoil(run, 100, 300)
    assert command("repair", run, "--keep", "prefix") == 0
    assert "321 records are void, 100 are kept" in capsys.readouterr().out
    assert (run / "journal.damaged-1").read_bytes() == damaged
    assert steps(run) == [4 * index for index in range(100)]
    rebuild_result(run, SETTINGS)
    assert not inspect_run(run).problems
    # An engine that goes on from there makes the run whole again.
    journal = Journal.open(run / "journal")
    assert journal.durable_step == 4 * 99
    journal.close()


def test_segments_around_damaged_records_are_kept(run):
    damaged = spoil(run, 100, 101, 300)
    done = repair_journal(run, "segment")
    assert (done.lost, done.kept) == (3, N + 21 - 3)
    assert done.copy.read_bytes() == damaged
    missing = {4 * 100, 4 * 101, 4 * (300 - 21)}
    assert steps(run) == [4 * i for i in range(N) if 4 * i not in missing]
    rebuild_result(run, SETTINGS)
    assert not inspect_run(run).problems
    identity, _ = read_header(run / "journal")
    pipeline = rebuild(run / "journal", identity, SETTINGS)
    assert (pipeline.n_segments, pipeline.n_missing) == (3, 3)


def test_damaged_rollback_is_put_back(run):
    sound = steps(run)
    spoil(run, N // 2)
    done = repair_journal(run, "segment")
    assert done.lost == 1
    assert steps(run) == sound
    values = [r.currents.dipole[0] for r in read_journal(run / "journal")]
    expected = [record(i).currents.dipole[0] for i in range(N)]
    shifts = np.subtract(values, expected)
    np.testing.assert_allclose(shifts[: N // 2 - 20], 0.0)
    np.testing.assert_allclose(shifts[N // 2 - 20 :], 0.5)


def test_any_damage_can_be_repaired_both_ways(run):
    rng = np.random.default_rng(3)
    whole = (run / "journal").read_bytes()
    mark = (run / "journal.mark").read_bytes()
    for round_ in range(8):
        (run / "journal").write_bytes(whole)
        (run / "journal.mark").write_bytes(mark)
        spoil(run, *rng.choice(N + 20, size=rng.integers(1, 30), replace=False))
        with pytest.raises(JournalError, match="mimyria-driver repair"):
            Journal.open(run / "journal")
        assert repair_journal(run, ("prefix", "segment")[round_ % 2])
        rebuild_result(run, SETTINGS) if steps(run) else None
        assert not inspect_run(run).problems or not steps(run)


def test_damaged_header_can_not_be_repaired_and_is_left(run):
    path = run / "journal"
    data = bytearray(path.read_bytes())
    data[20] ^= 1
    path.write_bytes(data)
    with pytest.raises(JournalError, match="header is damaged"):
        repair_journal(run, "segment")
    assert path.read_bytes() == data
    assert not list(run.glob("*damaged*"))
