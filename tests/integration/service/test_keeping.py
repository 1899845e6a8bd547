"""When a result is renewed, when there is room again, and what cuts a batch short."""

import time
from collections import deque
from types import SimpleNamespace

from analytic import ScriptedSource, trajectory
from inline import N_FRAMES, quiet_settings, whole_run
from instant import InstantEvaluator, serve_here

from mimyria.errors import DiskFullError
from mimyria_driver import diskwait, keeping, service, session
from mimyria_driver.session import Session


class Calculating(ScriptedSource):
    """An engine that has nothing to say each second time."""

    n_calls = 0

    def receive(self):
        self.n_calls += 1
        return [] if self.n_calls % 2 else super().receive()


def test_a_result_is_renewed_only_when_there_is_something_new(tmp_path, monkeypatch):
    """An engine that calculates for an hour is no reason to write a file each 30 s."""
    written, write = [], session.write_result

    def watched(path, result, confirm):
        written.append(
            (result.provenance["status"], result.provenance["journal_records"])
        )
        write(path, result, confirm)

    monkeypatch.setattr(session, "write_result", watched)
    settings = quiet_settings(tmp_path, spectrum={"refresh": 0.001})
    source = Calculating(whole_run(trajectory(12)))
    assert serve_here(settings, source) == 0
    running = [number for status, number in written if status == "running"]
    assert len(running) > 3
    assert running == sorted(set(running))
    assert written[-1] == ("ended", 12)


def test_while_frames_wait_only_a_record_proves_that_there_is_room(
    tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(diskwait, "_RETRY_SECONDS", 0.02)
    keeper = keeping.Keeper(tmp_path, 1.0, lambda step: None, lambda pending: None)
    full = [True]

    def keep(pending, sample):
        if full[0]:
            raise DiskFullError("there is no room for a record.")

    run = SimpleNamespace(
        progress=SimpleNamespace(reason=""),
        journal=SimpleNamespace(sync=lambda: None),
        confirmed_step=0,
        keep=keep,
    )
    keeper.evaluated = deque([(None, None)])
    for _ in range(3):
        keeper.keep(run)
        time.sleep(0.03)  # it may be tried again
        keeper.sync(run)  # what is written already is safe, which needs no room
        assert keeper.waits
    full[0] = False
    time.sleep(0.03)
    keeper.keep(run)
    keeper.sync(run)
    assert not keeper.waits
    assert caplog.text.count("no room for a record") == 1
    assert caplog.text.count("there is room again") == 1


def test_a_journal_that_begins_slowly_cuts_no_batch_short(tmp_path, monkeypatch):
    """With real networks the last digits depend on the batch."""
    begun, place = [], Session.place

    def slow_at_first(self, arrived):
        if not begun:
            time.sleep(2 * service._SILENCE)
            begun.append(arrived)
        return place(self, arrived)

    monkeypatch.setattr(Session, "place", slow_at_first)
    sizes = []

    class Counting(InstantEvaluator):
        def submit(self, frames, **options):
            sizes.append(len(list(frames)))
            super().submit(frames, **options)

    settings = quiet_settings(tmp_path, models={"batch": 8})
    assert serve_here(settings, ScriptedSource(whole_run()), Counting()) == 0
    assert sizes[:-1] == [8] * (N_FRAMES // 8)
    assert sizes[-1] == N_FRAMES % 8
