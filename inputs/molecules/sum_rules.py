"""Sum rules of the tensors of one molecule, frame by frame, and its rotational band.

    python sum_rules.py gas-00.extxyz [gas/spectrum.h5]

Printed: what is left of the rules of translation and rotation, and the dipole moment
and the anisotropy of the polarizability that follow from the tensors by rotation,
beside those that tblite gives for the same positions. With a result: the area of the
IR below 1000 cm^-1 beside that of a classical top of this dipole moment.
"""

from __future__ import annotations

import sys

import numpy as np
from ase.data import atomic_masses
from scipy.integrate import trapezoid
from tblite.interface import Calculator
from tensors import ACCURACY, FIELDS, METHOD, tensors_of

from mimyria.frame import Frame
from mimyria.io.trajectory import Trajectory
from mimyria.reference import polarizability_from_dipoles
from mimyria.rotationrule import rotation_rule
from mimyria.storage import read_result
from mimyria.tensors import Tensors
from mimyria.units import ANGSTROM_PER_BOHR, BOHR_PER_ANGSTROM, FSUM_CONSTANT

EVERY, FRAMES = 50, 20
ROWS = (
    "left over by translation / e, a.u./A",
    "left over by rotation / e A, a.u.",
    "the same, tensors transposed",
    "dipole moment; anisotropy of alpha",
    "those from the tensors, less these",
)
ROTATION = 1000.0  # cm^-1; the pure rotational band lies below


def dipole_in(frame: Frame, field: np.ndarray) -> np.ndarray:
    """Dipole moment in a field, e A, as tblite has it."""
    calculator = Calculator(METHOD, frame.numbers, BOHR_PER_ANGSTROM * frame.positions)
    calculator.set("verbosity", 0)
    calculator.set("accuracy", ACCURACY)
    if field.any():
        calculator.add("electric-field", field.tolist())
    return ANGSTROM_PER_BOHR * calculator.singlepoint().get("dipole")


def direct(frame: Frame) -> tuple[np.ndarray, np.ndarray]:
    """Dipole moment, e A, and traceless polarizability, a.u., without our tensors."""
    dipoles = [dipole_in(frame, field) for field in FIELDS]  # the first field is none
    alpha = polarizability_from_dipoles(FIELDS, dipoles)
    return dipoles[0], alpha - np.trace(alpha) / 3 * np.eye(3)


def rms(values: list[np.ndarray]) -> float:
    """Root mean square of all numbers."""
    return float(np.sqrt(np.mean(np.square(values))))


def rules(frames: list[Frame]) -> list[str]:
    """A table of both tensors."""
    rows: dict[str, list] = {text: [] for text in ROWS}
    for frame in frames:
        tensors = tensors_of(frame)
        rest = tensors.sum_rule_residual()
        found = rotation_rule(frame, tensors)
        swapped = Tensors(tensors.apt.swapaxes(1, 2), tensors.pgt.swapaxes(2, 3))
        wrong = rotation_rule(frame, swapped)
        dipole, alpha = direct(frame)
        for text, pair in zip(
            ROWS,
            (
                (rest.apt, rest.pgt),
                (found.dipole_residual, found.anisotropy_residual),
                (wrong.dipole_residual, wrong.anisotropy_residual),
                (dipole, alpha),
                (found.dipole - dipole, found.anisotropy - alpha),
            ),
            strict=True,
        ):
            rows[text].append(pair)
    lines = [f"{len(frames)} frames, rms of an element:{'APT':>18}{'PGT':>11}"]
    for text, pairs in rows.items():
        apt, pgt = (rms(values) for values in zip(*pairs, strict=True))
        lines.append(f"  {text:38} {apt:10.1e} {pgt:10.1e}")
    return lines


def band(frames: list[Frame], path: str) -> list[str]:
    """The area of the rotational band beside its sum rule.

    For a top in equilibrium <(w x M)^2> = kT sum_k (M^2 - M_k^2)/I_k about the main
    axes k, and the integral of alpha n is that of the f-sum rule with it.
    """
    result = read_result(path)
    strengths = []
    for frame in frames:
        dipole = dipole_in(frame, np.zeros(3))
        masses = atomic_masses[frame.numbers]
        centred = frame.positions - masses @ frame.positions / masses.sum()
        squares = np.einsum("i,ia,ib->ab", masses, centred, centred)
        moments, axes = np.linalg.eigh(np.trace(squares) * np.eye(3) - squares)
        along = dipole @ axes
        strengths.append(((dipole @ dipole - along**2) / moments).sum())
    ir = result.spectra["ir"].between(0.0, ROTATION)
    area = trapezoid(ir.intensity, ir.wavenumbers)
    expected = FSUM_CONSTANT * np.mean(strengths) / result.volume
    return [
        "",
        f"IR below {ROTATION:.0f} cm^-1, area of alpha n:  {area:.1f} cm^-2",
        f"a top of this dipole moment at T:     {expected:.1f} cm^-2",
    ]


if __name__ == "__main__":
    path, *results = sys.argv[1:]
    frames = list(Trajectory(path))[::EVERY][:FRAMES]
    lines = rules(frames)
    for each in results:
        lines += band(frames, each)
    sys.stdout.write("\n".join([*lines, ""]))
