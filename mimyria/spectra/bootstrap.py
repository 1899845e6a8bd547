"""Bootstrap: correlations as chance might have made them, for Gaussian noise.

It knows correlations and a window; no physics. While a run is too short for blocks, its
outputs are calculated again from such draws, and their scatter is the error of what no
closed formula is known for: a refractive index, the position of a peak.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft

from mimyria.correlation import Correlation
from mimyria.frame import Array
from mimyria.spectra.windows import LagWindow

__all__ = ["N_DRAWS", "bootstrap_error", "drawn_correlations"]

N_DRAWS: Final = 64
"""Draws; the error has an error of 9 %."""

_SEED: Final = 20260
_WINDOWS: Final = 4
"""Period of the simulated noise in windows; no lag meets its own image."""


def drawn_correlations(
    correlation: Correlation, window: LagWindow, n_draws: int = N_DRAWS
) -> Iterator[Correlation]:
    """Correlations that differ from the given one as other runs would.

    C* = C + √(n / count / e) δC,  δC that of n samples of noise with the spectra of C

    The noise is periodic, with period n, so that its samples need not be as many as
    those of the run. Its spectra are not smoothed by the window: those of lines would
    be too low. The same correlation gives the same draws.

    Args:
        correlation: of single channels; pairs that it lacks are taken as zero.
        window: of the spectra; what it cuts off is not drawn.
        n_draws: how many.

    Source: docs/theory.md, eq. (86).
    """
    reach = window.reach
    n_samples = int(fft.next_fast_len(_WINDOWS * reach, real=True))
    power, root = _spectral_matrix(correlation, reach, n_samples)
    expected = fft.irfft(power, n_samples, axis=0)[:reach]
    counts = correlation.counts[:reach]
    scale = np.sqrt(n_samples / np.maximum(counts, 1) / _excess(counts))
    scale[counts == 0] = 0.0
    first, second = np.array(correlation.pairs).T
    rng = np.random.default_rng(_SEED)
    for _ in range(n_draws):
        noise = fft.rfft(rng.normal(size=(n_samples, len(root[0]))), axis=0)
        moved = np.einsum("kuv,kv->ku", root, noise)
        drawn = (moved[:, first].conj() * moved[:, second]).real / n_samples
        change = fft.irfft(drawn, n_samples, axis=0)[:reach] - expected
        values = correlation.values.copy()
        values[:reach] += scale[:, np.newaxis] * change
        yield replace(correlation, values=values, blocks=None)


def bootstrap_error(value: ArrayLike, drawn: Sequence[ArrayLike]) -> Array:
    """Standard deviation over draws; NaN where the value or all but one draw are NaN.

    Args:
        value: of any shape.
        drawn: the same from each draw. Where one is NaN it does not count.
    """
    values = np.asarray(drawn, dtype=np.float64)
    found = np.isfinite(values)
    n_found = found.sum(axis=0)
    mean = np.where(found, values, 0.0).sum(axis=0) / np.maximum(n_found, 1)
    squares = np.where(found, (values - mean) ** 2, 0.0).sum(axis=0)
    error = np.sqrt(squares / np.maximum(n_found - 1, 1))
    known = (n_found >= 2) & np.isfinite(np.asarray(value, dtype=np.float64))
    return np.where(known, error, np.nan)


def _excess(counts: NDArray[np.int64]) -> float:
    """By how much the square of a noisy spectrum is too high, e = 1 + V.

    V is the relative variance of a spectrum without a window; sums of several channels
    have a little more.
    """
    inverse = np.where(counts > 0, 1.0 / np.maximum(counts, 1), 0.0)
    return 1.0 + 2.0 * float(inverse.sum()) - float(inverse[0])


def _spectral_matrix(
    correlation: Correlation, reach: int, n_samples: int
) -> tuple[Array, Array]:
    """Spectra of the pairs of a noise that exists, and the roots of their matrices.

    Returns:
        (n_points, n_pairs) and (n_points, n_channels, n_channels).
    """
    even = np.zeros((n_samples, len(correlation.pairs)))
    even[:reach] = correlation.values[:reach]
    even[n_samples - reach + 1 :] = even[reach - 1 : 0 : -1]
    spectra = fft.rfft(even, axis=0).real
    pairs: NDArray[np.int64] = np.array(correlation.pairs)
    first, second = pairs.T
    n_channels = int(pairs.max()) + 1
    matrix = np.zeros((len(spectra), n_channels, n_channels))
    matrix[:, first, second] = matrix[:, second, first] = spectra
    values, vectors = np.linalg.eigh(matrix)
    values = np.maximum(values, 0.0)  # side lobes, or chance
    root = np.einsum("kui,ki,kvi->kuv", vectors, np.sqrt(values), vectors)
    matrix = root @ root
    return matrix[:, first, second], root
