"""Spectra of shells around a solute add up to the whole while molecules wander."""

import dataclasses

import numpy as np
import pytest

from mimyria.contributions import Layout, contributions
from mimyria.correlators import Correlator
from mimyria.currents import currents
from mimyria.frame import Frame
from mimyria.partcorrelators import PartCorrelators
from mimyria.selections import shell_grouping
from mimyria.spectra.raman import anisotropic_correlation, isotropic_correlation
from mimyria.sumrules import SumRules
from mimyria.tensors import Tensors
from mimyria.units import DIPOLE_CORRELATION_UNIT, POLARIZABILITY_CORRELATION_UNIT

CELL = np.array([[11.0, 0.0, 0.0], [6.0, 9.0, 0.0], [-4.0, 5.0, 10.0]])
NUMBERS = np.array([11, *[8, 1, 1] * 4])
MASSES = np.where(NUMBERS == 1, 1.008, np.where(NUMBERS == 8, 15.999, 22.99))
BORDERS, WIDTH = (3.0, 4.5), 0.8
N_LAGS = 30


def frames(n, seed=0):
    """Waters that cross the borders, each atom at any image; random tensors."""
    rng = np.random.default_rng(seed)
    water = np.array([[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]])
    away = rng.normal(size=(4, 3))
    away /= np.linalg.norm(away, axis=1)[:, None]
    for step in range(n):
        radii = np.array([2.6, 3.4, 4.4, 5.2]) + 0.9 * np.sin(
            0.02 * step * np.arange(1, 5)
        )
        places = away * radii[:, None]
        positions = np.concatenate(
            [np.zeros((1, 3)), *(place + water for place in places)]
        )
        positions = positions + rng.integers(-1, 2, positions.shape) @ CELL
        pgt = rng.normal(size=(13, 3, 3, 3))
        velocities = rng.normal(size=(13, 3))
        yield (
            Frame(NUMBERS, positions, CELL, velocities, step),
            Tensors(rng.normal(size=(13, 3, 3)), pgt + pgt.swapaxes(1, 2)),
        )


@pytest.fixture(scope="module")
def grouping():
    # Waters far from each other and from the ion, so that all are molecules.
    places = np.array([[4, 0, 0], [0, 4, 0], [0, 0, 4], [4, 4, 4]], dtype=float)
    water = np.array([[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]])
    positions = np.concatenate([np.zeros((1, 3)), *(place + water for place in places)])
    first = Frame(NUMBERS, positions, CELL, None, 0)
    return shell_grouping(first, MASSES, "element Na", BORDERS, WIDTH)


def close(found, expected):
    np.testing.assert_allclose(found, expected, atol=1e-12 * np.abs(expected).max())


def total(correlation):
    return correlation.values @ [1.0 if g == h else 2.0 for g, h in correlation.pairs]


def test_shells_hold_weighted_currents_of_whole_molecules(grouping):
    """By a loop over molecules, with the distance of the waters' true places."""
    layout = Layout.of(grouping)
    for frame, tensors in frames(120):
        flat = contributions(frame, tensors, grouping)
        cells = layout.currents(flat[None])[0]
        found = np.zeros((4, 9))
        for row, (group, _) in zip(cells, grouping.cells, strict=True):
            found[group] += row
        expected = np.zeros((4, 3))
        each = np.einsum("iab,ib->ia", tensors.apt, frame.velocities)
        expected[0] = each[0]
        for water in range(4):
            atoms = 1 + 3 * water + np.arange(3)
            # Whole again: the shortest of 125 images of each bond.
            steps = np.array(list(np.ndindex(5, 5, 5))) - 2.0
            bonds = frame.positions[atoms] - frame.positions[atoms[0]]
            images = bonds[:, None] + steps @ CELL
            best = np.argmin((images**2).sum(-1), axis=1)
            centre = MASSES[atoms] @ images[np.arange(3), best] / MASSES[atoms].sum()
            apart = frame.positions[atoms[0]] + centre - frame.positions[0]
            far = np.array(list(np.ndindex(9, 9, 9))) - 4.0
            r = np.linalg.norm(apart + far @ CELL, axis=1).min()
            ramps = [
                1.0,
                *(np.clip((r - border) / WIDTH + 0.5, 0, 1) for border in BORDERS),
                0.0,
            ]
            s = [0.5 - 0.5 * np.cos(np.pi * ramp) for ramp in ramps]
            for shell in range(3):
                expected[1 + shell] += (s[shell] - s[shell + 1]) * each[atoms].sum(0)
        np.testing.assert_allclose(found[:, :3], expected, atol=1e-12)
        whole = currents(frame, tensors)
        close(found[:, :3].sum(0), whole.dipole)
        close(found[:, 3:].sum(0), whole.polarizability)


def test_correlations_of_shells_add_up_to_the_whole(grouping):
    parts = PartCorrelators(grouping, ("apt", "pgt"), N_LAGS, 1.0)
    dipole = Correlator(3, N_LAGS, 1.0, DIPOLE_CORRELATION_UNIT)
    polarizability = Correlator(6, N_LAGS, 1.0, POLARIZABILITY_CORRELATION_UNIT)
    for frame, tensors in frames(600):
        sample = currents(frame, tensors)
        dipole.push(sample.dipole)
        polarizability.push(sample.polarizability)
        flat = contributions(frame, tensors, grouping)[None]
        parts.push(flat, np.array([frame.step]))
    found = parts.parts(None, None)
    assert found.names[0] == "solute"
    assert found.reliable_from == 50.0
    shells = dipole.result(), polarizability.result()
    close(total(found.dipole), sum(shells[0].column(a, a) for a in range(3)))
    close(total(found.isotropic), isotropic_correlation(shells[1]))
    close(1.5 * total(found.anisotropic), anisotropic_correlation(shells[1]))


def test_sum_rules_do_not_see_the_shells(grouping):
    """Species are sums of cells, whatever the weights are."""
    plain = dataclasses.replace(grouping, shells=None)
    found = []
    for each in (grouping, plain):
        rules = SumRules(each)
        for frame, tensors in frames(400):
            flat = contributions(frame, tensors, each)[None]
            sample = currents(frame, tensors)
            rules.push(sample.dipole[None], sample.polarizability[None], flat)
        found.append(rules)
    values = [[d.value for d in rules.diagnostics(300.0)] for rules in found]
    assert len(values[0]) > 5
    np.testing.assert_allclose(values[0], values[1], rtol=1e-10, atol=1e-12)
