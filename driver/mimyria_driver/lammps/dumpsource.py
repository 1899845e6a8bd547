"""LAMMPS without Python as a source: frames of a binary dump, from a pipe or a file.

A pipe has no way back: LAMMPS hears nothing of the driver, but waits when the pipe is
full. What was read and is not in the journal waits in a spool, and is told by the bytes
of the stream; steps are not enough, since a LAMMPS that comes back makes them again.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mimyria.errors import EngineError, FormatError, MimyriaError, SettingsError
from mimyria.io.lammpsbinary import DumpParser, Snapshot
from mimyria.io.trajectory import parse_elements
from mimyria_driver.lammps.dumpfile import DumpFile
from mimyria_driver.lammps.dumpstream import DumpStream
from mimyria_driver.lammps.elements import is_element
from mimyria_driver.lammps.pipe import Pipe, is_pipe, make_pipe
from mimyria_driver.sources import Arrived, Ended, Event, Started

__all__ = ["DumpSource", "open_dump"]

_log = logging.getLogger(__name__)

_SPOOL: Final = "pipe"
_LEAST_BYTES: Final = 1 << 16
_REPEATED: Final = 64
"""Frames of a file that are compared with the journal when a driver comes back."""


def open_dump(
    path: Path,
    folder: Path,
    types: tuple[str, ...],
    time_step: float,
    stride: int,
) -> DumpSource:
    """The source at a path: a file that is there, else a pipe, made if absent.

    Args:
        path: where LAMMPS dumps to.
        folder: the run folder, which exists.
        types: elements, as ("1=O", "2=H").
        time_step: MD time step, fs.
        stride: MD steps from one frame to the next.

    Raises:
        AccessError: others can reach the pipe.
        LockedError: another driver reads the pipe.
        SettingsError: the path or a type cannot be used.
    """
    elements = parse_elements(types) or {}
    for kind, symbol in elements.items():
        if not is_element(symbol):
            raise SettingsError(
                f"source.types says '{kind}={symbol}', but '{symbol}' is no chemical "
                'element. Give the symbol of each type, as ["1=O", "2=H"].'
            )
    stream = DumpStream(elements, time_step, stride)
    if path.is_file():
        return DumpSource(DumpFile(path), stream)
    if path.resolve().is_relative_to(folder.resolve()):
        raise SettingsError(
            f"{path}: the pipe of source.path must not be in run.directory, which "
            "holds files only. Put it beside the input of LAMMPS."
        )
    if not is_pipe(path):
        make_pipe(path)
    pipe = Pipe(path, folder / _SPOOL)
    stream.units = pipe.spool.units
    return DumpSource(pipe, stream)


class DumpSource:
    """A `Source` of frames from a binary dump."""

    def __init__(self, source: Pipe | DumpFile, stream: DumpStream) -> None:
        """Nothing is read before the first `receive`.

        Args:
            source: of the bytes.
            stream: what the snapshots mean.
        """
        self._source = source
        self._stream = stream
        self._parser = DumpParser(mends=True)
        self._left: Iterator[bytes] | None = source.left()
        self._queue: deque[tuple[Event, int]] = deque()  # and where it ends
        self._sent: deque[tuple[int, int, int]] = deque()  # run, step, where it ends
        self._n_runs = 0
        self._size = _LEAST_BYTES
        self._skip_to = -1
        self._offered = self._over = self._refused = False
        self._n_skipped = 0
        self._failure: MimyriaError | None = None

    @property
    def pollable(self) -> object | None:
        """The pipe; a file cannot be waited for."""
        return self._source.pollable

    # -- Source -----------------------------------------------------------------------

    def receive(self) -> list[Event]:
        """All events that are there now, without waiting.

        Raises:
            FormatError: this is no such dump.
            FrameError: a frame does not belong to the run.
            UnitError: the units are not physical.
        """
        events = self._release()
        while not (events or self._is_waiting):
            data = self._read()
            if data is None:
                break
            try:
                self._take(data)
            except MimyriaError as error:
                self._failure = error
            events = self._release()
        if self._failure is not None and not (events or self._offered or self._queue):
            # The frames before a bad one are good: they came first.
            raise self._failure
        return events

    def accept(self, durable_step: int) -> None:
        """Go on; what is known comes again and is recognised.

        A file begins at its beginning: only its last known frames are compared.
        """
        self._require_offer()
        if isinstance(self._source, DumpFile):
            self._skip_to = durable_step - _REPEATED * self._stream.stride

    def refuse(self, reason: str) -> None:
        """LAMMPS cannot be told why; it ends at its next frame."""
        self._require_offer()
        _log.error("let go of the dump of LAMMPS: %s", reason)
        self._refused = self._over = True

    def acknowledge(self, step: int) -> None:
        """Every frame of the present run of LAMMPS up to `step` is safe."""
        end = -1
        while self._sent and (self._sent[0][0] < self._n_runs or self._is_safe(step)):
            end = self._sent.popleft()[2]
        if end >= 0 and isinstance(self._source, Pipe):
            self._source.spool.forget(end)

    def close(self, *, coming_back: bool = False) -> None:
        """Let go of pipe or file.

        Args:
            coming_back: LAMMPS waits for another driver; else it goes on alone, and its
                frames are thrown away.
        """
        failed = self._failure is not None
        early = self._refused or (failed and self._stream.is_early)
        self._source.close(
            # A LAMMPS that has run for long waits for a driver with better settings.
            coming_back=coming_back or (early and not self._stream.began),
            refused=early and self._stream.began,
            clear=self._over and not (self._sent or self._refused or failed),
        )
        self._over = True

    # -- bytes ------------------------------------------------------------------------

    @property
    def _is_waiting(self) -> bool:
        return self._offered or self._over or self._failure is not None

    def _read(self) -> bytes | None:
        if self._left is not None:
            data = next(self._left, None)
            if data is not None:
                return data
            self._left = None
        return self._source.read(self._size)

    def _take(self, data: bytes) -> None:
        """Put the events in some bytes into the queue.

        Raises:
            MimyriaError: see `receive`; the events before are in the queue.
        """
        if not data:
            self._over = True
            self._parser.finish()
            self._say_skipped()
            if not self._n_runs and self._stream.units is None:
                raise FormatError("the dump holds no frame. Look at the log of LAMMPS.")
            self._queue.append((Ended("LAMMPS has closed the dump"), -1))
            return
        for snapshot in self._parser.feed(data):
            self._size = max(self._size, snapshot.values.nbytes)
            if self._n_runs:  # before, an earlier driver has had them
                self._say_skipped()
            self._n_skipped = self._parser.skipped
            for event in self._stream.take(snapshot):
                self._note(event, snapshot)
                self._queue.append((event, snapshot.end))

    def _note(self, event: Event, snapshot: Snapshot) -> None:
        if isinstance(event, Started) and isinstance(self._source, Pipe):
            assert self._stream.units is not None
            self._source.spool.note_units(self._stream.units)

    def _say_skipped(self) -> None:
        """Bytes that were no frame: LAMMPS or a driver was killed within one."""
        if self._parser.skipped > self._n_skipped:
            n_new = self._parser.skipped - self._n_skipped
            self._n_skipped = self._parser.skipped
            _log.warning("left out %d bytes of the dump that are no whole frame", n_new)

    # -- events -----------------------------------------------------------------------

    def _release(self) -> list[Event]:
        """What may be given now: nothing behind a `Started` that has no answer."""
        events: list[Event] = []
        while self._queue and not self._offered and not self._refused:
            event, end = self._queue.popleft()
            if isinstance(event, Started):
                self._offered = True
                self._n_runs += 1
            elif isinstance(event, Arrived):
                if event.frame.step < self._skip_to:
                    continue
                if self._skip_to >= 0:
                    event = Arrived(event.frame, -1)  # those before were not compared
                    self._skip_to = -1
                self._sent.append((self._n_runs, event.frame.step, end))
            events.append(event)
        return events

    def _is_safe(self, step: int) -> bool:
        run, own, _ = self._sent[0]
        return run == self._n_runs and own <= step

    def _require_offer(self) -> None:
        if not self._offered:
            raise EngineError("There is no LAMMPS that waits for an answer.")
        self._offered = False
