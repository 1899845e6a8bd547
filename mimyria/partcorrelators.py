"""Part correlators: correlations between the groups of atoms, frame by frame.

The products of all groups are gathered with the weights of the scalar product that a
spectrum needs, so that G groups cost G (G + 1)/2 correlations for each of IR, isotropic
and anisotropic Raman, and their sum is the correlation of the whole.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from mimyria.contributions import VOIGT_WEIGHTS, Layout
from mimyria.correlation import Correlation
from mimyria.correlators import Correlator, State
from mimyria.frame import Array
from mimyria.groups import Grouping, Indices
from mimyria.parts import Parts
from mimyria.shells import RELIABLE_FROM
from mimyria.units import DIPOLE_CORRELATION_UNIT, POLARIZABILITY_CORRELATION_UNIT

__all__ = ["PART_CORRELATIONS", "PartCorrelators", "split_currents"]

PART_CORRELATIONS: Final = {
    "dipole": ("apt", (1.0, 1.0, 1.0), DIPOLE_CORRELATION_UNIT),
    "isotropic": ("pgt", (1.0,), POLARIZABILITY_CORRELATION_UNIT),
    "anisotropic": ("pgt", VOIGT_WEIGHTS, POLARIZABILITY_CORRELATION_UNIT),
}
_MOST_GROUPS: Final = 10
"""With more groups pairs of them have no blocks: ten groups, 2500 lags and 32 blocks
take 35 MB for each of three correlations, which grows with their square. Blocks of each
group with itself and with the whole are kept instead, 1.3 MB a group."""

_MAX_BLOCKS: Final = 32
_WHOLE: Final = "whole"


def split_currents(currents: Array) -> dict[str, Array]:
    """Dipole, mean and traceless polarizability velocities of (..., 9) currents."""
    trace = (currents[..., 3] + currents[..., 4] + currents[..., 5]) / 3.0
    traceless = currents[..., 3:].copy()
    traceless[..., :3] -= trace[..., np.newaxis]
    return {
        "dipole": currents[..., :3],
        "isotropic": trace,
        "anisotropic": traceless,
    }


class PartCorrelators:
    """Running correlations of a grouping with at least two groups."""

    def __init__(
        self,
        grouping: Grouping,
        targets: Collection[str],
        n_lags: int,
        interval: float,
    ) -> None:
        """Begin with no samples.

        Args:
            grouping: of the atoms.
            targets: `apt` for the IR, `pgt` for Raman.
            n_lags: lags to keep.
            interval: time between samples, fs.
        """
        self._grouping = grouping
        self._layout = Layout.of(grouping)
        n_groups = len(grouping.names)
        self._shares: dict[str, Correlator] = {}

        def correlators(
            n_channels: int, pairs: list[tuple[int, int]] | None, max_blocks: int
        ) -> dict[str, Correlator]:
            return {
                name: Correlator(
                    n_channels,
                    n_lags,
                    interval,
                    unit,
                    pairs,
                    components=weights,
                    max_blocks=max_blocks,
                )
                for name, (target, weights, unit) in PART_CORRELATIONS.items()
                if target in targets
            }

        if n_groups <= _MOST_GROUPS:
            self._correlators = correlators(n_groups, None, _MAX_BLOCKS)
        else:
            self._correlators = correlators(n_groups, None, 0)
            pairs = [(g, g) for g in range(n_groups)]
            pairs += [(g, n_groups) for g in range(n_groups)]
            self._shares = correlators(n_groups + 1, pairs, _MAX_BLOCKS)

    def push(self, flat: Array, steps: Indices) -> None:
        """Add frames.

        Args:
            flat: (n, size) contributions of the cells.
            steps: (n,) MD steps, which make no difference here.

        Source: docs/theory.md, eq. (40).
        """
        cells = self._layout.currents(flat)
        groups = np.zeros((len(flat), len(self._grouping.names), 9))
        for cell, (group, _) in enumerate(self._grouping.cells):
            groups[:, group] += cells[:, cell]
        _push(self._correlators, groups)
        if self._shares:
            whole = groups.sum(axis=1, keepdims=True)
            _push(self._shares, np.concatenate([groups, whole], axis=1))

    def end_segment(self) -> None:
        """What follows is not correlated with what was."""
        for correlator in (*self._correlators.values(), *self._shares.values()):
            correlator.end_segment()

    def parts(
        self, dipole: Correlation | None, polarizability: Correlation | None
    ) -> Parts:
        """The correlations so far; changes nothing.

        Args:
            dipole: of the whole, which makes no difference here.
            polarizability: likewise.
        """
        names = self._grouping.names
        reliable_from = 0.0 if self._grouping.shells is None else RELIABLE_FROM
        parts = _parts(names, self._correlators, reliable_from)
        if not self._shares:
            return parts
        shares = _parts((*names, _WHOLE), self._shares, reliable_from)
        return replace(parts, shares=shares)

    def state(self) -> dict[str, State]:
        """States of the correlators; `restore` inverts it."""
        states = {name: c.state() for name, c in self._correlators.items()}
        return states | {f"{n} shares": c.state() for n, c in self._shares.items()}

    def restore(self, states: Mapping[str, State]) -> None:
        """Go on where `state` was taken, to the bit."""
        for name in self._correlators:
            self._correlators[name] = Correlator.from_state(states[name])
        for name in self._shares:
            self._shares[name] = Correlator.from_state(states[f"{name} shares"])


def _push(correlators: dict[str, Correlator], currents: Array) -> None:
    """Add (n, n_channels, 9) currents."""
    samples = split_currents(currents)
    for name, correlator in correlators.items():
        correlator.push(samples[name].reshape(len(currents), -1))


def _parts(
    names: tuple[str, ...], correlators: dict[str, Correlator], reliable_from: float
) -> Parts:
    found = {name: c.result() for name, c in correlators.items()}
    dipole, isotropic, anisotropic = (found.get(name) for name in PART_CORRELATIONS)
    return Parts(names, dipole, isotropic, anisotropic, reliable_from)
