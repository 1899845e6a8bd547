"""Frames of a dump through a real pipe, with writers and drivers that die."""

import errno
import fcntl
import os
import signal
import stat
import subprocess
import sys
import termios
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimyria.errors import (
    AccessError,
    FormatError,
    FrameError,
    LockedError,
    SettingsError,
    UnitError,
)
from mimyria_driver.lammps.dumpsource import open_dump
from mimyria_driver.lammps.pipekeeper import PipeKeeper
from mimyria_driver.lammps.pipespool import PipeSpool
from mimyria_driver.sources import Arrived, Ended, Started
from tests.binary_dumps import COLUMNS, frame, stream, tables

TYPES = ("1=O", "2=H")
STRIDE = 4
TIMEOUT = 20.0

WRITER = """
import sys, time
pieces = sys.stdin.buffer.read()
with open(sys.argv[1], "wb", buffering=0) as pipe:
    while pieces:
        pieces = pieces[pipe.write(pieces[:int(sys.argv[2])]):]
        time.sleep(float(sys.argv[3]))
"""


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "spectrum"
    path.mkdir()
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "frames.bin"


@pytest.fixture
def writers():
    started = []
    yield started
    for process in started:
        process.kill()
        process.wait()


def write(writers, path, data, *, piece=1 << 20, pause=0.0):
    """A LAMMPS: another process that writes bytes into the pipe."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(piece), str(pause)],
        stdin=subprocess.PIPE,
    )
    process.stdin.write(data)
    process.stdin.close()
    writers.append(process)
    return process


def open_source(path, folder, types=TYPES, time_step=0.5, stride=STRIDE):
    return open_dump(path, folder, types, time_step, stride)


def collect(source, *, n_frames=10**9, durable=-1, acknowledge=True):
    """Play the service until the end, or until so many frames have come."""
    events = []
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        found = source.receive()
        for event in found:
            events.append(event)
            if isinstance(event, Started):
                source.accept(durable)
            elif isinstance(event, Arrived) and acknowledge:
                source.acknowledge(event.frame.step)
        n_arrived = sum(isinstance(each, Arrived) for each in events)
        if n_arrived >= n_frames or any(isinstance(each, Ended) for each in events):
            return events
        if not found:
            time.sleep(0.01)
    pytest.fail(f"no end within {TIMEOUT} s; so far {len(events)} events")


def frames_of(events):
    return [each.frame for each in events if isinstance(each, Arrived)]


def steps_of(events):
    return [each.step for each in frames_of(events)]


def die(source):
    """As the kernel ends a process that is killed: it closes, and says nothing."""
    pipe = source._source
    os.close(pipe._descriptor)
    os.close(pipe._lock)
    os.close(pipe._keeper._control)
    os.close(pipe.spool._descriptor) if pipe.spool._descriptor >= 0 else None
    pipe._idle.close()
    pipe._idle_end.close()


def until(condition):
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.02)
    pytest.fail("it did not come to that")


@pytest.fixture(autouse=True)
def no_keeper_is_left(monkeypatch):
    """Whatever has happened: when nobody writes and no driver is there, all leave."""
    started = []
    begin = PipeKeeper.__init__

    def note(self, *arguments):
        begin(self, *arguments)
        started.append(self._process)

    monkeypatch.setattr(PipeKeeper, "__init__", note)
    yield
    until(lambda: all(map(has_ended, started)))


def has_ended(process):
    try:
        return os.waitpid(process, os.WNOHANG)[0] == process
    except ChildProcessError:
        return True


def check_numbers(found, numbers):
    for each, table in zip(found, numbers, strict=True):
        order = np.argsort(table[:, 0])
        assert each.numbers.tolist() == [8, 1, 1, 8]
        np.testing.assert_array_equal(each.positions, table[order, 2:5])
        np.testing.assert_array_equal(each.velocities, table[order, 5:8])


# -- what comes through ----------------------------------------------------------------


def test_the_pipe_is_made_for_this_user_and_gives_every_frame(path, folder, writers):
    source = open_source(path, folder)
    found = path.lstat().st_mode
    assert stat.S_ISFIFO(found)
    assert stat.S_IMODE(found) == 0o600
    raw, numbers = stream(50)
    write(writers, path, b"".join(raw), piece=1000)
    events = collect(source)
    assert isinstance(events[0], Started)
    description = events[0].description
    assert description.engine == "LAMMPS dump"
    assert description.numbers.tolist() == [8, 1, 1, 8]
    np.testing.assert_allclose(description.masses, [15.999, 1.008, 1.008, 15.999])
    assert (description.time_step, description.stride) == (0.5, STRIDE)
    assert events[-1].reason == "LAMMPS has closed the dump"
    assert steps_of(events) == list(range(0, 200, STRIDE))
    previous = [each.previous_step for each in events if isinstance(each, Arrived)]
    assert previous == [-1, *range(0, 196, STRIDE)]
    check_numbers(frames_of(events), numbers)
    source.close()
    assert not list(folder.iterdir())  # nothing waits for anybody


def test_a_file_that_is_there_is_read_to_its_end(path, folder):
    raw, numbers = stream(20)
    path.write_bytes(b"".join(raw))
    source = open_source(path, folder)
    events = collect(source)
    check_numbers(frames_of(events), numbers)
    assert isinstance(events[-1], Ended)
    source.close()


def test_a_file_that_grows_is_followed_until_nobody_writes(path, folder):
    raw, numbers = stream(20)
    with path.open("wb", buffering=0) as growing:
        growing.write(b"".join(raw[:10]) + raw[10][:100])
        source = open_source(path, folder)
        assert len(frames_of(collect(source, n_frames=10))) == 10
        assert source.receive() == []
        growing.write(raw[10][100:] + b"".join(raw[11:]))
        rest = collect(source, n_frames=10)
        assert source.receive() == []
    check_numbers(frames_of(rest), numbers[10:])
    assert isinstance(collect(source)[-1], Ended)
    source.close()


def test_of_a_file_only_the_last_known_frames_come_again(path, folder):
    raw, _ = stream(300)
    path.write_bytes(b"".join(raw))
    source = open_source(path, folder)
    events = collect(source, durable=1000)
    assert steps_of(events) == list(range(1000 - 64 * STRIDE, 1200, STRIDE))
    assert next(e for e in events if isinstance(e, Arrived)).previous_step == -1
    source.close()


@given(st.data())
def test_the_spool_gives_back_what_it_has_not_been_told_to_forget(
    tmp_path_factory, data
):
    folder = tmp_path_factory.mktemp("spool")
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    written, taken, forgotten = b"", 0, 0
    spool = PipeSpool(folder / "s")
    try:
        for number in range(data.draw(st.integers(1, 12))):
            piece = bytes([number]) * data.draw(st.integers(0, 5000))
            os.write(writing, piece)
            written += piece
            got = spool.take(reading, data.draw(st.integers(1, 8000)))
            if got is not None:
                assert written[taken:].startswith(got)
                taken += len(got)
            if data.draw(st.booleans()):
                forgotten = data.draw(st.integers(forgotten, taken))
                spool.forget(forgotten)
            if data.draw(st.booleans()):  # another process
                spool.close(clear=False)
                spool = PipeSpool(folder / "s")
                left = b"".join(spool.left())
                assert written[:taken].endswith(left)
                assert len(left) >= taken - forgotten
                written, taken, forgotten = left + written[taken:], len(left), 0
    finally:
        spool.close(clear=True)
        os.close(reading)
        os.close(writing)
    assert not (folder / "s").exists()


def test_without_splice_the_frames_are_the_same(path, folder, writers, monkeypatch):
    monkeypatch.delattr(os, "splice")
    source = open_source(path, folder)
    raw, numbers = stream(30)
    write(writers, path, b"".join(raw), piece=777)
    first = collect(source, n_frames=12, acknowledge=False)
    assert b"".join(PipeSpool(folder / "pipe").left()).startswith(b"".join(raw[:12]))
    check_numbers(frames_of(first) + frames_of(collect(source)), numbers)
    source.close()


# -- what dies -------------------------------------------------------------------------


def test_a_killed_driver_loses_no_frame(path, folder, writers):
    """Killed twice, once before and once after it has acknowledged."""
    raw, numbers = stream(3000)
    source = open_source(path, folder)
    writer = write(writers, path, b"".join(raw), piece=5000, pause=0.0005)
    seen = frames_of(collect(source, n_frames=20, acknowledge=False))
    die(source)
    source = open_source(path, folder)
    again = frames_of(collect(source, n_frames=100))
    assert [each.step for each in again[: len(seen)]] == [each.step for each in seen]
    die(source)
    last = again[-1].step
    time.sleep(0.3)
    assert writer.poll() is None  # waits for a reader, and lives
    source = open_source(path, folder)
    events = collect(source)
    rest = frames_of(events)
    assert rest[0].step <= last + STRIDE
    assert writer.wait(timeout=TIMEOUT) == 0
    found = again + [each for each in rest if each.step > last]
    assert [each.step for each in found] == list(range(0, 12000, STRIDE))
    check_numbers(found, numbers)
    source.close()
    assert not list(folder.iterdir())


def test_what_is_in_the_pipe_when_lammps_ends_waits_for_the_next_driver(
    path, folder, writers
):
    raw, numbers = stream(60)
    source = open_source(path, folder)
    writer = write(writers, path, b"".join(raw), piece=300, pause=0.01)
    collect(source, n_frames=10)
    die(source)
    assert writer.wait(timeout=TIMEOUT) == 0
    # The keeper saves it and leaves: then nobody has the pipe.
    until((folder / "pipe" / "over").exists)
    source = open_source(path, folder)
    found = {each.step: each for each in frames_of(collect(source))}
    assert list(found)[-1] == 59 * STRIDE
    assert set(found) >= set(range(10 * STRIDE, 60 * STRIDE, STRIDE))
    check_numbers(list(found.values()), numbers[-len(found) :])
    source.close()


def test_a_driver_that_is_killed_before_it_looked_leaves_a_keeper(
    path, folder, writers
):
    raw, numbers = stream(400)
    source = open_source(path, folder)
    writer = write(writers, path, b"".join(raw))
    until(lambda: waiting_bytes(source) > 0)
    die(source)
    time.sleep(0.3)
    source = open_source(path, folder)
    check_numbers(frames_of(collect(source)), numbers)
    assert writer.wait(timeout=TIMEOUT) == 0
    source.close()


def test_a_lammps_that_ends_behind_the_last_frame_ends_the_next_driver(path, folder):
    raw, _ = stream(5)
    source = open_source(path, folder)
    with path.open("wb", buffering=0) as pipe:
        pipe.write(b"".join(raw))
        assert len(frames_of(collect(source, n_frames=5))) == 5
        die(source)
    until(lambda: (folder / "pipe" / "over").exists())
    source = open_source(path, folder)
    assert [type(each) for each in collect(source)] == [Ended]
    source.close()
    assert not list(folder.iterdir())


def test_a_lammps_that_came_and_wrote_nothing_is_waited_for_again(path, folder):
    source = open_source(path, folder)
    path.open("wb").close()
    assert source.receive() == []
    die(source)
    time.sleep(0.3)
    source = open_source(path, folder)
    path.open("wb").close()
    assert source.receive() == []
    raw, _ = stream(5)
    with path.open("wb", buffering=0) as pipe:
        pipe.write(b"".join(raw))
    assert len(frames_of(collect(source))) == 5
    source.close()


def test_a_keeper_that_was_killed_does_no_harm_to_the_driver(path, folder, writers):
    source = open_source(path, folder)
    process = source._source._keeper._process
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    raw, numbers = stream(40)
    write(writers, path, b"".join(raw))
    check_numbers(frames_of(collect(source)), numbers)
    source.close()


def waiting_bytes(source):
    """What is in the pipe and was not read."""
    raw = fcntl.ioctl(source._source._lock, termios.FIONREAD, bytes(4))
    return int.from_bytes(raw, sys.byteorder)


def test_after_a_stop_lammps_waits_and_after_an_end_it_goes_on_alone(
    path, folder, writers
):
    raw, _ = stream(9000)
    source = open_source(path, folder)
    writer = write(writers, path, b"".join(raw))
    collect(source, n_frames=5)
    source.close(coming_back=True)
    time.sleep(0.5)
    assert writer.poll() is None
    source = open_source(path, folder)
    collect(source, n_frames=20)
    assert writer.poll() is None
    source.close(coming_back=False)
    assert writer.wait(timeout=TIMEOUT) == 0


def test_a_run_that_is_refused_ends_lammps(path, folder, writers):
    raw, _ = stream(9000)
    source = open_source(path, folder)
    writer = write(writers, path, b"".join(raw))
    until(lambda: any(isinstance(each, Started) for each in source.receive()))
    source.refuse("the model knows no oxygen")
    assert source.receive() == []
    source.close()
    writer.wait(timeout=TIMEOUT)
    assert writer.returncode != 0  # this writer gets EPIPE, LAMMPS SIGPIPE


def test_a_lammps_that_runs_for_long_is_not_ended_by_wrong_settings(
    path, folder, writers
):
    raw, numbers = stream(9000)
    source = open_source(path, folder)
    writer = write(writers, path, b"".join(raw))
    first = frames_of(collect(source, n_frames=30))
    source.close(coming_back=True)
    source = open_source(path, folder, types=("1=O",))
    with pytest.raises(FrameError, match=r"atoms of type 2, but source\.types has 1"):
        collect(source)
    source.close()
    time.sleep(0.3)
    assert writer.poll() is None
    source = open_source(path, folder)
    rest = frames_of(collect(source))
    assert writer.wait(timeout=TIMEOUT) == 0
    found = {each.step: each for each in first + rest}
    check_numbers([found[step] for step in sorted(found)], numbers)
    source.close()


def test_another_lammps_after_one_that_was_killed_is_another_run(path, folder, writers):
    raw, _ = stream(10)
    source = open_source(path, folder)
    write(writers, path, b"".join(raw[:8]) + raw[8][:77]).wait()
    assert steps_of(collect(source)) == list(range(0, 32, STRIDE))
    source.close(coming_back=True)
    again, _ = stream(6, begin=16, seed=3)
    source = open_source(path, folder)
    write(writers, path, b"".join(again))
    events = collect(source)
    kinds = [type(each).__name__ for each in events]
    assert kinds.count("Started") == 1
    assert steps_of(events) == list(range(16, 40, STRIDE))
    source.close()


def test_a_second_lammps_in_the_same_stream_starts_anew(path, folder, writers):
    """Both came and went while no driver was there; the first one was killed."""
    raw, _ = stream(10)
    again, _ = stream(6, begin=16, seed=3)
    source = open_source(path, folder)
    write(writers, path, b"".join(raw[:8]) + raw[8][:77] + b"".join(again))
    events = collect(source)
    starts = [n for n, each in enumerate(events) if isinstance(each, Started)]
    assert starts == [0, 9]
    assert steps_of(events) == [*range(0, 32, STRIDE), *range(16, 40, STRIDE)]
    assert events[10].previous_step == -1
    source.close()


def test_a_full_disk_makes_lammps_wait(path, folder, writers, monkeypatch, caplog):
    raw, numbers = stream(20)
    source = open_source(path, folder)
    write(writers, path, b"".join(raw))
    first = collect(source, n_frames=1)
    splice = os.splice

    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "splice", full)
    source._size = 100
    monkeypatch.setattr(source._source, "_clock", lambda: 0.0)
    while source.receive():
        pass
    assert "frames cannot be kept (No space left on device)" in caplog.text
    assert source.pollable is source._source._idle  # nothing wakes the service
    monkeypatch.setattr(source._source, "_clock", lambda: 2.0)
    monkeypatch.setattr(os, "splice", splice)
    check_numbers(frames_of(first) + frames_of(collect(source)), numbers)
    source.close()


# -- what is refused -------------------------------------------------------------------


def dump(path, frames):
    path.write_bytes(b"".join(frames))


def two(first=None, second=None, table=None, **options):
    """Two frames of a dump, of which some things are otherwise."""
    one, other = tables(2)
    other[:, 1] = np.where(other[:, 0] % 3 == 1, 1, 2)
    if table is not None:
        one, other = table(one), table(other)
    return [
        frame(0, one, **{"units": "real", "time": 0.0, **options, **(first or {})}),
        frame(
            **{"step": 4, "table": other, "time": 2.0, **options, **(second or {})},
        ),
    ]


def without_velocities(table):
    return table[:, :5]


def with_masses(table):
    return np.column_stack([table, np.where(table[:, 1] == 1, 1.008, 15.999)])


@pytest.mark.parametrize(
    ("frames", "error", "what"),
    [
        (two({"units": "lj"}), UnitError, "in `units lj`"),
        (two({"units": None}), FormatError, "does not say its units"),
        (two({"time": None}), FormatError, "does not say its time"),
        (
            two(table=without_velocities, columns="id type x y z"),
            FormatError,
            "no columns vx vy vz",
        ),
        (two(second={"time": 4.0}), FrameError, "4 steps take 4 fs, but with"),
        (two(second={"time": np.nan}), FrameError, "4 steps take nan fs, but with"),
        (two(second={"step": 8, "time": 4.0}), FrameError, "are 8 steps apart, but"),
        (two(second={"step": 2, "time": 1.0}), FrameError, "are 2 steps apart, but"),
        (
            two(table=with_masses, columns=f"{COLUMNS} mass"),
            FrameError,
            r"Atoms of type 1 have the mass 1.008, but O has 15.999 amu",
        ),
        (
            two(second={"table": tables(1, n_atoms=5)[0]}),
            FrameError,
            "began with 4 atoms, but now has 5",
        ),
        (
            two(second={"table": tables(2)[1] + np.eye(1, 8) * 9}),
            FrameError,
            "step 4: the ids or types of the atoms are not those",
        ),
        (
            two(second={"table": tables(2)[1] * 0 + tables(2)[0]}),
            None,
            None,
        ),
        ([], FormatError, "the dump holds no frame"),
        ([b"ITEM: TIMESTEP\n"], FormatError, "the dump holds no frame"),
    ],
)
def test_what_cannot_be_used_is_named(path, folder, frames, error, what):
    dump(path, frames)
    source = open_source(path, folder)
    if error is None:
        assert steps_of(collect(source)) == [0, 4]
    else:
        with pytest.raises(error, match=what):
            collect(source)
    source.close()


def test_velocities_that_never_change_are_refused(path, folder):
    one, other = tables(2)
    order = np.argsort(other[:, 0])
    other[order, 5:8] = one[np.argsort(one[:, 0]), 5:8]
    dump(path, [frame(0, one, units="real", time=0.0), frame(4, other, time=2.0)])
    source = open_source(path, folder)
    with pytest.raises(FrameError, match="velocities never change, as with fix ipi"):
        collect(source)
    source.close()


def test_deuterium_is_an_element_of_its_own(path, folder):
    table = np.column_stack([tables(1)[0], [0.0] * 4])
    table[:, 8] = np.where(table[:, 1] == 1, 15.999, 2.014)
    columns = f"{COLUMNS} mass"
    dump(path, [frame(0, table, units="metal", time=0.0, columns=columns)])
    source = open_source(path, folder, types=("1=O", "2=D"))
    description = collect(source)[0].description
    assert description.numbers.tolist() == [8, 1, 1, 8]
    assert description.masses.tolist() == [15.999, 2.014, 2.014, 15.999]
    source.close()


def test_metal_units_have_picoseconds(path, folder):
    raw = [
        frame(4 * n, table, units=None if n else "metal", time=0.002 * n)
        for n, table in enumerate(tables(40))
    ]
    dump(path, raw)
    source = open_source(path, folder)
    found = frames_of(collect(source))
    order = np.argsort(tables(1)[0][:, 0])
    np.testing.assert_allclose(
        found[0].velocities, tables(1)[0][order, 5:8] * 1e-3, rtol=1e-15
    )
    assert len(found) == 40
    source.close()


def test_a_pipe_that_others_can_open_is_refused(path, folder):
    os.mkfifo(path)
    path.chmod(0o644)
    with pytest.raises(AccessError, match="other users can open this pipe"):
        open_source(path, folder)


def test_a_type_without_an_element_is_refused_before_anything_is_read(path, folder):
    with pytest.raises(SettingsError, match=r"'2=\?', but '\?' is no chemical element"):
        open_dump(path, folder, ("1=O", "2=?"), 0.5, 4)
    assert not path.exists()


def test_a_pipe_in_the_run_folder_is_refused(folder):
    with pytest.raises(SettingsError, match=r"must not be in run\.directory"):
        open_source(folder / "frames.bin", folder)


def test_a_folder_or_a_place_without_one_is_no_pipe(tmp_path, folder):
    (tmp_path / "frames.bin").mkdir()
    with pytest.raises(SettingsError, match="this is no pipe"):
        open_source(tmp_path / "frames.bin", folder)
    with pytest.raises(SettingsError, match="cannot be made"):
        open_source(tmp_path / "absent" / "frames.bin", folder)


def test_two_drivers_cannot_share_a_pipe(path, folder, tmp_path, monkeypatch):
    monkeypatch.setattr("mimyria_driver.lammps.pipe._LOCK_SECONDS", 0.1)
    first = open_source(path, folder)
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(LockedError, match="another driver reads this pipe"):
        open_source(path, other)
    first.close()
    open_source(path, other).close()


def test_a_type_must_be_a_number(path, folder):
    with pytest.raises(SettingsError, match="numbers of types, as 1=O, but has O"):
        open_source(path, folder, types=("O=O",))


def test_a_signal_of_the_terminal_does_not_end_the_keeper(path, folder, writers):
    raw, _ = stream(9000)
    source = open_source(path, folder)
    writer = write(writers, path, b"".join(raw))
    collect(source, n_frames=5)
    process = source._source._keeper._process
    os.kill(process, signal.SIGINT)
    os.kill(process, signal.SIGTERM)
    die(source)
    time.sleep(0.3)
    assert writer.poll() is None
    source = open_source(path, folder)
    collect(source)
    assert writer.wait(timeout=TIMEOUT) == 0
    source.close()


READER = """
import os, sys, time
sys.path[:0] = {path!r}
from pathlib import Path
from mimyria_driver.lammps.dumpsource import open_dump
from mimyria_driver.sources import Arrived, Ended, Started
source = open_dump(Path(sys.argv[1]), Path(sys.argv[2]), ("1=O", "2=H"), 0.5, 4)
lines = Path(sys.argv[3]).read_text().splitlines()
last = int(lines[-1].split()[0]) if lines else -1
journal = os.open(sys.argv[3], os.O_WRONLY | os.O_APPEND)
n = 0
while True:
    for event in source.receive():
        if isinstance(event, Started):
            source.accept(-1)
        elif isinstance(event, Ended):
            os.write(journal, b"end\\n")
            source.close()
            sys.exit()
        else:
            frame = event.frame
            if frame.step > last:
                line = f"{{frame.step}} {{float(frame.positions.sum())!r}}\\n"
                os.write(journal, line.encode())
            n += 1
            if n % 7 == 0:
                source.acknowledge(frame.step)
    time.sleep(0.0005)
