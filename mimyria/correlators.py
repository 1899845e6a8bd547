"""Correlators: running time correlation functions, exact at every linear lag.

A correlator knows samples at equal intervals and the borders of segments; it knows no
physics, no file and no step numbers. Between two segments time is unknown, so no pair
of samples across a border ever enters. Means are not removed: those of dM/dt and dα/dt
vanish by time reversal, and removing a sample mean biases every lag.

Law: the bits of `result()` depend on the samples and the borders only, not on how the
samples were cut into calls of `push`, nor on `state`/`from_state` in between. Blocks
are therefore transformed at fixed distances from the beginning of their segment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from mimyria.correlation import Correlation, all_pairs
from mimyria.errors import (
    FormatError,
    FrameError,
    IncompatibleError,
    SettingsError,
    ShapeError,
)
from mimyria.frame import Array

__all__ = ["Correlation", "Correlator", "State", "all_pairs"]

State = dict[str, NDArray[Any]]

_MIN_BLOCK: Final = 256
"""Shortest block, so that a few lags do not mean a transform every few samples."""

_STATE_VERSION: Final = 1
_STATE_ARRAYS: Final = ("power", "window", "counts")


class Correlator:
    """Streaming correlator: overlap-save FFT, linear lags, pair counts.

    R_uv(l) = Σ_t x_u(t) x_v(t + l),  C_uv(l) = [R_uv(l) + R_vu(l)] / (2 count(l)),
    count(l) = Σ_segments max(N_segment − l, 0)

    Samples wait in a window [history | block]; one full block costs two real FFTs for
    each channel and one multiply-add for each pair, and adds to the cross power, which
    is transformed back only when a result is asked for. The window is at least one
    history longer than the block, so no circular wrap reaches a lag that is kept.

    Source: docs/theory.md, eq. (3).
    """

    def __init__(
        self,
        n_channels: int,
        n_lags: int,
        interval: float,
        unit: str,
        pairs: Sequence[tuple[int, int]] | None = None,
    ) -> None:
        """Begin with no samples.

        Args:
            n_channels: numbers in one sample.
            n_lags: lags to keep, from zero; at least 2.
            interval: time between samples, fs.
            unit: unit of the correlation (that of a sample, squared).
            pairs: channels to correlate; None means `all_pairs(n_channels)`.

        Raises:
            SettingsError: a setting makes no sense.
        """
        chosen = all_pairs(n_channels) if pairs is None else tuple(pairs)
        _check_settings(n_channels, n_lags, interval, chosen)
        self.n_channels = n_channels
        self.n_lags = n_lags
        self.interval = float(interval)
        self.unit = unit
        self.pairs = tuple((int(u), int(v)) for u, v in chosen)
        self._history = n_lags - 1
        self._block = max(n_lags, _MIN_BLOCK)
        self._n_fft = fft.next_fast_len(self._history + self._block, real=True)
        self._power = np.zeros((len(self.pairs), self._n_fft // 2 + 1), np.complex128)
        self._window = np.zeros((n_channels, self._history + self._block))
        self._counts = np.zeros(n_lags, np.int64)  # of the closed segments
        self._fill = 0  # samples in the present block
        self._segment = 0  # samples in the open segment
        self._closed = 0  # samples in the closed segments

    @property
    def n_samples(self) -> int:
        """Samples that went in so far."""
        return self._closed + self._segment

    def push(self, samples: Array) -> None:
        """Append samples to the open segment.

        Args:
            samples: (n_channels,) or (n_samples, n_channels).

        Raises:
            ShapeError: the number of channels is another one.
            FrameError: a sample is not finite; nothing was taken in.
        """
        rows = np.atleast_2d(np.asarray(samples, dtype=np.float64))
        if rows.ndim != 2 or rows.shape[1] != self.n_channels:
            raise ShapeError(
                f"samples must have the shape ({self.n_channels},) or (n, "
                f"{self.n_channels}), but have {np.shape(samples)}."
            )
        if not np.isfinite(rows).all():
            raise FrameError(
                "samples must be finite, but one holds NaN or infinity. "
                "It would spoil every lag; end the segment instead."
            )
        begin = 0
        while begin < len(rows):
            taken = min(len(rows) - begin, self._block - self._fill)
            position = self._history + self._fill
            self._window[:, position : position + taken] = rows[begin : begin + taken].T
            self._fill += taken
            self._segment += taken
            begin += taken
            if self._fill == self._block:
                self._add_power(self._power, self._window)
                self._window[:, : self._history] = self._window[:, self._block :]
                self._fill = 0

    def end_segment(self) -> None:
        """Close the open segment: what follows is not correlated with what was."""
        self._power = self._complete_power()
        self._counts = self._complete_counts()
        self._closed += self._segment
        self._window[:] = 0.0
        self._fill = 0
        self._segment = 0

    def result(self) -> Correlation:
        """The correlation of all samples so far; changes nothing."""
        counts = self._complete_counts()
        sums = fft.irfft(self._complete_power(), self._n_fft, axis=1)[:, : self.n_lags]
        values = np.where(counts > 0, sums / np.maximum(counts, 1), 0.0)
        lags: Array = self.interval * np.arange(self.n_lags, dtype=np.float64)
        return Correlation(
            lags,
            np.ascontiguousarray(values.T),
            counts,
            self.pairs,
            self.unit,
            self.n_samples,
        )

    def merge(self, other: Correlator) -> Correlator:
        """A new correlator that holds both, as different segments; all are closed.

        Raises:
            IncompatibleError: the settings differ.
        """
        for name in ("n_channels", "n_lags", "interval", "unit", "pairs"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                raise IncompatibleError(
                    f"correlations can be merged only if {name} is the same, but it is "
                    f"{mine!r} and {theirs!r}. Rebuild one of them from its journal."
                )
        merged = Correlator(
            self.n_channels, self.n_lags, self.interval, self.unit, self.pairs
        )
        merged._power = self._complete_power() + other._complete_power()
        merged._counts = self._complete_counts() + other._complete_counts()
        merged._closed = self.n_samples + other.n_samples
        return merged

    def state(self) -> State:
        """All that is needed to go on, as real arrays; `from_state` inverts it."""
        return {
            "version": np.array(_STATE_VERSION, np.int64),
            "n_channels": np.array(self.n_channels, np.int64),
            "n_lags": np.array(self.n_lags, np.int64),
            "interval": np.array(self.interval, np.float64),
            "unit": np.frombuffer(self.unit.encode(), np.uint8).copy(),
            "pairs": np.array(self.pairs, np.int64).reshape(-1, 2),
            "progress": np.array([self._fill, self._segment, self._closed], np.int64),
            "counts": self._counts.copy(),
            "power": self._power.view(np.float64).copy(),
            "window": self._window.copy(),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, NDArray[Any]]) -> Correlator:
        """Go on where `state()` was taken, to the bit.

        Raises:
            FormatError: the state is incomplete, or of another version.
        """
        try:
            version = int(state["version"])
            if version != _STATE_VERSION:
                raise FormatError(
                    f"a correlator state of version {_STATE_VERSION} is wanted, but "
                    f"this one has {version}. Rebuild it from the journal."
                )
            correlator = cls(
                int(state["n_channels"]),
                int(state["n_lags"]),
                float(state["interval"]),
                bytes(np.asarray(state["unit"], np.uint8)).decode(),
                [(int(u), int(v)) for u, v in state["pairs"]],
            )
            correlator._fill, correlator._segment, correlator._closed = (
                int(number) for number in state["progress"]
            )
            saved = {name: np.asarray(state[name]) for name in _STATE_ARRAYS}
        except KeyError as error:
            raise FormatError(
                f"a correlator state needs the entry {error}, but has only "
                f"{sorted(state)}. Rebuild it from the journal."
            ) from None
        correlator._restore(saved)
        return correlator

    def _restore(self, saved: Mapping[str, NDArray[Any]]) -> None:
        targets = {
            "power": self._power.view(np.float64),
            "window": self._window,
            "counts": self._counts,
        }
        for name, target in targets.items():
            if saved[name].shape != target.shape:
                raise FormatError(
                    f"{name} of this correlator state must have the shape "
                    f"{target.shape}, but has {saved[name].shape}. "
                    "Rebuild it from the journal."
                )
            target[:] = saved[name]

    def _add_power(self, power: NDArray[np.complex128], window: Array) -> None:
        """Add conj(FFT[history | block]) FFT[0 | block] of each pair to `power`."""
        earlier = fft.rfft(window, self._n_fft, axis=1)
        block = window.copy()
        block[:, : self._history] = 0.0
        later = fft.rfft(block, self._n_fft, axis=1)
        np.conjugate(earlier, out=earlier)
        for row, (u, v) in zip(power, self.pairs, strict=True):
            if u == v:
                row += earlier[u] * later[u]
            else:
                row += 0.5 * (earlier[u] * later[v] + earlier[v] * later[u])

    def _complete_power(self) -> NDArray[np.complex128]:
        """A copy of the power that includes the samples of the unfinished block."""
        power = self._power.copy()
        if self._fill:
            window = self._window.copy()
            window[:, self._history + self._fill :] = 0.0
            self._add_power(power, window)
        return power

    def _complete_counts(self) -> NDArray[np.int64]:
        return self._counts + np.maximum(self._segment - np.arange(self.n_lags), 0)


def _check_settings(
    n_channels: int,
    n_lags: int,
    interval: float,
    pairs: Sequence[tuple[int, int]],
) -> None:
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
