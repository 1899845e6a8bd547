"""Self correlators: what molecules do alone, and what they do together.

The self term Σ_m <J_m(0) J_m(t)> comes from random-sign probes; the distinct term is
the rest of the whole. Both are kept as the two parts of the result.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection
from typing import Final

import numpy as np

from mimyria.contributions import Layout
from mimyria.correlation import Correlation
from mimyria.correlators import Correlator, State
from mimyria.frame import Array
from mimyria.groups import Grouping
from mimyria.partcorrelators import PART_CORRELATIONS, split_currents
from mimyria.parts import Parts
from mimyria.probes import Indices
from mimyria.spectra.raman import anisotropic_correlation, isotropic_correlation
from mimyria.spectra.scattering import PLACZEK

__all__ = ["SELF_NAMES", "SelfCorrelators"]

SELF_NAMES: Final = ("intramolecular", "intermolecular")


class SelfCorrelators:
    """Running correlations of the probes of a grouping."""

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
        self._correlators = {
            name: Correlator(
                n_probes,
                n_lags,
                interval,
                unit,
                pairs=[(probe, probe) for probe in range(n_probes)],
                components=weights,
                max_blocks=0,
            )
            for name, (target, weights, unit) in PART_CORRELATIONS.items()
            if target in targets
        }

    def push(self, flat: Array, steps: Indices) -> None:
        """Add frames; where signs change a segment ends.

        Args:
            flat: (n, size) contributions.
            steps: (n,) MD steps.

        Source: docs/theory.md, eq. (48).
        """
        periods = steps // self._probes.steps
        borders = [0, *(np.flatnonzero(np.diff(periods)) + 1).tolist(), len(periods)]
        samples = split_currents(self._layout.probes(flat))
        for begin, end in itertools.pairwise(borders):
            period = int(periods[begin])
            if period != self._period:
                self.end_segment()
            self._period = period
            self._open = True
            for name, correlator in self._correlators.items():
                part = samples[name][begin:end]
                correlator.push(part.reshape(end - begin, -1))

    def end_segment(self) -> None:
        """What follows is not correlated with what was."""
        if self._open:
            for correlator in self._correlators.values():
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
        whole: dict[str, Array] = {}
        if dipole is not None:
            whole["dipole"] = sum(
                (dipole.column(a, a) for a in range(3)), np.zeros(dipole.n_lags)
            )
        if polarizability is not None:
            whole["isotropic"] = isotropic_correlation(polarizability)
            whole["anisotropic"] = anisotropic_correlation(polarizability) / PLACZEK
        found = {
            name: _self_and_rest(correlator.result(), whole[name])
            for name, correlator in self._correlators.items()
        }
        return Parts(
            SELF_NAMES,
            found.get("dipole"),
            found.get("isotropic"),
            found.get("anisotropic"),
        )

    def state(self) -> dict[str, State]:
        """States of the correlators, to compare two folds."""
        return {name: c.state() for name, c in self._correlators.items()}


def _self_and_rest(probes: Correlation, whole: Array) -> Correlation:
    alone = probes.values.mean(axis=1)
    return Correlation(
        probes.lags,
        np.stack([alone, whole - alone], axis=1),
        probes.counts,
        ((0, 0), (1, 1)),
        probes.unit,
        probes.n_samples,
    )
