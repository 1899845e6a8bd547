"""Every signal in every state: all is durable within 5 s, exit 75, and the run that is
continued equals the undisturbed one to the bit."""

import math
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from analytic import ScriptedSource, arrivals, description, make_settings, trajectory
from instant import InstantEvaluator, fold_of, serve_here

from mimyria.storage import read_result
from mimyria_driver import cli, runstate
from mimyria_driver.monitor import read_status
from mimyria_driver.reading import read_journal
from mimyria_driver.signals import StopRequest, held_back
from mimyria_driver.sources import Ended, Started

STATES = str(Path(__file__).with_name("states.py"))
N_FRAMES = 24
MIDDLE = 12
LONGEST = 5.0
SLACK = 2.0
"""Until a busy machine has collected the process."""
SIGNALS = ("SIGTERM", "SIGUSR1", "SIGINT", "SIGHUP", "SIGXCPU")
ALL_STATES = ("loading", "waiting", "running", "evaluation", "fsync", "draining")


def script(n_frames=N_FRAMES):
    frames = arrivals(trajectory(n_frames))
    return [Started(description()), *frames, Ended("the end")]


def calm(directory):
    """Settings that write no result in between."""
    return make_settings(directory, spectrum={"refresh": 1000.0})


@pytest.fixture(autouse=True)
def usual_hangup():
    """Under `nohup` the suite itself would ignore SIGHUP, and so would the driver."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    directory = tmp_path_factory.mktemp("reference")
    assert serve_here(calm(directory), ScriptedSource(script())) == 0
    return fold_of(directory)


def patient():
    """Without the thread's way out, which would end the tests with their process."""
    return StopRequest(grace=math.inf)


class Scene:
    """A run in which `act` is called once, when the state is there."""

    def __init__(self, state, act, monkeypatch):
        self.state = state
        self.act = act
        self.acted_at = None
        self.seen = ""
        self.evaluator = InstantEvaluator(delay=0.03 if state == "draining" else 0.0)
        self.source = ScriptedSource([] if state == "waiting" else script())
        if state == "loading":
            self.evaluator.ready = None
            self._wrap(self.evaluator, "results", lambda: True)
        elif state == "evaluation":
            self._wrap(self.evaluator, "submit", lambda: self.source._sent >= MIDDLE)
        elif state == "fsync":
            self._slow_disk(monkeypatch)
        elif state == "draining":
            self._wrap(self.evaluator, "results", lambda: not self.source.events)
        else:
            here = MIDDLE if state == "running" else 0
            self._wrap(self.source, "receive", lambda: self.source._sent >= here)

    def once(self):
        if self.acted_at is None:
            self.acted_at = time.monotonic()
            self.seen = self.service_state()
            self.act()

    def service_state(self):
        """The state by its name, as the loop has it now."""
        frame = sys._getframe()
        while frame is not None:
            found = frame.f_locals.get("self")
            if type(found).__name__ == "Service":
                return found._state.name
            frame = frame.f_back
        return ""

    def _wrap(self, owner, name, is_time):
        original = getattr(owner, name)

        def wrapped(*arguments, **options):
            if name == "submit":
                owner.delay = 0.3 if is_time() else 0.0
            answer = original(*arguments, **options)
            if is_time():
                self.once()
            return answer

        setattr(owner, name, wrapped)

    def _slow_disk(self, monkeypatch):
        sync = os.fdatasync

        def slow(descriptor):
            if self.source._sent >= MIDDLE:
                self.once()
                time.sleep(0.3)
            sync(descriptor)

        monkeypatch.setattr(os, "fdatasync", slow)


STATE_THEN = {
    "loading": "loading",
    "waiting": "waiting",
    "running": "running",
    "evaluation": "running",
    "fsync": "running",
    "draining": "draining",
}


@pytest.mark.parametrize("state", ALL_STATES)
@pytest.mark.parametrize("name", SIGNALS)
def test_signal_leaves_all_durable_and_the_run_goes_on(
    name, state, tmp_path, reference, monkeypatch
):
    scene = Scene(state, lambda: signal.raise_signal(signal.Signals[name]), monkeypatch)
    with patient() as stop:
        code = serve_here(calm(tmp_path), scene.source, scene.evaluator, stop=stop)
    assert scene.acted_at is not None, "the state never came"
    assert scene.seen == STATE_THEN[state]
    assert time.monotonic() - scene.acted_at < LONGEST
    assert code == 75
    assert stop.signal_name == name
    status = read_status(tmp_path)
    assert status["state"] == "stopped"
    assert name in status["message"]
    journal = tmp_path / "journal"
    steps = [r.step for r in read_journal(journal)] if journal.exists() else []
    assert all(step in steps for step in scene.source.acknowledged)
    if state in ("evaluation", "running", "fsync"):
        assert MIDDLE <= len(steps) < N_FRAMES
    if steps:
        found = read_result(tmp_path / "spectrum.h5").provenance
        assert (found["frames"], found["status"]) == (len(steps), "stopped")
    monkeypatch.undo()
    assert serve_here(calm(tmp_path), ScriptedSource(script())) == 0
    assert fold_of(tmp_path) == reference


def test_second_signal_does_not_wait_for_frames_under_way(tmp_path, monkeypatch):
    def twice():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    scene = Scene("evaluation", twice, monkeypatch)
    original = scene.evaluator.submit

    def never(frames, **options):
        original(frames, **options)
        if scene.acted_at is not None:
            scene.evaluator.delay = 1e9
            scene.evaluator._batches[-1] = (1e9 + time.monotonic(), frames)

    scene.evaluator.submit = never
    monkeypatch.setattr(runstate, "_DRAIN_SECONDS", 60.0)
    with patient() as stop:
        code = serve_here(calm(tmp_path), scene.source, scene.evaluator, stop=stop)
    assert scene.acted_at is not None
    assert stop.urgent
    assert code == 75
    assert time.monotonic() - scene.acted_at < 30.0
    assert read_result(tmp_path / "spectrum.h5").provenance["status"] == "stopped"


