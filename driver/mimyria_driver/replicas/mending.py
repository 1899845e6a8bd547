"""Mending of a run with replicas: all results anew, from the journals alone."""

from __future__ import annotations

from pathlib import Path

from mimyria.errors import JournalError
from mimyria.storage import RESULT_NAME, Result, write_result
from mimyria_driver.journal import JOURNAL_NAME
from mimyria_driver.labels import replica_folders
from mimyria_driver.mending import fold_journal, renew_result
from mimyria_driver.ownership import Ownership
from mimyria_driver.replicas.pooling import lean, pool
from mimyria_driver.settings import SpectrumSettings
from mimyria_driver.sharing import journal_result

__all__ = ["rebuild_replicas"]


def rebuild_replicas(
    folder: Path, settings: SpectrumSettings, output: Path | None = None
) -> tuple[Path, Result]:
    """Write the common result and, without an `output`, that of each replica.

    Args:
        folder: of the run.
        settings: resolution, window, temperature of the results.
        output: another file than the result of the run.

    Raises:
        JournalError: a journal is damaged, or none has a frame.
        LockedError: a driver has the folder.
    """
    ownership = Ownership.take(folder) if output is None else None
    try:
        folders = replica_folders(folder)
        found: dict[int, Result] = {}
        for each in folders:
            one = _result(each, settings, write=output is None)
            if one is not None:
                found[int(each.name)] = lean(one, len(folders))
        if not found:
            raise JournalError(f"{folder}: no replica has two frames.")
        result, _ = pool(
            found, settings, {"status": "rebuilt", "replicas": len(folders)}
        )
        target = output or folder / RESULT_NAME
        write_result(target, result)
    finally:
        if ownership is not None:
            ownership.release()
    return target, result


def _result(folder: Path, settings: SpectrumSettings, *, write: bool) -> Result | None:
    if not (folder / JOURNAL_NAME).exists():
        return None
    fold = renew_result if write else fold_journal
    found = fold(folder, settings)
    return journal_result(found.pipeline, found.n_records)
