"""Row R15 of the catalogue: one driver for each run folder, on any number of nodes."""

import json
import os
import socket
import subprocess
import sys
import threading
import time

import pytest

from mimyria.errors import JournalError, LockedError
from mimyria_driver.ownership import Ownership
from mimyria_driver.surroundings import boot_id

OTHER = {"host": "node17", "process": 4711, "boot": "b", "epoch": 3}


def lease(folder, age, **changes):
    """A lease of another driver, renewed so many seconds ago."""
    path = folder / "lease.json"
    path.write_text(json.dumps({**OTHER, **changes}))
    then = time.time() - age
    os.utime(path, (then, then))
    (folder / "epoch").write_text("3\n")


def test_epoch_rises_with_every_start(tmp_path):
    for expected in (1, 2, 3):
        ownership = Ownership.take(tmp_path)
        assert ownership.epoch == expected
        assert not ownership.taken_over
        assert int((tmp_path / "epoch").read_text()) == expected
        held = json.loads((tmp_path / "lease.json").read_text())
        assert held["host"] == socket.gethostname()
        assert (held["process"], held["epoch"]) == (os.getpid(), expected)
        ownership.check()
        ownership.release()
        assert not (tmp_path / "lease.json").exists()


def test_second_driver_is_told_who_holds_the_folder(tmp_path):
    ownership = Ownership.take(tmp_path)
    text = rf"process {os.getpid()} on {socket.gethostname()}"
    with pytest.raises(LockedError, match=text) as raised:
        Ownership.take(tmp_path)
    assert raised.value.exit_code == 75
    assert ownership.epoch == 1
    ownership.check()
    ownership.release()


def test_fresh_lease_of_another_node_is_respected_though_the_lock_is_free(tmp_path):
    lease(tmp_path, age=30.0)
    with pytest.raises(LockedError, match=r"process 4711 on node17") as raised:
        Ownership.take(tmp_path)
    assert raised.value.exit_code == 75
    assert (tmp_path / "epoch").read_text() == "3\n"
    # And the lock was not kept.
    lease(tmp_path, age=90.0)
    Ownership.take(tmp_path).release()


def test_stale_lease_of_another_node_is_taken_over(tmp_path, caplog):
    lease(tmp_path, age=90.0)
    ownership = Ownership.take(tmp_path)
    assert ownership.taken_over
    assert ownership.epoch == 4
    assert "taken over from process 4711 on node17" in caplog.text
    ownership.release()


def test_lease_of_a_process_that_is_gone_counts_for_nothing(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait(timeout=30)
    here = {"host": socket.gethostname(), "process": process.pid}
    lease(tmp_path, age=1.0, boot=boot_id(), **here)
    ownership = Ownership.take(tmp_path)
    assert not ownership.taken_over
    ownership.release()
    # The machine was started anew: whoever has the number now is another one.
    lease(tmp_path, age=1.0, boot="before", **{**here, "process": 1})
    Ownership.take(tmp_path).release()


def test_lease_with_the_number_of_a_thread_counts_for_nothing(tmp_path):
    """In a new container a thread may get the number of the driver that was killed."""
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    here = {"host": socket.gethostname(), "process": thread.native_id}
    lease(tmp_path, age=1.0, boot=boot_id(), **here)
    try:
        ownership = Ownership.take(tmp_path)
    finally:
        end.set()
        thread.join()
    assert not ownership.taken_over
    ownership.release()


def test_lock_file_that_somebody_deleted_does_not_let_a_second_driver_in(tmp_path):
    code = (
        "import sys, time; from pathlib import Path;"
        "from mimyria_driver.ownership import Ownership;"
        "o = Ownership.take(Path(sys.argv[1])); print('held', flush=True);"
        "time.sleep(60)"
    )
    words = [sys.executable, "-c", code, str(tmp_path)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b"held\n"
        (tmp_path / "lock").unlink()
        with pytest.raises(LockedError, match=f"process {process.pid} on"):
            Ownership.take(tmp_path)
    finally:
        process.kill()
        process.communicate(timeout=20)
    Ownership.take(tmp_path).release()


def test_what_killed_writers_have_left_is_removed(tmp_path):
    left = [tmp_path / ".spectrum.h5.123-0a1b2c3d", tmp_path / ".journal.9-ffffffff"]
    others = [tmp_path / ".hidden", tmp_path / "spectrum.h5", tmp_path / ".a.1-xyz"]
    for path in (*left, *others):
        path.write_text("x")
    Ownership.take(tmp_path).release()
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in others)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"host": 1}', '"x"'])
def test_lease_that_cannot_be_read_leaves_the_lock_to_decide(tmp_path, text):
    (tmp_path / "lease.json").write_text(text)
    Ownership.take(tmp_path).release()


def test_driver_that_was_overtaken_may_not_write_and_leaves_the_lease(tmp_path):
    ownership = Ownership.take(tmp_path)
    lease(tmp_path, age=0.0)
    with pytest.raises(LockedError, match=r"process 4711 on node17.*has taken over"):
        ownership.check()
    ownership.release()
    assert json.loads((tmp_path / "lease.json").read_text()) == OTHER


def test_folder_that_is_gone_is_an_error_of_its_own(tmp_path):
    folder = tmp_path / "run"
    ownership = Ownership.take(folder)
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(JournalError, match="was moved, deleted") as raised:
        ownership.check()
    assert raised.value.exit_code == 74
    ownership.release()


def test_lease_is_renewed_when_it_is_time_to(tmp_path, monkeypatch):
    ownership = Ownership.take(tmp_path)
    path = tmp_path / "lease.json"
    os.utime(path, (1.0, 1.0))
    ownership.renew()
    assert path.stat().st_mtime == 1.0
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 11.0)
    ownership.renew()
    assert path.stat().st_mtime > 1e9
    ownership.release()


def test_renewing_notices_that_another_has_taken_over(tmp_path, monkeypatch):
    ownership = Ownership.take(tmp_path)
    lease(tmp_path, age=100.0)
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 11.0)
    with pytest.raises(LockedError):
        ownership.renew()
    assert time.time() - (tmp_path / "lease.json").stat().st_mtime > 50
    ownership.release()
