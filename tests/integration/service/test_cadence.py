"""Row D1 of the catalogue: when things are written changes nothing."""

import pytest
from analytic import ScriptedSource, trajectory
from growing import wait_for_records
from inline import N_FRAMES, quiet_settings, start
from inline import whole_run as whole
from instant import fold_of, serve_here

from mimyria.storage.writing import encode
from mimyria_driver import cadence
from mimyria_driver.identity import read_header
from mimyria_driver.inspection import inspect_run
from mimyria_driver.pipeline import rebuild
from mimyria_driver.snapshots import Snapshots

KINDS = {
    "none": {"kind": "none"},
    "species": {"kind": "species"},
    "probes": {"kind": "species", "velocity_probes": 3},
    "intra": {"kind": "intra", "probes": 1},
    "motion": {"kind": "motion", "velocity_probes": 2},
}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    directory = tmp_path_factory.mktemp("undisturbed")
    serve_here(quiet_settings(directory), ScriptedSource(whole()))
    return directory


@pytest.mark.parametrize(
    ("sync", "snapshot", "refresh", "credit"),
    [(1, 0.0, 1000.0, 16), (3, 0.02, 0.05, 16), (1000, 0.01, 1000.0, 2)],
)
def test_cadence_of_writing_changes_no_bit(
    sync, snapshot, refresh, credit, tmp_path, undisturbed, monkeypatch
):
    saved, real = [], Snapshots.save

    def save(self, *arguments):
        saved.append(real(self, *arguments))
        return saved[-1]

    monkeypatch.setattr(Snapshots, "save", save)
    monkeypatch.setattr(cadence, "_SYNC_RECORDS", sync)
    settings = quiet_settings(
        tmp_path,
        run={"snapshot": snapshot, "credit": credit},
        spectrum={"refresh": refresh},
    )
    assert serve_here(settings, ScriptedSource(whole(), pause=0.005)) == 0
    assert (len(saved) > 2) == (snapshot > 0)
    assert all(saved)
    assert fold_of(tmp_path) == fold_of(undisturbed)
    journals = [folder / "journal" for folder in (tmp_path, undisturbed)]
    assert journals[0].read_bytes() == journals[1].read_bytes()
    assert not inspect_run(tmp_path).problems


@pytest.mark.parametrize("kind", KINDS)
def test_run_that_goes_on_from_a_snapshot_has_the_same_bits(
    kind, tmp_path, monkeypatch
):
    """Everything that a fold may hold: parts, self terms, velocities, sum rules."""
    monkeypatch.setattr(cadence, "_WORTH_SAVING", 1)
    settings = quiet_settings(tmp_path / "parts", groups=KINDS[kind])
    used = []
    for n_frames in (37, 61, N_FRAMES):
        serve_here(settings, ScriptedSource(whole(trajectory(n_frames))))
        path = settings.run.directory / "journal"
        identity, _ = read_header(path)
        snapshots = Snapshots(settings.run.directory)
        fold = snapshots.fold(path, identity, settings.spectrum)
        used.append(snapshots.used)
        again = rebuild(path, identity, settings.spectrum)
        assert encode(fold.result({})) == encode(again.result({}))
    assert used == [37, 61, N_FRAMES]
    at_once = quiet_settings(tmp_path / "whole", groups=KINDS[kind])
    serve_here(at_once, ScriptedSource(whole()))
    assert fold_of(settings.run.directory) == fold_of(at_once.run.directory)
    assert not inspect_run(settings.run.directory).problems


def test_driver_that_is_killed_between_snapshots_gives_the_identical_result(
    tmp_path, undisturbed
):
    for n in (30, 70):
        process = start(tmp_path, snapshot=0.02)
        wait_for_records(tmp_path, n, process)
        process.kill()
        process.communicate(timeout=30)
    assert list((tmp_path / "snapshots").glob("*.snapshot"))
    process = start(tmp_path, snapshot=0.02)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors.decode()
    assert fold_of(tmp_path) == fold_of(undisturbed)
    assert not inspect_run(tmp_path).problems
