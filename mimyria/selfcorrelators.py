"""Self correlators: what molecules do alone, and what they do together.

The self term Σ_m <J_m(0) J_m(t)> comes from random-sign probes; the distinct term is
the rest of the whole. Both are kept as the two parts of the result, with blocks.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from mimyria.contributions import Layout
from mimyria.correlation import Blocks, Correlation
from mimyria.correlators import Correlator, State
from mimyria.frame import Array
from mimyria.groups import Grouping
from mimyria.partcorrelators import PART_CORRELATIONS, split_currents
from mimyria.parts import SELF_NAMES, Parts
from mimyria.probes import Indices
from mimyria.spectra.raman import anisotropic_correlation, isotropic_correlation
from mimyria.spectra.scattering import PLACZEK

__all__ = ["SELF_NAMES", "SelfCorrelators", "with_rest"]

_PAIRS: Final = ((0, 0), (1, 1))


class SelfCorrelators:
    """Running correlations of the probes of a grouping.

    All probes are one channel, whose correlation is their mean. Beside it runs that of
    the whole, cut at the same borders, so that blocks of the distinct term are those of
    a difference: the scatter of both and what they share.

    Memory: twice what one pair takes, for each of IR, isotropic and anisotropic Raman,
    and 16 bytes for each number of a probe and lag.
    """

    def __init__(
        self,
        grouping: Grouping,
        targets: Collection[str],
        n_lags: int,
        interval: float,
    ) -> None:
        """Begin with no samples.

        Args:
            grouping: with probes.
            targets: `apt` for the IR, `pgt` for Raman.
            n_lags: lags to keep.
            interval: time between samples, fs.
        """
        assert grouping.probes is not None
        self._probes = grouping.probes
        self._layout = Layout.of(grouping)
        self._period = -1
        self._open = False
        n_probes = self._layout.n_probes
        self._alone, self._whole = (
            {
                name: Correlator(
                    1,
                    n_lags,
                    interval,
                    unit,
                    components=tuple(weight / copies for weight in weights) * copies,
                    # Frames with the same signs share their noise.
                    whole_segments=not self._probes.complete,
                )
                for name, (target, weights, unit) in PART_CORRELATIONS.items()
                if target in targets
            }
            for copies in (n_probes, 1)
        )

    def push(self, flat: Array, steps: Indices) -> None:
        """Add frames; where signs change a segment ends.

        Args:
            flat: (n, size) contributions.
            steps: (n,) MD steps.

        Source: docs/theory.md, eq. (48).
        """
        periods = steps // self._probes.steps
        borders = [0, *(np.flatnonzero(np.diff(periods)) + 1).tolist(), len(periods)]
        probes = split_currents(self._layout.probes(flat))
        total = split_currents(self._layout.currents(flat).sum(axis=1))
        for begin, end in itertools.pairwise(borders):
            period = int(periods[begin])
            if period != self._period:
                self.end_segment()
            self._period = period
            self._open = True
            for name, correlator in self._alone.items():
                for target, samples in (
                    (correlator, probes[name]),
                    (self._whole[name], total[name]),
                ):
                    target.push(samples[begin:end].reshape(end - begin, -1))

    def end_segment(self) -> None:
        """What follows is not correlated with what was."""
        if self._open:
            for correlator in (*self._alone.values(), *self._whole.values()):
                correlator.end_segment()
        self._open = False

    def parts(
        self, dipole: Correlation | None, polarizability: Correlation | None
    ) -> Parts:
        """Self and distinct correlations; their sum is that of the whole.

        Args:
            dipole: of the whole.
            polarizability: of the whole.
        """
        found = {name: self._self_and_rest(name) for name in self._alone}
        n_molecules = int(self._probes.molecule.max()) + 1
        parts = Parts(
            SELF_NAMES,
            found.get("dipole"),
            found.get("isotropic"),
            found.get("anisotropic"),
            n_self=min(self._probes.n_probes, n_molecules),
        )
        return with_rest(parts, dipole, polarizability)

    def state(self) -> dict[str, State]:
        """States of the correlators, and where the signs are; `restore` inverts it."""
        states = {name: c.state() for name, c in self._alone.items()}
        states |= {f"{n} whole": c.state() for n, c in self._whole.items()}
        signs = np.array([self._period, self._open], np.int64)
        return states | {"signs": {"signs": signs}}

    def restore(self, states: Mapping[str, State]) -> None:
        """Go on where `state` was taken, to the bit."""
        for name in self._alone:
            self._alone[name] = Correlator.from_state(states[name])
            self._whole[name] = Correlator.from_state(states[f"{name} whole"])
        period, is_open = states["signs"]["signs"].tolist()
        self._period, self._open = period, bool(is_open)

    def _self_and_rest(self, name: str) -> Correlation:
        """Columns of the self term and of the whole without it, as far as probed."""
        alone, whole = self._alone[name].result(), self._whole[name].result()
        assert alone.blocks is not None
        assert whole.blocks is not None
        blocks = Blocks(
            _difference(alone.blocks.values, whole.blocks.values), alone.blocks.counts
        )
        values = _difference(alone.values, whole.values)
        return replace(alone, values=values, pairs=_PAIRS, blocks=blocks)


def with_rest(
    parts: Parts, dipole: Correlation | None, polarizability: Correlation | None
) -> Parts:
    """Self terms, and as the distinct ones what they leave of the whole.

    Pairs of frames with different signs are in the whole only, so that the distinct
    term changes by little. It does so in all blocks alike, which then still add up.

    Args:
        parts: with the columns self and distinct.
        dipole: of the whole, if the parts have one.
        polarizability: likewise.
    """
    whole: dict[str, Array] = {}
    if dipole is not None:
        whole["dipole"] = sum(
            (dipole.column(a, a) for a in range(3)), np.zeros(dipole.n_lags)
        )
    if polarizability is not None:
        whole["isotropic"] = isotropic_correlation(polarizability)
        whole["anisotropic"] = anisotropic_correlation(polarizability) / PLACZEK
    found = {
        name: getattr(parts, name) for name in ("dipole", "isotropic", "anisotropic")
    }
    for name, values in whole.items():
        if found[name] is not None:
            found[name] = _completed(found[name], values)
    return replace(
        parts,
        dipole=found["dipole"],
        isotropic=found["isotropic"],
        anisotropic=found["anisotropic"],
    )


def _completed(correlation: Correlation, whole: Array) -> Correlation:
    alone, before = correlation.values.T
    rest = whole - alone
    blocks = correlation.blocks
    if blocks is not None:
        values = blocks.values.copy()
        values[..., 1] += np.where(blocks.counts > 0, rest - before, 0.0)
        blocks = replace(blocks, values=values)
    values = np.stack([alone, rest], axis=1)
    return replace(correlation, values=values, blocks=blocks)


def _difference(alone: Array, whole: Array) -> Array:
    """(..., 1) and (..., 1) as the columns of the first and of what it leaves."""
    return np.concatenate([alone, whole - alone], axis=-1)
