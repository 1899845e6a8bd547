"""Images: what is nearest across the borders of a cell, however skewed it is."""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from mimyria.frame import Array

__all__ = [
    "completed",
    "images_within",
    "nearest_distances",
    "nearest_images",
    "wrapped",
]

Periodic = tuple[bool, bool, bool]


def completed(cell: Array, pbc: Periodic) -> Array:
    """The cell with a unit vector, normal to the others, for each one that it lacks.

    Only open directions may lack one; molecules without any cell have a cell of zeros.

    Args:
        cell: (3, 3) Å.
        pbc: whether the cell repeats along each lattice vector.

    Returns:
        (3, 3) Å, with an inverse.
    """
    missing = ~cell.any(axis=1) & ~np.array(pbc)
    if not missing.any():
        return cell
    full = cell.copy()
    present = cell[~missing]
    normals = np.linalg.svd(present)[2] if len(present) else np.eye(3)
    full[missing] = normals[len(present) :]
    return full


def wrapped(positions: Array, cell: Array, pbc: Periodic) -> Array:
    """(n, 3) Å — the images inside the cell; no change along open directions."""
    full = completed(cell, pbc)
    inside: Array = _fractional(positions, full, pbc) @ full
    return inside


def images_within(
    positions: Array, cell: Array, pbc: Periodic, cutoff: float
) -> tuple[Array, NDArray[np.int64]]:
    """All images that may be closer than the cutoff to a point inside the cell.

    Args:
        positions: (n, 3) Å, anywhere.
        cell: (3, 3) Å — rows are the lattice vectors, of any shape.
        pbc: whether the cell repeats along each of them.
        cutoff: Å; may be longer than the cell.

    Returns:
        (m, 3) Å, and (m,) the number of the point that each is an image of.
    """
    cell = completed(cell, pbc)
    # Distance of opposite faces; an image beyond one of them is needed for each.
    margins = cutoff * np.linalg.norm(np.linalg.inv(cell), axis=0)
    periodic = np.array(pbc)
    fractional = _fractional(positions, cell, pbc)
    reach = np.where(periodic, np.ceil(margins), 0).astype(int)
    shifts = np.stack(
        np.meshgrid(*(np.arange(-n, n + 1) for n in reach), indexing="ij"), axis=-1
    ).reshape(-1, 3)
    images = (fractional[np.newaxis] + shifts[:, np.newaxis]).reshape(-1, 3)
    owners = np.tile(np.arange(len(positions)), len(shifts))
    near = ((images > -margins) & (images < 1.0 + margins) | ~periodic).all(axis=1)
    return images[near] @ cell, owners[near]


def nearest_distances(
    points: Array, others: Array, cell: Array, pbc: Periodic, cutoff: float
) -> Array:
    """Distance of each point to the nearest image of any other; inf from the cutoff on.

    Args:
        points: (n, 3) Å, anywhere.
        others: (m, 3) Å, anywhere.
        cell: (3, 3) Å.
        pbc: whether the cell repeats along each lattice vector.
        cutoff: Å.

    Returns:
        (n,) Å.
    """
    images, _ = images_within(others, cell, pbc, cutoff)
    if not len(images):
        return np.full(len(points), np.inf)
    distances, _ = cKDTree(images).query(
        wrapped(points, cell, pbc), distance_upper_bound=cutoff
    )
    return np.asarray(distances, dtype=np.float64)


def nearest_images(vectors: Array, cell: Array, pbc: Periodic) -> Array:
    """The shortest vector that differs from each one by a lattice vector.

    Args:
        vectors: (n, 3) Å.
        cell: (3, 3) Å.
        pbc: whether the cell repeats along each lattice vector.

    Returns:
        (n, 3) Å.
    """
    return _closest(vectors, _reduced(cell[np.array(pbc)]))


def _fractional(positions: Array, cell: Array, pbc: Periodic) -> Array:
    fractional: Array = positions @ np.linalg.inv(cell)
    fractional -= np.where(np.array(pbc), np.floor(fractional), 0.0)
    return fractional


def _reduced(rows: Array) -> Array:
    """The same lattice by its shortest vectors, in rising order (Minkowski)."""
    rows = rows[np.argsort(np.linalg.norm(rows, axis=1))]
    while len(rows) > 1:
        head = _reduced(rows[:-1])
        rows = np.concatenate([head, _closest(rows[-1:], head)])
        lengths = np.linalg.norm(rows, axis=1)
        if lengths[-1] >= lengths[-2] * (1.0 - 1e-12):
            break
        rows = rows[np.argsort(lengths)]
    return rows


def _closest(vectors: Array, rows: Array) -> Array:
    """Shortest images on a lattice that is reduced already."""
    if not len(rows):
        return vectors
    # In a reduced lattice of up to three dimensions the shortest image is at most one
    # step from the rounded one.
    short = vectors - np.round(vectors @ np.linalg.pinv(rows)) @ rows
    steps = np.array(list(product((0.0, -1.0, 1.0), repeat=len(rows)))) @ rows
    images = short[:, np.newaxis] + steps
    best = np.argmin(np.einsum("nka,nka->nk", images, images), axis=1)
    nearest: Array = images[np.arange(len(images)), best]
    return nearest
