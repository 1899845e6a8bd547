"""Rows R10, R13 and R14 of the catalogue: what disks do to a journal."""

import errno
import os
import shutil

import pytest

from mimyria.errors import DiskFullError, JournalError
from mimyria_driver import diskio
from mimyria_driver.durablemark import read_mark
from mimyria_driver.identity import header_key, read_header
from mimyria_driver.journal import Journal, read_journal
from tests.unit.driver.journals import IDENTITY, SIZE, record, written


class Fault:
    """A system call that fails a few times, or always; counts how often it did."""

    def __init__(self, monkeypatch, name, number, times=1 << 30, owner=os):
        self.hits = 0
        self.left = times
        self._call = getattr(owner, name)
        self._number = number
        monkeypatch.setattr(owner, name, self)

    def __call__(self, *arguments):
        if not self.left:
            return self._call(*arguments)
        self.left -= 1
        self.hits += 1
        return self.fail(*arguments)

    def fail(self, *arguments):
        raise OSError(self._number, os.strerror(self._number))


class OneByte(Fault):
    """Every write takes one byte only."""

    def fail(self, descriptor, data):
        return self._call(descriptor, data[:1])


class HalfThenFull(Fault):
    """A write takes half of it, and the next one nothing."""

    def fail(self, descriptor, data):
        if self.hits % 2:
            return self._call(descriptor, data[: len(data) // 2])
        raise OSError(self._number, os.strerror(self._number))


def reference(tmp_path, n=12):
    written(tmp_path / "sound", [record(index) for index in range(n)])
    return (tmp_path / "sound").read_bytes()


def steps(path):
    return [entry.step for entry in read_journal(path)]


def test_sync_that_fails_once_goes_on_in_a_new_file(tmp_path, monkeypatch, caplog):
    path = tmp_path / "journal"
    journal = Journal.create(path, IDENTITY)
    for index in range(5):
        journal.append(record(index))
    journal.sync()
    for index in range(5, 9):
        journal.append(record(index))
    before = path.stat().st_ino
    fault = Fault(monkeypatch, "fdatasync", errno.EIO, times=1)
    assert journal.sync() == 8 * 4
    assert fault.hits == 1
    # Never again the file whose sync has failed.
    assert path.stat().st_ino != before
    for index in range(9, 12):
        journal.append(record(index))
    assert journal.sync() == 11 * 4
    journal.close()
    assert path.read_bytes() == reference(tmp_path)
    assert "goes on in a new file" in caplog.text


def test_failed_sync_is_not_tried_again_on_the_same_file(tmp_path, monkeypatch):
    """The second sync of a kernel that has dropped the pages would be a lie."""
    path = tmp_path / "journal"
    journal = Journal.create(path, IDENTITY)
    journal.append(record(0))
    synced, real = [], os.fdatasync

    def refuse_once(descriptor):
        synced.append(os.fstat(descriptor).st_ino)
        if len(synced) == 1:
            raise OSError(errno.EIO, "Input/output error")
        real(descriptor)

    monkeypatch.setattr(os, "fdatasync", refuse_once)
    journal.sync()
    journal.append(record(1))
    journal.sync()
    assert len(synced) == 2
    assert synced[0] != synced[1]
    journal.close()


def test_disk_that_fails_for_good_ends_with_74_and_keeps_what_was_durable(
    tmp_path, monkeypatch
):
    path = tmp_path / "journal"
    journal = Journal.create(path, IDENTITY)
    for index in range(5):
        journal.append(record(index))
    assert journal.sync() == 16
    durable = path.read_bytes()
    journal.append(record(5))
    with monkeypatch.context() as patch:
        faults = [Fault(patch, name, errno.EIO) for name in ("fdatasync", "fsync")]
        with pytest.raises(JournalError, match="and a new file, too") as raised:
            journal.sync()
        assert [fault.hits for fault in faults] == [1, 1]
        with pytest.raises(JournalError):
            journal.sync()
        assert [fault.hits for fault in faults] == [1, 2]
    assert raised.value.exit_code == 74
    assert not isinstance(raised.value, DiskFullError)
    assert journal.durable_step == 16
    journal.close()
    assert path.read_bytes().startswith(durable)
    assert not list(tmp_path.glob(".*rescued"))


def test_new_file_that_reads_otherwise_is_not_trusted(tmp_path, monkeypatch):
    path = tmp_path / "journal"
    journal = Journal.create(path, IDENTITY)
    journal.append(record(0))
    Fault(monkeypatch, "fdatasync", errno.EIO, times=1)
    reads, real = [], os.pread

    def flip(descriptor, size, offset):
        data = bytearray(real(descriptor, size, offset))
        reads.append(offset)
        if len(reads) == 2:  # the first one copies, the second one compares
            data[5] ^= 1
        return bytes(data)

    monkeypatch.setattr(os, "pread", flip)
    with pytest.raises(JournalError, match="does not read as it was written"):
        journal.sync()
    assert len(reads) == 2
    journal.close()


def test_full_disk_at_the_sync_waits_and_goes_on(tmp_path, monkeypatch):
    path = tmp_path / "journal"
    journal = Journal.create(path, IDENTITY)
    for index in range(7):
        journal.append(record(index))
    with monkeypatch.context() as patch:
        fault = Fault(patch, "fdatasync", errno.ENOSPC, times=1)
        full = Fault(patch, "write", errno.EDQUOT)
        for _ in range(3):
            with pytest.raises(DiskFullError, match="no room"):
                journal.sync()
        assert (fault.hits, full.hits) == (1, 3)
        assert journal.durable_step == -1
        with pytest.raises(DiskFullError):
            journal.append(record(7))
    for index in range(7, 12):
        journal.append(record(index))
    assert journal.sync() == 44
    journal.close()
    assert path.read_bytes() == reference(tmp_path)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_part_of_a_record_is_cut_back_when_there_is_no_room(
    number, tmp_path, monkeypatch
):
    path = tmp_path / "journal"
    journal = Journal.create(path, IDENTITY)
    journal.append(record(0))
    size = path.stat().st_size
    with monkeypatch.context() as patch:
        fault = HalfThenFull(patch, "write", number, times=4)
        for _ in range(2):
            with pytest.raises(DiskFullError):
                journal.append(record(1), replacing=True)
            assert path.stat().st_size == size
        assert fault.hits == 4
    assert (journal.last_step, journal.n_records) == (0, 1)
    journal.append(record(1))
    assert journal.sync() == 4
    journal.close()
    assert steps(path) == [0, 4]


def test_part_that_cannot_be_cut_back_is_left_behind_with_its_file(
    tmp_path, monkeypatch
):
    path = tmp_path / "journal"
    journal = Journal.create(path, IDENTITY)
    journal.append(record(0))
    with monkeypatch.context() as patch:
        HalfThenFull(patch, "write", errno.ENOSPC, times=2)
        fault = Fault(patch, "ftruncate", errno.EIO)
        with pytest.raises(DiskFullError):
            journal.append(record(1))
        assert fault.hits == 1
    for index in range(1, 12):
        journal.append(record(index))
    assert journal.sync() == 44
    journal.close()
    assert path.read_bytes() == reference(tmp_path)


def test_short_writes_and_interrupted_calls_make_no_difference(tmp_path, monkeypatch):
    path = tmp_path / "journal"
    journal = Journal.create(path, IDENTITY)
    with monkeypatch.context() as patch:
        storm = Fault(patch, "write", errno.EINTR, times=50)
        journal.append(record(0))
        assert storm.hits == 50
    with monkeypatch.context() as patch:
        slow = OneByte(patch, "write", 0)
        for index in range(1, 12):
            journal.append(record(index))
        assert slow.hits == 11 * SIZE
    with monkeypatch.context() as patch:
        storm = Fault(patch, "fdatasync", errno.EINTR, times=50)
        assert journal.sync() == 44
        assert storm.hits == 50
    journal.close()
    assert path.read_bytes() == reference(tmp_path)


def test_write_that_fails_goes_on_in_a_new_file(tmp_path, monkeypatch):
    path = tmp_path / "journal"
    journal = Journal.create(path, IDENTITY)
    for index in range(11):
        journal.append(record(index))
    fault = Fault(monkeypatch, "write", errno.EIO, times=1)
    journal.append(record(11))
    assert fault.hits == 1
    assert journal.sync() == 44
    journal.close()
    assert path.read_bytes() == reference(tmp_path)


@pytest.mark.parametrize("gone", ["deleted", "moved", "replaced"])
def test_folder_that_goes_away_is_noticed_before_anything_is_acknowledged(
    gone, tmp_path
):
    folder = tmp_path / "run"
    folder.mkdir()
    path = folder / "journal"
    journal = Journal.create(path, IDENTITY)
    journal.append(record(0))
    journal.sync()
    if gone == "deleted":
        shutil.rmtree(folder)
    else:
        folder.rename(tmp_path / "elsewhere")
    if gone == "replaced":
        folder.mkdir()
        written(path, [record(0), record(1)])
    journal.append(record(1))
    with pytest.raises(JournalError, match="was moved or deleted"):
        journal.sync()
    assert journal.durable_step == 0
    journal.close()
    if gone == "moved":
        assert steps(tmp_path / "elsewhere" / "journal") == [0, 4]


def test_stale_handle_of_a_network_disk_ends_with_74(tmp_path, monkeypatch):
    path = tmp_path / "journal"
    journal = Journal.create(path, IDENTITY)
    journal.append(record(0))
    fault = Fault(monkeypatch, "fdatasync", errno.ESTALE)
    Fault(monkeypatch, "pread", errno.ESTALE)
    with pytest.raises(JournalError, match="Check the disk") as raised:
        journal.sync()
    assert fault.hits == 1
    assert raised.value.exit_code == 74
    journal.close()


# -- a tear is told from damage -------------------------------------------------------


def test_hole_behind_the_last_sync_is_a_tear_and_before_it_is_damage(tmp_path):
    path = tmp_path / "journal"
    journal = Journal.create(path, IDENTITY)
    for index in range(6):
        journal.append(record(index))
    journal.sync()
    for index in range(6, 12):
        journal.append(record(index))
    journal.close()
    _, start = read_header(path)
    assert read_mark(path, header_key(path, start)) == 6
    whole = path.read_bytes()
    for place in range(11):
        data = bytearray(whole)
        data[start + place * SIZE + 40] ^= 8
        path.write_bytes(data)
        if place < 6:
            with pytest.raises(JournalError, match=f"record {place} .* is damaged"):
                Journal.open(path)
            assert path.read_bytes() == data
        else:
            reopened = Journal.open(path)
            assert reopened.n_records == place
            reopened.close()
            (tmp_path / "journal.mark").unlink()
            journal = Journal.open(path)
            journal._mark.write(6)
            journal.close()


def test_without_the_mark_every_hole_is_damage(tmp_path):
    path = tmp_path / "journal"
    journal = Journal.create(path, IDENTITY)
    for index in range(6):
        journal.append(record(index))
    journal.close()
    _, start = read_header(path)
    data = bytearray(path.read_bytes())
    data[start + 3 * SIZE + 40] ^= 8
    path.write_bytes(data)
    for spoiled in (b"", b"\0" * 16, os.urandom(16)):
        (tmp_path / "journal.mark").write_bytes(spoiled)
        with pytest.raises(JournalError, match="record 3"):
            Journal.open(path)


def test_mark_of_another_journal_counts_for_nothing(tmp_path):
    path = tmp_path / "journal"
    written(path, [record(index) for index in range(6)])
    _, start = read_header(path)
    assert read_mark(path, header_key(path, start)) == 6
    assert read_mark(path, b"else") is None


def test_journal_that_is_continued_anew_leaves_the_old_file_to_nobody(tmp_path):
    path = tmp_path / "journal"
    zombie = Journal.create(path, IDENTITY)
    zombie.append(record(0))
    zombie.sync()
    journal = Journal.open(path, anew=True)
    zombie.append(record(1, value=1.0))
    journal.append(record(1))
    journal.sync()
    with pytest.raises(JournalError, match="was moved or deleted"):
        zombie.sync()
    journal.close()
    zombie.close()
    written(tmp_path / "sound", [record(0), record(1)])
    assert path.read_bytes() == (tmp_path / "sound").read_bytes()


def test_all_bytes_are_written_whatever_the_system_takes_at_once(tmp_path):
    descriptor = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    diskio.write_all(descriptor, b"")
    diskio.write_all(descriptor, bytes(range(256)) * 1000)
    os.close(descriptor)
    assert (tmp_path / "file").read_bytes() == bytes(range(256)) * 1000
