"""What must hold of every run, whatever happened to it, and faults to try it with.

Each scenario runs the service through one fault and gives back its folder; `check`
compares it with the run that nothing happened to. The scenarios make sure that their
fault has really happened.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import analytic
import numpy as np
from analytic import STRIDE, ScriptedSource, arrivals, description, make_settings
from instant import InstantEvaluator
from rich.console import Console

from mimyria.contributions import Sample, contributions
from mimyria.currents import currents
from mimyria.errors import JournalError
from mimyria.storage import read_result
from mimyria.tensors import Tensors
from mimyria_driver.identity import read_header
from mimyria_driver.monitor import Monitor
from mimyria_driver.pipeline import rebuild
from mimyria_driver.reading import live_records
from mimyria_driver.service import Service
from mimyria_driver.signals import StopRequest
from mimyria_driver.sources import Ended, Started

N_FRAMES = 60
START = Started(description())
END = Ended("the end")


def sample(frame, grouping):
    """Exact currents, and what the groups add."""
    tensors = Tensors(analytic.tensor("apt", frame), analytic.tensor("pgt", frame))
    parts = None if grouping is None else contributions(frame, tensors, grouping)
    return Sample(currents(frame, tensors), parts)


class Stop(StopRequest):
    """SIGTERM, as soon as the source has sent all it had."""

    def __init__(self, source) -> None:
        self._source = source
        self._quiet = 0
        super().__init__()

    @property
    def signal_name(self):
        self._quiet = 0 if self._source.events else self._quiet + 1
        return "SIGTERM" if self._quiet > 3 else None

    @signal_name.setter
    def signal_name(self, name):
        pass


class BurstSource(ScriptedSource):
    """One that has several events at once."""

    at_once = 1

    def receive(self):
        events = []
        for _ in range(self.at_once):
            events += super().receive()
        return events


def serve(directory, events, *, stopped=False, resumes=True, at_once=1, **sections):
    """The service with these events; the source and the evaluator."""
    source = BurstSource(events, resumes=resumes)
    source.at_once = at_once
    settings = make_settings(directory, spectrum={"refresh": 1000.0}, **sections)
    console = Console(file=sys.stderr, force_terminal=False)
    evaluator = InstantEvaluator(sample)
    Service(
        settings,
        lambda: source,
        Monitor(directory, report=1000.0, console=console),
        Stop(source) if stopped else StopRequest(),
        lambda log_path: evaluator,
    ).run()
    return source, evaluator


def bits(directory):
    """Everything that the fold of a run's journal holds."""
    path = Path(directory) / "journal"
    identity, _ = read_header(path)
    pipeline = rebuild(path, identity, make_settings(directory).spectrum)
    arrays = {
        f"{target} {name}": array.tobytes()
        for target, state in pipeline.state().items()
        for name, array in state.items()
    }
    return arrays, pipeline.n_frames, pipeline.n_segments, pipeline.n_missing


def live_steps(directory):
    return np.concatenate(
        [chunk["step"] for chunk in live_records(Path(directory) / "journal")]
    )


def check_fold(directory):
    """The result is the fold of the journal: of what was written, nothing else."""
    result = read_result(Path(directory) / "spectrum.h5")
    path = Path(directory) / "journal"
    identity, _ = read_header(path)
    again = rebuild(path, identity, make_settings(directory).spectrum).result({})
    for name in ("dipole", "polarizability"):
        found, wanted = getattr(result, name), getattr(again, name)
        np.testing.assert_array_equal(found.values, wanted.values)
        np.testing.assert_array_equal(found.counts, wanted.counts)
    assert (result.volume, result.temperature) == (again.volume, again.temperature)
    assert result.provenance["frames"] == again.provenance["frames"]


def check(directory, reference):
    """Every step once, in one piece, to the bit what the undisturbed run has."""
    steps = live_steps(directory)
    np.testing.assert_array_equal(steps, live_steps(reference))
    assert (np.diff(steps) > 0).all()
    assert bits(directory) == bits(reference)
    check_fold(directory)


# -- scenarios -------------------------------------------------------------------------


def undisturbed(directory):
    frames = analytic.trajectory(N_FRAMES)
    source, _ = serve(directory, [START, *arrivals(frames), END])
    assert source.acknowledged[-1] == (N_FRAMES - 1) * STRIDE
    return directory


