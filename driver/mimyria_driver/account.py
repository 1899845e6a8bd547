"""Account: what a session says of its run, in the status and in the result file.

Nothing is measured or changed here: what journal, fold and progress know is put
together.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, Protocol

import mimyria
from mimyria.diagnostics import summary
from mimyria_driver.convergence import Progress
from mimyria_driver.journal import Journal
from mimyria_driver.pipeline import Pipeline
from mimyria_driver.snapshot import Snapshot
from mimyria_driver.sources import RunDescription
from mimyria_driver.uncertain import UncertainFrames

__all__ = ["Accountable", "provenance", "shown"]

_SLOW_SYNC: Final = 1.0


class Accountable(Protocol):
    """What there is to tell of; see `Session`."""

    description: RunDescription
    journal: Journal
    pipeline: Pipeline
    progress: Progress
    uncertain: UncertainFrames
    credit: int
    n_kept: int
    warning: str | None
    origin: dict[str, str | int | float]

    @property
    def n_duplicates(self) -> int:
        """Frames that arrived again and were dropped."""


def shown(session: Accountable, snapshot: Snapshot, in_flight: int) -> Snapshot:
    """A snapshot with what is known of the run.

    Args:
        session: of the run.
        snapshot: of the service.
        in_flight: frames without a record.
    """
    pipeline, progress = session.pipeline, session.progress
    lag = in_flight + session.journal.unsynced
    return replace(
        snapshot,
        engine=session.description.engine,
        atoms=len(session.description.numbers),
        in_flight=lag,
        engine_waits=2 * lag >= session.credit,
        evaluated=session.n_kept,
        durable=pipeline.n_frames,
        duplicates=session.n_duplicates,
        segments=pipeline.n_segments,
        missing=pipeline.n_missing,
        step=pipeline.last_step,
        sampled=pipeline.sampled_time,
        temperature=pipeline.kinetic_temperature,
        uncertain=session.uncertain.count,
        last_uncertain=session.uncertain.last,
        checks=summary(pipeline.diagnostics()),
        errors=pipeline.relative_errors() | progress.relative_errors(pipeline.n_frames),
        targets=progress.targets(),
        bands=progress.bands(),
        message=snapshot.message or session.warning or _slow_disk(session.journal),
    )


def provenance(
    session: Accountable,
    models: Mapping[str, Mapping[str, Any]],
    networks: str,
    status: str,
) -> dict[str, str | int | float]:
    """Where the numbers of a result come from.

    Args:
        session: of the run.
        models: metadata of the model of each target.
        networks: where they are asked.
        status: of the run.
    """
    description, journal = session.description, session.journal
    names = {
        f"model_{target}": f"{doc.get('name', '?')} {doc['sha256']}"
        for target, doc in models.items()
    }
    return {
        "status": status,
        "mimyria": mimyria.__version__,
        "engine": description.engine,
        "atoms": len(description.numbers),
        "time_step": description.time_step,
        "stride": description.stride,
        **journal.identity.beads,
        "networks": networks,
        "uncertain_frames": session.uncertain.count,
        "journal_records": journal.n_records,
        "python": platform.python_version(),
        **session.progress.provenance(),
        **session.origin,
        **names,
    }


def _slow_disk(journal: Journal) -> str:
    seconds = journal.sync_seconds
    if seconds < _SLOW_SYNC:
        return ""
    return f"the disk takes {seconds:.1f} s to make records safe"
