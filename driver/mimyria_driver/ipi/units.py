"""Units of i-PI's wire, turned into ours."""

from __future__ import annotations

import numpy as np

from mimyria.frame import Array
from mimyria.units import ANGSTROM_PER_IPI_BOHR

__all__ = ["in_angstrom"]


def in_angstrom(positions: bytes, cell: bytes) -> tuple[Array, Array]:
    """Positions and cell of a configuration.

    Args:
        positions: 3 n_atoms float64, bohr.
        cell: 9 float64, row by row; lattice vectors are columns, bohr.

    Returns:
        (n_atoms, 3) Å, and (3, 3) Å whose rows are the lattice vectors.
    """
    # Columns on the wire, rows here.
    rows = np.frombuffer(cell).reshape(3, 3).T
    return (
        np.frombuffer(positions).reshape(-1, 3) * ANGSTROM_PER_IPI_BOHR,
        rows * ANGSTROM_PER_IPI_BOHR,
    )
