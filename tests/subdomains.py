"""Share a periodic frame between processes, as an engine does, by brute force."""

from __future__ import annotations

import itertools

import numpy as np

from mimyria.data.subdomain import Subdomain

__all__ = ["shared_between"]


def shared_between(frame, processes, reach):
    """Subdomain and atoms of each process of a grid, as (Subdomain, indices).

    A process has the atoms in its part of the cell, and all images of atoms within
    `reach` of that part along each lattice direction, measured between faces.
    """
    inverse = np.linalg.inv(frame.cell)
    fractional = frame.positions @ inverse
    fractional -= np.floor(fractional)
    wrapped = fractional @ frame.cell
    wide = reach * np.linalg.norm(inverse, axis=0)
    most = np.ceil(wide).astype(int)
    shifts = list(itertools.product(*(range(-m, m + 1) for m in most)))
    for place in np.ndindex(*processes):
        low = np.array(place) / processes
        high = (np.array(place) + 1) / processes
        own = np.flatnonzero(((fractional >= low) & (fractional < high)).all(axis=1))
        numbers, positions = [frame.numbers[own]], [wrapped[own]]
        for shift in shifts:
            image = fractional + shift
            near = ((image >= low - wide) & (image < high + wide)).all(axis=1)
            if not any(shift):
                near[own] = False
            numbers.append(frame.numbers[near])
            positions.append(wrapped[near] + np.array(shift) @ frame.cell)
        yield (
            Subdomain(np.concatenate(numbers), np.concatenate(positions), len(own)),
            own,
        )
