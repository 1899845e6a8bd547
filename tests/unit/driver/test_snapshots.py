"""Row R12 of the catalogue: snapshots are caches, and wrong ones are not used."""

import io
import json
import shutil

import numpy as np
import pytest

from mimyria.storage.writing import encode
from mimyria_driver import snapshots as module
from mimyria_driver.identity import read_header
from mimyria_driver.journal import Journal
from mimyria_driver.pipeline import Pipeline, rebuild
from mimyria_driver.settings import SpectrumSettings
from mimyria_driver.snapshots import Snapshots
from tests.unit.driver.journals import IDENTITY, record

SETTINGS = SpectrumSettings(resolution=300.0, temperature=300.0)
N = 1500
SAVED = (500, 1000)


def make_run(folder, value=0.0):
    """A journal with snapshots after 500 and 1000 of its records."""
    folder.mkdir()
    snapshots = Snapshots(folder)
    journal = Journal.create(folder / "journal", IDENTITY)
    pipeline = Pipeline(IDENTITY, SETTINGS)
    for index in range(N):
        entry = record(index, value=value, previous=-1 if index in (0, 700) else None)
        journal.append(entry)
        pipeline.push(entry)
        if index + 1 in SAVED:
            journal.sync()
            assert snapshots.save(pipeline, journal)
    journal.sync()
    journal.close()
    return folder


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("original") / "run")


@pytest.fixture
def run(original, tmp_path):
    shutil.copytree(original, tmp_path / "run")
    return tmp_path / "run"


def fold(run, settings=SETTINGS):
    """The fold with snapshots, which is checked against that without."""
    snapshots = Snapshots(run)
    path = run / "journal"
    identity, _ = read_header(path)
    pipeline = snapshots.fold(path, identity, settings)
    assert same(pipeline, rebuild(path, identity, settings))
    return snapshots


def same(one, other):
    first, second = one.snapshot(), other.snapshot()
    assert first.keys() == second.keys()
    for name in first:
        assert first[name].tobytes() == second[name].tobytes(), name
    return encode(one.result({})) == encode(other.result({}))


def newest(run):
    return run / "snapshots" / f"{SAVED[1]:012d}.snapshot"


def test_start_takes_the_newest_snapshot_and_gives_the_same_bits(run):
    snapshots = fold(run)
    assert (snapshots.used, snapshots.refused) == (SAVED[1], [])


def test_last_two_are_kept(run):
    snapshots = Snapshots(run)
    journal = Journal.open(run / "journal")
    pipeline = snapshots.fold(run / "journal", IDENTITY, SETTINGS)
    assert snapshots.save(pipeline, journal)
    journal.close()
    names = sorted(path.name for path in (run / "snapshots").iterdir())
    assert names == ["000000001000.snapshot", "000000001500.snapshot"]
    assert fold(run).used == N


def truncated(path):
    path.write_bytes(path.read_bytes()[:-100])


def flipped(path):
    """One bit of a number in the payload."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def flipped_digest(path):
    data = bytearray(path.read_bytes())
    data[12] ^= 1
    path.write_bytes(data)


def empty(path):
    path.write_bytes(b"")


def foreign(path):
    """That of another run, whose frames differ in their numbers only."""
    other = make_run(path.parents[2] / "other", value=1.0)
    shutil.copy(newest(other), path)


def newer(path):
    """The journal was restored from an older copy."""
    journal = path.parents[1] / "journal"
    _, start = read_header(journal)
    data = journal.read_bytes()
    journal.write_bytes(data[: start + 900 * IDENTITY.record_size])
    path.parents[1].joinpath("journal.mark").unlink()


def unreadable(path):
    """As a file without permissions, which root could read."""
    path.unlink()
    path.mkdir()


def of_another_version(path):
    arrays, about = module._read(path)
    path.write_bytes(module._packed(arrays, about | {"scipy": "0.1"}))


def of_other_lags(path):
    arrays, about = module._read(path)
    path.write_bytes(module._packed(arrays, about | {"n_lags": 7}))


def incomplete(path):
    arrays, about = module._read(path)
    arrays.pop("apt/power")
    path.write_bytes(module._packed(arrays, about))


def misshapen(path):
    arrays, about = module._read(path)
    arrays["rules/sums"] = arrays["rules/sums"][:5]
    path.write_bytes(module._packed(arrays, about))


def with_objects(path):
    """A pickle would be a program."""
    arrays, about = module._read(path)
    arrays["pipeline/sums"] = np.array([1.0, {"a": 1}], dtype=object)
    path.write_bytes(module._packed(arrays, about))


SPOILED = {
    truncated: "it is damaged",
    flipped: "it is damaged",
    flipped_digest: "it is damaged",
    empty: "it is damaged",
    foreign: "another journal",
    newer: "newer than the journal",
    unreadable: "directory",
    of_another_version: "written with scipy 0.1",
    of_other_lags: "7 lags",
    incomplete: "power",
    misshapen: "sums",
    with_objects: "allow_pickle=False",
}


@pytest.mark.parametrize("spoil", SPOILED, ids=lambda spoil: spoil.__name__)
def test_snapshot_that_does_not_fit_is_not_used_but_the_one_before_it(run, spoil):
    spoil(newest(run))
    snapshots = fold(run)
    assert snapshots.used == SAVED[0]
    (reason,) = snapshots.refused
    assert SPOILED[spoil].lower() in reason.lower()


def test_without_any_snapshot_the_whole_journal_is_folded(run):
    for path in (run / "snapshots").iterdir():
        flipped(path)
    snapshots = fold(run)
    assert snapshots.used == 0
    assert len(snapshots.refused) == 2
    shutil.rmtree(run / "snapshots")
    snapshots = fold(run)
    assert (snapshots.used, snapshots.refused) == (0, [])


@pytest.mark.parametrize(
    ("index", "used"), [(1200, 1000), (1000, 1000), (999, 500), (600, 500), (300, 0)]
)
def test_rollback_takes_a_snapshot_from_before_it(run, index, used):
    journal = Journal.open(run / "journal")
    for number in range(index, index + 50):
        entry = record(number, value=3.0, previous=-1 if number == index else None)
        journal.append(entry, replacing=number == index)
    journal.close()
    assert fold(run).used == used


def test_other_lags_fold_anew_and_other_settings_do_not(run):
    longer = SpectrumSettings(resolution=200.0, temperature=300.0)
    assert fold(run, longer).used == 0
    assert (
        fold(run, SpectrumSettings(resolution=300.0, max_wavenumber=2e3)).used == 1000
    )


def test_snapshot_that_cannot_be_written_is_said_once(run, caplog):
    shutil.rmtree(run / "snapshots")
    (run / "snapshots").write_text("in the way")
    journal = Journal.open(run / "journal")
    snapshots = Snapshots(run)
    pipeline = rebuild(run / "journal", IDENTITY, SETTINGS)
    for _ in range(3):
        assert not snapshots.save(pipeline, journal)
    journal.close()
    assert caplog.text.count("no snapshot could be written") == 1


def test_snapshot_is_plain_arrays_and_a_json(run):
    content = newest(run).read_bytes()
    with np.load(io.BytesIO(content[40:]), allow_pickle=False) as file:
        about = json.loads(file["about"].tobytes())
        assert about["n_records"] == SAVED[1]
        assert all(file[name].dtype.kind in "fiu" for name in file.files)
