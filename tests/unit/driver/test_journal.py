import dataclasses
import os
import resource
import signal
import subprocess
import sys

import numpy as np
import pytest

from mimyria.currents import Currents
from mimyria.errors import DiskFullError, IncompatibleError, JournalError, LockedError
from mimyria_driver.checks import check_identity
from mimyria_driver.identity import Identity, read_header
from mimyria_driver.journal import Journal, lock_folder, read_journal
from mimyria_driver.pipeline import rebuild
from mimyria_driver.reading import live_records
from mimyria_driver.records import Record
from mimyria_driver.settings import SpectrumSettings
from tests.unit.driver.journals import IDENTITY, SIZE, record, written


def same(first, second):
    for name in (
        "step",
        "previous_step",
        "time",
        "volume",
        "kinetic_temperature",
        "digest",
    ):
        assert getattr(first, name) == getattr(second, name)
    np.testing.assert_array_equal(first.currents.dipole, second.currents.dipole)
    np.testing.assert_array_equal(
        first.currents.polarizability, second.currents.polarizability
    )


def test_record_has_136_bytes():
    assert SIZE == 136


def test_records_come_back_to_the_bit(tmp_path):
    path = tmp_path / "journal"
    records = [record(index) for index in range(20)]
    written(path, records)
    for found, expected in zip(read_journal(path), records, strict=True):
        same(found, expected)
    assert read_header(path)[0] == IDENTITY


def test_absent_currents_come_back_absent(tmp_path):
    path = tmp_path / "journal"
    identity = Identity((1,), 0.5, 4, {"pgt": "b" * 64}, {})
    journal = Journal.create(path, identity)
    journal.append(Record(0, -1, 0.0, 1.0, 1.0, Currents(None, np.ones(6)), bytes(8)))
    journal.close()
    (found,) = read_journal(path)
    assert found.currents.dipole is None
    np.testing.assert_array_equal(found.currents.polarizability, np.ones(6))


def test_opened_journal_goes_on(tmp_path):
    path = tmp_path / "journal"
    written(path, [record(index) for index in range(5)])
    journal = Journal.open(path)
    assert (journal.n_records, journal.last_step, journal.durable_step) == (5, 16, 16)
    journal.append(record(5))
    assert journal.durable_step == 16
    assert journal.sync() == 20
    journal.close()
    assert [entry.step for entry in read_journal(path)] == [0, 4, 8, 12, 16, 20]


def test_tail_torn_at_any_byte_is_cut_off(tmp_path):
    path = tmp_path / "journal"
    written(path, [record(index) for index in range(6)])
    whole = path.read_bytes()
    start = read_header(path)[1]
    for length in range(len(whole) - 3 * SIZE, len(whole) + 1):
        path.write_bytes(whole[:length])
        n_whole = (length - start) // SIZE
        assert len(list(read_journal(path))) == n_whole
        journal = Journal.open(path)
        assert journal.n_records == n_whole
        assert journal.last_step == 4 * (n_whole - 1)
        journal.append(record(n_whole))
        journal.close()
        assert len(list(read_journal(path))) == n_whole + 1


@pytest.mark.parametrize("garbage", [b"\0" * SIZE * 2, b"\xff" * 50])
def test_garbage_at_the_end_is_cut_off(tmp_path, garbage):
    path = tmp_path / "journal"
    written(path, [record(index) for index in range(6)])
    size = path.stat().st_size
    with path.open("ab") as file:
        file.write(garbage)
    Journal.open(path).close()
    assert path.stat().st_size == size


def test_any_flipped_bit_in_the_middle_is_damage_and_nothing_is_touched(tmp_path):
    path = tmp_path / "journal"
    written(path, [record(index) for index in range(6)])
    whole = path.read_bytes()
    start = read_header(path)[1]
    for byte in range(start + 2 * SIZE, start + 3 * SIZE):
        data = bytearray(whole)
        data[byte] ^= 1 << (byte % 8)
        path.write_bytes(data)
        text = rf"record 2 \(byte {start + 2 * SIZE}\) is damaged, but record 3"
        with pytest.raises(JournalError, match=text) as raised:
            Journal.open(path)
        assert raised.value.exit_code == 74
        assert path.read_bytes() == bytes(data)


def test_any_flipped_bit_in_the_header_is_found(tmp_path):
    path = tmp_path / "journal"
    written(path, [record(0)])
    whole = path.read_bytes()
    for byte in range(read_header(path)[1]):
        data = bytearray(whole)
        data[byte] ^= 1 << (byte % 8)
        path.write_bytes(data)
        with pytest.raises(JournalError, match=r"header is damaged|not a mimyria"):
            Journal.open(path)


