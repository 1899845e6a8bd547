"""Row M1: bugs planted into sequence, window and receiver, which N6 must catch.

Each is found by a few hundred interleavings, the same ones every time.
"""

from __future__ import annotations

import sys
from pathlib import Path

import hypothesis
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from mishaps import MODES, run, runs

from mimyria.errors import FrameError
from mimyria_driver.digests import Digests
from mimyria_driver.lammps.receiver import LammpsReceiver
from mimyria_driver.lammps.session import Session
from mimyria_driver.lammps.window import Window
from mimyria_driver.sequence import Place, Sequencer
from mimyria_driver.wire import Kind


def forget_duplicates(patch):
    """What is there already counts as a way back."""
    place = Sequencer.place

    def placed(self, step, previous_step, digest):
        self._digests.forget_from(step)
        return place(self, step, previous_step, digest)

    patch.setattr(Sequencer, "place", placed)


def ignore_digests(patch):
    """Frames of one step are the same, whatever they hold."""
    place = Sequencer.place

    def placed(self, step, previous_step, digest):
        return place(self, step, previous_step, b"")

    patch.setattr(Sequencer, "place", placed)


def ignore_rollbacks(patch):
    """An engine that went another way is taken as one that goes on."""
    place = Sequencer.place

    def placed(self, step, previous_step, digest):
        found = place(self, step, previous_step, digest)
        return found and Place(found.previous_step, rollback=False)

    patch.setattr(Sequencer, "place", placed)


def keep_old_digests(patch):
    """After a way back the frames of the old branch still count as there."""
    patch.setattr(Digests, "forget_from", lambda self, step: None)


def bridge_gaps(patch):
    """The frame before a gap is taken for a neighbour."""
    place = Sequencer.place

    def placed(self, step, previous_step, digest):
        before = self.last_step
        found = place(self, step, previous_step, digest)
        late = found is not None and found.previous_step < 0 <= before < step
        return Place(before, rollback=False) if late else found

    patch.setattr(Sequencer, "place", placed)


def join_every_way_back(patch):
    """Another way is taken for the continuation of what was before it."""
    roll_back = Sequencer._roll_back

    def rolled_back(self, step, previous_step):
        found = roll_back(self, step, previous_step)
        return Place(step - self.stride, found.rollback)

    patch.setattr(Sequencer, "_roll_back", rolled_back)


def send_nothing_again(patch):
    """A new connection begins with the next frame: the run never comes to its end."""
    welcome = Window._welcome

    def welcomed(self, message):
        waiting, self._waiting = self._waiting, type(self._waiting)()
        welcome(self, message)
        self._waiting = waiting

    patch.setattr(Window, "_welcome", welcomed)


def forget_too_much(patch):
    """The engine forgets a frame more than what is confirmed."""
    forget = Window._forget
    patch.setattr(
        Window, "_forget", lambda self, step: forget(self, step + (step >= 0) * 4)
    )


def forget_what_was_sent(patch):
    """A frame is kept no longer than it takes to send it."""
    push = Window.push

    def pushed(self, step, raw):
        push(self, step, raw)
        self._forget(step)

    patch.setattr(Window, "push", pushed)


def believe_every_life(patch):
    """A frame counts, whichever life of the engine has sent it."""
    patch.setattr(
        LammpsReceiver,
        "_is_ours",
        lambda self, message: message.rank in self._peers,
    )


def confirm_what_was_before(patch):
    """An engine that comes back is told that all the driver has is safe."""
    accept = LammpsReceiver.accept

    def accepted(self, durable_step):
        accept(self, durable_step)
        self._durable_step = durable_step
        self._say(Kind.ACK, step=durable_step)

    patch.setattr(LammpsReceiver, "accept", accepted)


def take_as_they_come(patch):
    """Frames are not waited for: what overtakes another one comes first."""
    add = Session.add

    def added(self, message):
        found = add(self, message)
        if found or message.step <= self._last_step or self.n_ranks > 1:
            return found
        del self._pending[message.step]
        self._last_step = message.step
        return [self._join([message])]

    patch.setattr(Session, "add", added)


def never_renew(patch):
    """A connection over which nothing is confirmed is kept for ever."""
    patch.setattr(Window, "_ack_patience", lambda self: float("inf"))


def connect_without_pause(patch):
    """New connections are made again and again within one call, and none is heard."""
    connect = Window._connect

    def connected(self):
        connect(self)
        self._renew_at = -1.0

    patch.setattr(Window, "_connect", connected)
    patch.setattr(Window, "_hear", lambda self: False)


BUGS = [
    forget_duplicates,
    ignore_digests,
    ignore_rollbacks,
    pytest.param(keep_old_digests, marks=pytest.mark.slow),
    bridge_gaps,
    join_every_way_back,
    send_nothing_again,
    forget_too_much,
    forget_what_was_sent,
    believe_every_life,
    confirm_what_was_before,
    take_as_they_come,
    never_renew,
    connect_without_pause,
]


# Some show only where the ways of an engine cross each other.
CROSSING = (keep_old_digests, bridge_gaps, join_every_way_back)


def interleavings(modes):
    """Run a few hundred; the first that fails is enough, small or not."""

    @hypothesis.settings(
        max_examples=400,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(runs(*modes))
    def every(given):
        run(*given)

    every()


@pytest.mark.parametrize("plant", BUGS, ids=lambda plant: plant.__name__)
def test_a_planted_bug_is_caught(plant, monkeypatch):
    with monkeypatch.context() as patch:
        plant(patch)
        with pytest.raises((AssertionError, FrameError)):
            interleavings(["old files"] if plant in CROSSING else MODES)
