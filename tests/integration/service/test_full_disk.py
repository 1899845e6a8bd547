"""Rows R9, R11 and R14 of the catalogue: full, slow and lost disks under a run."""

import errno
import json
import os
import resource
import subprocess
import time

import pytest
from analytic import STRIDE, ScriptedSource
from fulldisk import FullFrom
from growing import wait_for_records
from inline import (
    N_FRAMES,
    quiet_settings,
    start,
    whole_run,
)
from instant import fold_of, serve_here

from mimyria.errors import DiskFullError, JournalError, OutputError
from mimyria.storage import read_result
from mimyria_driver import account, diskio, diskwait, session
from mimyria_driver.durablemark import read_mark
from mimyria_driver.identity import header_key, read_header
from mimyria_driver.journal import read_journal
from mimyria_driver.monitor import read_status
from mimyria_driver.signals import StopRequest


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The run that all others must equal."""
    directory = tmp_path_factory.mktemp("undisturbed")
    serve_here(quiet_settings(directory), ScriptedSource(whole_run()))
    return directory


def wait_for_state(directory, wanted, process, deadline=60.0):
    end = time.monotonic() + deadline
    while time.monotonic() < end:
        assert process.poll() is None, process.stderr.read().decode()
        status = json.loads((directory / "status.json").read_text())
        if status["state"] == wanted:
            return status
        time.sleep(0.02)
    pytest.fail(f"the driver was not '{wanted}' in time")


def finish(process):
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors.decode()
    return errors.decode()


def check_waited(directory, process, status, errors, reference):
    assert "there is no room for a record" in status["message"]
    assert errors.count("no room for a record") == 1
    assert errors.count("there is room again") == 1
    assert fold_of(directory) == fold_of(reference)
    assert read_result(directory / "spectrum.h5").provenance["status"] == "ended"


def test_limit_of_the_file_size_stops_the_run_until_it_is_lifted(tmp_path, undisturbed):
    process = start(tmp_path)
    wait_for_records(tmp_path, 20, process)
    _, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
    size = (tmp_path / "journal").stat().st_size
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size + 700, hard))
    status = wait_for_state(tmp_path, "disk full", process)
    n_kept = len(list(read_journal(tmp_path / "journal")))
    assert n_kept < N_FRAMES
    time.sleep(2.5)  # tried again meanwhile, without a word
    assert process.poll() is None
    assert len(list(read_journal(tmp_path / "journal"))) == n_kept
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (hard, hard))
    check_waited(tmp_path, process, status, finish(process), undisturbed)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MB, where the user may mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except OSError as error:
        pytest.skip(f"no file system can be mounted here: {error}")
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.decode()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(place):
    """Take all the room that is left."""
    with (place / "filler").open("wb", buffering=0) as file:
        for size in (65536, 4096, 512, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise


def test_full_disk_stops_the_run_until_there_is_room(small_disk, undisturbed):
    run = small_disk / "run"
    process = start(run)
    wait_for_records(run, 20, process)
    fill(small_disk)
    # The status is renewed though no second file fits beside it.
    status = wait_for_state(run, "disk full", process)
    assert read_status(run)["age"] < 30
    time.sleep(2.5)
    assert process.poll() is None
    (small_disk / "filler").unlink()
    check_waited(run, process, status, finish(process), undisturbed)


def test_driver_that_is_started_on_a_full_disk_waits_too(small_disk, undisturbed):
    run = small_disk / "run"
    process = start(run)
    wait_for_records(run, 20, process)
    process.kill()
    process.communicate(timeout=30)
    fill(small_disk)
    process = start(run)
    status = wait_for_state(run, "disk full", process)
    (small_disk / "filler").unlink()
    check_waited(run, process, status, finish(process), undisturbed)


def test_result_holds_nothing_that_is_not_safe_in_the_journal(tmp_path, monkeypatch):
    monkeypatch.setattr(diskwait, "_RETRY_SECONDS", 0.05)
    monkeypatch.setattr(diskwait, "_BALLAST_BYTES", 4096)  # there is room for it
    path, behind, write = tmp_path / "journal", [], session.write_result

    def watched(target, result, confirm):
        _, first = read_header(path)
        durable = read_mark(path, header_key(path, first))
        behind.append(result.provenance["journal_records"] - durable)
        write(target, result, confirm)

    monkeypatch.setattr(session, "write_result", watched)
    fault = FailingSync(monkeypatch)
    settings = quiet_settings(tmp_path, spectrum={"refresh": 0.001})
    assert serve_here(settings, ScriptedSource(whole_run())) == 0
    assert fault.hits > 3
    assert len(behind) > 1
    assert not any(behind)


class FailingSync:
    """No room when records are to be made safe, at two of three tries."""

    def __init__(self, monkeypatch):
        self.hits = self._calls = 0
        for owner, name in ((os, "fdatasync"), (diskio, "rewrite")):
            monkeypatch.setattr(owner, name, self._wrap(getattr(owner, name)))

    def _wrap(self, call):
        def sometimes(*arguments):
            self._calls += 1
            if self._calls % 3:
                self.hits += 1
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return call(*arguments)

        return sometimes


def test_credit_bounds_what_waits_for_room(tmp_path, monkeypatch, undisturbed):
    monkeypatch.setattr(diskwait, "_RETRY_SECONDS", 0.1)
    source = ScriptedSource(whole_run())
    lags, receive = [], source.receive
    fault = FullFrom(monkeypatch, tmp_path, 20, lambda: fault.hits < 8)

    def watched():
        lags.append(source._sent * STRIDE - 4 - max([-4, *source.acknowledged]))
        return receive()

    source.receive = watched
    assert serve_here(quiet_settings(tmp_path, run={"credit": 4}), source) == 0
    assert fault.hits == 8
    assert max(lags) <= 2 * 4 * STRIDE
    assert fold_of(tmp_path) == fold_of(undisturbed)
    journals = [folder / "journal" for folder in (tmp_path, undisturbed)]
    assert journals[0].read_bytes() == journals[1].read_bytes()


def stop_when_full(monkeypatch, tmp_path, *, ballast):
    """A run that is stopped by a signal while there is no room."""
    stop = StopRequest()
    monkeypatch.setattr(diskwait, "_RETRY_SECONDS", 0.1)
    monkeypatch.setattr(diskwait, "_BALLAST_BYTES", 4096 if ballast else 1 << 60)
    run = tmp_path / "run"

    def full():
        stop.signal_name = "SIGTERM"
        return not ballast or (run / "ballast").exists()

    fault = FullFrom(monkeypatch, run, 20, full)
    source = ScriptedSource(whole_run())
    code = serve_here(quiet_settings(run), source, stop=stop)
    assert fault.hits
    assert not (run / "ballast").exists()
    return run, source, code


def test_ballast_makes_room_for_the_last_records_and_the_result(
    tmp_path, monkeypatch, undisturbed
):
    run, source, code = stop_when_full(monkeypatch, tmp_path, ballast=True)
    assert code == 75
    kept = len(list(read_journal(run / "journal")))
    assert kept > 20
    assert source.acknowledged[-1] == (kept - 1) * STRIDE
    assert read_result(run / "spectrum.h5").provenance["frames"] == kept
    monkeypatch.undo()
    rest = ScriptedSource(whole_run())
    assert serve_here(quiet_settings(run), rest) == 0
    assert fold_of(run) == fold_of(undisturbed)


def test_without_ballast_the_engine_keeps_what_has_no_room(
    tmp_path, monkeypatch, caplog, undisturbed
):
    run, source, code = stop_when_full(monkeypatch, tmp_path, ballast=False)
    assert code == 75
    assert "The engine will send the last frames again" in caplog.text
    kept = len(list(read_journal(run / "journal")))
    assert max(source.acknowledged) <= (kept - 1) * STRIDE
    monkeypatch.undo()
    rest = ScriptedSource(whole_run())
    assert serve_here(quiet_settings(run), rest) == 0
    assert fold_of(run) == fold_of(undisturbed)


def test_slow_disk_changes_nothing_and_is_shown(tmp_path, monkeypatch, undisturbed):
    calls, real = [], os.fdatasync

    def slow(descriptor):
        calls.append(1)
        time.sleep(0.05)
        real(descriptor)

    monkeypatch.setattr(os, "fdatasync", slow)
    monkeypatch.setattr(account, "_SLOW_SYNC", 0.04)
    source = ScriptedSource(whole_run())
    shown = []
    show = session.Session.show

    def watched(self, *arguments):
        shown.append(show(self, *arguments).message)
        return show(self, *arguments)

    monkeypatch.setattr(session.Session, "show", watched)
    assert serve_here(quiet_settings(tmp_path, run={"credit": 8}), source) == 0
    assert len(calls) >= N_FRAMES / 8
    assert any("s to make records safe" in message for message in shown)
    assert fold_of(tmp_path) == fold_of(undisturbed)


def test_result_that_cannot_be_written_does_not_end_the_run(
    tmp_path, monkeypatch, caplog, undisturbed
):
    refused, real = [], session.write_result

    def refuse(path, result, confirm):
        if result.provenance["status"] == "running":
            refused.append(path)
            raise OutputError(f"cannot write {path}: No space left on device.")
        real(path, result, confirm)

    monkeypatch.setattr(session, "write_result", refuse)
    settings = quiet_settings(tmp_path, spectrum={"refresh": 0.01})
    assert serve_here(settings, ScriptedSource(whole_run())) == 0
    assert len(refused) > 1
    assert caplog.text.count("It is tried again") == 1
    assert fold_of(tmp_path) == fold_of(undisturbed)


def test_result_that_cannot_be_written_at_the_end_is_said_with_what_to_do(
    tmp_path, monkeypatch, undisturbed
):
    def refuse(path, result, confirm):
        raise OutputError(f"cannot write {path}: Read-only file system.")

    monkeypatch.setattr(session, "write_result", refuse)
    source = ScriptedSource(whole_run())
    with pytest.raises(OutputError, match=r"All frames are safe: .*rebuild") as raised:
        serve_here(quiet_settings(tmp_path), source)
    assert raised.value.exit_code == 73
    assert source.acknowledged[-1] == (N_FRAMES - 1) * STRIDE
    assert fold_of(tmp_path) == fold_of(undisturbed)


def test_disk_that_fails_for_good_ends_the_run_with_all_that_was_acknowledged(
    tmp_path, monkeypatch
):
    calls, real = [], os.fdatasync

    def fail(descriptor):
        calls.append(1)
        if len(calls) > 3:
            raise OSError(errno.EIO, "Input/output error")
        real(descriptor)

    source = ScriptedSource(whole_run())
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", fail)
        patch.setattr("mimyria_driver.diskio.rewrite", lambda *_: fail(0))
        with pytest.raises(JournalError, match="and a new file, too") as raised:
            serve_here(quiet_settings(tmp_path), source)
    assert len(calls) > 3
    assert raised.value.exit_code == 74
    assert not isinstance(raised.value, DiskFullError)
    kept = {record.step for record in read_journal(tmp_path / "journal")}
    assert set(range(0, source.acknowledged[-1] + 1, STRIDE)) <= kept


def test_folder_that_is_moved_away_ends_the_run_and_keeps_its_frames(tmp_path):
    run, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    source = ScriptedSource(whole_run())
    receive, moved = source.receive, []

    def watched():
        if source._sent == 30 and not moved:
            moved.append(run.rename(elsewhere))
        return receive()

    source.receive = watched
    with pytest.raises(JournalError, match="was moved") as raised:
        serve_here(quiet_settings(run), source)
    assert moved
    assert raised.value.exit_code == 74
    kept = {record.step for record in read_journal(elsewhere / "journal")}
    assert set(range(0, max([-1, *source.acknowledged]) + 1, STRIDE)) <= kept


def test_place_where_nothing_can_be_written_is_refused(tmp_path):
    place = tmp_path / "run"
    place.write_text("a file where the folder should be")
    with pytest.raises(JournalError, match="the run folder cannot be used") as raised:
        serve_here(quiet_settings(place), ScriptedSource([]))
    assert raised.value.exit_code == 74
