"""Kinetics: what velocities and masses say alone."""

from __future__ import annotations

import numpy as np

from mimyria.frame import Array
from mimyria.units import BOLTZMANN

__all__ = ["kinetic_temperature"]


def kinetic_temperature(masses: Array, velocities: Array) -> float:
    """T = Σ m v² / ((3 N − 3) k_B), in K.

    Args:
        masses: (n_atoms,) amu.
        velocities: (n_atoms, 3) Å/fs.

    Source: docs/theory.md, eq. (83); the total momentum is taken as conserved.
    """
    doubled = float(np.einsum("i,ia,ia->", masses, velocities, velocities))
    return doubled / (max(3 * len(masses) - 3, 1) * BOLTZMANN)