"""


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_kills_at_any_moment_lose_no_frame_and_damage_none(path, folder, writers, seed):
    """A driver that writes down what it does not have yet, and then acknowledges it."""
    rng = np.random.default_rng(seed)
    raw, numbers = stream(20_000, seed=seed)
    os.mkfifo(path, 0o600)
    journal = folder.parent / "journal"
    journal.touch()
    command = [sys.executable, "-c", READER.format(path=sys.path)]
    arguments = [str(path), str(folder), str(journal)]
    writer, n_kills = None, 0
    while not journal.read_text().endswith("end\n"):
        reader = subprocess.Popen([*command, *arguments])
        writers.append(reader)
        if writer is None:
            writer = write(writers, path, b"".join(raw), piece=3000, pause=0.001)
        size = journal.stat().st_size
        goal = size + rng.integers(1, 60_000)
        until(
            lambda goal=goal, reader=reader: (
                journal.stat().st_size > goal or reader.poll() is not None
            )
        )
        reader.kill()
        reader.wait()
        n_kills += 1
    assert writer.wait(timeout=TIMEOUT) == 0
    assert n_kills > 10
    lines = journal.read_text().splitlines()[:-1]
    found = [line.split() for line in lines]
    expected = []
    for table in numbers:
        order = np.argsort(table[:, 0])
        expected.append(np.ascontiguousarray(table[order, 2:5]).sum())
    assert [int(step) for step, _ in found] == [4 * n for n in range(len(numbers))]
    assert [float(each) for _, each in found] == expected
