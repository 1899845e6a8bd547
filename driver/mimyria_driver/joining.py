"""Joining: one run folder from several, record by record.

`mimyria merge` adds up what results hold; joining goes back to the journals. A run that
continues another one (its first frame is the next one, or repeats its last ones to the
bit) is put behind it without a border, so that pairs across the border count too: the
joined run is then the whole run, to the bit. Any other run becomes a segment.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from mimyria.errors import IncompatibleError, MimyriaError, OutputError
from mimyria.storage import RESULT_NAME, read_result, write_result
from mimyria_driver.checks import check_identity
from mimyria_driver.digests import Digests
from mimyria_driver.durablemark import mark_path
from mimyria_driver.identity import Identity, read_header
from mimyria_driver.journal import JOURNAL_NAME, Journal, lock_folder
from mimyria_driver.pipeline import Pipeline, rebuild
from mimyria_driver.reading import read_journal
from mimyria_driver.records import Record
from mimyria_driver.results import journal_provenance
from mimyria_driver.settings import KEEP_UNCERTAIN, SpectrumSettings
from mimyria_driver.uncertain import join_uncertain

__all__ = ["Joined", "join_runs"]

_UNSYNCED: Final = 65_536
"""Records that a journal keeps in memory before they are made safe."""
_KEPT: Final = ("model_apt", "model_pgt")


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Joined:
    """What was joined.

    Attributes:
        folder: one of the run folders.
        n_frames: frames taken from it.
        continues: whether it was put behind the one before without a border.
        first: step of the first of them in its own run; None where there are none.
        shift: what was added to their steps.
    """

    folder: Path
    n_frames: int
    continues: bool
    first: int | None = None
    shift: int = 0


def join_runs(
    folders: Sequence[Path], target: Path, settings: SpectrumSettings
) -> tuple[list[Joined], Pipeline]:
    """Make a run folder with the frames of all, in the order given, and its result.

    Args:
        folders: run folders, each with a journal.
        target: the new run folder, which must have no journal.
        settings: resolution, window, temperature of the result.

    Raises:
        IncompatibleError: atoms, models, groups, time step or stride differ.
        JournalError: a journal is missing or damaged.
        FormatError: what a run has kept of uncertain frames is damaged.
        OutputError: the target holds a journal already.
    """
    identity, _ = read_header(folders[0] / JOURNAL_NAME)
    for folder in folders[1:]:
        _check(identity, folder)
    path = target / JOURNAL_NAME
    if path.exists():
        raise OutputError(f"{path} exists already. Choose a new folder to join into.")
    target.mkdir(parents=True, exist_ok=True)
    lock = lock_folder(target)
    beside = target / f"{JOURNAL_NAME}.joining"
    try:
        # Under another name until it is whole.
        beside.unlink(missing_ok=True)
        journal = Journal.create(beside, identity)
        try:
            joined = [_append(journal, folder) for folder in folders]
            journal.sync()
        finally:
            journal.close()
        _join_uncertain(joined, target, identity.time_step)
        beside.rename(path)
        pipeline = rebuild(path, identity, settings)
        provenance = _provenance(identity, folders)
        provenance["journal_records"] = pipeline.n_frames
        write_result(target / RESULT_NAME, pipeline.result(provenance))
    finally:
        beside.unlink(missing_ok=True)
        mark_path(beside).unlink(missing_ok=True)
        os.close(lock)
    return joined, pipeline


def _append(journal: Journal, folder: Path) -> Joined:
    """Put the records of one run behind those that are there."""
    records = read_journal(folder / JOURNAL_NAME)
    stride = journal.identity.stride
    last = journal.last_step
    repeated = _tail(journal) if last >= 0 else {}
    n_repeated = 0
    first = next(records, None)
    while first is not None and repeated.get(first.step) == first.digest:
        n_repeated += 1
        first = next(records, None)
    if first is None:
        return Joined(folder, 0, continues=n_repeated > 0)
    continues = last >= 0 and first.step == last + stride
    shift = 0 if last < 0 or continues else last + 2 * stride - first.step
    n_frames = 0
    for record in _moved(itertools.chain([first], records), shift):
        if n_frames == 0 and last >= 0:
            previous = last if continues else -1
            record = dataclasses.replace(record, previous_step=previous)
        journal.append(record)
        n_frames += 1
        if journal.unsynced >= _UNSYNCED:
            journal.sync()
    return Joined(folder, n_frames, continues, first.step, shift)


def _join_uncertain(joined: Sequence[Joined], target: Path, time_step: float) -> None:
    runs = [
        (run.folder, run.first, run.shift) for run in joined if run.first is not None
    ]
    join_uncertain(runs, target, KEEP_UNCERTAIN, time_step)


def _moved(records: Iterator[Record], shift: int) -> Iterator[Record]:
    for record in records:
        if not shift:
            yield record
            continue
        previous = record.previous_step
        yield dataclasses.replace(
            record,
            step=record.step + shift,
            previous_step=previous + shift if previous >= 0 else -1,
        )


def _tail(journal: Journal) -> dict[int, bytes]:
    """Digests of the last frames, to recognise those that are repeated."""
    records = read_journal(journal.path)
    return dict(Digests((record.step, record.digest) for record in records))


def _check(identity: Identity, folder: Path) -> None:
    path = folder / JOURNAL_NAME
    other, _ = read_header(path)
    try:
        check_identity(identity, other, "the first run")
    except MimyriaError as error:
        raise IncompatibleError(
            f"{path} does not belong to the first run: other atoms, models, time step "
            f"or stride ({error})"
        ) from error
    groups = [
        each.grouping.as_dict() if each.grouping is not None else None
        for each in (identity, other)
    ]
    if groups[0] != groups[1]:
        raise IncompatibleError(
            f"{path} has other groups of atoms than the first run. Merge the results "
            "by `mimyria merge` instead."
        )


def _provenance(
    identity: Identity, folders: Sequence[Path]
) -> dict[str, str | int | float]:
    found = journal_provenance(identity, "joined")
    found["joined_from"] = ", ".join(str(folder) for folder in folders)
    result = folders[0] / RESULT_NAME
    if result.is_file():  # it knows the names of the models, too
        stored = read_result(result).provenance
        found |= {key: str(stored[key]) for key in _KEPT if key in stored}
    return found
