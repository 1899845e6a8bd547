"""A molecule whose tensors are known: charges and polarizabilities that bonds carry.

As a reference code it is a calculator of ASE in a field, in a module of its own as a
user would write it; as a trajectory it vibrates and turns, with exact velocities.
"""

from __future__ import annotations

import subprocess
import sys

import numpy as np
from scipy.spatial.transform import Rotation

from mimyria.frame import Frame
from mimyria.io import LabelledFrame, write_extxyz
from mimyria.tensors import Tensors
from tests.integration.childenvironment import environment

TEACHER = """
import numpy as np
from ase.calculators.calculator import Calculator, all_changes

CHARGES = {8: -0.8, 1: 0.4}


def enthalpy(numbers, r, E):
    q = np.array([CHARGES[z] for z in numbers])
    total = -(q @ r @ E)
    for i in range(len(r)):
        for j in range(i):
            d = r[i] - r[j]
            w = np.exp(-(d @ d) / 4.0)
            total -= 0.3 * (q[i] - q[j]) * w * (d @ E)
            total -= 0.5 * w * (0.15 * (E @ E) + 0.1 * (d @ E) ** 2)
    return total


class Teacher(Calculator):
    implemented_properties = ["energy", "forces"]

    def __init__(self, field):
        super().__init__()
        self.field = np.array(field)

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        numbers, r = self.atoms.numbers, self.atoms.positions.astype(complex)
        if FAILS and r[0, 0].real * 1e4 % 1 < FAILS:
            raise RuntimeError("the teacher is tired")
        forces = np.zeros(r.shape)
        for k in range(r.size):  # exact to rounding: the step is imaginary
            moved = r.copy()
            moved.flat[k] += 1e-30j
            forces.flat[k] = -enthalpy(numbers, moved, self.field).imag / 1e-30
        self.results = {"energy": enthalpy(numbers, r, self.field).real,
                        "forces": forces}


FAILS = 0.0


def make(field):
    return Teacher(field)
"""

SETTINGS = """\
[autotrain]
trajectories = ["traj.extxyz"]
directory = "run"
title = "One molecule"
test_frames = 3
first_frames = 3
frames_per_cycle = 2
max_cycles = 2
pool = ["uncertain.extxyz"]

[dynamics]
interval = 2.0

[training]
members = 2
steps = 12
more_steps = 10
checkpoint_every = 1
cutoff = 3.0

[spectra]
resolution = 200
experiment = "water"

[code]
kind = "ase"
factory = "teacher:make"
"""

REST = np.array([[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
MODES = (  # cm⁻¹, Å
    (1600.0, 0.6 * np.array([[0, 0.02, 0], [0.1, -0.2, 0], [-0.1, -0.15, 0.05]])),
    (3300.0, 0.7 * np.array([[0.01, 0, 0], [0.12, 0, 0], [-0.03, 0.1, 0]])),
    (3500.0, 0.7 * np.array([[0, 0.01, 0], [0.1, 0, 0.02], [0.03, -0.1, 0]])),
)
TURNS = np.array([0.002, 0.001, 0.003])  # rad/fs


def molecule(time, step):
    """The molecule at a time, with velocities by a formula."""
    positions, velocities = REST.copy(), np.zeros((3, 3))
    for k, (wavenumber, mode) in enumerate(MODES):
        omega = 2 * np.pi * 2.99792458e-5 * wavenumber
        positions = positions + mode * np.cos(omega * time + k)
        velocities = velocities - mode * omega * np.sin(omega * time + k)
    turn = Rotation.from_rotvec(TURNS * time).as_matrix()
    spin = np.cross(TURNS, positions @ turn.T)
    return Frame(
        np.array([8, 1, 1]),
        5 + positions @ turn.T,
        10 * np.eye(3),
        velocities @ turn.T + spin,
        step,
        pbc=(False,) * 3,
    )


def write_run(folder, settings=SETTINGS, n_frames=150, fails=0.0):
    """Trajectory, teacher and settings of a run; gives the settings file."""
    frames = [molecule(2.0 * k, k) for k in range(n_frames)]
    write_extxyz(
        folder / "traj.extxyz", [LabelledFrame(each, Tensors()) for each in frames]
    )
    text = TEACHER.replace("FAILS = 0.0", f"FAILS = {fails}")
    (folder / "teacher.py").write_text(text)
    path = folder / "run.toml"
    path.write_text(settings)
    return path


def start(folder, *arguments):
    """`mimyria autotrain …` in a folder, as a process."""
    return subprocess.Popen(
        [sys.executable, "-m", "mimyria", "autotrain", *map(str, arguments)],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish(process, code, seconds=280):
    """Wait for the end; what it said."""
    said, _ = process.communicate(timeout=seconds)
    assert process.returncode == code, said
    assert "Traceback" not in said
    return said