def test_journal_of_another_version_is_refused_with_advice(tmp_path):
    path = tmp_path / "journal"
    written(path, [])
    import zlib

    data = bytearray(path.read_bytes()[:-4])
    data[8] = 5
    path.write_bytes(bytes(data) + zlib.crc32(data).to_bytes(4, "little"))
    with pytest.raises(
        JournalError, match="format version 5, but this program reads 1, 2, 3, 4"
    ):
        Journal.open(path)


def test_absent_journal_is_an_error_for_readers(tmp_path):
    with pytest.raises(JournalError, match="there is no journal"):
        list(read_journal(tmp_path / "journal"))


def test_rollback_voids_what_came_before_it_only(tmp_path):
    path = tmp_path / "journal"
    journal = Journal.create(path, IDENTITY)
    for index in range(6):
        journal.append(record(index))
    journal.roll_back(12)
    assert journal.last_step == 11
    for index in range(3, 5):
        journal.append(record(index, value=1.0))
    journal.roll_back(16)
    journal.append(record(4, value=2.0))
    journal.sync()
    journal.close()
    live = list(read_journal(path))
    assert [entry.step for entry in live] == [0, 4, 8, 12, 16]
    same(live[2], record(2))
    same(live[3], record(3, value=1.0))
    same(live[4], record(4, value=2.0))
    assert Journal.open(path).last_step == 16
    assert sum(map(len, live_records(path))) == 5


def test_rollback_without_a_frame_after_it_still_counts(tmp_path):
    path = tmp_path / "journal"
    journal = Journal.create(path, IDENTITY)
    for index in range(6):
        journal.append(record(index))
    journal.roll_back(12)
    journal.close()
    assert Journal.open(path).last_step == 8


def test_fold_in_chunks_has_the_bits_of_the_fold_one_by_one(tmp_path):
    from mimyria_driver.pipeline import Pipeline

    path = tmp_path / "journal"
    settings = SpectrumSettings(resolution=200.0)
    records = [
        record(i, previous=-1 if i in (0, 100, 101, 350) else None) for i in range(600)
    ]
    written(path, records)
    one_by_one = Pipeline(IDENTITY, settings)
    for entry in records:
        one_by_one.push(entry)
    folded = rebuild(path, IDENTITY, settings)
    assert folded.n_segments == one_by_one.n_segments == 4
    assert folded.kinetic_temperature == one_by_one.kinetic_temperature
    assert list(folded.digests) == list(one_by_one.digests)
    for target, arrays in folded.state().items():
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, one_by_one.state()[target][name])
    # What `mimyria spectrum --compat` takes: the segments, each by itself.
    trajectories = folded.result({}).dipole.trajectories
    assert (trajectories.number, trajectories.first) == (4, 100)
    assert (trajectories.shortest, trajectories.longest) == (1, 250)


def test_second_writer_is_told_who_holds_the_folder(tmp_path):
    lock = lock_folder(tmp_path)
    text = rf"process {os.getpid()} on .* is writing"
    with pytest.raises(LockedError, match=text) as raised:
        lock_folder(tmp_path)
    assert raised.value.exit_code == 75
    os.close(lock)
    os.close(lock_folder(tmp_path))


def test_lock_is_free_after_a_kill(tmp_path):
    code = (
        "import sys, time; from pathlib import Path;"
        "from mimyria_driver.journal import lock_folder;"
        "lock_folder(Path(sys.argv[1])); print('held', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"held\n"
    with pytest.raises(JournalError, match=f"process {process.pid}"):
        lock_folder(tmp_path)
    process.kill()
    process.communicate(timeout=10)
    os.close(lock_folder(tmp_path))


def test_full_disk_keeps_whole_records_and_says_so(tmp_path):
    path = tmp_path / "journal"
    journal = Journal.create(path, IDENTITY)
    journal.append(record(0))
    size = path.stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 50, before[1]))
        with pytest.raises(DiskFullError, match=r"no room for a record .* safe"):
            journal.append(record(1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.stat().st_size == size
    journal.append(record(1))
    journal.close()
    assert len(list(read_journal(path))) == 2


def test_a_charge_stays_with_its_journal_and_older_ones_have_none(tmp_path):
    charged = dataclasses.replace(IDENTITY, charge=-2.0)
    assert Identity.from_json(charged.to_json()) == charged
    assert b"charge" not in IDENTITY.to_json()
    assert Identity.from_json(IDENTITY.to_json()).charge == 0.0
    check_identity(charged, charged, "journal")
    with pytest.raises(
        IncompatibleError,
        match=r"journal was written for a total charge of -2 e, but models.charge is "
        r"0 e now",
    ):
        check_identity(charged, IDENTITY, "journal")
