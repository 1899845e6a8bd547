"""Lag windows: weights w(t) with w(0) = 1 that a correlation is multiplied with.

A window of half length T has the weight w(u), u = t/T, and is zero from u = 1 on. Its
transform is what a sharp line looks like: full width at half maximum f / (2 c T), with
a factor f of its own. Because w(0) = 1 a window leaves every integral unchanged.

| name            | w(u)                             | f      | side lobes           |
|-----------------|----------------------------------|--------|----------------------|
| gaussian        | exp(−8 u²), T = 4 σ              | 2.9983 | −4e-4 (truncation)   |
| bohman          | (1 − u) cos(π u) + sin(π u)/π    | 2.3779 | none: never negative |
| hann            | cos²(π u/2)                      | 2      | −2.7 %               |
| parzen          | 1 − 6u²(1 − u), 2(1 − u)³ at ½–1 | 2.5513 | none: never negative |
| blackman-harris | four cosines of k π u            | 2.6664 | −2e-5                |

Source: docs/theory.md, eq. (7).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from mimyria.errors import SettingsError
from mimyria.frame import Array
from mimyria.units import SPEED_OF_LIGHT

__all__ = [
    "WINDOWS",
    "LagWindow",
    "blackman_harris",
    "bohman",
    "finest_resolution",
    "gaussian",
    "grid_spacing",
    "hann",
    "lags_for_resolution",
    "no_window",
    "parzen",
    "window_for_resolution",
    "window_of_length",
]

_POINTS_PER_WIDTH: Final = 8
_NO_WINDOW_FACTOR: Final = 1.2067091288032286  # width of sin(x)/x, as f above
_BLACKMAN_HARRIS: Final = (0.35875, 0.48829, 0.14128, 0.01168)


def hann(u: Array) -> Array:
    """cos²(π u/2) below u = 1, else 0."""
    weights: Array = np.where(u < 1, np.cos(0.5 * np.pi * np.minimum(u, 1)) ** 2, 0.0)
    return weights


def gaussian(u: Array) -> Array:
    """exp(−8 u²) up to u = 1, else 0: four standard deviations."""
    weights: Array = np.where(u <= 1, np.exp(-8.0 * u * u), 0.0)
    return weights


def bohman(u: Array) -> Array:
    """(1 − u) cos(π u) + sin(π u)/π below u = 1, else 0."""
    v = np.minimum(u, 1.0)
    weights: Array = (1.0 - v) * np.cos(np.pi * v) + np.sin(np.pi * v) / np.pi
    return np.where(u < 1, weights, 0.0)


def parzen(u: Array) -> Array:
    """1 − 6u² (1 − u) below u = ½, then 2 (1 − u)³ below u = 1, else 0."""
    v = np.minimum(u, 1.0)
    inner = 1.0 - 6.0 * v * v * (1.0 - v)
    weights: Array = np.where(v < 0.5, inner, 2.0 * (1.0 - v) ** 3)
    return weights


def blackman_harris(u: Array) -> Array:
    """Σ_k a_k cos(k π u) with four terms up to u = 1, else 0; 6e-5 at u = 1."""
    terms = (a * np.cos(k * np.pi * u) for k, a in enumerate(_BLACKMAN_HARRIS))
    # The coefficients add up to one, but their sum in floating point need not.
    weights: Array = np.where(u <= 1, sum(terms), 0.0)
    return np.where(u == 0, 1.0, weights)


WINDOWS: Final[dict[str, tuple[Callable[[Array], Array], float]]] = {
    "gaussian": (gaussian, 8.0 * math.sqrt(2.0 * math.log(2.0)) / math.pi),
    "bohman": (bohman, 2.3779295618658916),
    "hann": (hann, 2.0),
    "parzen": (parzen, 2.551333589481783),
    "blackman-harris": (blackman_harris, 2.6664293284904597),
}
"""Weight function and width factor f of each window."""


@dataclass(frozen=True, slots=True, eq=False)
class LagWindow:
    """The weights of one correlation.

    Attributes:
        name: key of `WINDOWS`, or `none`.
        weights: (n_lags,) — w at each lag, 1 at lag zero.
        resolution: full width at half maximum of a sharp line, cm⁻¹.
    """

    name: str
    weights: Array
    resolution: float

    @property
    def reach(self) -> int:
        """Number of lags that it uses."""
        return int(np.count_nonzero(self.weights))


def grid_spacing(resolution: float) -> float:
    """Distance of grid points, cm⁻¹, that draws a line of this width smoothly."""
    return resolution / _POINTS_PER_WIDTH


def no_window(n_lags: int, interval: float) -> LagWindow:
    """All lags with weight 1; lines get the side lobes of sin(x)/x."""
    length = (n_lags - 1) * interval
    resolution = _NO_WINDOW_FACTOR / (2 * SPEED_OF_LIGHT * length)
    return LagWindow("none", np.ones(n_lags), resolution)


def window_of_length(
    name: str, half_length: float, n_lags: int, interval: float
) -> LagWindow:
    """A window that ends at a given time.

    Args:
        name: key of `WINDOWS`.
        half_length: time T from which on the window is zero, fs; must be within reach.
        n_lags: lags of the correlation.
        interval: time between two lags, fs.

    Raises:
        SettingsError: there is no such window, or the lags end before it does.
    """
    function, factor = _look_up(name)
    reach = n_lags * interval
    if not 0 < half_length <= reach * (1 + 1e-9):
        raise SettingsError(
            f"the window {name} needs lags up to {half_length:.0f} fs, but the "
            f"correlation ends after {reach:.0f} fs. Ask for a resolution of "
            f"{factor / (2 * SPEED_OF_LIGHT * reach):.1f} cm⁻¹ or more, or store "
            f"{math.ceil(half_length / interval) + 1} lags in the next run."
        )
    u: Array = np.arange(n_lags, dtype=np.float64) * (interval / half_length)
    weights = function(u)
    return LagWindow(name, weights, factor / (2 * SPEED_OF_LIGHT * half_length))


def window_for_resolution(
    name: str, resolution: float, n_lags: int, interval: float
) -> LagWindow:
    """The window that gives a sharp line the wanted full width at half maximum.

    T = f / (2 c resolution)

    Args:
        name: key of `WINDOWS`.
        resolution: cm⁻¹.
        n_lags: lags of the correlation.
        interval: time between two lags, fs.

    Raises:
        SettingsError: there is no such window, or the lags are too few for it.
    """
    half_length = _half_length(name, resolution)
    return window_of_length(name, half_length, n_lags, interval)


def lags_for_resolution(name: str, resolution: float, interval: float) -> int:
    """Number of lags that `window_for_resolution` needs."""
    return math.ceil(_half_length(name, resolution) / interval) + 1


def finest_resolution(name: str, n_lags: int, interval: float) -> float:
    """Smallest resolution in cm⁻¹ that so many lags allow."""
    return _look_up(name)[1] / (2 * SPEED_OF_LIGHT * n_lags * interval)


def _half_length(name: str, resolution: float) -> float:
    factor = _look_up(name)[1]
    if not (math.isfinite(resolution) and resolution > 0):
        raise SettingsError(
            f"resolution must be above 0 cm⁻¹, but is {resolution}; 10 is usual for "
            "liquids."
        )
    return factor / (2 * SPEED_OF_LIGHT * resolution)


def _look_up(name: str) -> tuple[Callable[[Array], Array], float]:
    try:
        return WINDOWS[name]
    except KeyError:
        raise SettingsError(
            f"unknown window '{name}'; known windows: {', '.join(WINDOWS)}."
        ) from None
