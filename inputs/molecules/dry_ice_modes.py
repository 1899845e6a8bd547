"""Vibrations of the crystal by finite differences: which geometry shows which of them.

    python dry_ice_modes.py [porto.h5]

The crystal of dry_ice.py at rest: normal modes of all cells in step (GFN1-xTB), and
the change of the polarizability along each, by the tensors of tensors.py. Modes of one
wavenumber belong together. Ag changes the trace alone, Eg the diagonal without its
trace, Tg what is beside the diagonal. With a result: where its spectra have bands.
"""

from __future__ import annotations

import sys

import numpy as np
from ase import Atoms
from dry_ice import modes, relaxed
from tensors import tensors_of

from mimyria.frame import Frame
from mimyria.spectra import find_band, parse_geometry
from mimyria.storage import read_result
from mimyria.units import SPEED_OF_LIGHT

GEOMETRIES = ("z(xx)z", "z(xy)z", "z([1,1,0],[1,-1,0])z")
TOGETHER, NEAR = 3.0, 20.0  # cm^-1
ACTIVE = 1e-3  # of the strongest


def raman_tensors(atoms: Atoms, displacements: np.ndarray) -> np.ndarray:
    """(n_modes, 3, 3) — change of the polarizability along each mode."""
    frame = Frame(
        atoms.numbers.astype(np.int64),
        atoms.positions,
        np.array(atoms.cell),
        None,
        0,
        pbc=(True, True, True),
    )
    return np.einsum("iabc,mic->mab", tensors_of(frame).pgt, displacements)


def groups(wavenumbers: np.ndarray) -> list[np.ndarray]:
    """Indices of modes that belong together, without the three translations."""
    order = np.arange(3, len(wavenumbers))
    borders = np.flatnonzero(np.diff(wavenumbers[3:]) > TOGETHER) + 1
    return np.split(order, borders)


def symmetry(tensors: np.ndarray) -> str:
    """Which of the three kinds takes part in a group of modes."""
    trace = np.trace(tensors, axis1=1, axis2=2)[:, None] / 3
    diagonal = np.diagonal(tensors, axis1=1, axis2=2)
    parts = {
        "Ag": (3 * trace**2).sum(),
        "Eg": ((diagonal - trace) ** 2).sum(),
        "Tg": (tensors**2).sum() - (diagonal**2).sum(),
    }
    total = sum(parts.values())
    return "+".join(name for name, part in parts.items() if part > 0.01 * total)


def report(paths: list[str]) -> list[str]:
    """The table of modes, and the bands of a result."""
    atoms = relaxed()
    frequencies, displacements = modes(atoms)
    wavenumbers = frequencies / (2 * np.pi * SPEED_OF_LIGHT)
    tensors = raman_tensors(atoms, displacements)
    forms = [parse_geometry(each) for each in GEOMETRIES]
    found = []
    for group in groups(wavenumbers):
        amplitudes = [
            np.einsum("a,mab,b->m", form.scattered[0], tensors[group], form.incident[0])
            for form in forms
        ]
        strengths = [float(each @ each) for each in amplitudes]
        found.append((wavenumbers[group].mean(), len(group), tensors[group], strengths))
    largest = max(max(each[3]) for each in found)
    lines = ["modes   cm^-1   kind        " + "   ".join(GEOMETRIES)]
    for wavenumber, count, members, strengths in found:
        active = max(strengths) > ACTIVE * largest
        kind = symmetry(members) if active else "not Raman"
        shown = "   ".join(f"{each:10.3f}" for each in strengths)
        lines.append(f"{count:5d} {wavenumber:7.0f}   {kind:10} {shown}")
    for path in paths:
        spectra = read_result(path).spectra
        for column, name in enumerate(GEOMETRIES):
            tops = [
                find_band(spectra[f"raman_{name}"], each[0] - NEAR, each[0] + NEAR)
                for each in found
                if each[3][column] > ACTIVE * largest
            ]
            text = ", ".join(f"{top.position:.0f}" for top in tops)
            lines.append(f"bands of {name}: {text} cm^-1")
    return lines


if __name__ == "__main__":
    sys.stdout.write("\n".join([*report(sys.argv[1:]), ""]))
