"""Positivity: a power spectrum that is negative beyond noise is a bug."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from mimyria.diagnostics import Diagnostic
from mimyria.spectra.spectrum import Spectrum

__all__ = ["positivity"]

_POWERS: Final = ("ir", "raman_iso", "raman_vh")
_LOOK: Final = 0.01
_WRONG: Final = 0.1
_LENGTH: Final = 20
"""Windows that a run must have before a negative area is taken for a bug."""


def positivity(
    spectra: Mapping[str, Spectrum], n_samples: int, n_lags: int
) -> tuple[Diagnostic, ...]:
    """Share of negative intensity of each spectrum that is a power.

    Args:
        spectra: by name; others than powers are left alone.
        n_samples: samples of the run.
        n_lags: lags of the window.

    Source: docs/theory.md, eq. (47).
    """
    found = []
    for name in _POWERS:
        if name not in spectra:
            continue
        intensity = spectra[name].intensity
        area = float(np.abs(intensity).sum())
        share = float(np.maximum(-intensity, 0.0).sum()) / area if area else 0.0
        verdict = "ok" if share < _LOOK else "look"
        if share >= _WRONG and n_samples >= _LENGTH * n_lags:
            verdict = "wrong"
        sentence = {
            "ok": "hardly anything is negative, as it must be.",
            "look": "part of the spectrum is negative: too short a run for this "
            "resolution, or a window with side lobes.",
            "wrong": "much of the spectrum is negative although the run is long "
            "enough: please report it.",
        }[verdict]
        found.append(
            Diagnostic(
                f"positivity {name}", share, 0.0, float("nan"), verdict, sentence
            )
        )
    return tuple(found)
