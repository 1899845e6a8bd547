"""M1: each planted bug makes the test fail that is there for it.

Without a bug every scenario passes; with one of them its check must not.
"""

import contextlib
import os

import invariants
import pytest
from invariants import check, check_acknowledged, check_flips, check_gap

from mimyria.errors import MimyriaError
from mimyria_driver import checks, journal, session
from mimyria_driver.journal import Journal
from mimyria_driver.sequence import Place, Sequencer
from mimyria_driver.snapshots import Snapshots


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return invariants.undisturbed(tmp_path_factory.mktemp("reference") / "run")


def forget_duplicates(patch):
    """Deduplication off: what is known counts as the next frame."""
    place = Sequencer.place

    def placed(self, step, previous_step, digest):
        found = place(self, step, previous_step, digest)
        return found or Place(self.last_step, rollback=False)

    patch.setattr(Sequencer, "place", placed)


def bridge_gaps(patch):
    """A gap is not cut: the frame before it is its neighbour."""
    place = Sequencer.place

    def placed(self, step, previous_step, digest):
        before = self.last_step
        found = place(self, step, previous_step, digest)
        late = found is not None and found.previous_step < 0 <= before < step
        return Place(before, rollback=False) if late else found

    patch.setattr(Sequencer, "place", placed)


def ignore_rollbacks(patch):
    """An engine that went back is taken as one that goes on."""
    place = Sequencer.place

    def placed(self, step, previous_step, digest):
        found = place(self, step, previous_step, digest)
        return found and Place(found.previous_step, rollback=False)

    patch.setattr(Sequencer, "place", placed)


def keep_the_old_branch(patch):
    """A rollback is written, but the correlators are not folded anew."""
    keep = session.Session.keep
    present = []

    def kept(self, pending, sample):
        present[:] = [self.pipeline]
        keep(self, pending, sample)

    patch.setattr(session.Session, "keep", kept)
    fold = Snapshots.fold
    patch.setattr(
        Snapshots, "fold", lambda *given: present[0] if present else fold(*given)
    )


def keep_torn_tails(patch):
    """Half a record stays where it is, and others are written behind it."""
    scan = journal.check_records

    def scanned(path, start, size):
        return (os.path.getsize(path), *scan(path, start, size)[1:])

    patch.setattr(journal, "check_records", scanned)


def ignore_checksums(patch):
    """Any checksum is right."""
    patch.setattr("zlib.crc32", lambda data, value=0: 0)


def acknowledge_before_sync(patch):
    """A frame is called safe when it is written."""

    def sync(self):
        self.durable_step = self.last_step
        with contextlib.suppress(AttributeError):  # derived in some versions
            self.unsynced = 0
        return self.durable_step

    patch.setattr(Journal, "sync", sync)


def forget_at_reconnection(patch):
    """What a connection has brought is not known to the next one."""
    start_stream = Sequencer.start_stream

    def started(self):
        start_stream(self)
        self._digests.forget_from(0)

    patch.setattr(Sequencer, "start_stream", started)


def ignore_digests(patch):
    """Frames of one step are the same, whatever they hold."""
    patch.setattr(checks, "frame_digest", lambda frame: bytes(8))


def lose_a_record(patch):
    """A frame is folded, but its record is not written."""
    append = Journal.append

    def appended(self, record, **options):
        if record.step != 100:
            append(self, record, **options)

    patch.setattr(Journal, "append", appended)


def run_and_check(scenario, patch, folder, reference):
    """One scenario with its check; `patch` for what it has to watch."""
    run = folder / scenario
    if scenario == "acknowledged":
        check_acknowledged(patch, run)
    elif scenario == "flips":
        check_flips(invariants.undisturbed(run))
    elif scenario == "gap":
        check_gap(invariants.gap(run))
    else:
        check(getattr(invariants, scenario)(run), reference)


BUGS = [
    (forget_duplicates, "duplicates"),
    (bridge_gaps, "gap"),
    (ignore_rollbacks, "rollback"),
    (keep_the_old_branch, "rollback"),
    (keep_torn_tails, "torn_tail"),
    (ignore_checksums, "flips"),
    (acknowledge_before_sync, "acknowledged"),
    (forget_at_reconnection, "reconnection"),
    (ignore_digests, "rollback"),
    (lose_a_record, "undisturbed"),
]
SCENARIOS = sorted({*(scenario for _, scenario in BUGS), "restart"})


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_fault_leaves_the_run_as_it_was(
    scenario, tmp_path, reference, monkeypatch
):
    run_and_check(scenario, monkeypatch, tmp_path, reference)


@pytest.mark.parametrize(
    ("plant", "scenario"), BUGS, ids=[plant.__name__ for plant, _ in BUGS]
)
def test_a_planted_bug_is_caught(plant, scenario, tmp_path, reference, monkeypatch):
    with monkeypatch.context() as patch:
        plant(patch)
        with pytest.raises((AssertionError, MimyriaError)):
            run_and_check(scenario, patch, tmp_path, reference)
