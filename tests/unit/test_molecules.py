"""Molecules put together, formulas, and frames without a whole cell."""

import numpy as np
import pytest

from mimyria.errors import FrameError, SettingsError
from mimyria.frame import Frame
from mimyria.images import completed
from mimyria.molecules import find_molecules, hill_formula, whole_molecules

TRICLINIC = np.array([[6.5, 0.0, 0.0], [2.9, 5.9, 0.0], [-2.4, 1.7, 6.1]])


def chain(cell, n_atoms, rng, pbc=(True, True, True)):
    """A bent chain of carbon, and a frame of scattered images of its atoms."""
    steps = np.tile([[1.2, 0.8, 0.2], [0.9, -0.7, 0.9]], (n_atoms, 1))[:n_atoms]
    whole = np.cumsum(steps, axis=0)
    shifts = rng.integers(-3, 4, whole.shape) * np.array(pbc)
    frame = Frame(np.full(n_atoms, 6), whole + shifts @ cell, cell, None, 0, 0, pbc)
    return frame, whole


def test_a_molecule_longer_than_the_cell_is_put_together(rng):
    frame, whole = chain(TRICLINIC, 9, rng)
    molecules, found = whole_molecules(frame)
    assert molecules.tolist() == [0] * 9
    assert np.ptp(whole, axis=0).max() > 6.5
    assert np.abs((found - found[0]) - (whole - whole[0])).max() < 1e-9
    first = found[0] @ np.linalg.inv(TRICLINIC)
    assert ((first >= 0) & (first < 1)).all()


def test_every_atom_stays_an_image_of_itself(rng):
    frame, _ = chain(TRICLINIC, 9, rng)
    _, found = whole_molecules(frame)
    shifts = (found - frame.positions) @ np.linalg.inv(TRICLINIC)
    assert np.abs(shifts - np.round(shifts)).max() < 1e-9


@pytest.mark.parametrize("spacing", [1.5, 3.0])
def test_what_is_bonded_to_its_own_image_is_refused(spacing):
    cell = np.diag([3.0, 20.0, 20.0])
    n_atoms = int(3.0 / spacing)
    positions = np.column_stack([np.arange(n_atoms) * spacing, *np.zeros((2, n_atoms))])
    frame = Frame(np.full(n_atoms, 55 if spacing > 2 else 6), positions, cell, None, 0)
    if spacing > 2:  # an ion is bonded to nothing, its own image included
        assert whole_molecules(frame)[0].tolist() == [0]
        frame = Frame(np.array([79]), positions, cell, None, 0)
    with pytest.raises(FrameError, match="the molecule of atom 0 must be finite"):
        whole_molecules(frame)


@pytest.mark.parametrize(
    ("cell", "pbc"),
    [
        (np.zeros((3, 3)), (False, False, False)),
        (np.diag([9.0, 9.0, 0.0]), (True, True, False)),
        (np.array([[0.0, 0, 0], [3.0, 8.0, 1.0], [0, 0, 0]]), (False, True, False)),
    ],
)
def test_open_directions_need_no_vector(rng, cell, pbc):
    full = completed(cell, pbc)
    assert abs(np.linalg.det(full)) > 0.1
    present = cell.any(axis=1)
    assert np.array_equal(full[present], cell[present])
    assert np.allclose(full[~present] @ full[present].T, 0.0)
    frame, whole = chain(cell, 3, rng, pbc)
    molecules, found = whole_molecules(frame)
    assert molecules.tolist() == find_molecules(frame).tolist() == [0, 0, 0]
    assert np.abs((found - found[0]) - (whole - whole[0])).max() < 1e-9


def test_a_cell_that_lacks_nothing_stays_as_it_is():
    assert completed(TRICLINIC, (True, False, True)) is TRICLINIC


@pytest.mark.parametrize(
    ("formula", "hill"),
    [("SO4", "O4S"), ("OH2", "H2O"), ("CH3OH", "CH4O"), ("Na", "Na"), ("NH4", "H4N")],
)
def test_formulas_are_put_into_the_order_of_hill(formula, hill):
    assert hill_formula(formula) == hill


@pytest.mark.parametrize("formula", ["", "h2o", "Qq", "H2O ", "H0", "SO4-2"])
def test_what_is_no_formula_is_refused(formula):
    with pytest.raises(SettingsError, match="is not the formula of a molecule"):
        hill_formula(formula)