def test_limit_of_processor_time_that_is_told_again_is_no_impatience():
    with patient() as stop:
        signal.raise_signal(signal.SIGXCPU)
        signal.raise_signal(signal.SIGXCPU)
        assert not stop.urgent
        signal.raise_signal(signal.SIGTERM)
        assert stop.urgent


def test_sigcont_changes_nothing(tmp_path, reference, monkeypatch):
    scene = Scene("running", lambda: signal.raise_signal(signal.SIGCONT), monkeypatch)
    with patient() as stop:
        code = serve_here(calm(tmp_path), scene.source, scene.evaluator, stop=stop)
    assert scene.acted_at is not None
    assert (code, stop.signal_name) == (0, None)
    assert fold_of(tmp_path) == reference


def test_handlers_are_given_back_and_a_hangup_that_is_ignored_stays_so():
    before = {name: signal.getsignal(signal.Signals[name]) for name in SIGNALS}
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with patient() as stop:
            signal.raise_signal(signal.SIGHUP)
            assert stop.signal_name is None
            assert signal.getsignal(signal.SIGTERM) != before["SIGTERM"]
    finally:
        signal.signal(signal.SIGHUP, before["SIGHUP"])
    assert {n: signal.getsignal(signal.Signals[n]) for n in SIGNALS} == before


# -- processes ------------------------------------------------------------------------


def start(state, directory, **limits):
    """A driver of its own in a state; returns when it says that it is there."""
    process = subprocess.Popen(
        [sys.executable, STATES, state, directory],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "there\n", process.stderr.read()
    return process


def end_of(process, sent_at):
    _, errors = process.communicate(timeout=30)
    return process.returncode, time.monotonic() - sent_at, errors


@pytest.mark.parametrize(
    ("name", "state"),
    [("SIGUSR1", "loading"), ("SIGHUP", "waiting"), ("SIGTERM", "hung evaluation")],
)
def test_process_that_gets_a_signal_ends_within_seconds(
    name, state, tmp_path, reference
):
    process = start(state, tmp_path)
    sent_at = time.monotonic()
    process.send_signal(signal.Signals[name])
    code, seconds, errors = end_of(process, sent_at)
    assert code == 75, errors
    assert seconds < LONGEST + SLACK
    assert serve_here(calm(tmp_path), ScriptedSource(script())) == 0
    assert fold_of(tmp_path) == reference


@pytest.mark.parametrize("terminal", [False, True])
def test_reader_or_terminal_that_goes_away_ends_no_run(terminal, tmp_path, reference):
    """As with `mimyria-driver run ... 2>&1 | head`, or a terminal that is closed."""
    theirs, ours = os.openpty() if terminal else os.pipe()
    process = subprocess.Popen(
        [sys.executable, STATES, "slow", tmp_path],
        stdout=subprocess.PIPE,
        stderr=ours,
        text=True,
        env={**os.environ, "MIMYRIA_TEST_REPORT": "0.01", "TERM": "xterm"},
        start_new_session=True,
    )
    os.close(ours)
    assert process.stdout.readline() == "there\n"
    assert os.read(theirs, 10)
    os.close(theirs)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert read_status(tmp_path)["state"] == "ended"
    assert fold_of(tmp_path) == reference


def test_command_listens_to_signals_before_it_loads_the_rest(tmp_path, monkeypatch):
    path = tmp_path / "run.toml"
    path.write_text('[source]\nkind = "lammps"\n[models]\napt = "python:a:b"\n')

    def run(settings, *, stop):
        signal.raise_signal(signal.SIGUSR1)
        return 75 if stop.signal_name == "SIGUSR1" else 1

    monkeypatch.setitem(sys.modules, "mimyria_driver.service", SimpleNamespace(run=run))
    assert cli.main(["run", str(path)]) == 75


def test_disk_that_hangs_cannot_hold_the_process(tmp_path, reference):
    process = start("hung disk", tmp_path)
    sent_at = time.monotonic()
    process.send_signal(signal.SIGTERM)
    code, seconds, errors = end_of(process, sent_at)
    assert code == 75
    assert "could not finish in time" in errors
    assert 4.0 < seconds < LONGEST + SLACK
    assert read_status(tmp_path)["state"] == "stopped"
    assert serve_here(calm(tmp_path), ScriptedSource(script())) == 0
    assert fold_of(tmp_path) == reference


def test_child_that_was_started_with_signals_held_back_never_gets_them():
    code = "import time; print('there', flush=True); time.sleep(60)"
    with held_back():
        child = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
        )
    assert child.stdout.readline() == "there\n"
    for name in ("SIGTERM", "SIGUSR1", "SIGINT", "SIGHUP"):
        child.send_signal(signal.Signals[name])
    time.sleep(0.2)
    assert child.poll() is None
    child.kill()
    child.communicate()
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()


def test_memory_limit_ends_with_75_and_the_run_goes_on(tmp_path, reference):
    """R19: the limit is real, and so is the allocation that meets it."""
    process = start("memory limit", tmp_path)
    code, _, errors = end_of(process, time.monotonic())
    assert code == 75, errors
    assert "MemoryError was met" in errors
    assert "memory that the driver may use is full" in errors
    status = read_status(tmp_path)
    assert status["state"] == "failed"
    assert len(list(read_journal(tmp_path / "journal"))) >= MIDDLE - 1
    assert resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY
    assert serve_here(calm(tmp_path), ScriptedSource(script())) == 0
    assert fold_of(tmp_path) == reference
