"""Row R6 of the catalogue: every moment at which the machine could have stopped.

A journal is written while its system calls are recorded. Then each state is made that a
kill (any prefix of what was written) or a power cut (any sectors lost that were written
after the last sync, files of any length between) could have left, and opened. What was
acknowledged must be there, and no record may be there that was not written.
"""

import os
import random

import pytest

from mimyria_driver.identity import read_header
from mimyria_driver.journal import Journal
from mimyria_driver.reading import check_records
from mimyria_driver.scanning import sound_records
from tests.unit.driver.journals import IDENTITY, SIZE, record

SECTOR = 512


class Recorder:
    """The writes, cuts and syncs of one file, and the marks beside it."""

    def __init__(self, monkeypatch, path):
        self.events = []
        self._inode = path.stat().st_ino
        for name in ("write", "pwrite", "fdatasync", "fsync", "ftruncate"):
            monkeypatch.setattr(os, name, self._wrap(name, getattr(os, name)))

    def _wrap(self, name, call):
        def recorded(descriptor, *arguments):
            result = call(descriptor, *arguments)
            which = "journal" if os.fstat(descriptor).st_ino == self._inode else "mark"
            data = bytes(arguments[0]) if "write" in name else None
            self.events.append((which, name, data))
            return result

        return recorded


def history(path, monkeypatch, rng, n):
    """Write a journal with rollbacks and syncs as they come; what was recorded.

    Returns:
        Header and first mark, events, and the bytes of every record in order.
    """
    journal = Journal.create(path, IDENTITY)
    begin = path.read_bytes(), path.with_name("journal.mark").read_bytes()
    step = 0
    with monkeypatch.context() as patch:
        recorder = Recorder(patch, path)
        for _ in range(n):
            back = step > 3 and rng.random() < 0.05
            step -= rng.randint(1, 3) if back else 0
            journal.append(record(step, value=rng.random()), replacing=back)
            step += 1
            if rng.random() < 0.15:
                journal.sync()
    journal.close()
    _, start = read_header(path)
    records = [data for _, data in sound_records(path, start, SIZE)]
    return begin, recorder.events, records


def moments(begin, events):
    """After each event: durable bytes, written bytes, possible marks, acked records."""
    header, mark = begin
    durable = written = header
    marks = [mark]
    yield durable, written, list(marks), 0
    for which, name, data in events:
        if which == "mark":
            marks.append(data)
        elif name == "write":
            written += data
        elif name == "fdatasync":
            durable = written
        acknowledged = (len(durable) - len(header)) // SIZE
        yield durable, written, list(marks), acknowledged


def check(path, content, mark, acknowledged, records):
    path.write_bytes(content)
    beside = path.with_name("journal.mark")
    beside.write_bytes(mark)
    _, start = read_header(path)
    end, found = check_records(path, start, SIZE)
    assert found.n_good >= acknowledged
    whole = b"".join(records)
    assert content[start:end] == whole[: end - start]


@pytest.mark.parametrize(
    ("n", "points"), [(60, 500), pytest.param(400, 20_000, marks=pytest.mark.slow)]
)
def test_any_prefix_of_the_writes_is_a_sound_journal(n, points, tmp_path, monkeypatch):
    """A kill: whole calls, and the last one in part."""
    rng = random.Random(6)
    path = tmp_path / "journal"
    begin, events, records = history(path, monkeypatch, rng, n)
    states = list(moments(begin, events))
    assert len(states) > n
    torn = 0
    for point in range(points):
        _, written, marks, acknowledged = states[point % len(states)]
        following = states[min(point % len(states) + 1, len(states) - 1)][1]
        part = rng.randint(0, max(0, len(following) - len(written)))
        content = written + following[len(written) : len(written) + part]
        torn += (len(content) - len(begin[0])) % SIZE > 0
        check(path, content, marks[-1], acknowledged, records)
    assert torn > points / 10  # the cuts did fall into records


@pytest.mark.parametrize(
    ("n", "points"), [(60, 500), pytest.param(400, 20_000, marks=pytest.mark.slow)]
)
def test_any_loss_of_unsynced_sectors_leaves_what_was_acknowledged(
    n, points, tmp_path, monkeypatch
):
    """A power cut: what is not synced may be there, be zeros, or be anything."""
    rng = random.Random(7)
    path = tmp_path / "journal"
    begin, events, records = history(path, monkeypatch, rng, n)
    states = list(moments(begin, events))
    holes = 0
    for _ in range(points):
        durable, written, marks, acknowledged = rng.choice(states)
        length = rng.randint(len(durable), len(written))
        content = bytearray(written[:length])
        for sector in range(len(durable) // SECTOR, length // SECTOR + 1):
            low = max(len(durable), sector * SECTOR)
            high = min(length, (sector + 1) * SECTOR)
            if high > low and rng.random() < 0.4:
                size = high - low
                content[low:high] = rng.choice((bytes(size), rng.randbytes(size)))
        holes += bytes(content) != written[:length]
        check(path, bytes(content), rng.choice(marks), acknowledged, records)
    assert holes > points / 4  # sectors were lost