def duplicates(directory):
    """Every third frame comes twice."""
    events = [START]
    for number, event in enumerate(arrivals(analytic.trajectory(N_FRAMES))):
        events += [event, event] if number % 3 == 0 else [event]
    assert len(events) > N_FRAMES + 10
    serve(directory, [*events, END])
    return directory


def reconnection(directory):
    """The engine loses the connection and sends its window again."""
    events = arrivals(analytic.trajectory(N_FRAMES))
    again = [replace(events[20], previous_step=-1), *events[21:]]
    serve(directory, [START, *events[:30], START, *again, END], resumes=False)
    return directory


def restart(directory):
    """The driver is stopped and started again; the engine goes on."""
    events = arrivals(analytic.trajectory(N_FRAMES))
    serve(directory, [START, *events[:25]], stopped=True)
    assert len(live_steps(directory)) == 25
    serve(directory, [START, *events, END])
    return directory


def rollback(directory):
    """The engine goes back to step 80 and takes another way, then repeats it."""
    frames = analytic.trajectory(N_FRAMES)
    other = analytic.trajectory(N_FRAMES, shift=0.3)
    first = arrivals(frames[:20]) + arrivals(other[20:40], frames[19].step)
    second = [replace(event) for event in arrivals(frames[15:], frames[14].step)]
    second[0] = replace(second[0], previous_step=-1)
    serve(directory, [START, *first, START, *second, END], resumes=False)
    return directory


def torn_tail(directory):
    """A kill in the middle of a write leaves half a record."""
    events = arrivals(analytic.trajectory(N_FRAMES))
    serve(directory, [START, *events[:25]], stopped=True)
    path = directory / "journal"
    with path.open("ab") as file:
        file.write(path.read_bytes()[-100:])
    serve(directory, [START, *events, END])
    return directory


def gap(directory):
    """Frames 30 to 34 are missing."""
    events = arrivals(analytic.trajectory(N_FRAMES))
    serve(directory, [START, *events[:30], *events[35:], END])
    return directory


def check_gap(directory):
    _, n_frames, n_segments, n_missing = bits(directory)
    assert (n_frames, n_segments, n_missing) == (N_FRAMES - 5, 2, 5)
    check_fold(directory)


def check_flips(directory):
    """A flipped bit anywhere in a record is found, and the rest is not believed."""
    path = directory / "journal"
    whole = bytearray(path.read_bytes())
    identity, start = read_header(path)
    rng = np.random.default_rng(3)
    for place in rng.integers(start, len(whole) - 2 * identity.record_size, 20):
        whole[place] ^= 4
        path.write_bytes(whole)
        try:
            bits(directory)
        except JournalError:
            pass
        else:
            raise AssertionError(f"a flipped bit at byte {place} was not found")
        whole[place] ^= 4
    path.write_bytes(whole)


class Disk:
    """Knows how much of the journal is really safe, and what was said to be."""

    def __init__(self, monkeypatch, directory) -> None:
        self._path = directory / "journal"
        self._durable = 0
        self.unsafe: list[int] = []
        for name in ("fsync", "fdatasync"):
            monkeypatch.setattr(os, name, self._recorded(getattr(os, name)))
        acknowledge = ScriptedSource.acknowledge

        def watched(source, step):
            acknowledge(source, step)
            if step > self._last_safe_step():
                self.unsafe.append(step)

        monkeypatch.setattr(ScriptedSource, "acknowledge", watched)

    def _recorded(self, function):
        def recorded(descriptor):
            function(descriptor)
            if self._path.exists() and os.path.samestat(
                os.fstat(descriptor), self._path.stat()
            ):
                self._durable = os.fstat(descriptor).st_size

        return recorded

    def _last_safe_step(self):
        identity, start = read_header(self._path)
        n_safe = max(0, self._durable - start) // identity.record_size
        return (n_safe - 1) * STRIDE


def check_acknowledged(monkeypatch, directory):
    """A power cut at any moment loses nothing that was acknowledged."""
    with monkeypatch.context() as patch:
        disk = Disk(patch, directory)
        undisturbed(directory)
    assert disk.unsafe == []
