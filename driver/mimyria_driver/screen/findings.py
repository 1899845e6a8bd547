"""Findings: what the result file of a run says now, read again when it has changed."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from mimyria.diagnostics import Diagnostic
from mimyria.errors import MimyriaError, one_line
from mimyria.spectra import Spectrum, find_bands
from mimyria.spectra.convergence import BandError, band_errors
from mimyria.spectra.peaks import Band
from mimyria.storage import RESULT_NAME, Result
from mimyria_driver.latestresult import LatestResult

__all__ = ["KINDS", "RANGE", "Findings", "ResultReader"]

_log = logging.getLogger(__name__)

KINDS: Final = {"ir": "IR", "raman_vv": "Raman"}
"""Spectra that are drawn, with their titles."""

RANGE: Final = (0.0, 4000.0)
"""cm⁻¹; what is drawn, as far as a spectrum reaches."""

_PROMINENCE: Final = 0.04  # of the highest point; lower bands get no mark
_HIGH: Final = 0.2  # the same of points that may be noise
_MOST_BANDS: Final = 6
_SHARE: Final = 20.0
"""At most this part of the time goes into reading: a large file is read seldom."""


@dataclass(frozen=True, slots=True, eq=False)
class Findings:
    """What is drawn of a result.

    Attributes:
        spectra: those of `KINDS` that there are, as far as they are drawn.
        bands: the strongest bands of each, by wavenumber.
        doubtful: spectra in which no band stands out of the noise yet, so that those in
            `bands` are only the highest points.
        errors: how well each of these is known.
        diagnostics: what the run says about its own soundness.
        n_samples: frames in it.
        written: when, s since 1970.
    """

    spectra: Mapping[str, Spectrum]
    bands: Mapping[str, list[Band]]
    doubtful: frozenset[str]
    errors: list[BandError]
    diagnostics: tuple[Diagnostic, ...]
    n_samples: int
    written: float

    @classmethod
    def of(cls, result: Result, written: float) -> Findings:
        """Those of a result."""
        spectra = {
            name: result.spectra[name].between(*RANGE)
            for name in KINDS
            if name in result.spectra
        }
        bands = {name: _strongest(spectrum) for name, spectrum in spectra.items()}
        doubtful = frozenset(name for name, found in bands.items() if not found)
        for name in doubtful:
            bands[name] = _strongest(replace(spectra[name], error=None), _HIGH)
        correlation = result.dipole or result.polarizability
        n_samples = 0 if correlation is None else correlation.n_samples
        errors = [
            error
            for name, found in bands.items()
            for error in band_errors(
                spectra, n_samples, {name: None}, [(b.low, b.high) for b in found]
            )
        ]
        checks = result.diagnostics
        return cls(spectra, bands, doubtful, errors, checks, n_samples, written)


def _strongest(spectrum: Spectrum, prominence: float = _PROMINENCE) -> list[Band]:
    """The bands that are marked; those of one grid point have no error of their own."""
    bands = [
        band
        for band in find_bands(spectrum, prominence=prominence)
        if band.high > band.low
    ]
    bands.sort(key=lambda band: -band.height)
    return sorted(bands[:_MOST_BANDS], key=lambda band: band.position)


class ResultReader:
    """Reads the result of a run folder when there is another one.

    Attributes:
        findings: of the last one that could be read; None: there is none.
        trouble: why the present one cannot be read; empty: it can.
    """

    def __init__(self, folder: Path) -> None:
        """Nothing is read yet."""
        self.findings: Findings | None = None
        self.trouble = ""
        self._path = folder / RESULT_NAME
        self._latest = LatestResult(folder)
        self._next = 0.0

    def look(self) -> bool:
        """Read it if it is due; whether something is another than before."""
        now = time.monotonic()
        if now < self._next or not self._latest.look():
            return False
        if isinstance(self._latest.trouble, FileNotFoundError):
            return False  # the last one is still shown
        try:
            self._take()
        except (MimyriaError, OSError, MemoryError, KeyError, ValueError) as error:
            # The view goes on without it.
            self.trouble = one_line(error).replace(str(self._path), self._path.name)
            _log.debug("%s", self.trouble)
        done = time.monotonic()
        self._next = done + _SHARE * (done - now)
        return True

    def _take(self) -> None:
        """Make findings of the latest result, or raise what is wrong with it."""
        if self._latest.trouble is not None:
            raise self._latest.trouble
        assert self._latest.result is not None
        self.findings = Findings.of(self._latest.result, self._latest.written)
        self.trouble = ""
