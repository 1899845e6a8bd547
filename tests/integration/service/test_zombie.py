"""Row R15 of the catalogue: a driver that stood still while another one took over."""

import errno
import os
import signal
import time
from pathlib import Path

import pytest
from analytic import ScriptedSource
from growing import wait_for_records
from inline import quiet_settings, start, whole_run
from instant import fold_of, serve_here

from mimyria.errors import LockedError
from mimyria.storage import read_result, resultfile
from mimyria_driver import diskio, monitor
from mimyria_driver.inspection import inspect_run


def contents(folder):
    """Bytes of all files that a driver writes, but its lock."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def is_stopped(process):
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_driver_that_was_stopped_and_overtaken_writes_nothing(tmp_path):
    zombie = start(tmp_path, pause=0.03, refresh=0.05)
    try:
        wait_for_records(tmp_path, 20, zombie)
        zombie.send_signal(signal.SIGSTOP)
        while is_stopped(zombie) != "T":
            assert zombie.poll() is None
            time.sleep(0.01)
        with pytest.raises(LockedError, match=f"process {zombie.pid} on"):
            serve_here(quiet_settings(tmp_path), ScriptedSource([]))
        # A file system whose flock does not reach from one node to the other.
        (tmp_path / "lock").unlink()
        with pytest.raises(LockedError, match=f"process {zombie.pid} on"):
            serve_here(quiet_settings(tmp_path), ScriptedSource([]))
        old = time.time() - 100.0
        os.utime(tmp_path / "lease.json", (old, old))
        assert serve_here(quiet_settings(tmp_path), ScriptedSource(whole_run())) == 0
        after = contents(tmp_path)
        result = read_result(tmp_path / "spectrum.h5")
        zombie.send_signal(signal.SIGCONT)
        _, errors = zombie.communicate(timeout=60)
    finally:
        zombie.kill()
        zombie.communicate()
    assert zombie.returncode == 75, errors.decode()
    assert "has taken over while this one stood still" in errors.decode()
    assert contents(tmp_path) == after
    assert result.provenance["status"] == "ended"
    assert not inspect_run(tmp_path).problems
    undisturbed = tmp_path / "undisturbed"
    serve_here(quiet_settings(undisturbed), ScriptedSource(whole_run()))
    assert fold_of(tmp_path) == fold_of(undisturbed)


@pytest.mark.parametrize("failing", [False, True])
def test_driver_that_is_overtaken_while_its_disk_hangs_leaves_the_journal_alone(
    failing, tmp_path, monkeypatch
):
    """A sync is where a driver stands still longest; perhaps it even fails then."""
    path, left = tmp_path / "journal", []
    real = diskio.sync_file

    def hung_sync(descriptor):
        real(descriptor)
        if os.fstat(descriptor).st_size < 5000 or left:
            return
        (tmp_path / "epoch").write_text("7\n")
        other = tmp_path / "other"
        other.write_bytes(path.read_bytes())
        other.replace(path)  # as a driver that takes over does
        left.append(contents(tmp_path))
        if failing:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(diskio, "sync_file", hung_sync)
    with pytest.raises(LockedError, match="has taken over") as raised:
        serve_here(quiet_settings(tmp_path), ScriptedSource(whole_run()))
    assert raised.value.exit_code == 75
    now = contents(tmp_path)
    assert len(left) == 1
    assert set(now) == set(left[0])
    assert [name for name in now if now[name] != left[0][name]] == []


def test_driver_that_is_overtaken_while_it_makes_a_result_does_not_publish_it(
    tmp_path, monkeypatch
):
    path, published = tmp_path / "spectrum.h5", []
    real = resultfile.encode

    def encode(result):
        content = real(result)
        published.append(path.read_bytes() if path.exists() else b"")
        if len(published) == 3:
            (tmp_path / "epoch").write_text("7\n")
        return content

    monkeypatch.setattr(resultfile, "encode", encode)
    settings = quiet_settings(tmp_path, spectrum={"refresh": 1e-6})
    source = ScriptedSource(whole_run())
    with pytest.raises(LockedError, match="has taken over") as raised:
        serve_here(settings, source)
    assert raised.value.exit_code == 75
    assert len(published) == 3
    assert path.read_bytes() == published[-1] != b""
    assert not list(tmp_path.glob(".spectrum.h5.*"))


def test_driver_that_is_overtaken_while_it_makes_a_status_does_not_publish_it(
    tmp_path, monkeypatch, caplog
):
    path, published = tmp_path / "status.json", []
    real = monitor.conditions

    def conditions(status, limits):
        if path.exists():
            published.append(path.read_bytes())
            (tmp_path / "epoch").write_text("7\n")
        return real(status, limits)

    monkeypatch.setattr(monitor, "conditions", conditions)
    with pytest.raises(LockedError, match="has taken over") as raised:
        serve_here(quiet_settings(tmp_path), ScriptedSource(whole_run()))
    assert raised.value.exit_code == 75
    assert len(published) == 1
    assert path.read_bytes() == published[0]
    assert "could not be written" not in caplog.text
    assert not list(tmp_path.glob(".status.json.*"))
