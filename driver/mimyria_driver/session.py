"""Session: one accepted run, from a placed frame to a durable, folded record.

It joins journal, sequence and pipeline, and knows no socket, no process and no signal.
The order is always the same: write, then fold; sync, then acknowledge.
"""

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import mimyria
from mimyria.contributions import Sample
from mimyria.diagnostics import Diagnostic, summary
from mimyria.frame import Frame
from mimyria.groups import Grouping
from mimyria.ringpolymer import bead_frames
from mimyria.spectra.jackknife import WINDOWS_PER_BLOCK
from mimyria.storage import RESULT_NAME, Result, write_result
from mimyria_driver import checks
from mimyria_driver.convergence import Progress
from mimyria_driver.credit import bounded
from mimyria_driver.enginemodels import check_engine_models, sample_of
from mimyria_driver.grouping import build_grouping, describe_groups
from mimyria_driver.identity import Identity
from mimyria_driver.journal import Journal
from mimyria_driver.kinematics import Kinematics
from mimyria_driver.pipeline import Pipeline, kinetic_temperature
from mimyria_driver.records import Record
from mimyria_driver.sequence import Place, Sequencer
from mimyria_driver.settings import Settings
from mimyria_driver.snapshot import Snapshot
from mimyria_driver.snapshots import Snapshots
from mimyria_driver.sources import Arrived, RunDescription
from mimyria_driver.uncertain import UncertainFrames

__all__ = ["JOURNAL_NAME", "RESULT_NAME", "Pending", "Session"]

JOURNAL_NAME: Final = "journal"

