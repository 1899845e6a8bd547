"""Inspection: whether a run folder holds what it should, checksum by checksum.

It reads and never writes. A result is sound if it is the fold of the journal up to the
record that it names, number for number.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from mimyria.correlation import Correlation
from mimyria.errors import FormatError, JournalError, MimyriaError
from mimyria.storage import RESULT_NAME, Result, read_result
from mimyria_driver.durablemark import read_mark
from mimyria_driver.identity import Identity, header_key, read_header
from mimyria_driver.journal import JOURNAL_NAME
from mimyria_driver.pipeline import Pipeline
from mimyria_driver.reading import live_records
from mimyria_driver.scanning import Scan, scan
from mimyria_driver.settings import SpectrumSettings

__all__ = ["Findings", "differences", "inspect_run", "settings_of_result"]

_ADVICE: Final = "`mimyria-driver rebuild` makes a new one from the journal"


@dataclass(slots=True)
class Findings:
    """What was found, in lines for people.

    Attributes:
        lines: all of it, in order.
        problems: what must not be; empty where all is sound.
    """

    lines: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def problem(self, line: str) -> None:
        """Add a line that is a problem, too."""
        self.lines.append(line)
        self.problems.append(line)


def inspect_run(folder: Path) -> Findings:
    """Check journal and result of a run folder.

    Raises:
        JournalError: there is no journal, or its header cannot be read.
    """
    findings = Findings()
    path = folder / JOURNAL_NAME
    identity, start = read_header(path)
    found = scan(path, start, identity.record_size)
    size = path.stat().st_size - start
    _describe(findings, found, size - found.n_good * identity.record_size)
    durable = read_mark(path, header_key(path, start))
    if found.is_damaged(durable):
        places = ", ".join(_range(*each) for each in found.bad)
        findings.problem(
            f"journal: damaged at record {places}; see `mimyria-driver repair --help`"
        )
        return findings
    if durable is not None and found.n_good < durable:
        findings.problem(
            f"journal: {durable} records were once safe on disk, but it ends after "
            f"{found.n_good}: it was cut, or comes from an older copy"
        )
    for line in _disorder(path):
        findings.problem(f"journal: {line}")
    if not findings.problems:
        _check_result(findings, folder, identity, found)
    return findings


def _describe(findings: Findings, found: Scan, torn: int) -> None:
    findings.lines.append(
        f"journal: {found.n_good} sound records"
        + (f", {found.n_rollbacks} rollbacks" if found.n_rollbacks else "")
        + f", last step {found.last_step}"
    )
    if torn and found.next_sound < 0:
        findings.lines.append(
            f"journal: {torn} bytes of an unfinished write at its end; the driver cuts "
            "them off when it starts"
        )


def _range(begin: int, end: int) -> str:
    return str(begin) if end == begin + 1 else f"{begin} to {end - 1}"


def _disorder(path: Path) -> Iterator[str]:
    """Live steps must rise, and each record must follow the one it names."""
    last = -1
    for chunk in live_records(path):
        if not len(chunk):
            continue
        steps = chunk["step"]
        before = np.concatenate([[last], steps[:-1]])
        named = chunk["previous_step"]
        wrong = np.flatnonzero((steps <= before) | ((named >= 0) & (named != before)))
        if len(wrong):
            row = int(wrong[0])
            yield (
                f"step {steps[row]} stands behind step {before[row]} and says that "
                f"step {named[row]} is before it"
            )
            return
        last = int(steps[-1])


def _check_result(
    findings: Findings, folder: Path, identity: Identity, found: Scan
) -> None:
    path = folder / RESULT_NAME
    try:
        result = read_result(path)
    except FileNotFoundError:
        findings.lines.append(f"{RESULT_NAME}: not there; {_ADVICE}")
        return
    except (FormatError, OSError) as error:
        findings.problem(f"{RESULT_NAME}: {error}; {_ADVICE}")
        return
    end = result.provenance.get("journal_records")
    if end is None:
        findings.lines.append(
            f"{RESULT_NAME}: sound, but of an older mimyria, which did not say how far "
            f"the journal was; {_ADVICE}"
        )
        return
    if int(end) > found.n_good:
        findings.problem(
            f"{RESULT_NAME}: holds {end} records of the journal, which has "
            f"{found.n_good} only: one of the two is from another time or run"
        )
        return
    differing = list(differences(result, _fold(folder, identity, result, int(end))))
    if differing:
        findings.problem(
            f"{RESULT_NAME}: is not the fold of the journal: {', '.join(differing)} "
            f"differ; {_ADVICE}"
        )
        return
    behind = found.n_good - int(end)
    findings.lines.append(
        f"{RESULT_NAME}: is the fold of the journal"
        + (f" without its last {behind} records" if behind else "")
    )


def _fold(folder: Path, identity: Identity, result: Result, end: int) -> Result | None:
    """The result of the first records; None where they cannot give one like it."""
    settings = settings_of_result(result)
    if settings is None:
        return None
    try:
        pipeline = Pipeline(identity, settings)
        for chunk in live_records(folder / JOURNAL_NAME, end=end):
            pipeline.push_chunk(chunk)
        return pipeline.result({}) if pipeline.n_frames else None
    except JournalError:
        raise
    except MimyriaError:
        return None


def settings_of_result(result: Result) -> SpectrumSettings | None:
    """With which the same result is made again; None where it has no correlation."""
    some = result.dipole or result.polarizability
    if some is None:
        return None
    return SpectrumSettings(
        temperature=result.temperature,
        window=str(result.provenance.get("window", "gaussian")),
        resolution=_resolution(result),
        max_lag=max((some.n_lags - 1.5) * some.interval, 0.5 * some.interval),
    )


def _resolution(result: Result) -> float:
    return float(next(iter(result.spectra.values())).resolution)


def differences(found: Result, wanted: Result | None) -> Iterator[str]:
    """Names of what is not the same in two results, to the bit."""
    if wanted is None:
        yield "lags and channels"
        return
    if found.volume != wanted.volume:
        yield "volume"
    one, other = _correlations(found), _correlations(wanted)
    for name in sorted(one.keys() | other.keys()):
        if not _same(one.get(name), other.get(name)):
            yield name
    for name, spectrum in found.spectra.items():
        again = wanted.spectra.get(name)
        # Where a spectrum ends is a setting that the file does not have.
        n = 0 if again is None else min(len(spectrum.intensity), len(again.intensity))
        if again is None or not np.array_equal(
            spectrum.intensity[:n], again.intensity[:n], equal_nan=True
        ):
            yield f"spectrum {name}"


def _correlations(result: Result) -> dict[str, Correlation]:
    """All there are, by name."""
    found = {"dipole": result.dipole, "polarizability": result.polarizability}
    if result.velocities is not None:
        found["velocities"] = result.velocities.correlation
    if result.parts is not None:
        found["parts of the dipole"] = result.parts.dipole
        found["isotropic parts"] = result.parts.isotropic
        found["anisotropic parts"] = result.parts.anisotropic
    return {name: value for name, value in found.items() if value is not None}


def _same(one: Correlation | None, other: Correlation | None) -> bool:
    if one is None or other is None:
        return one is other
    arrays = [(one.values, other.values), (one.counts, other.counts)]
    if (one.blocks is None) != (other.blocks is None):
        return False
    if one.blocks is not None and other.blocks is not None:
        arrays += [
            (one.blocks.values, other.blocks.values),
            (one.blocks.counts, other.blocks.counts),
        ]
    return all(np.array_equal(a, b, equal_nan=True) for a, b in arrays)
