"""inputs/molecules: sum rules of a free molecule, selection rules of a crystal of CO2.

Tensors are those of the shipped tensors.py, by tblite; the slow tests run the scripts.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from ase.io import write
from scipy.integrate import trapezoid

from mimyria import cli
from mimyria.frame import Frame
from mimyria.partspectra import part_spectra
from mimyria.rotationrule import rotation_rule
from mimyria.spectra import parse_geometry
from mimyria.storage import read_result
from mimyria.tensors import Tensors
from mimyria.units import IR_CONSTANT, SPEED_OF_LIGHT
from mimyria_driver import cli as driver_cli

INPUT = Path(__file__).parents[2] / "inputs" / "molecules"
MODULES = ("tensors", "sum_rules", "water_gas", "dry_ice", "dry_ice_modes")
WATER = np.array([[0.1, 0.05, -0.02], [1.057, 0.06, 0.03], [-0.14, 0.93, 0.1]])
GEOMETRIES = ("z(xx)z", "z(xy)z", "x(yz)x", "z([1,1,0],[1,-1,0])z")


@pytest.fixture
def scripts(tmp_path, monkeypatch):
    """The modules of a copy of the folder, by name."""
    folder = tmp_path / "molecules"
    shutil.copytree(INPUT, folder)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.chdir(folder)
    yield lambda name: importlib.import_module(name)
    for name in MODULES:
        sys.modules.pop(name, None)


def crystal_frame(atoms, positions):
    return Frame(
        atoms.numbers.astype(np.int64), positions, np.array(atoms.cell), None, 0,
        pbc=(True, True, True),
    )  # fmt: skip


def change_along(pgt, displacements):
    """Change of the polarizability along displacements (n_atoms, 3)."""
    return np.einsum("iabc,ic->ab", pgt, displacements)


def bright(change):
    """The geometries that show a change of the polarizability."""
    total = (change**2).sum()
    shown = {}
    for text in GEOMETRIES:
        geometry = parse_geometry(text)
        amplitude = geometry.scattered[0] @ change @ geometry.incident[0]
        shown[text] = float(amplitude) ** 2 / total
    assert all(not 1e-6 < share < 0.02 for share in shown.values()), shown
    return {text for text, share in shown.items() if share > 0.02}


def test_a_free_molecule_obeys_translation_and_rotation(scripts):
    frame = Frame(
        np.array([8, 1, 1]), WATER, 9.0 * np.eye(3), None, 0, pbc=(False,) * 3
    )
    tensors = scripts("tensors").tensors_of(frame)
    rest = tensors.sum_rule_residual()
    assert np.abs(rest.apt).max() < 1e-10
    assert np.abs(rest.pgt).max() < 1e-8
    found = rotation_rule(frame, tensors)
    assert found.dipole_residual < 1e-5
    assert found.anisotropy_residual < 1e-4
    dipole, alpha = scripts("sum_rules").direct(frame)
    assert np.linalg.norm(dipole) > 0.3
    assert np.abs(found.dipole - dipole).max() < 2e-5
    assert np.abs(found.anisotropy - alpha).max() < 2e-4
    swapped = Tensors(tensors.apt.swapaxes(1, 2), tensors.pgt.swapaxes(2, 3))
    bad = rotation_rule(frame, swapped)
    assert bad.dipole_residual > 5e-3
    assert bad.anisotropy_residual > 0.05


def test_each_geometry_shows_the_modes_of_its_symmetry(scripts):
    """Librations and stretches of CO2 in Pa-3, made by hand from its symmetry."""
    module = scripts("dry_ice")
    atoms = module.crystal()
    frame = crystal_frame(atoms, atoms.positions)
    pgt = scripts("tensors").tensors_of(frame).pgt
    assert np.abs(pgt.reshape(4, 3, 3, 3, 3).sum(axis=1)).max() < 1e-8
    axes = np.repeat(module.AXES, 3, axis=0)
    arms = np.tile([0.0, module.BOND, -module.BOND], 4)[:, None] * axes
    sign = np.sign(axes)

    def libration(turns):
        return np.cross(turns, arms)

    def close(change, expected):
        scale = np.abs(change).max()
        assert scale > 0.5
        assert np.abs(change - expected).max() < 1e-3 * scale

    # Turns that the twofold axes carry over into each other: Eg, the diagonal alone.
    both = {"z(xx)z", "z([1,1,0],[1,-1,0])z"}
    for turn, diagonal, seen in (
        ((1.0, -1.0, 0.0), (1.0, 1.0, -2.0), {"z(xx)z"}),
        ((1.0, 1.0, -2.0), (1.0, -1.0, 0.0), both),
    ):
        change = change_along(pgt, libration(np.array(turn) * sign))
        close(change, change[0, 0] * np.diag(diagonal))
        assert bright(change) == seen
    # The same with another sign for two of the molecules: Tg, one element alone.
    for axis, seen in enumerate(({"x(yz)x"}, set(), {"z(xy)z"})):
        a, b = (other for other in range(3) if other != axis)
        turns = np.eye(3)[a] * sign * sign[:, [axis]]
        change = change_along(pgt, libration(turns))
        alone = np.zeros((3, 3))
        alone[a, b] = alone[b, a] = change[a, b]
        close(change, alone)
        assert bright(change) == seen
    # All bonds stretched in phase: Ag, a multiple of one.
    ends = np.tile([0.0, 1.0, -1.0], 4)[:, None] * axes
    change = change_along(pgt, ends)
    close(change, np.trace(change) / 3 * np.eye(3))
    assert bright(change) == {"z(xx)z"}
    # Two against the two others: Tg.
    pairs = np.repeat([1.0, 1.0, -1.0, -1.0], 3)[:, None]
    change = change_along(pgt, pairs * ends)
    close(change, change * (1 - np.eye(3)))
    assert bright(change) <= {"z(xy)z", "x(yz)x"}


def test_molecules_across_the_borders_of_the_cell_have_the_same_tensors(scripts):
    atoms = scripts("dry_ice").crystal()
    tensors_of = scripts("tensors").tensors_of
    rng = np.random.default_rng(3)
    positions = atoms.positions + rng.normal(scale=0.03, size=(12, 3))
    whole = tensors_of(crystal_frame(atoms, positions))
    shifted = positions + np.array([1.1, -0.4, 2.3])
    wrapped = shifted - 5.5 * np.floor(shifted / 5.5)
    assert np.abs(wrapped - shifted).max() > 5.0
    cut = tensors_of(crystal_frame(atoms, wrapped))
    assert np.abs(cut.apt - whole.apt).max() < 1e-5
    assert np.abs(cut.pgt - whole.pgt).max() < 1e-2 * np.abs(whole.pgt).max()


def replay(trajectories, *words):
    """The command of the README, with another resolution."""
    command = ["replay", *trajectories, "--device", "cpu", *words]
    command += ["--pgt", "python:tensors:make"]
    with contextlib.redirect_stdout(io.StringIO()):
        assert driver_cli.main(command) == 0


@pytest.mark.slow
def test_the_rotational_band_of_the_gas_is_the_turning_of_its_dipole_moment(scripts):
    """Area of what turns: <|w x M|²> with M of tblite and w of the velocities."""
    module = scripts("water_gas")
    module.PRODUCTION = 1600
    turning, names = [], []
    for number in range(3):
        frames = module.trajectory(number)
        names.append(f"gas-{number:02d}.extxyz")
        write(names[-1], frames)
        turning += [turning_of(frame, scripts("sum_rules")) for frame in frames]
    replay(
        names, "--apt", "python:tensors:make", "--groups", "motion",
        *("--time-step", "0.5", "--stride", "8", "--temperature", "300"),
        *("--resolution", "80", "--directory", "gas"),
    )  # fmt: skip
    result = read_result("gas/spectrum.h5")
    conditions = {"volume": result.volume, "temperature": 300.0}
    conditions |= {"resolution": 80.0, "window": "gaussian"}
    ir = part_spectra(result.parts, "ir", **conditions)
    factor = IR_CONSTANT / (2 * SPEED_OF_LIGHT * result.volume * 300.0)
    band = ir["libration"]
    area = trapezoid(band.intensity, band.wavenumbers)
    assert area == pytest.approx(factor * np.mean(turning), rel=0.01)
    assert band.between(0.0, 1000.0).intensity.sum() > 0.97 * band.intensity.sum()
    assert np.abs(ir["translation"].intensity).max() < 1e-9 * band.intensity.max()
    # The mean polarizability does not turn, the anisotropy does.
    iso = part_spectra(result.parts, "raman_iso", **conditions)
    aniso = part_spectra(result.parts, "raman_aniso", **conditions)
    share = iso["libration"].intensity.sum() / iso["vibration"].intensity.sum()
    assert share < 1e-6
    assert aniso["libration"].intensity.sum() > 0.1 * aniso["vibration"].intensity.sum()
    report = scripts("sum_rules").rules([_frame(each) for each in frames[::100]])
    assert len(report) == 6


def turning_of(atoms, module):
    """|w x M|² of one frame."""
    masses = atoms.get_masses()
    centre = masses @ atoms.positions / masses.sum()
    positions = atoms.positions - centre
    momentum = masses[:, None] * atoms.arrays["velocities"]
    squares = np.einsum("i,ia,ib->ab", masses, positions, positions)
    inertia = np.trace(squares) * np.eye(3) - squares
    turn = np.linalg.solve(inertia, np.cross(positions, momentum).sum(axis=0))
    change = np.cross(turn, module.dipole_in(_frame(atoms), np.zeros(3)))
    return change @ change


@pytest.mark.slow
def test_the_crystal_in_motion_shows_each_symmetry_in_its_geometry(scripts):
    """A short trajectory: Eg and Tg are apart where the whole scatters both."""
    module = scripts("dry_ice")
    module.PRODUCTION = 500
    module.trajectory(module.relaxed(), 0)
    replay(
        ["crystal-0.extxyz"],
        *("--time-step", "1", "--stride", "4", "--temperature", "50"),
        *("--resolution", "120", "--directory", "crystal"),
    )  # fmt: skip
    words = ["spectrum", "crystal/spectrum.h5", "--output", "porto.h5"]
    for text in GEOMETRIES:
        words += ["--geometry", text]
    with contextlib.redirect_stdout(io.StringIO()):
        assert cli.main(words) == 0
    spectra = read_result("porto.h5").spectra
    lattice = {
        text: spectra[f"raman_{text}"].between(20.0, 200.0).intensity.sum()
        for text in GEOMETRIES
    }
    stretch = {
        text: spectra[f"raman_{text}"].between(1350.0, 1550.0).intensity.sum()
        for text in GEOMETRIES
    }
    assert min(lattice.values()) > 0
    # Ag and Tg have no part along [110] and across it; only second order is left.
    assert stretch["z([1,1,0],[1,-1,0])z"] < 0.03 * stretch["z(xx)z"]
    report = scripts("dry_ice_modes").report(["porto.h5"])
    kinds = [line.split()[2] for line in report[1:] if line.split()[0].isdigit()]
    assert kinds.count("Eg") == 1
    assert kinds.count("Tg") == 2
    assert "Ag+Tg" in kinds


def _frame(atoms):
    return Frame(
        atoms.numbers.astype(np.int64), atoms.positions, np.array(atoms.cell), None, 0,
        pbc=(False, False, False),
    )  # fmt: skip
