"""Self terms from random-sign probes against brute force over the molecules."""

import numpy as np
import pytest

from mimyria.contributions import contributions
from mimyria.correlators import Correlator
from mimyria.currents import currents
from mimyria.frame import Frame
from mimyria.groups import Grouping, group_atoms
from mimyria.probes import Probes
from mimyria.selfcorrelators import SelfCorrelators
from mimyria.tensors import Tensors
from mimyria.units import DIPOLE_CORRELATION_UNIT, POLARIZABILITY_CORRELATION_UNIT

MOLECULE = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4])
SYMBOLS = ["O", "H", "H"] * 5
NUMBERS = np.array([8, 1, 1] * 5)
N_LAGS = 10
STRIDE = 2
N_FRAMES = 2000


def grouping(n_probes, steps=10**9):
    plain = group_atoms(SYMBOLS, SYMBOLS, np.ones(15))
    return Grouping(
        plain.names,
        plain.group,
        plain.species_names,
        plain.species,
        plain.masses,
        Probes(MOLECULE, n_probes, steps),
    )


@pytest.fixture(scope="module")
def frames():
    """Molecules that move together in part, so that the distinct term is large."""
    rng = np.random.default_rng(4)
    found = []
    for index in range(N_FRAMES):
        v = rng.normal(size=(15, 3)) + 0.7 * rng.normal(size=3)
        apt = np.eye(3) * (1 + 0.1 * rng.normal(size=(15, 1, 1)))
        pgt = 1 + 0.3 * rng.normal(size=(15, 3, 3, 3))
        frame = Frame(NUMBERS, np.zeros((15, 3)), np.eye(3), v, STRIDE * index)
        found.append((frame, Tensors(apt, pgt + pgt.swapaxes(1, 2))))
    return found


@pytest.fixture(scope="module")
def whole(frames):
    dipole = Correlator(3, N_LAGS, 1.0, DIPOLE_CORRELATION_UNIT)
    polarizability = Correlator(6, N_LAGS, 1.0, POLARIZABILITY_CORRELATION_UNIT)
    for frame, tensor in frames:
        total = currents(frame, tensor)
        dipole.push(total.dipole)
        polarizability.push(total.polarizability)
    return dipole.result(), polarizability.result()


def probed(frames, n_probes, steps=10**9, cut=len):
    chosen = grouping(n_probes, steps)
    selves = SelfCorrelators(chosen, ("apt", "pgt"), N_LAGS, 1.0)
    flat = np.array([contributions(f, t, chosen) for f, t in frames])
    numbers = np.array([f.step for f, _ in frames])
    size = cut(frames)
    for begin in range(0, len(flat), size):
        selves.push(flat[begin : begin + size], numbers[begin : begin + size])
    return selves


def brute_force(frames):
    """Σ_m <J_m(0)·J_m(t)>, each molecule on its own."""
    samples = np.array(
        [
            [
                np.einsum(
                    "iab,ib->a", t.apt[m == MOLECULE], f.velocities[m == MOLECULE]
                )
                for m in range(5)
            ]
            for f, t in frames
        ]
    ).reshape(len(frames), -1)
    n = len(samples)
    return np.array(
        [
            (samples[: n - lag] * samples[lag:]).sum() / (n - lag)
            for lag in range(N_LAGS)
        ]
    )


@pytest.mark.parametrize("n_probes", [8, 16])
def test_a_complete_set_of_probes_is_exact(frames, whole, n_probes):
    parts = probed(frames, n_probes).parts(*whole)
    found = parts.dipole.column(0, 0)
    expected = brute_force(frames)
    np.testing.assert_allclose(found, expected, atol=1e-12 * abs(expected).max())


def test_few_probes_are_unbiased(frames, whole):
    """New signs every 20 frames: the mean of 100 draws scatters by 4 %."""
    expected = brute_force(frames)[0]
    total = sum(whole[0].column(a, a) for a in range(3))[0]
    found = probed(frames, 1, 20 * STRIDE).parts(*whole).dipole.column(0, 0)[0]
    assert total > 1.8 * expected  # without the probes it would be this
    assert abs(found / expected - 1) < 0.12


def test_self_and_distinct_add_up_to_the_whole(frames, whole):
    parts = probed(frames, 2, 100 * STRIDE).parts(*whole)
    assert parts.names == ("intramolecular", "intermolecular")
    dipole = sum(whole[0].column(a, a) for a in range(3))
    np.testing.assert_allclose(parts.dipole.values.sum(axis=1), dipole, rtol=1e-12)
    # Where signs change pairs are lost: 20 stretches of 100 frames.
    assert parts.dipole.counts[3] == 20 * 97


def test_bits_do_not_depend_on_how_frames_were_cut(frames):
    one = probed(frames, 3, 64 * STRIDE).state()
    other = probed(frames, 3, 64 * STRIDE, cut=lambda _: 7).state()
    for name, state in one.items():
        for key, value in state.items():
            np.testing.assert_array_equal(value, other[name][key])


def test_signs_are_orthogonal_redrawn_and_the_same_within_a_molecule():
    probes = Probes(MOLECULE, 8, 10)
    signs = probes.signs(3)
    assert set(np.unique(signs)) == {-1.0, 1.0}
    firsts = signs[:, [0, 3, 6, 9, 12]]
    np.testing.assert_array_equal(signs, firsts[:, MOLECULE])
    np.testing.assert_array_equal(firsts.T @ firsts, 8 * np.eye(5))
    np.testing.assert_array_equal(signs, probes.signs(9))
    assert not np.array_equal(signs, probes.signs(10))


def test_probes_survive_json():
    again = Grouping.from_dict(grouping(3, 50).as_dict())
    np.testing.assert_array_equal(
        again.probes.signs(70), Probes(MOLECULE, 3, 50).signs(70)
    )
