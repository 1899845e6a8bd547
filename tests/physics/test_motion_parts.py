"""Motions of molecules: rigid motion and rest, against a fit by least squares."""

import numpy as np
import pytest

from mimyria.contributions import Layout, contributions
from mimyria.currents import currents
from mimyria.errors import FrameError
from mimyria.frame import Frame
from mimyria.groupdifferences import group_difference
from mimyria.groups import Grouping
from mimyria.motions import MOTIONS, Motions
from mimyria.selections import motion_grouping
from mimyria.sumrules import SumRules
from mimyria.tensors import Tensors

CELL = np.array([[9.0, 0.0, 0.0], [2.5, 8.0, 0.0], [-1.5, 2.0, 8.5]])
WATER = np.array([[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]])
DIOXIDE = np.array([[0.0, 0.0, 0.0], [1.16, 0.0, 0.0], [-1.16, 0.0, 0.0]])
PLACES = np.array([[0.1, 0.2, 8.3], [4.5, 4.0, 4.0], [-0.2, 4.2, 0.3], [5.0, 0.1, 2.0]])
NUMBERS = np.array([8, 1, 1, 8, 1, 1, 6, 8, 8, 11])
MASSES = np.array([15.999, 1.008, 1.008] * 2 + [12.011, 15.999, 15.999, 22.99])
MOLECULES = ([0, 1, 2], [3, 4, 5], [6, 7, 8], [9])


def turned(rng):
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    return q * np.sign(np.diag(r)) * np.linalg.det(q * np.sign(np.diag(r)))


def frame_of(rng, *, wrapped=True):
    """Two waters, carbon dioxide and an ion; the borders cut some of them."""
    shapes = (WATER, WATER, DIOXIDE, np.zeros((1, 3)))
    whole = [
        place + (shape + 0.02 * rng.normal(size=shape.shape) * (len(shape) < 4))
        @ turned(rng).T
        if shape is WATER
        else place + shape @ turned(rng).T
        for place, shape in zip(PLACES, shapes, strict=True)
    ]  # fmt: skip
    positions = np.concatenate(whole)
    if wrapped:
        positions = (positions @ np.linalg.inv(CELL) % 1.0) @ CELL
    velocities = rng.normal(size=(10, 3)) * 0.02 / np.sqrt(MASSES)[:, np.newaxis]
    return Frame(NUMBERS, positions, CELL, velocities, 0), np.concatenate(whole)


def rigid_fit(positions, velocities, masses):
    """Mass-weighted least squares of V + ω × d, by the columns of the six motions."""
    d = positions - masses @ positions / masses.sum()
    columns = [np.tile(axis, (len(d), 1)) for axis in np.eye(3)]
    columns += [np.cross(axis, d) for axis in np.eye(3)]
    design = np.stack([(column.T * np.sqrt(masses)).T.ravel() for column in columns], 1)
    target = (velocities.T * np.sqrt(masses)).T.ravel()
    found = np.linalg.lstsq(design, target, rcond=1e-8)[0]
    return np.tile(found[:3], (len(d), 1)), np.cross(found[3:], d)


@pytest.fixture
def grouping(rng):
    return motion_grouping(frame_of(rng)[0], MASSES)


def test_motions_are_the_fit_of_a_rigid_motion_and_the_rest(grouping, rng):
    frame, whole = frame_of(rng)
    found = grouping.motions.split(frame, MASSES)
    expected = np.zeros((3, 10, 3))
    for atoms in MOLECULES:
        travel, turning = rigid_fit(
            whole[atoms], frame.velocities[atoms], MASSES[atoms]
        )
        expected[0, atoms], expected[1, atoms] = travel, turning
    expected[2] = frame.velocities - expected[0] - expected[1]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14)
    np.testing.assert_allclose(found.sum(axis=0), frame.velocities, atol=1e-16)
    assert np.abs(found[1:, 9]).max() < 1e-18  # an ion only travels
    energies = np.einsum("i,gia,gia->g", MASSES, found, found)
    total = np.einsum("i,ia,ia->", MASSES, frame.velocities, frame.velocities)
    assert energies.sum() == pytest.approx(total, rel=1e-12)


