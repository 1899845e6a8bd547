"""Session: one accepted run, from a placed frame to a durable, folded record.

It joins journal, sequence and pipeline, and knows no socket, no process and no signal.
The order is always the same: write, then fold; sync, then acknowledge.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from mimyria.contributions import Sample
from mimyria.diagnostics import Diagnostic
from mimyria.errors import FrameError
from mimyria.frame import Frame
from mimyria.groups import Grouping
from mimyria.kinetics import kinetic_temperature
from mimyria.ringpolymer import bead_frames
from mimyria.storage import RESULT_NAME, Result, write_result
from mimyria_driver import checks
from mimyria_driver.acceptance import accepted_identity, first_grouping, open_run
from mimyria_driver.account import provenance, shown
from mimyria_driver.cadence import Cadence
from mimyria_driver.convergence import Progress
from mimyria_driver.credit import bounded
from mimyria_driver.enginemodels import sample_of
from mimyria_driver.journal import Journal
from mimyria_driver.kinematics import Kinematics
from mimyria_driver.pending import Pending
from mimyria_driver.pipeline import Pipeline
from mimyria_driver.sequence import Place, Sequencer
from mimyria_driver.settings import Settings
from mimyria_driver.snapshot import Snapshot
from mimyria_driver.sources import Arrived, RunDescription

__all__ = ["Session"]

_TEMPERATURE_FRAMES: Final = 10
_LEAST_FRAMES: Final = 2

_log = logging.getLogger(__name__)


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
        run = open_run(description, settings, models, journal)
        journal, pipeline = run.journal, run.pipeline
        self._settings = settings
        self._models = models
        self._snapshots = run.snapshots
        self.uncertain = run.uncertain
        self.description = description
        self.journal = journal
        self.pipeline = pipeline
        self.progress = Progress(
            settings.convergence,
            settings.spectrum,
            run.identity.interval,
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
        self._looked_at: Pending | None = None
        self._kinematics = Kinematics(description.time_step)
        self.credit = bounded(
            settings.run.credit,
            len(description.numbers) * max(1, description.n_beads),
            least=2 * settings.models.batch,  # one is calculated, one travels
        )
        self._cadence = Cadence(settings.run.snapshot, self.credit, journal.n_records)
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
        identity = accepted_identity(description, self._settings, self._models)
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
            FrameError: the velocities are in a wrong unit, or of other positions.
        """
        frame, place = pending.frame, pending.place
        assert frame.velocities is not None
        self.kinetic_temperature = kinetic_temperature(
            self.description.masses, frame.velocities
        )
        record = pending.record(
            sample, self.description.time_step, self.kinetic_temperature
        )
        # First, since a frame that has its record never comes again.
        if self._looked_at is not pending:
            bead = bead_frames(frame)[sample.bead]
            self.uncertain.look(bead, sample.excess, self.journal.guard)
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
        # Where frames are kept, and not where they come, so that which of the two
        # checks speaks does not depend on how fast the networks are.
        self._check_velocities(frame, place)
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
        return self._cadence.sync_due(self.journal, idle=idle)

    @property
    def snapshot_due(self) -> bool:
        """Whether the fold should be saved now."""
        return self._cadence.snapshot_due(self.journal.n_records)

    def save_snapshot(self, *, at_end: bool = False) -> None:
        """Save the fold of the journal, which was just synced.

        Args:
            at_end: nothing comes after it: only if that makes the next start quicker.
        """
        if at_end and not self._cadence.worth_saving(self.journal.n_records):
            return
        self._cadence.begin_snapshot()
        if self._snapshots.save(self.pipeline, self.journal):
            self._cadence.saved(self.journal.n_records)

    def result(self, status: str) -> Result | None:
        """What there is; None if it is too little for a spectrum."""
        if self.pipeline.n_frames < _LEAST_FRAMES:
            return None
        networks = self._settings.models.where
        return self.pipeline.result(provenance(self, self._models, networks, status))

    def write_result(self, status: str) -> Path | None:
        """Publish what there is; None if it is too little for a spectrum."""
        self.uncertain.write(self.journal.guard)
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
        return shown(self, snapshot, in_flight)

    def _greet(self, code: str) -> None:
        """Say who has come."""
        numbers = self.description.numbers
        extra = _event(code, last_step=self.journal.last_step)
        _log.info("%s, %d atoms", self.description.engine, len(numbers), extra=extra)

    def _fold_again(self) -> None:
        """The fold after records have become void."""
        self.pipeline = self._snapshots.fold(
            self.journal.path, self.journal.identity, self._settings.spectrum
        )
        self.uncertain.recount(self.journal.path)

    def _begin(self, frame: Frame) -> None:
        """Find the groups of a new run in its first frame."""
        grouping = first_grouping(
            frame, self.description, self._settings, self.pipeline.n_lags
        )
        if grouping is None:
            return
        self.journal.begin(replace(self.journal.identity, grouping=grouping))
        self.pipeline = Pipeline(self.journal.identity, self._settings.spectrum)
        _log.info("groups: %s", ", ".join(grouping.names))

    def _check_temperature(self) -> None:
        said = checks.check_temperature(
            self.pipeline.kinetic_temperature, self._settings.spectrum.temperature
        )
        if said:
            self.warning = said
            _log.warning("%s", said, extra=_event("temperature"))

    def _check_velocities(self, frame: Frame, place: Place) -> None:
        """Refuse velocities that are not those of the positions, or say so.

        Raises:
            FrameError: they are not, and the user wants none of them.
        """
        said = self._kinematics.push(frame, place.previous_step)
        if said and self._settings.source.check_velocities == "refuse":
            raise FrameError(
                f'{said}. With source.check_velocities = "warn" the run goes on.'
            )
        if said:
            self.warning = said
            _log.warning("%s", said, extra=_event("velocities"))


def _event(code: str, **fields: int) -> dict[str, object]:
    """What a line of the log says to programs."""
    return {"code": code, "fields": fields}
