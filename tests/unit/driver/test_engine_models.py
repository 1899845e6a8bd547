"""Sums of ranks from their bytes to the sample, and what is refused on the way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mimyria.contributions import contributions
from mimyria.currents import currents
from mimyria.domainsums import WIDTH, DomainSums, domain_sums
from mimyria.errors import FrameError
from mimyria.groups import group_atoms
from mimyria.tensors import Tensors
from mimyria_driver.enginemodels import sample_of
from mimyria_driver.lammps.session import Session
from mimyria_driver.lammps.summing import joined_sums, pack_sums
from mimyria_driver.runcard import RunCard, pack_card
from mimyria_driver.wire import Kind, Message, pack_box

MODELS = {
    target: {"sha256": letter * 64, "shares": None}
    for target, letter in (("apt", "a"), ("pgt", "b"))
}
CARD = RunCard("LAMMPS 1", "real", ("O", "H", "D"), 0.5, 4, 1.0, 1.0, (1, 1, 1), MODELS)
BOX = pack_box([9.0, 0, 0, 0, 9.0, 0, 0, 0, 9.0], [0.0, 0, 0])
TYPES = np.array([1, 2, 3, 1, 2, 2])
MASS = np.array([15.999, 1.008, 2.014])
N_ATOMS = 6
# Which atoms each rank owns; the last one has none.
RANKS = ([4, 0, 2], [5, 1, 3], [])


@pytest.fixture
def state(rng):
    """Positions, velocities, and tensors of all atoms."""
    positions, velocities = rng.normal(size=(2, N_ATOMS, 3))
    pgt = rng.normal(size=(N_ATOMS, 3, 3, 3))
    tensors = Tensors(rng.normal(size=(N_ATOMS, 3, 3)), pgt + pgt.swapaxes(1, 2))
    return positions, velocities, tensors


def hello(rank, rows, *, card=CARD, masses=None):
    mass = MASS[TYPES - 1] if masses is None else masses
    parts = (
        pack_card(card),
        np.array(rows, "<i4").tobytes(),
        TYPES[rows].astype("<i4").tobytes() if rows else b"",
        mass[rows].astype("<f8").tobytes() if rows else b"",
    )
    return Message(
        Kind.HELLO,
        n_atoms=N_ATOMS,
        n_local=len(rows),
        rank=rank,
        n_ranks=len(RANKS),
        parts=parts,
    )


def summed(rank, rows, state, *, step=4, excess=0.0):
    positions, velocities, tensors = state
    rows = np.array(rows, dtype=int)
    own = Tensors(tensors.apt[rows], tensors.pgt[rows])
    sums = domain_sums(velocities[rows], TYPES[rows] - 1, 3, own)
    parts = (
        BOX,
        rows.astype("<i4").tobytes(),
        positions[rows].tobytes(),
        velocities[rows].tobytes(),
        pack_sums(sums, excess),
    )
    return Message(
        Kind.SUMS,
        step=step,
        time=0.5 * step,
        n_atoms=N_ATOMS,
        n_local=len(rows),
        rank=rank,
        n_ranks=len(RANKS),
        parts=parts,
    )


def opened(**changes):
    return Session({rank: hello(rank, r, **changes) for rank, r in enumerate(RANKS)})


def test_sums_of_ranks_become_the_sample_of_the_frame(state):
    session = opened()
    arrived = []
    for rank in (2, 0, 1):
        excess = (0.5, 1.5, 0.25)[rank]
        arrived += session.add(summed(rank, RANKS[rank], state, excess=excess))
    (one,) = arrived
    description = session.description
    assert description.models.symbols == ("O", "H", "H")
    assert description.models.digests == {"apt": "a" * 64, "pgt": "b" * 64}
    symbols = ["O" if number == 8 else "H" for number in description.numbers]
    grouping = group_atoms(symbols, symbols, description.masses)
    sample = sample_of(one, description.models, grouping, 0.0)
    wanted = currents(one.frame, state[2])
    np.testing.assert_allclose(sample.currents.dipole, wanted.dipole, rtol=1e-12)
    np.testing.assert_allclose(
        sample.currents.polarizability, wanted.polarizability, rtol=1e-12
    )
    np.testing.assert_allclose(
        sample.contributions,
        contributions(one.frame, state[2], grouping),
        rtol=1e-11,
        atol=1e-13,
    )
    assert sample.excess == 1.5


def test_frames_without_sums_have_no_sample_here(state):
    session = opened(card=replace(CARD, models=None))
    assert session.description.models is None
    arrived = []
    for rank, rows in enumerate(RANKS):
        message = summed(rank, rows, state)
        arrived += session.add(
            replace(message, kind=Kind.FRAME, parts=message.parts[:4])
        )
    assert arrived[0].summed is None
    assert sample_of(arrived[0], None, None, 0.0) is None


def test_a_run_does_not_change_who_asks_the_networks(state):
    message = summed(0, RANKS[0], state)
    with pytest.raises(FrameError, match="began with messages FRAME, but now sends SU"):
        opened(card=replace(CARD, models=None)).add(message)
    plain = replace(message, kind=Kind.FRAME, parts=message.parts[:4])
    with pytest.raises(FrameError, match="began with messages SUMS, but now sends FRA"):
        opened().add(plain)


def test_sums_of_another_size_are_refused():
    good = pack_sums(DomainSums(np.zeros((3, WIDTH))), 0.0)
    joined_sums([good, good], 3, 8)
    with pytest.raises(FrameError, match=r"step 8: the sums of rank 1 must have 1352 "):
        joined_sums([good, good[:-8]], 3, 8)


def test_atoms_of_one_type_with_several_masses_are_refused():
    masses = MASS[TYPES - 1].copy()
    masses[4] = 1.05
    with pytest.raises(FrameError, match=r"type 2 have masses from 1.008 to 1.05"):
        opened(masses=masses)


def test_sums_that_are_not_finite_are_refused(state):
    session = opened()
    state[2].pgt[3, 0, 0, 0] = np.nan
    arrived = []
    for rank, rows in enumerate(RANKS):
        arrived += session.add(summed(rank, rows, state))
    with pytest.raises(FrameError, match="step 4: the pgt model of the engine gave"):
        sample_of(arrived[0], session.description.models, None, 0.0)


def test_a_kind_without_atoms_takes_no_part(state):
    """A type that no atom has: no mass of it is known."""
    session = opened(card=replace(CARD, elements=(*CARD.elements, "O")))
    models = session.description.models
    assert models.n_kinds == 4
    _, velocities, tensors = state
    sums = domain_sums(velocities, TYPES - 1, 4, tensors)
    symbols = [("O", "H", "H")[kind - 1] for kind in TYPES]
    masses = MASS[TYPES - 1]
    grouping = group_atoms(symbols, symbols, masses)
    places = np.array([1, 0, 0, 1])
    sample = sums.sample(models.masses, grouping, places)
    wanted = np.einsum("iab,ib->a", tensors.apt, velocities)
    np.testing.assert_allclose(sample.currents.dipole, wanted, rtol=1e-12)
    assert np.isfinite(sample.contributions).all()
