"""Sums of processes say what the tensors of all atoms at once do."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mimyria.contributions import contributions
from mimyria.currents import currents
from mimyria.data.scaling import Scaling
from mimyria.domainsums import DomainSums, SumRule, domain_sums
from mimyria.errors import ShapeError
from mimyria.frame import Frame
from mimyria.groups import group_atoms
from mimyria.models.sumrule import species_shares, wanted_sums, without_residual
from mimyria.targets import APT, PGT
from mimyria.tensors import Tensors

EXACT = 1e-12
# Heavy and light hydrogen are one element and two kinds.
SYMBOLS = ("H", "H", "O")
MASSES = np.array([1.008, 2.014, 15.999])
N_ATOMS = 30


@pytest.fixture
def kinds(rng):
    return rng.permutation(np.repeat([0, 1, 2], [12, 6, 12]))


@pytest.fixture
def frame(rng, kinds):
    numbers = np.array([1, 1, 8])[kinds]
    positions, velocities = rng.normal(size=(2, N_ATOMS, 3))
    return Frame(numbers, positions, 9.0 * np.eye(3), velocities, step=5)


@pytest.fixture
def tensors(rng):
    apt, pgt = rng.normal(size=(N_ATOMS, 9)), rng.normal(size=(N_ATOMS, 3, 3, 3))
    return Tensors(
        apt.reshape(-1, 3, 3) + 0.3 * np.eye(3), pgt + pgt.swapaxes(1, 2) + 0.2
    )


def grouping_of(kinds):
    symbols = [SYMBOLS[kind] for kind in kinds]
    return group_atoms(symbols, symbols, MASSES[kinds])


def shared(frame, kinds, tensors):
    """Sums of three processes, one of which has no atom."""
    total = domain_sums(np.empty((0, 3)), kinds[:0], 3, part(tensors, slice(0, 0)))
    for atoms in (slice(0, 11), slice(11, None)):
        total += domain_sums(
            frame.velocities[atoms], kinds[atoms], 3, part(tensors, atoms)
        )
    return total


def part(tensors, atoms):
    return Tensors(
        None if tensors.apt is None else tensors.apt[atoms],
        None if tensors.pgt is None else tensors.pgt[atoms],
    )


def require_equal(sample, frame, tensors, grouping):
    wanted = currents(frame, tensors)
    for name in ("dipole", "polarizability"):
        found, expected = getattr(sample.currents, name), getattr(wanted, name)
        if expected is None:
            assert found is None
        else:
            np.testing.assert_allclose(found, expected, rtol=EXACT, atol=EXACT)
    np.testing.assert_allclose(
        sample.contributions,
        contributions(frame, tensors, grouping),
        rtol=1e-11,
        atol=1e-11,
    )


@pytest.mark.parametrize("present", ["both", "apt", "pgt"])
def test_sums_of_processes_give_the_sample_of_all_atoms(frame, kinds, tensors, present):
    if present == "apt":
        tensors = Tensors(tensors.apt, None)
    if present == "pgt":
        tensors = Tensors(None, tensors.pgt)
    grouping = grouping_of(kinds)
    sums = shared(frame, kinds, tensors)
    sample = sums.sample(MASSES, grouping, np.array([0, 0, 1]))
    require_equal(sample, frame, tensors, grouping)


def test_without_groups_there_are_currents_alone(frame, kinds, tensors):
    sample = shared(frame, kinds, tensors).sample(MASSES, None, np.array([0, 0, 1]))
    assert sample.contributions is None
    wanted = currents(frame, tensors)
    np.testing.assert_allclose(sample.currents.dipole, wanted.dipole, rtol=EXACT)


@pytest.mark.parametrize("charge", [0.0, -2.0])
def test_the_sum_rule_is_kept_as_if_all_atoms_were_known(
    rng, frame, kinds, tensors, charge
):
    """By the function that predictions go through, with shares of each element."""
    targets = (APT, PGT)
    scaling = Scaling(np.zeros((2, 27)), rng.uniform(0.2, 2.0, (2, 27)))
    shares = species_shares(scaling, targets, [9, 27])
    species = np.array([0, 0, 1])
    changed = without_residual(
        torch.from_numpy(tensors.columns(targets)),
        torch.from_numpy(shares[species[kinds]]),
        torch.zeros(N_ATOMS, dtype=torch.int64),
        torch.from_numpy(wanted_sums([charge], targets)),
    ).numpy()
    wanted = Tensors.from_columns(changed, targets)
    residual = wanted.sum_rule_residual(charge)
    assert np.abs(residual.apt).max() < 1e-12
    rule = SumRule(shares[species, 0], shares[species, 9], charge)
    sums = shared(frame, kinds, tensors).with_sum_rule(rule)
    grouping = grouping_of(kinds)
    require_equal(sums.sample(MASSES, grouping, species), frame, wanted, grouping)


def test_a_rule_of_one_target_leaves_the_other_alone(frame, kinds, tensors):
    sums = shared(frame, kinds, tensors)
    changed = sums.with_sum_rule(SumRule(apt=np.ones(3)))
    assert np.abs(changed.part("apt_sum").sum(axis=0)).max() < 1e-12
    for name in ("pgt_sum", "pgt_moved", "pgt_square", "iso_square", "velocity"):
        np.testing.assert_array_equal(changed.part(name), sums.part(name))


def test_sums_of_the_wrong_width_are_refused():
    with pytest.raises(ShapeError, match=r"\(n_kinds, 56\), but have \(2, 55\)"):
        DomainSums(np.zeros((2, 55)))
