"""Which band of a sulfate ion is which, by the symmetry of its tensors.

    python symmetry.py run/spectra/cycle-003.h5 run/test/labels.extxyz TRAJECTORY...

The four S-O bonds have a breathing stretch (A1, nu1) and three others (T2, nu3). A
perfect tetrahedron shows A1 in isotropic Raman alone, and T2 in IR and in depolarised
Raman. Printed: what the labelled tensors make of either motion, where either motion has
its band in the trajectories, and where the spectra have theirs.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
from ase.data import atomic_masses

from mimyria.frame import Frame
from mimyria.io.extxyz import read_extxyz
from mimyria.io.trajectory import Trajectory
from mimyria.spectra import Spectrum, find_band
from mimyria.spectra.elements import VelocitySpectra
from mimyria.storage import Result, read_result

OXYGENS = slice(1, 5)  # the sulfur is the first atom
ION = slice(0, 5)
# Combinations of the four bonds: one A1, three T2.
MOTIONS = {
    "A1": np.array([[1, 1, 1, 1]]) / 2,
    "T2": np.array([[1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]]) / 2,
}
STRETCHES = (800.0, 1250.0)  # cm^-1
MASSES = atomic_masses[[16, 8, 8, 8, 8]]


def directions(positions: np.ndarray) -> np.ndarray:
    """(4, 3) unit vectors from S to O."""
    ways = positions[OXYGENS] - positions[0]
    return ways / np.linalg.norm(ways, axis=1)[:, None]


def displacements(positions: np.ndarray, combination: np.ndarray) -> np.ndarray:
    """(5, 3) of the ion along a combination of its bonds, its centre at rest."""
    moved = np.zeros((5, 3))
    moved[OXYGENS] = combination[:, None] * directions(positions)
    return moved - MASSES @ moved / MASSES.sum()


def activities(path: str) -> dict[str, np.ndarray]:
    """|dM|, |Tr dalpha / 3| and the anisotropic rest of either motion, rms."""
    found = {name: [] for name in MOTIONS}
    for labelled in read_extxyz(path):
        apt, pgt = labelled.tensors.apt[ION], labelled.tensors.pgt[ION]
        for name, combinations in MOTIONS.items():
            for combination in combinations:
                moved = displacements(labelled.frame.positions, combination)
                dipole = np.einsum("iab,ib->a", apt, moved)
                alpha = np.einsum("iabc,ic->ab", pgt, moved)
                mean = np.trace(alpha) / 3
                rest = alpha - mean * np.eye(3)
                found[name].append([dipole @ dipole, mean**2, (rest**2).sum()])
    return {name: np.sqrt(np.mean(rows, axis=0)) for name, rows in found.items()}


def motion_spectra(paths: Sequence[str], result: Result) -> dict[str, Spectrum]:
    """Power spectra of either motion in the trajectories, on the grid of the result."""
    n_lags, interval = result.dipole.n_lags, result.interval
    spectra = {}
    for name, combinations in MOTIONS.items():
        sums = VelocitySpectra([name], np.ones(1), n_lags, interval)
        for path in paths:
            rates = [
                combinations @ bond_rates(frame)
                for frame in Trajectory(path, velocities_unit="Angstrom/fs")
            ]
            rows = np.zeros((len(rates), 1, 3))
            rows[:, 0, : len(combinations)] = rates
            sums.push(rows)
            sums.end_segment()
        window = str(result.provenance["window"])
        (spectra[name],) = sums.spectra(window, result.spectra["ir"].resolution, 4500.0)
    return spectra


def bond_rates(frame: Frame) -> np.ndarray:
    """(4,) — how fast each S-O bond grows, A/fs."""
    relative = frame.velocities[OXYGENS] - frame.velocities[0]
    return (relative * directions(frame.positions)).sum(axis=1)


def report(spectrum: str, labels: str, trajectories: Sequence[str]) -> list[str]:
    """The lines of the three tables."""
    result = read_result(spectrum)
    lines = ["Labelled tensors, rms of a unit motion:"]
    lines.append("        |dM| / e   |Tr da/3| / a.u.   anisotropic / a.u.")
    lines += [
        f"  {name}   {dipole:8.2f}   {mean:16.2f}   {rest:18.2f}"
        for name, (dipole, mean, rest) in activities(labels).items()
    ]
    lines += ["", "Bands of the motions in the trajectories, cm^-1:"]
    lines += [
        f"  {name}   {find_band(each, *STRETCHES).position:.0f}"
        for name, each in motion_spectra(trajectories, result).items()
    ]
    lines += ["", "Bands of the spectra, cm^-1, and VH/VV there:"]
    ratio = result.spectra["depolarisation_ratio"]
    for key in ("ir", "raman_iso", "raman_vv", "raman_vh"):
        place = find_band(result.spectra[key], *STRETCHES).position
        there = np.interp(place, ratio.wavenumbers, ratio.intensity)
        lines.append(f"  {key:<10} {place:5.0f}   {there:.2f}")
    return lines


if __name__ == "__main__":
    spectrum, labels, *trajectories = sys.argv[1:]
    sys.stdout.write("\n".join([*report(spectrum, labels, trajectories), ""]))
