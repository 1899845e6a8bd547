"""Checks of what a correlator is made from: settings, and arrays of a saved state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimyria.errors import FormatError, SettingsError

__all__ = ["check_settings", "shaped"]


def shaped(
    saved: Mapping[str, NDArray[Any]], name: str, shape: tuple[int, ...]
) -> NDArray[Any]:
    """An entry of a saved state.

    Raises:
        FormatError: it has another shape.
    """
    array = np.asarray(saved[name])
    if array.shape != shape:
        raise FormatError(
            f"{name} of this correlator state must have the shape {shape}, but has "
            f"{array.shape}. Rebuild it from the journal."
        )
    return array


def check_settings(
    n_channels: int,
    n_lags: int,
    interval: float,
    pairs: Sequence[tuple[int, int]],
) -> None:
    """Refuse what makes no sense, before any array is made.

    Raises:
        SettingsError: a setting makes no sense.
    """
    if n_channels < 1:
        raise SettingsError(f"n_channels must be at least 1, but is {n_channels}.")
    if n_lags < 2:
        raise SettingsError(f"n_lags must be at least 2, but is {n_lags}.")
    if not (np.isfinite(interval) and interval > 0):
        raise SettingsError(f"interval must be above 0 fs, but is {interval}.")
    if not pairs or not all(min(p) >= 0 and max(p) < n_channels for p in pairs):
        raise SettingsError(
            f"pairs must name channels from 0 to {n_channels - 1}, but are "
            f"{tuple(pairs)}."
        )
