"""Inspection of a run with replicas: each of them, and that the result is their sum.

It reads and never writes. The common result is sound if its correlations are those of
the journals up to the records that it names, number for number, and its spectra those
of its correlations.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from mimyria.errors import FormatError, MimyriaError
from mimyria.storage import RESULT_NAME, Result, read_result
from mimyria_driver.identity import read_header
from mimyria_driver.inspection import (
    Findings,
    differences,
    inspect_run,
    settings_of_result,
)
from mimyria_driver.journal import JOURNAL_NAME
from mimyria_driver.labels import replica_folder, replica_folders
from mimyria_driver.pipeline import Pipeline
from mimyria_driver.reading import live_records
from mimyria_driver.replicas.pooling import lean, pool, records_of
from mimyria_driver.settings import SpectrumSettings
from mimyria_driver.sharing import journal_result

__all__ = ["inspect_replicas"]

_ADVICE: Final = "`mimyria-driver rebuild` makes a new one from the journals"


def inspect_replicas(folder: Path) -> Findings:
    """Check all journals and results of a run with replicas."""
    findings = Findings()
    for each in replica_folders(folder):
        _take(findings, each)
    if not findings.problems:
        _check_common(findings, folder)
    return findings


def _take(findings: Findings, folder: Path) -> None:
    """What is found in one of them, with its number before each line."""
    name = f"replica {folder.name}"
    if not (folder / JOURNAL_NAME).exists():
        findings.lines.append(f"{name}: no frame has come yet")
        return
    try:
        found = inspect_run(folder)
    except MimyriaError as error:
        findings.problem(f"{name}: {error}")
        return
    for line in found.lines:
        add = findings.problem if line in found.problems else findings.lines.append
        add(f"{name}: {line}")


def _check_common(findings: Findings, folder: Path) -> None:
    try:
        result = read_result(folder / RESULT_NAME)
    except FileNotFoundError:
        findings.lines.append(f"{RESULT_NAME}: not there; {_ADVICE}")
        return
    except (FormatError, OSError) as error:
        findings.problem(f"{RESULT_NAME}: {error}; {_ADVICE}")
        return
    try:
        wanted = _again(folder, result)
    except MimyriaError as error:
        findings.problem(f"{RESULT_NAME}: cannot be made again: {error}; {_ADVICE}")
        return
    differing = list(differences(result, wanted))
    if differing:
        findings.problem(
            f"{RESULT_NAME}: is not the sum of the journals: {', '.join(differing)} "
            f"differ; {_ADVICE}"
        )
        return
    n_replicas = len(records_of(result))
    findings.lines.append(
        f"{RESULT_NAME}: is the sum of {n_replicas} journals, to the bit"
    )


def _again(folder: Path, result: Result) -> Result | None:
    """The result of the same records; None where they cannot give one like it."""
    records = records_of(result)
    settings = settings_of_result(result)
    if settings is None or not records:
        return None
    n_replicas = int(result.provenance.get("replicas", len(records)))
    found: dict[int, Result] = {}
    for number, end in records.items():
        one = _fold(replica_folder(folder, number), settings, end)
        if one is None:
            return None
        found[number] = lean(one, n_replicas)
    return pool(found, settings, {})[0]


def _fold(folder: Path, settings: SpectrumSettings, end: int) -> Result | None:
    path = folder / JOURNAL_NAME
    identity, _ = read_header(path)
    pipeline = Pipeline(identity, settings)
    for chunk in live_records(path, end=end):
        pipeline.push_chunk(chunk)
    return journal_result(pipeline, end)