def test_each_molecule_has_its_number_of_motions(grouping, rng):
    """The trace of the projector on each motion, exactly: 3, 3, 3 n − 6."""
    frame, _ = frame_of(rng)
    traces = np.zeros((3, 4))
    for atom in range(10):
        for axis in range(3):
            unit = np.zeros((10, 3))
            unit[atom, axis] = 1.0 / np.sqrt(MASSES[atom])
            moved = Frame(NUMBERS, frame.positions, CELL, unit, 0)
            parts = grouping.motions.split(moved, MASSES)
            molecule = next(k for k, atoms in enumerate(MOLECULES) if atom in atoms)
            squares = np.einsum("i,gia,gia->g", MASSES, parts, parts)
            traces[:, molecule] += squares
    expected = [[3, 3, 3, 3], [3, 3, 2, 0], [3, 3, 4, 0]]
    np.testing.assert_allclose(traces, expected, atol=1e-10)


def test_the_split_turns_with_the_system_and_ignores_where_the_cell_is_cut(
    grouping, rng
):
    frame, whole = frame_of(rng)
    found = grouping.motions.split(frame, MASSES)
    rotation = turned(rng)
    other = Frame(
        NUMBERS, (whole + np.array([3.0, 1.0, 2.0])) @ rotation.T, CELL @ rotation.T,
        frame.velocities @ rotation.T, 0,
    )  # fmt: skip
    again = grouping.motions.split(other, MASSES)
    np.testing.assert_allclose(again, found @ rotation.T, rtol=0, atol=1e-14)


def test_currents_of_the_motions_add_up_to_the_whole(grouping, rng):
    frame, _ = frame_of(rng)
    pgt = rng.normal(size=(10, 3, 3, 3))
    tensors = Tensors(rng.normal(size=(10, 3, 3)), 0.5 * (pgt + pgt.swapaxes(1, 2)))
    layout = Layout.of(grouping)
    rows = contributions(frame, tensors, grouping)[np.newaxis]
    cells = layout.currents(rows)[0]
    total = currents(frame, tensors)
    np.testing.assert_allclose(cells[:, :3].sum(axis=0), total.dipole, rtol=1e-12)
    np.testing.assert_allclose(
        cells[:, 3:].sum(axis=0), total.polarizability, rtol=1e-12
    )
    parts = grouping.motions.split(frame, MASSES)
    for group in range(3):
        mine = [cell for cell, (g, _) in enumerate(grouping.cells) if g == group]
        expected = np.einsum("iab,ib->a", tensors.apt, parts[group])
        np.testing.assert_allclose(cells[mine, :3].sum(axis=0), expected, rtol=1e-10)
    # The checks of a run know the species as without motions.
    rules = SumRules(grouping)
    rules.push(total.dipole[np.newaxis], total.polarizability[np.newaxis], rows)
    names = [each.name for each in rules.diagnostics(300.0)]
    assert "temperature Na" in names


def test_the_grouping_comes_back_and_bonds_are_compared(grouping):
    again = Grouping.from_dict(grouping.as_dict())
    assert again.names == MOTIONS
    assert again.cells == grouping.cells
    assert len(grouping.cells) == 3 * 4
    assert group_difference(grouping, again) is None
    molecule = grouping.motions.molecule.copy()
    molecule[9] = 0
    document = grouping.as_dict()
    document["motions"]["molecule"] = molecule.tolist()
    other = Grouping.from_dict(document)
    assert isinstance(other.motions, Motions)
    assert group_difference(grouping, other).endswith("bonds differ")


def test_what_is_bonded_to_its_own_image_is_refused():
    chain = Frame(
        np.array([6, 6]), np.array([[0.0, 0, 0], [1.4, 0, 0]]),
        np.diag([2.8, 12.0, 12.0]), np.zeros((2, 3)), 0,
    )  # fmt: skip
    with pytest.raises(FrameError, match="bonded to its own image"):
        motion_grouping(chain, np.array([12.0, 12.0]))