_SYNC_RECORDS: Final = 256
_SYNC_SECONDS: Final = 1.0
_IDLE_SECONDS: Final = 0.02
_SLOW_SYNC: Final = 1.0
_WORTH_SAVING: Final = 10_000
"""Records that take longer to fold than a snapshot takes to read."""
_TEMPERATURE_FRAMES: Final = 10
_LEAST_FRAMES: Final = 2
_WINDOWS_PER_SIGN: Final = 4
"""How long random signs stay: few pairs of frames are lost where they change, and there
are enough signs for an error as soon as there are enough blocks."""
_WINDOWS_PER_VELOCITY_SIGN: Final = WINDOWS_PER_BLOCK
"""Signs of single atoms change with the blocks that errors come from: what two atoms
do together would otherwise be the same in several blocks, and not in the error."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Pending:
    """A frame that waits for its currents, or for its record where it has a sample."""

    frame: Frame
    place: Place
    digest: bytes
    stream: int = 0
    sample: Sample | None = None


class Session:
    """Everything that exists once an engine has been accepted.

    Attributes:
        description: of the engine that sends now.
        journal: the truth.
        pipeline: its fold.
        progress: how well the spectra are known.
        credit: frames that are taken from the engine before it has to wait.
        n_kept: frames that got their record from this process.
        warning: what the user should look at, or None.
        kinetic_temperature: of the last frame, K.
        diagnostics: of the last result that was written.
        uncertain: frames that the networks are not sure of.
        origin: what else the result has to say of where its numbers come from.
    """

    def __init__(
        self,
        settings: Settings,
        description: RunDescription,
        models: Mapping[str, Mapping[str, Any]],
        journal: Journal | None,
    ) -> None:
        """Accept a run, new or continued.

        Args:
            settings: of the driver.
            description: what the engine says.
            models: metadata of the model of each target.
            journal: the one in the run folder, if there is one.

        Raises:
            MimyriaError: the run cannot be served; nothing was changed.
        """
        self._settings = settings
        self._models = models
        identity = self._check(description)
        pipeline = Pipeline(identity, settings.spectrum)
        path = settings.run.directory / JOURNAL_NAME
        self.uncertain = UncertainFrames(
            settings.run.directory,
            settings.models.uncertain_above,
            settings.models.keep_uncertain,
            identity.time_step,
        )
        self._snapshots = Snapshots(settings.run.directory)
        if journal is None:
            journal = Journal.create(path, identity)
        else:
            checks.check_identity(journal.identity, identity, str(path))
            checks.check_masses(journal.identity, description, str(path))
            pipeline = self._snapshots.fold(path, journal.identity, settings.spectrum)
            self._compare_groups(journal)
            self.uncertain.recount(path)
        self.description = description
        self.journal = journal
        self.pipeline = pipeline
        self.progress = Progress(
            settings.convergence,
            settings.spectrum,
            identity.interval,
            pipeline.n_frames,
        )
        self.n_kept = 0
        self._published = False
        self.warning: str | None = None
        self.diagnostics: tuple[Diagnostic, ...] = ()
        self.origin: dict[str, str | int | float] = {}
        self.kinetic_temperature = pipeline.kinetic_temperature
        self._sequencer = Sequencer(
            description.stride, journal.last_step, pipeline.digests
        )
        self._stream = 0  # how often an engine has come back
        self._reached = -1
        self._n_saved = journal.n_records  # records that a snapshot need not save again
        self._next_snapshot = time.monotonic() + settings.run.snapshot
        self._looked_at: Pending | None = None
        self._kinematics = Kinematics(description.time_step)
        self.credit = bounded(
            settings.run.credit,
            len(description.numbers) * max(1, description.n_beads),
            least=2 * settings.models.batch,  # one is calculated, one travels
        )
        # Commits must not wait for more frames than an engine may have under way.
        self._sync_records = min(_SYNC_RECORDS, max(1, self.credit // 4))

        self._greet("engine_connected")

    @property
    def n_duplicates(self) -> int:
        """Frames that arrived again and were dropped."""
        return self._sequencer.n_duplicates

    def resume(self, description: RunDescription) -> None:
        """An engine has come back.

        Raises:
            MimyriaError: it brings another run.
        """
        identity = self._check(description)
        path = str(self.journal.path)
        checks.check_identity(self.journal.identity, identity, path)
        checks.check_masses(self.journal.identity, description, path)
        self.description = description
        self._sequencer.start_stream()
        self._stream += 1
        self._reached = -1
        self._greet("engine_back")

    @property
    def confirmed_step(self) -> int:
        """Up to here every frame that the present engine has sent is safe on disk.

        Less than the last step of the journal where the engine went back: what it sends
        again may differ.
        """
        return min(self.journal.durable_step, self._reached)

    def place(self, arrived: Arrived) -> Pending | None:
        """Check a frame and give it its place; None: it is there already.

        Raises:
            FrameError: the frame is refused.
        """
        frame = arrived.frame
        checks.check_frame(frame, self.description)
        digest = checks.frame_digest(frame)
        before = self._sequencer.last_step
        place = self._sequencer.place(frame.step, arrived.previous_step, digest)
        if place is None:
            self._reached = max(self._reached, frame.step)
            return None
        if not self.journal.n_records and self.journal.identity.grouping is None:
            self._begin(frame)
        if place.rollback:
            _log.warning(
                "the engine went back from step %d to %d and took another way; the "
                "frames between are replaced",
                before,
                frame.step,
                extra=_event("rollback", before=before, step=frame.step),
            )
        elif place.previous_step < 0 <= before:
            _log.warning(
                "frames are missing between step %d and %d; a new segment begins",
                before,
                frame.step,
                extra=_event("gap", before=before, step=frame.step),
            )
        self._check_velocities(frame, place)
        sample = sample_of(
            arrived,
            self.description.models,
            self.grouping,
            self.journal.identity.charge,
        )
        return Pending(frame, place, digest, self._stream, sample)

    def known(self, arrived: Arrived) -> Pending:
        """A frame of the series that comes again, to have another record."""
        place = Place(arrived.previous_step, rollback=False)
        return Pending(arrived.frame, place, checks.frame_digest(arrived.frame))

    @property
    def grouping(self) -> Grouping | None:
        """Groups of the atoms, known from the first frame on."""
        return self.journal.identity.grouping

    def keep(self, pending: Pending, sample: Sample) -> None:
        """Write the record of a frame, and fold it.

        Raises:
            DiskFullError: there is no room; nothing was changed, call it again.
            JournalError: it cannot be written.
            FrameError: the velocities are in a wrong unit.
        """
        frame, place = pending.frame, pending.place
        assert frame.velocities is not None
        self.kinetic_temperature = kinetic_temperature(
            self.description.masses, frame.velocities
        )
        record = Record(
            frame.step,
            place.previous_step,
            frame.step * self.description.time_step,
            frame.volume,
            self.kinetic_temperature,
            sample.currents,
            pending.digest,
            sample.contributions,
            sample.excess,
        )
        # First, since a frame that has its record never comes again.
        if self._looked_at is not pending:
            self.uncertain.look(bead_frames(frame)[sample.bead], sample.excess)
            self._looked_at = pending
        self.journal.append(record, replacing=place.rollback)
        if place.rollback:
            self._fold_again()
        else:
            self.pipeline.push(record)
        self.n_kept += 1
        if pending.stream == self._stream:
            self._reached = frame.step
        if self.pipeline.n_frames == _TEMPERATURE_FRAMES:
            self._check_temperature()
        if self.progress.due(self.pipeline.n_frames):
            self.progress.look(self.pipeline.result({}))

    def take_back(self, step: int) -> None:
        """Void every record of a step or later.

        Raises:
            DiskFullError: there is no room; nothing was changed, call it again.
            JournalError: that cannot be written.
        """
        self.journal.roll_back(step)
        self._fold_again()

    def sync_due(self, *, idle: bool) -> bool:
        """Whether the written records should be made durable now.

        Args:
            idle: nothing else is to be done.
        """
        journal = self.journal
        if not journal.unsynced:
            return False
        age = time.monotonic() - journal.unsynced_since
        patience = _IDLE_SECONDS if idle else _SYNC_SECONDS
        return journal.unsynced >= self._sync_records or age >= patience

    @property
    def snapshot_due(self) -> bool:
        """Whether the fold should be saved now."""
        every = self._settings.run.snapshot
        late = time.monotonic() >= self._next_snapshot
        return bool(every) and late and self.journal.n_records > self._n_saved

    def save_snapshot(self, *, at_end: bool = False) -> None:
        """Save the fold of the journal, which was just synced.

        Args:
            at_end: nothing comes after it: only if that makes the next start quicker.
        """
        every = self._settings.run.snapshot
        n_new = self.journal.n_records - self._n_saved
        if at_end and not (every and n_new >= _WORTH_SAVING):
            return
        self._next_snapshot = time.monotonic() + every
        if self._snapshots.save(self.pipeline, self.journal):
            self._n_saved = self.journal.n_records

    def result(self, status: str) -> Result | None:
        """What there is; None if it is too little for a spectrum."""
        if self.pipeline.n_frames < _LEAST_FRAMES:
            return None
        return self.pipeline.result(self._provenance(status))

    def write_result(self, status: str) -> Path | None:
        """Publish what there is; None if it is too little for a spectrum."""
        self.uncertain.write()
        result = self.result(status)
        if result is None:
            return None
        path = self._settings.run.directory / RESULT_NAME
        self.progress.update(result)
        self.diagnostics = result.diagnostics
        write_result(path, result, self.journal.guard)
        if not self._published or status != "running":  # not each
            self._published = True
            frames = self.pipeline.n_frames
            extra = _event("result_written", frames=frames)
            _log.info("%s with %d frames", path, frames, extra=extra)
        return path

    def show(self, snapshot: Snapshot, in_flight: int) -> Snapshot:
        """Complete a snapshot by what is known of the run.

        Args:
            snapshot: of the service.
            in_flight: frames without a record.
        """
        pipeline = self.pipeline
        lag = in_flight + self.journal.unsynced
        return replace(
            snapshot,
            engine=self.description.engine,
            atoms=len(self.description.numbers),
            in_flight=lag,
            engine_waits=2 * lag >= self.credit,
            evaluated=self.n_kept,
            durable=pipeline.n_frames,
            duplicates=self.n_duplicates,
            segments=pipeline.n_segments,
            missing=pipeline.n_missing,
            step=pipeline.last_step,
            sampled=pipeline.sampled_time,
            temperature=pipeline.kinetic_temperature,
            uncertain=self.uncertain.count,
            last_uncertain=self.uncertain.last,
            checks=summary(pipeline.diagnostics()),
            errors=pipeline.relative_errors()
            | self.progress.relative_errors(pipeline.n_frames),
            targets=self.progress.targets(),
            bands=self.progress.bands(),
            message=snapshot.message or self.warning or self._slow_disk(),
        )

    def _greet(self, code: str) -> None:
        """Say who has come."""
        numbers = self.description.numbers
        extra = _event(code, last_step=self.journal.last_step)
        _log.info("%s, %d atoms", self.description.engine, len(numbers), extra=extra)

    def _slow_disk(self) -> str:
        seconds = self.journal.sync_seconds
        if seconds < _SLOW_SYNC:
            return ""
        return f"the disk takes {seconds:.1f} s to make records safe"

    def _fold_again(self) -> None:
        """The fold after records have become void."""
        self.pipeline = self._snapshots.fold(
            self.journal.path, self.journal.identity, self._settings.spectrum
        )
        self.uncertain.recount(self.journal.path)

    def _check(self, description: RunDescription) -> Identity:
        checks.check_description(description, self._settings.spectrum.max_wavenumber)
        checks.check_elements(description, self._models)
        check_engine_models(description, self._settings, self._models)
        return Identity(
            tuple(int(number) for number in description.numbers),
            float(description.time_step),
            int(description.stride),
            {target: str(doc["sha256"]) for target, doc in self._models.items()},
            {
                "engine": description.engine,
                "mimyria": mimyria.__version__,
                "groups": describe_groups(self._settings.groups),
            },
            charge=self._settings.models.charge,
            n_beads=description.n_beads,
        )

    def _begin(self, frame: Frame) -> None:
        """Find the groups of a new run in its first frame."""
        window_steps = self.pipeline.n_lags * self.description.stride
        grouping = build_grouping(
            self._settings.groups,
            frame,
            self.description.masses,
            _WINDOWS_PER_SIGN * window_steps,
            _WINDOWS_PER_VELOCITY_SIGN * window_steps,
        )
        if grouping is None:
            return
        self.journal.begin(replace(self.journal.identity, grouping=grouping))
        self.pipeline = Pipeline(self.journal.identity, self._settings.spectrum)
        _log.info("groups: %s", ", ".join(grouping.names))

    def _compare_groups(self, journal: Journal) -> None:
        begun = journal.identity.notes.get("groups")
        wanted = describe_groups(self._settings.groups)
        if journal.n_records and begun is None:
            _log.warning(
                "%s was begun by an older mimyria: it goes on without groups of atoms "
                "and sum rules. Take another run.directory to have them",
                journal.path,
            )
        elif journal.n_records and begun != wanted:
            _log.warning(
                "%s was begun with the groups '%s', which stay; for '%s' take another "
                "run.directory",
                journal.path,
                begun,
                wanted,
            )

    def _check_temperature(self) -> None:
        said = checks.check_temperature(
            self.pipeline.kinetic_temperature, self._settings.spectrum.temperature
        )
        if said:
            self.warning = said
            _log.warning("%s", said, extra=_event("temperature"))

    def _check_velocities(self, frame: Frame, place: Place) -> None:
        said = self._kinematics.push(frame, place.previous_step)
        if said:
            self.warning = said
            _log.warning("%s", said, extra=_event("velocities"))

    def _provenance(self, status: str) -> dict[str, str | int | float]:
        names = {
            f"model_{target}": f"{doc.get('name', '?')} {doc['sha256']}"
            for target, doc in self._models.items()
        }
        return {
            "status": status,
            "mimyria": mimyria.__version__,
            "engine": self.description.engine,
            "atoms": len(self.description.numbers),
            "time_step": self.description.time_step,
            "stride": self.description.stride,
            **self.journal.identity.beads,
            "networks": self._settings.models.where,
            "uncertain_frames": self.uncertain.count,
            "journal_records": self.journal.n_records,
            "python": platform.python_version(),
            **self.progress.provenance(),
            **self.origin,
            **names,
        }


def _event(code: str, **fields: int) -> dict[str, object]:
    """What a line of the log says to programs."""
    return {"code": code, "fields": fields}
