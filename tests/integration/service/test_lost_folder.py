"""Row R14 of the catalogue: the run folder goes away, or nothing can be written there.

Each run ends with one line and a code that sends a person there, and what was kept is
sound. The driver is a process of its own, which is stopped while its folder is taken.
"""

import errno
import io
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import states
from analytic import (
    ScriptedSource,
    arrivals,
    description,
    make_settings,
    trajectory,
)
from instant import fold_of, serve_here

from mimyria.errors import JournalError
from mimyria_driver.inspection import inspect_run
from mimyria_driver.journal import read_journal
from mimyria_driver.sources import Ended, Started

TIMEOUT = 60.0


def script():
    frames = arrivals(trajectory(states.N_FRAMES))
    return [Started(description()), *frames, Ended("the end")]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The fold that all others must have in the end."""
    folder = tmp_path_factory.mktemp("undisturbed")
    assert serve_here(make_settings(folder), ScriptedSource(script())) == 0
    return fold_of(folder)


def mount(*words):
    """Skips where the user may not."""
    try:
        done = subprocess.run(["mount", *words], capture_output=True, check=False)
    except OSError as error:
        pytest.skip(f"no file system can be mounted here: {error}")
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.decode()}")


@pytest.fixture
def disk(tmp_path):
    """A file system that can be shut down as the kernel does after an error."""
    image, place = tmp_path / "image", tmp_path / "disk"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(16 << 20)
    if shutil.which("mkfs.ext4") is None:
        pytest.skip("there is no mkfs.ext4")
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
    mount("-o", "loop", str(image), str(place))
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def lose(run, take_away):
    """A driver in the middle of its run, whose folder goes; its code and words."""
    process = subprocess.Popen(
        [sys.executable, states.__file__, "slow", str(run)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert process.stdout.readline() == b"there\n"
        process.send_signal(signal.SIGSTOP)
        take_away()
        process.send_signal(signal.SIGCONT)
        _, errors = process.communicate(timeout=TIMEOUT)
    finally:
        process.kill()
        process.wait(TIMEOUT)
    return process.returncode, errors.decode()


def check_kept(run):
    """What is there is sound, and less than the whole run."""
    assert inspect_run(run).problems == []
    n_kept = len(list(read_journal(run / "journal")))
    assert 0 < n_kept < states.N_FRAMES


def go_on(run):
    assert serve_here(make_settings(run), ScriptedSource(script())) == 0
    return fold_of(run)


def check_words(code, words, expected):
    assert code == 74, words
    assert expected in words
    assert words.count("error:") == 1
    assert "Traceback" not in words


def test_disk_that_becomes_read_only_ends_the_run_with_one_line(disk, undisturbed):
    run = disk / "run"
    tried = []

    def shut_down():
        mount("-o", "remount,abort", str(disk))
        with pytest.raises(OSError, match="Read-only file system") as raised:
            (disk / "file").write_text("x")
        tried.append(raised.value.errno)

    code, words = lose(run, shut_down)
    assert tried == [errno.EROFS]
    check_words(code, words, "Read-only file system")
    check_kept(run)
    # A driver that is started there says the same before it speaks to an engine.
    with pytest.raises(JournalError, match="Read-only file system") as raised:
        serve_here(make_settings(run), ScriptedSource(script()))
    assert raised.value.exit_code == 74
    shutil.copytree(run, disk.parent / "saved")  # as a person would
    assert go_on(disk.parent / "saved") == undisturbed


def test_folder_on_a_disk_mounted_read_only_is_refused_with_one_line(disk):
    run = disk / "run"
    serve_here(make_settings(run), ScriptedSource(script()))
    mount("-o", "remount,ro", str(disk))
    done = subprocess.run(
        [sys.executable, states.__file__, "slow", str(run)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    check_words(done.returncode, done.stderr, "Read-only file system")
    assert inspect_run(run).problems == []


def test_folder_that_is_deleted_ends_the_run_with_one_line(tmp_path):
    run = tmp_path / "run"
    code, words = lose(run, lambda: shutil.rmtree(run))
    check_words(code, words, "moved")
    assert not run.exists()  # nothing of it is begun anew


def test_folder_that_is_renamed_ends_the_run_and_can_be_put_back(tmp_path, undisturbed):
    run, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    code, words = lose(run, lambda: run.rename(elsewhere))
    check_words(code, words, "moved")
    assert not run.exists()
    check_kept(elsewhere)
    elsewhere.rename(run)
    assert go_on(run) == undisturbed


def test_folder_whose_server_forgot_it_ends_the_run(tmp_path, monkeypatch, undisturbed):
    """ESTALE, from a moment on, of every call that has to do with the folder."""
    source, hits = ScriptedSource(script()), []

    def is_there(place):
        if isinstance(place, int):
            place = os.readlink(f"/proc/self/fd/{place}")
        try:
            return Path(place).is_relative_to(tmp_path)
        except TypeError:
            return False

    def stale(function):
        def called(place, *given, **named):
            if source._sent > states.MIDDLE and is_there(place):
                hits.append(function.__name__)
                raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
            return function(place, *given, **named)

        return called

    with monkeypatch.context() as patch:
        for name in ("open", "write", "pread", "pwrite", "fsync", "fdatasync", "stat"):
            patch.setattr(os, name, stale(getattr(os, name)))
        patch.setattr(io, "open", stale(io.open))
        with pytest.raises(JournalError) as raised:
            serve_here(make_settings(tmp_path), source)
    assert hits
    assert raised.value.exit_code == 74
    assert "\n" not in str(raised.value)
    check_kept(tmp_path)
    assert go_on(tmp_path) == undisturbed
