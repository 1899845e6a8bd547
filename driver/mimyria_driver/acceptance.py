"""Acceptance: from what an engine says of its run to a journal and its fold.

A run is new, or goes on where its folder left it; or it is refused, and nothing was
changed.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import mimyria
from mimyria.frame import Frame
from mimyria.groups import Grouping
from mimyria.spectra.jackknife import WINDOWS_PER_BLOCK
from mimyria_driver import checks
from mimyria_driver.enginemodels import check_engine_models
from mimyria_driver.grouping import build_grouping, describe_groups
from mimyria_driver.identity import Identity
from mimyria_driver.journal import JOURNAL_NAME, Journal
from mimyria_driver.pipeline import Pipeline
from mimyria_driver.settings import Settings
from mimyria_driver.snapshots import Snapshots
from mimyria_driver.sources import RunDescription
from mimyria_driver.uncertain import UncertainFrames

__all__ = ["OpenRun", "accepted_identity", "first_grouping", "open_run"]

_WINDOWS_PER_SIGN: Final = 4
"""How long random signs stay: few pairs of frames are lost where they change, and there
are enough signs for an error as soon as there are enough blocks."""
_WINDOWS_PER_VELOCITY_SIGN: Final = WINDOWS_PER_BLOCK
"""Signs of single atoms change with the blocks that errors come from: what two atoms
do together would otherwise be the same in several blocks, and not in the error."""
_OF_THE_SESSION: Final = {"code": "session"}  # programs know these lines by that name

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class OpenRun:
    """What an accepted run begins with.

    Attributes:
        identity: what must not change, as the engine says it now.
        journal: new or continued.
        pipeline: its fold.
        snapshots: earlier folds.
        uncertain: frames that the networks are not sure of.
    """

    identity: Identity
    journal: Journal
    pipeline: Pipeline
    snapshots: Snapshots
    uncertain: UncertainFrames


def accepted_identity(
    description: RunDescription,
    settings: Settings,
    models: Mapping[str, Mapping[str, Any]],
) -> Identity:
    """What must not change within the run that an engine describes.

    Args:
        description: what the engine says.
        settings: of the driver.
        models: metadata of the model of each target.

    Raises:
        MimyriaError: the run cannot be served.
    """
    checks.check_description(description, settings.spectrum.max_wavenumber)
    checks.check_elements(description, models)
    check_engine_models(description, settings, models)
    return Identity(
        tuple(int(number) for number in description.numbers),
        float(description.time_step),
        int(description.stride),
        {target: str(doc["sha256"]) for target, doc in models.items()},
        {
            "engine": description.engine,
            "mimyria": mimyria.__version__,
            "groups": describe_groups(settings.groups),
        },
        charge=settings.models.charge,
        n_beads=description.n_beads,
    )


def open_run(
    description: RunDescription,
    settings: Settings,
    models: Mapping[str, Mapping[str, Any]],
    journal: Journal | None,
) -> OpenRun:
    """Begin a run, or go on with that of the folder.

    Args:
        description: what the engine says.
        settings: of the driver.
        models: metadata of the model of each target.
        journal: the one in the run folder, if there is one.

    Raises:
        MimyriaError: the run cannot be served; nothing was changed.
    """
    identity = accepted_identity(description, settings, models)
    pipeline = Pipeline(identity, settings.spectrum)
    folder = settings.run.directory
    path = folder / JOURNAL_NAME
    uncertain = UncertainFrames(
        folder,
        settings.models.uncertain_above,
        settings.models.keep_uncertain,
        identity.time_step,
    )
    snapshots = Snapshots(folder)
    if journal is None:
        journal = Journal.create(path, identity)
    else:
        checks.check_identity(journal.identity, identity, str(path))
        checks.check_masses(journal.identity, description, str(path))
        pipeline = snapshots.fold(path, journal.identity, settings.spectrum)
        _compare_groups(journal, describe_groups(settings.groups))
        uncertain.recount(path)
    return OpenRun(identity, journal, pipeline, snapshots, uncertain)


def first_grouping(
    frame: Frame, description: RunDescription, settings: Settings, n_lags: int
) -> Grouping | None:
    """The groups of a new run; None if the settings want none.

    Args:
        frame: the first one.
        description: what the engine says.
        settings: of the driver.
        n_lags: frames of a window.

    Raises:
        SettingsError: an atom, an element or a molecule is not there.
    """
    window_steps = n_lags * description.stride
    return build_grouping(
        settings.groups,
        frame,
        description.masses,
        _WINDOWS_PER_SIGN * window_steps,
        _WINDOWS_PER_VELOCITY_SIGN * window_steps,
    )


def _compare_groups(journal: Journal, wanted: str) -> None:
    begun = journal.identity.notes.get("groups")
    if journal.n_records and begun is None:
        _log.warning(
            "%s was begun by an older mimyria: it goes on without groups of atoms "
            "and sum rules. Take another run.directory to have them",
            journal.path,
            extra=_OF_THE_SESSION,
        )
    elif journal.n_records and begun != wanted:
        _log.warning(
            "%s was begun with the groups '%s', which stay; for '%s' take another "
            "run.directory",
            journal.path,
            begun,
            wanted,
            extra=_OF_THE_SESSION,
        )
