"""Snapshots: the fold of a journal as far as it was, so that a start is quick.

A snapshot is a cache and never the truth: it has a SHA-256 of itself, and the number of
records that it belongs to with the SHA-256 of the journal up to there. One that does
not fit to the bit (damaged, of another run, newer than the journal, of other versions,
or with a rollback behind it that went further back) is not used, but the one before it,
or none: then the whole journal is folded. The result is the same to the bit.

    file     magic(8) · SHA-256 of the rest(32) · npz, with a JSON called `about`
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import scipy
from numpy.typing import NDArray

import mimyria
from mimyria.errors import MimyriaError
from mimyria.files import make_folder, remove_partials, replace_file
from mimyria_driver.identity import Identity, read_header
from mimyria_driver.journal import Journal
from mimyria_driver.pipeline import Pipeline
from mimyria_driver.reading import first_rollback, live_records
from mimyria_driver.settings import SpectrumSettings

__all__ = ["SNAPSHOTS_NAME", "Snapshots"]

SNAPSHOTS_NAME: Final = "snapshots"

_MAGIC: Final = b"MIMYSNP1"
_KEPT: Final = 2
_ABOUT: Final = "about"

_log = logging.getLogger(__name__)


class Snapshots:
    """Those of one run.

    Attributes:
        refused: why each one that was looked at last was not used.
        used: records that the last fold took from a snapshot, 0: none.
    """

    def __init__(self, folder: Path) -> None:
        """Nothing is read or written yet.

        Args:
            folder: the run folder.
        """
        self._folder = folder / SNAPSHOTS_NAME
        self._failed = False
        self.refused: list[str] = []
        self.used = 0

    def fold(
        self, path: Path, identity: Identity, settings: SpectrumSettings
    ) -> Pipeline:
        """The fold of a whole journal, from the newest snapshot that fits.

        Raises:
            JournalError: the journal is damaged.
        """
        self.refused, self.used = [], 0
        pipeline = Pipeline(identity, settings)
        for snapshot in self._newest_first():
            candidate = Pipeline(identity, settings)
            try:
                arrays, about = _read(snapshot)
                _check(about, path, candidate.n_lags)
                candidate.restore(arrays)
            except _UNUSABLE as error:
                self.refused.append(f"{snapshot.name}: {error}")
                continue
            pipeline, self.used = candidate, int(about["n_records"])
            break
        for reason in self.refused:
            _log.info("a snapshot is not used: %s", reason)
        for chunk in live_records(path, self.used):
            pipeline.push_chunk(chunk)
        return pipeline

    def save(self, pipeline: Pipeline, journal: Journal) -> bool:
        """Keep the fold of a journal that was just synced; never ends a run.

        Returns:
            Whether it was written.
        """
        about = _versions() | {
            "n_records": journal.n_records,
            "journal": journal.digest,
            "last_step": pipeline.last_step,
            "n_lags": pipeline.n_lags,
        }
        path = self._folder / f"{journal.n_records:012d}.snapshot"
        try:
            make_folder(self._folder)
            remove_partials(self._folder)
            replace_file(path, _packed(pipeline.snapshot(), about), journal.guard)
            for old in self._newest_first()[_KEPT:]:
                old.unlink(missing_ok=True)
        except (MimyriaError, OSError) as error:
            if not self._failed:
                _log.warning("no snapshot could be written: %s", error)
            self._failed = True
            return False
        self._failed = False
        return True

    def _newest_first(self) -> list[Path]:
        return sorted(self._folder.glob("*.snapshot"), reverse=True)


class _UnfitError(Exception):
    """A snapshot does not belong here, or is damaged."""


_UNUSABLE: Final = (
    _UnfitError,
    MimyriaError,
    OSError,
    KeyError,
    ValueError,
    TypeError,
    zipfile.BadZipFile,
)


def _packed(
    arrays: Mapping[str, NDArray[Any]], about: Mapping[str, str | int]
) -> bytes:
    text = np.frombuffer(json.dumps(about).encode(), np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, **{_ABOUT: text}, **arrays)  # type: ignore[arg-type]
    payload = buffer.getvalue()
    return _MAGIC + hashlib.sha256(payload).digest() + payload


def _read(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    content = path.read_bytes()
    head = len(_MAGIC) + 32
    digest, payload = content[len(_MAGIC) : head], content[head:]
    if not content.startswith(_MAGIC) or hashlib.sha256(payload).digest() != digest:
        raise _UnfitError("it is damaged")
    with np.load(io.BytesIO(payload), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    return arrays, json.loads(arrays.pop(_ABOUT).tobytes())


def _versions() -> dict[str, str | int]:
    """What the bits of a fold may depend on."""
    return {
        "mimyria": mimyria.__version__,
        "numpy": np.__version__,
        "scipy": scipy.__version__,
    }


def _check(about: Mapping[str, Any], journal: Path, n_lags: int) -> None:
    """Refuse a snapshot that is not the fold of the beginning of a journal.

    Raises:
        _UnfitError: why it is not.
    """
    for name, version in _versions().items():
        if about[name] != version:
            raise _UnfitError(f"it was written with {name} {about[name]}")
    if about["n_lags"] != n_lags:
        raise _UnfitError(f"it has {about['n_lags']} lags, but {n_lags} are wanted")
    identity, start = read_header(journal)
    n_records = int(about["n_records"])
    length = start + n_records * identity.record_size
    if length > journal.stat().st_size:
        raise _UnfitError("it is newer than the journal")
    if _digest(journal, length) != about["journal"]:
        raise _UnfitError("it belongs to another journal")
    back = first_rollback(journal, n_records)
    if back is not None and back <= about["last_step"]:
        raise _UnfitError(f"the engine went back to step {back} later")


def _digest(path: Path, length: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while length > 0 and (piece := file.read(min(1 << 20, length))):
            digest.update(piece)
            length -= len(piece)
    return digest.hexdigest()
