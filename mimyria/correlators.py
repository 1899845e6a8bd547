"""Correlators: running time correlation functions, exact at every linear lag.

A correlator knows samples at equal intervals and the borders of segments; it knows no
physics, no file and no step numbers. Between two segments time is unknown, so no pair
of samples across a border ever enters. Means are not removed: those of dM/dt and dα/dt
vanish by time reversal, and removing a sample mean biases every lag.

Law: the bits of `result()` depend on the samples and the borders only, not on how the
samples were cut into calls of `push`, nor on `state`/`from_state` in between. Windows
are therefore transformed at fixed distances from the beginning of their segment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from mimyria.blocks import BlockStore
from mimyria.correlation import Correlation, all_pairs, mean_products
from mimyria.correlatorchecks import check_settings, shaped
from mimyria.crosspower import cross_power
from mimyria.errors import (
    FormatError,
    FrameError,
    IncompatibleError,
    SettingsError,
    ShapeError,
)
from mimyria.frame import Array
from mimyria.trajectories import TrajectoryMeans

__all__ = ["Correlation", "Correlator", "State", "all_pairs"]

State = dict[str, NDArray[Any]]

_MIN_STEP: Final = 256
"""Shortest step, so that a few lags do not mean a transform every few samples."""

_STATE_VERSION: Final = 3
_SETTINGS: Final = (
    "n_channels",
    "n_lags",
    "interval",
    "unit",
    "pairs",
    "components",
    "max_blocks",
    "keep_trajectories",
    "whole_segments",
)


class Correlator:
    """Streaming correlator: overlap-save FFT, linear lags, pair counts, blocks.

    R_uv(l) = Σ_t x_u(t) x_v(t + l),  C_uv(l) = [R_uv(l) + R_vu(l)] / (2 count(l)),
    count(l) = Σ_segments max(N_segment − l, 0)

    Samples wait in a window [history | step]; one full step costs two real FFTs for
    each channel and one multiply-add for each pair, and adds to the cross power, which
    is transformed back only when a result is asked for or a block is over. The window
    is at least one history longer than the step, so no circular wrap reaches a lag that
    is kept.

    A block is a whole number of steps, at first one, or ends with its segment; a
    product belongs to the block of its later sample. Memory: the blocks, see
    `BlockStore`, and 16 bytes for each pair and lag, and for each channel and lag;
    with trajectories twice that.

    Source: docs/theory.md, eq. (3), (30).
    """

    def __init__(
        self,
        n_channels: int,
        n_lags: int,
        interval: float,
        unit: str,
        pairs: Sequence[tuple[int, int]] | None = None,
        *,
        components: Sequence[float] | None = None,
        max_blocks: int = 32,
        keep_trajectories: bool = False,
        whole_segments: bool = False,
    ) -> None:
        """Begin with no samples.

        Args:
            n_channels: numbers, or vectors, in one sample.
            n_lags: lags to keep, from zero; at least 2.
            interval: time between samples, fs.
            unit: unit of the correlation (that of a sample, squared).
            pairs: channels to correlate; None means `all_pairs(n_channels)`.
            components: weights w_c; each channel is then a vector of len(components)
                numbers, and the product of u and v is Σ_c w_c u_c v_c.
            max_blocks: blocks for statistical errors, an even number; 0 keeps none.
            keep_trajectories: keep `Correlation.trajectories` too.
            whole_segments: blocks end with segments only, because what is in a segment
                is not independent.

        Raises:
            SettingsError: a setting makes no sense.
        """
        chosen = all_pairs(n_channels) if pairs is None else tuple(pairs)
        check_settings(n_channels, n_lags, interval, chosen)
        self.n_channels = n_channels
        self.n_lags = n_lags
        self.interval = float(interval)
        self.unit = unit
        self.pairs = tuple((int(u), int(v)) for u, v in chosen)
        self.components = (
            None if components is None else tuple(float(w) for w in components)
        )
        self.max_blocks = max_blocks
        self.keep_trajectories = keep_trajectories
        self.whole_segments = whole_segments
        self._weights = (1.0,) if self.components is None else self.components
        if not (self._weights and np.isfinite(self._weights).all()):
            raise SettingsError(
                f"components must be finite weights, but are {self.components}."
            )
        self._history = n_lags - 1
        self._step = max(n_lags, _MIN_STEP)
        self._n_fft = fft.next_fast_len(self._history + self._step, real=True)
        self._power = np.zeros((len(self.pairs), self._n_fft // 2 + 1), np.complex128)
        self._window = np.zeros((self._width, self._history + self._step))
        self._open_counts = np.zeros(n_lags, np.int64)  # of `_power`
        self._sums = np.zeros((len(self.pairs), n_lags))  # of the closed blocks
        self._counts = np.zeros(n_lags, np.int64)  # of the closed blocks
        self._blocks = BlockStore(max_blocks, self._step, whole_segments=whole_segments)
        self._trajectories = (
            TrajectoryMeans(
                np.zeros_like(self._power),
                n_lags,
                self.pairs,
                self._weights,
                self._width,
            )
            if keep_trajectories
            else None
        )
        self._fill = 0  # samples in the present step
        self._segment = 0  # samples in the open segment
        self._closed = 0  # samples in the closed segments

    @property
    def _width(self) -> int:
        return self.n_channels * len(self._weights)

    @property
    def n_samples(self) -> int:
        """Samples that went in so far."""
        return self._closed + self._segment

    def push(self, samples: Array) -> None:
        """Append samples to the open segment.

        Args:
            samples: (n_channels,) or (n_samples, n_channels); with components
                (n_channels n_components,), those of one channel side by side.

        Raises:
            ShapeError: the number of channels is another one.
            FrameError: a sample is not finite; nothing was taken in.
        """
        rows = np.atleast_2d(np.asarray(samples, dtype=np.float64))
        if rows.ndim != 2 or rows.shape[1] != self._width:
            raise ShapeError(
                f"samples must have the shape ({self._width},) or (n, "
                f"{self._width}), but have {np.shape(samples)}."
            )
        if not np.isfinite(rows).all():
            raise FrameError(
                "samples must be finite, but one holds NaN or infinity. "
                "It would spoil every lag; end the segment instead."
            )
        begin = 0
        while begin < len(rows):
            taken = min(len(rows) - begin, self._step - self._fill)
            position = self._history + self._fill
            samples = rows[begin : begin + taken].T
            self._window[:, position : position + taken] = samples
            if self._trajectories is not None and self._segment < self._history:
                self._trajectories.begin(samples, self._segment)
            self._fill += taken
            self._segment += taken
            begin += taken
            if self._fill == self._step:
                self._open_counts += self._step_counts()
                power = self._power_of(self._window)
                self._power += power
                if self._trajectories is not None:
                    self._trajectories.add_step(self._window[:, self._history :], power)
                self._window[:, : self._history] = self._window[:, self._step :]
                self._fill = 0
                self._close_block(at_border=False)

    def end_segment(self) -> None:
        """Close the open segment: what follows is not correlated with what was."""
        if self._trajectories is not None:
            self._trajectories.end(*self._open_trajectory(self._trajectories))
        self._power, self._open_counts = self._open_power()
        self._closed += self._segment
        self._window[:] = 0.0
        self._fill = 0
        self._segment = 0
        self._close_block(at_border=True)

    def result(self) -> Correlation:
        """The correlation of all samples so far; changes nothing."""
        open_sums, open_counts = self._open_sums()
        counts = self._counts + open_counts
        lags: Array = self.interval * np.arange(self.n_lags, dtype=np.float64)
        return Correlation(
            lags,
            mean_products(np.ascontiguousarray((self._sums + open_sums).T), counts),
            counts,
            self.pairs,
            self.unit,
            self.n_samples,
            self._blocks.blocks(open_sums, open_counts),
            None
            if self._trajectories is None
            else self._trajectories.result(*self._open_trajectory(self._trajectories)),
        )

    def merge(self, other: Correlator) -> Correlator:
        """A new correlator that holds both, as different segments; all are closed.

        Raises:
            IncompatibleError: the settings differ.
        """
        for name in _SETTINGS:
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                raise IncompatibleError(
                    f"correlations can be merged only if {name} is the same, but it is "
                    f"{mine!r} and {theirs!r}. Rebuild one of them from its journal."
                )
        mine, theirs = self._all_closed(), other._all_closed()
        mine._blocks = mine._blocks.joined(theirs._blocks)
        if mine._trajectories is not None and theirs._trajectories is not None:
            mine._trajectories.add(theirs._trajectories)
        mine._power += theirs._power
        mine._open_counts += theirs._open_counts
        mine._sums += theirs._sums
        mine._counts += theirs._counts
        mine._closed += theirs._closed
        return mine

    def state(self) -> State:
        """All that is needed to go on, as real arrays; `from_state` inverts it."""
        progress = (self._fill, self._segment, self._closed, self._blocks.length)
        return {
            "version": np.array(_STATE_VERSION, np.int64),
            "n_channels": np.array(self.n_channels, np.int64),
            "n_lags": np.array(self.n_lags, np.int64),
            "interval": np.array(self.interval, np.float64),
            "unit": np.frombuffer(self.unit.encode(), np.uint8).copy(),
            "pairs": np.array(self.pairs, np.int64).reshape(-1, 2),
            "components": np.array(self.components or (), np.float64),
            "max_blocks": np.array(self.max_blocks, np.int64),
            "keep_trajectories": np.array(self.keep_trajectories, np.int64),
            "whole_segments": np.array(self.whole_segments, np.int64),
            "progress": np.array(progress, np.int64),
            **{name: array.copy() for name, array in self._arrays().items()},
            **self._blocks.state(len(self.pairs), self.n_lags),
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
                components=[float(w) for w in state["components"]] or None,
                max_blocks=int(state["max_blocks"]),
                keep_trajectories=bool(state["keep_trajectories"]),
                whole_segments=bool(state["whole_segments"]),
            )
            correlator._restore(state)
        except KeyError as error:
            raise FormatError(
                f"a correlator state needs the entry {error}, but has only "
                f"{sorted(state)}. Rebuild it from the journal."
            ) from None
        return correlator

    def _restore(self, saved: Mapping[str, NDArray[Any]]) -> None:
        fill, segment, closed, length = (int(number) for number in saved["progress"])
        self._fill, self._segment, self._closed = fill, segment, closed
        n_blocks = len(saved["block_counts"])
        sums_shape = (n_blocks, len(self.pairs), self.n_lags)
        block_sums = shaped(saved, "block_sums", sums_shape)
        block_counts = shaped(saved, "block_counts", (n_blocks, self.n_lags))
        self._blocks.restore(block_sums, block_counts, length)
        for name, target in self._arrays().items():
            target[:] = shaped(saved, name, target.shape)

    def _arrays(self) -> State:
        """The accumulators, as views."""
        return {
            "power": self._power.view(np.float64),
            "window": self._window,
            "open_counts": self._open_counts,
            "sums": self._sums,
            "counts": self._counts,
            **({} if self._trajectories is None else self._trajectories.state()),
        }

    def _power_of(self, window: Array) -> NDArray[np.complex128]:
        """conj(FFT[history | step]) FFT[0 | step] of each pair."""
        shape = (self.n_channels, len(self._weights), -1)
        earlier = fft.rfft(window, self._n_fft, axis=1)
        step = window.copy()
        step[:, : self._history] = 0.0
        later = fft.rfft(step, self._n_fft, axis=1).reshape(shape)
        np.conjugate(earlier, out=earlier)
        earlier = earlier.reshape(shape)
        if self.components is not None:
            earlier *= np.array(self._weights)[:, np.newaxis]
        return cross_power(earlier, later, self.pairs)

    def _open_power(self) -> tuple[NDArray[np.complex128], NDArray[np.int64]]:
        """Power and counts of the open block, with the unfinished step; copies."""
        power, counts = self._power.copy(), self._open_counts.copy()
        if self._fill:
            power += self._unfinished_power()
            counts += self._step_counts()
        return power, counts

    def _unfinished_power(self) -> NDArray[np.complex128]:
        window = self._window.copy()
        window[:, self._history + self._fill :] = 0.0
        return self._power_of(window)

    def _open_trajectory(
        self, means: TrajectoryMeans
    ) -> tuple[Array, Array, Array, int]:
        """Sums of products, sum, last samples and length of the open segment."""
        end = self._history + self._fill
        power, total = means.power, means.total
        if self._fill:
            power = power + self._unfinished_power()
            total = total + self._window[:, self._history : end].sum(axis=1)
        tail = self._window[:, self._fill : end]
        return self._to_sums(power), total, tail, self._segment

    def _open_sums(self) -> tuple[Array, NDArray[np.int64]]:
        power, counts = self._open_power()
        return self._to_sums(power), counts

    def _to_sums(self, power: NDArray[np.complex128]) -> Array:
        sums: Array = fft.irfft(power, self._n_fft, axis=1)[:, : self.n_lags]
        return np.ascontiguousarray(sums)

    def _step_counts(self) -> NDArray[np.int64]:
        """Products at each lag whose later sample lies in the present step."""
        return np.clip(self._segment - np.arange(self.n_lags), 0, self._fill)

    def _close_block(self, *, at_border: bool, always: bool = False) -> None:
        n_samples = int(self._open_counts[0])
        if not always and not self._blocks.takes(n_samples, at_border=at_border):
            return
        sums, counts = self._to_sums(self._power), self._open_counts.copy()
        self._sums += sums
        self._counts += counts
        self._power[:] = 0.0
        self._open_counts[:] = 0
        if self.max_blocks and n_samples:
            self._blocks.close(sums, counts)

    def _all_closed(self) -> Correlator:
        """A copy whose segment and block are over."""
        copy = Correlator.from_state(self.state())
        copy.end_segment()
        copy._close_block(at_border=True, always=True)
        return copy
