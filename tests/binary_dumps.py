"""Binary dumps written from their description, as a second opinion of the reader."""

from __future__ import annotations

import struct

import numpy as np

MARK = struct.pack("<q", -10) + b"DUMPCUSTOM"
COLUMNS = "id type x y z vx vy vz"


def head(
    step,
    n_atoms,
    *,
    cell=None,
    units=None,
    time=None,
    columns=COLUMNS,
    boundary=(0,) * 6,
    n_chunks=1,
    revision=2,
    order=1,
):
    """Everything before the numbers; `cell` in LAMMPS' restricted form."""
    cell = np.diag([9.0, 8.0, 7.0]) if cell is None else cell
    xy, xz, yz = cell[1, 0], cell[2, 0], cell[2, 1]
    low = np.array([min(0, xy, xz, xy + xz), min(0, yz), 0.0])
    high = np.diag(cell) + np.array([max(0, xy, xz, xy + xz), max(0, yz), 0.0])
    tilted = bool(xy or xz or yz)
    data = MARK + struct.pack("<iiqqi", order, revision, step, n_atoms, tilted)
    data += struct.pack("<6i", *boundary)
    data += np.stack([low, high]).T.astype("<f8").tobytes()
    if tilted:
        data += struct.pack("<3d", xy, xz, yz)
    data += struct.pack("<i", len(columns.split()))
    name = (units or "").encode()
    data += struct.pack("<i", len(name)) + name
    data += b"\0" if time is None else struct.pack("<bd", 1, time)
    data += struct.pack("<i", len(columns)) + columns.encode()
    return data + struct.pack("<i", n_chunks)


def chunks(table, sizes=None):
    """The numbers, (n_atoms, n_columns), in chunks of so many atoms."""
    data, begin = b"", 0
    for size in [len(table)] if sizes is None else sizes:
        part = table[begin : begin + size]
        begin += size
        data += struct.pack("<i", part.size) + part.astype("<f8").tobytes()
    return data


def frame(step, table, *, sizes=None, **options):
    """One frame."""
    n_chunks = 1 if sizes is None else len(sizes)
    options = {"n_chunks": n_chunks, **options}
    return head(step, len(table), **options) + chunks(table, sizes)


def tables(n_frames, n_atoms=4, seed=0, scale=1.0):
    """Numbers of frames; oxygen and hydrogen, ids in another order in each."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(n_frames):
        ids = rng.permutation(n_atoms) + 1
        kinds = np.where(ids % 3 == 1, 1, 2)
        positions = rng.uniform(0, 7, (n_atoms, 3))
        velocities = scale * rng.normal(scale=0.01, size=(n_atoms, 3))
        found.append(np.column_stack([ids, kinds, positions, velocities]))
    return found


def stream(n_frames, *, stride=4, time_step=0.5, begin=0, units="real", **options):
    """The frames of one dump, and their numbers."""
    found = tables(n_frames, **options)
    frames = [
        frame(
            begin + stride * index,
            table,
            units=None if index else units,
            time=(begin + stride * index) * time_step,
        )
        for index, table in enumerate(found)
    ]
    return frames, found
