"""Mending: a new result from the journal, and a journal after damage.

Both take the run folder as a driver does, so neither works beside one. A damaged
journal is kept as a copy, and nothing is left out of it without being asked.
"""

from __future__ import annotations

import shutil
import struct
import zlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mimyria.errors import FormatError, JournalError, SettingsError
from mimyria.files import replacing
from mimyria.storage import RESULT_NAME, read_result, write_result
from mimyria_driver.durablemark import DurableMark, read_mark
from mimyria_driver.identity import Identity, header_key, read_header
from mimyria_driver.journal import JOURNAL_NAME
from mimyria_driver.ownership import Ownership
from mimyria_driver.pipeline import Pipeline, rebuild
from mimyria_driver.results import journal_provenance
from mimyria_driver.scanning import FRAME, ROLLBACK, scan, sound_records
from mimyria_driver.settings import SpectrumSettings

__all__ = [
    "Folded",
    "Repaired",
    "fold_journal",
    "rebuild_result",
    "renew_result",
    "repair_journal",
]

_HEAD: Final = struct.Struct("<Ifqq")  # kind, excess, step, previous step
_KEPT: Final = ("engine", "atoms", "model_apt", "model_pgt", "uncertain_frames")


@dataclass(frozen=True, slots=True)
class Folded:
    """What a journal alone gives.

    Attributes:
        pipeline: the fold of all its records.
        n_records: how many these are, with those that became void.
    """

    pipeline: Pipeline
    n_records: int


@dataclass(frozen=True, slots=True)
class Repaired:
    """What a repair did.

    Attributes:
        lost: records that are void now.
        kept: records of the new journal.
        copy: where the damaged journal is.
    """

    lost: int
    kept: int
    copy: Path


def rebuild_result(
    folder: Path, settings: SpectrumSettings, output: Path | None = None
) -> tuple[Path, Pipeline]:
    """Write a result from the journal alone.

    Args:
        folder: the run folder.
        settings: resolution, window, temperature of the result.
        output: another file than the result of the run.

    Raises:
        JournalError: there is no journal, or it is damaged or empty.
        LockedError: a driver has the folder; another output is possible.
        OutputError: the result cannot be written.
    """
    pipeline = renew_result(folder, settings, output).pipeline
    if not pipeline.n_frames:
        path = folder / JOURNAL_NAME
        raise JournalError(f"{path}: has no frames, so there is no result to make.")
    return output or folder / RESULT_NAME, pipeline


def renew_result(
    folder: Path, settings: SpectrumSettings, output: Path | None = None
) -> Folded:
    """The same, with what was read; nothing is written if there is no frame."""
    read_header(folder / JOURNAL_NAME)  # what is no run folder is not taken
    ownership = Ownership.take(folder) if output is None else None
    try:
        found = fold_journal(folder, settings)
        pipeline = found.pipeline
        if pipeline.n_frames:
            provenance = _provenance(folder, pipeline.identity, found.n_records)
            target = output or folder / RESULT_NAME
            write_result(target, pipeline.result(provenance))
    finally:
        if ownership is not None:
            ownership.release()
    return found


def fold_journal(folder: Path, settings: SpectrumSettings) -> Folded:
    """The fold of the journal in a run folder; nothing is written.

    Raises:
        JournalError: there is no journal, or it is damaged.
    """
    path = folder / JOURNAL_NAME
    identity, start = read_header(path)
    n_records = scan(path, start, identity.record_size).n_good
    return Folded(rebuild(path, identity, settings), n_records)


def repair_journal(folder: Path, keep: str) -> Repaired | None:
    """Make a damaged journal usable again; None if it is not damaged.

    Args:
        folder: the run folder.
        keep: `prefix`: only what is before the damage; `segment`: all sound records,
            and what follows damaged ones begins a new segment.

    Raises:
        JournalError: the header is damaged, or the journal cannot be written.
        LockedError: a driver has the folder.
    """
    if keep not in ("prefix", "segment"):
        raise SettingsError(f"keep must be prefix or segment, but is {keep}.")
    path = folder / JOURNAL_NAME
    identity, start = read_header(path)
    ownership = Ownership.take(folder)
    try:
        size = identity.record_size
        found = scan(path, start, size)
        key = header_key(path, start)
        if not found.is_damaged(read_mark(path, key)):
            return None
        end = found.n_good if keep == "prefix" else found.n_places
        copy = _free_name(path)
        with path.open("rb") as old, replacing(copy) as file:
            shutil.copyfileobj(old, file)
        kept = 0
        with path.open("rb") as old, replacing(path) as new:
            new.write(old.read(start))
            for record in _kept_records(path, start, size, end):
                new.write(record)
                kept += 1
        mark = DurableMark(path, key)
        mark.write(kept, synced=True)
        mark.close()
    finally:
        ownership.release()
    bad = sum(end - begin for begin, end in found.bad)
    lost = bad if keep == "segment" else found.n_places - found.n_good
    return Repaired(lost, kept, copy)


def _kept_records(path: Path, start: int, size: int, end: int) -> Iterator[bytes]:
    """Sound records before a place, so that each follows the one it names.

    Where damaged ones are left out the next frame begins a segment, and the rollback
    that may have been among them is put back.
    """
    live = array("q")
    for index, record in sound_records(path, start, size):
        if index >= end:
            return
        kind, _, step, previous = _HEAD.unpack_from(record)
        if kind == FRAME and live and live[-1] >= step:
            yield _changed(record, ROLLBACK, step)
        while live and live[-1] >= step:
            live.pop()
        if kind == FRAME:
            if previous >= 0 and (not live or live[-1] != previous):
                record = _changed(record, FRAME, step)
            live.append(step)
        yield record


def _changed(record: bytes, kind: int, step: int) -> bytes:
    """The same record of another kind, as the first of a segment."""
    _, excess, _, _ = _HEAD.unpack_from(record)
    body = _HEAD.pack(kind, excess, step, -1) + record[_HEAD.size : -4]
    return body + zlib.crc32(body).to_bytes(4, "little")


def _free_name(path: Path) -> Path:
    number = 1
    while (copy := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    return copy


def _provenance(
    folder: Path, identity: Identity, n_records: int
) -> dict[str, str | int | float]:
    found = journal_provenance(identity, "rebuilt")
    found["journal_records"] = n_records
    try:  # the result before knows the names of the models, too
        stored = read_result(folder / RESULT_NAME).provenance
    except (FormatError, OSError):
        return found
    return found | {key: stored[key] for key in _KEPT if key in stored}
