"""Velocity probes: the velocity spectrum of each element from a few vectors a frame.

Each probe is a sum of all atoms of an element with signs of their own. What two atoms
do together is lost in the mean over the signs, and what each does alone stays.
"""

from __future__ import annotations

import numpy as np

from mimyria.contributions import Layout
from mimyria.correlators import Correlator, State
from mimyria.elementvelocities import ElementVelocities
from mimyria.frame import Array
from mimyria.groups import Grouping, Indices
from mimyria.spectra.vdos import VELOCITY_CORRELATION_UNIT

__all__ = ["VelocityProbes"]


class VelocityProbes:
    """Running velocity correlations of the elements of a grouping."""

    def __init__(self, grouping: Grouping, n_lags: int, interval: float) -> None:
        """Begin with no samples.

        Args:
            grouping: with velocity probes.
            n_lags: lags to keep.
            interval: time between samples, fs.
        """
        assert grouping.velocity_probes is not None
        self._grouping = grouping
        self._probes = grouping.velocity_probes
        self._layout = Layout.of(grouping)
        self._period = -1
        n_elements, n_probes = len(grouping.species_names), self._probes.n_probes
        self._correlator = Correlator(
            n_elements,
            n_lags,
            interval,
            VELOCITY_CORRELATION_UNIT,
            pairs=[(element, element) for element in range(n_elements)],
            # One channel for each element, whose components are those of its probes.
            components=(1.0 / n_probes,) * (3 * n_probes),
        )

    def push(self, flat: Array, steps: Indices) -> None:
        """Add frames; where signs change a segment ends.

        Args:
            flat: (n, size) contributions.
            steps: (n,) MD steps that the signs were drawn for.

        Source: docs/theory.md, eq. (91).
        """
        samples = self._layout.velocities(flat).reshape(len(flat), -1)
        for begin, end, period in self._probes.stretches(steps):
            if period != self._period:
                self.end_segment()
            self._period = period
            self._correlator.push(samples[begin:end])

    def end_segment(self) -> None:
        """What follows is not correlated with what was."""
        self._correlator.end_segment()

    def result(self) -> ElementVelocities:
        """The correlations so far; changes nothing."""
        grouping = self._grouping
        return ElementVelocities(
            grouping.species_names,
            tuple(len(atoms) for atoms in grouping.members),
            self._probes.n_probes,
            self._correlator.result(),
        )

    def state(self) -> State:
        """All that is needed to go on; `restore` inverts it."""
        return self._correlator.state() | {"period": np.array(self._period, np.int64)}

    def restore(self, state: State) -> None:
        """Go on where `state` was taken, to the bit."""
        self._correlator = Correlator.from_state(state)
        self._period = int(state["period"])
