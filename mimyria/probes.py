"""Probes: sums over molecules with signs, from which self terms follow without bias.

The mean of s_m s_n over probes is 1 for m = n and 0 otherwise, so the mean of
|Σ_m s_m J_m|² is Σ_m |J_m|², without one channel for each molecule. Where single atoms
have signs of their own, an atom stands for a molecule.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimyria.frame import Array

__all__ = ["Indices", "Probes"]

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Probes:
    """Which signs the molecules have, and for how long.

    Attributes:
        molecule: (n_atoms,) — molecule of each atom.
        n_probes: probes; the self terms are exact if there are as many as the least
            power of two that is not below the number of molecules.
        steps: MD steps after which new signs are drawn.
    """

    molecule: Indices
    n_probes: int
    steps: int

    @property
    def n_rows(self) -> int:
        """Probes of a complete set: the least power of two not below the molecules."""
        n_molecules = int(self.molecule.max()) + 1
        return 1 << max(n_molecules - 1, 0).bit_length()

    @property
    def complete(self) -> bool:
        """Whether the mean over the probes leaves no noise, whatever the signs."""
        return self.n_probes % self.n_rows == 0

    def signs(self, step: int) -> Array:
        """(n_probes, n_atoms) — +1 or −1, the same for all atoms of a molecule.

        Rows of a Hadamard matrix in random order, with random signs of its columns:
        orthogonal to each other, and a complete set leaves no noise.

        Source: docs/theory.md, eq. (48).
        """
        n_molecules = int(self.molecule.max()) + 1
        size = self.n_rows
        random = np.random.default_rng(step // self.steps)
        flips = 1.0 - 2.0 * random.integers(0, 2, n_molecules)
        rows = [
            row
            for _ in range(-(-self.n_probes // size))
            for row in random.permutation(size).tolist()
        ][: self.n_probes]
        common = np.array(rows)[:, np.newaxis] & np.arange(n_molecules)
        odd = np.zeros_like(common)
        while common.any():
            odd ^= common & 1
            common >>= 1
        signs: Array = (1.0 - 2.0 * odd) * flips
        return signs[:, self.molecule]

    def stretches(self, steps: Indices) -> Iterator[tuple[int, int, int]]:
        """Where signs stay: begin, end and number of each stretch of (n,) MD steps."""
        numbers = steps // self.steps
        changes = (np.flatnonzero(np.diff(numbers)) + 1).tolist()
        for begin, end in itertools.pairwise([0, *changes, len(steps)]):
            yield begin, end, int(numbers[begin])

    def as_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {
            "molecule": self.molecule.tolist(),
            "n_probes": self.n_probes,
            "steps": self.steps,
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Probes:
        """The inverse of `as_dict`."""
        return cls(
            np.array(document["molecule"], np.int64),
            int(document["n_probes"]),
            int(document["steps"]),
        )
