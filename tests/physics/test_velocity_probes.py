"""Velocity spectra of elements from random-sign probes, against all of the atoms."""

from dataclasses import replace

import numpy as np
import pytest

from mimyria.contributions import Layout, contributions
from mimyria.correlators import Correlator
from mimyria.frame import Frame
from mimyria.groups import Grouping, group_atoms
from mimyria.probes import Probes
from mimyria.spectra.elements import VelocitySpectra, element_spectra
from mimyria.spectra.jackknife import WINDOWS_PER_BLOCK
from mimyria.spectra.vdos import VELOCITY_CORRELATION_UNIT
from mimyria.tensors import Tensors
from mimyria.units import BOLTZMANN
from mimyria.velocityprobes import VelocityProbes

SYMBOLS = ["O", "H", "H"] * 8
MASSES = np.array([15.999, 1.008, 1.008] * 8)
NUMBERS = np.array([8, 1, 1] * 8)
PLACE = np.array([place for m in range(8) for place in (m, 2 * m, 2 * m + 1)])
INTERVAL, STRIDE, N_LAGS = 2.0, 4, 40
RESOLUTION = 700.0
TEMPERATURE = 300.0


def grouping(n_probes, steps=10**9):
    plain = group_atoms(SYMBOLS, SYMBOLS, MASSES)
    return Grouping(
        plain.names,
        plain.group,
        plain.species_names,
        plain.species,
        plain.masses,
        velocity_probes=Probes(PLACE, n_probes, steps),
    )


def kernel(frequency):
    """What noise is coloured with, of unit power."""
    found = np.cos(frequency * np.arange(21)) * np.exp(-0.2 * np.arange(21))
    return found / np.linalg.norm(found)


TOGETHER, APART = kernel(0.6), kernel(1.6)


def thermal(n_frames, seed):
    """Velocities at 300 K; two hydrogens move together at 0.6 and apart at 1.6 rad."""
    rng = np.random.default_rng(seed)
    white = rng.normal(size=(n_frames + 20, 24, 3))
    slow, fast = (
        np.apply_along_axis(np.convolve, 0, white[:, first::3], each, "valid")
        for first, each in ((1, TOGETHER), (2, APART))
    )
    found = np.empty((n_frames, 24, 3))
    found[:, ::3] = white[:n_frames, ::3]
    found[:, 1::3] = (slow + fast) / np.sqrt(2)
    found[:, 2::3] = (slow - fast) / np.sqrt(2)
    return found * np.sqrt(BOLTZMANN * TEMPERATURE / MASSES)[:, None]


def flat(velocities, chosen):
    """As the evaluator makes it, frame by frame."""
    apt, cell = np.zeros((24, 3, 3)), 9.0 * np.eye(3)
    return np.array(
        [
            contributions(
                Frame(NUMBERS, np.zeros((24, 3)), cell, v, STRIDE * index),
                Tensors(apt=apt),
                chosen,
            )
            for index, v in enumerate(velocities)
        ]
    )


def probed(velocities, n_probes, steps=10**9, cut=None):
    chosen = grouping(n_probes, steps)
    accumulated = VelocityProbes(chosen, N_LAGS, INTERVAL)
    rows, numbers = flat(velocities, chosen), STRIDE * np.arange(len(velocities))
    size = cut or len(rows)
    for begin in range(0, len(rows), size):
        accumulated.push(rows[begin : begin + size], numbers[begin : begin + size])
    return accumulated


def exact(velocities):
    accumulated = VelocitySpectra(SYMBOLS, MASSES, N_LAGS, INTERVAL)
    accumulated.push(velocities)
    return {s.name: s for s in accumulated.spectra("gaussian", RESOLUTION, 9000.0)}


def spectra(velocities):
    return element_spectra(
        velocities, window="gaussian", resolution=RESOLUTION, max_wavenumber=9000.0
    )


def test_a_complete_set_of_probes_is_the_sum_over_all_atoms():
    """Sixteen hydrogens need sixteen probes; eight oxygens would need eight."""
    velocities = thermal(600, 0)
    expected = exact(velocities)
    found = spectra(probed(velocities, 16).result())
    assert found.keys() == expected.keys() == {"vdos_H", "vdos_O"}
    for name, spectrum in found.items():
        top = expected[name].intensity.max()
        np.testing.assert_allclose(
            spectrum.intensity, expected[name].intensity, rtol=0, atol=1e-12 * top
        )


@pytest.mark.parametrize("n_probes", [1, 4])
def test_each_element_has_three_modes_for_each_atom(n_probes):
    found = spectra(probed(thermal(600, 1), n_probes).result())
    for name, n_atoms in (("vdos_O", 8), ("vdos_H", 16)):
        spectrum = found[name]
        points = spectrum.intensity.copy()
        points[[0, -1]] *= 0.5  # the trapezoidal rule, exact for cosines
        area = points.sum() * spectrum.spacing
        assert area == pytest.approx(3 * n_atoms, rel=1e-10)


def test_probes_show_equipartition():
    """<|Σ s √m v|²> = 3 N k_B T for each probe: 3000 frames of memory 5, 4 probes."""
    result = probed(thermal(3000, 2), 4, 160 * STRIDE).result()
    kinetic = result.correlation.values[0] / (BOLTZMANN * TEMPERATURE)
    modes = 3 * np.array(result.n_atoms)
    np.testing.assert_allclose(kinetic / modes, 1.0, atol=4 * np.sqrt(2 * 5 / 36000))


def test_few_probes_are_unbiased_although_atoms_move_together():
    """The mean over many signs; one set of signs is 15 % off or more."""
    velocities = thermal(4000, 3)
    expected = exact(velocities)["vdos_H"].intensity
    found = spectra(probed(velocities, 1, 40 * STRIDE).result())["vdos_H"].intensity
    fixed = spectra(probed(velocities, 1).result())["vdos_H"].intensity
    miss = np.abs(found - expected).sum() / expected.sum()
    assert miss < 0.10
    assert np.abs(fixed - expected).sum() / expected.sum() > miss


def drawn_at_once(velocities, chosen):
    """The velocities of `flat`, stretch by stretch; all else is zero."""
    layout, probes = Layout.of(chosen), chosen.velocity_probes
    rows = np.zeros((len(velocities), layout.size))
    weighted = np.sqrt(MASSES)[:, None] * velocities
    filled = np.zeros((len(velocities), 2, probes.n_probes, 3))
    steps = STRIDE * np.arange(len(velocities))
    for begin, end, number in probes.stretches(steps):
        signs = probes.signs(number * probes.steps)
        for element, atoms in enumerate(chosen.members):
            filled[begin:end, element] = np.einsum(
                "pi,tia->tpa", signs[:, atoms], weighted[begin:end, atoms]
            )
    size = filled[0].size
    rows[:, -size - 7 : -7] = filled.reshape(-1, size)
    return rows, steps


def bands_hold(windows_per_sign, n_probes, n_runs=24):
    """Share of points whose two errors hold the truth, and least number of blocks."""
    values = np.zeros((N_LAGS, 2))
    for each in (TOGETHER, APART):
        values[:21] += 0.5 * np.correlate(each, each, "full")[20:, None]
    chosen = grouping(n_probes, windows_per_sign * N_LAGS * STRIDE)
    inside, n_blocks = [], []
    for seed in range(n_runs):
        accumulated = VelocityProbes(chosen, N_LAGS, INTERVAL)
        accumulated.push(*drawn_at_once(thermal(6400, 100 + seed), chosen))
        result = accumulated.result()
        exactly = replace(result.correlation, values=values, blocks=None)
        truth = spectra(replace(result, correlation=exactly))["vdos_H"]
        spectrum = spectra(result)["vdos_H"]
        n_blocks.append(spectrum.error_dof + 1)
        away = np.abs(spectrum.intensity - truth.intensity) / spectrum.error
        inside.append(np.mean(away < 2.0))
    return np.mean(inside), min(n_blocks)


def test_error_bands_hold_what_the_probes_add():
    """Signs change with the blocks, as in the driver: two errors hold the truth."""
    share, n_blocks = bands_hold(WINDOWS_PER_BLOCK, n_probes=1)
    assert n_blocks >= 16
    assert 0.90 <= share <= 0.99


def test_signs_that_stay_for_several_blocks_would_be_missing_in_the_error():
    share, _ = bands_hold(2 * WINDOWS_PER_BLOCK, n_probes=1)
    assert share < 0.8


def test_velocities_of_many_frames_are_those_of_the_evaluator():
    velocities, chosen = thermal(90, 10), grouping(4, 30 * STRIDE)
    layout = Layout.of(chosen)
    rows, _ = drawn_at_once(velocities, chosen)
    np.testing.assert_allclose(
        layout.velocities(rows),
        layout.velocities(flat(velocities, chosen)),
        rtol=0,
        atol=1e-14,
    )


def test_bits_do_not_depend_on_how_frames_were_cut():
    velocities = thermal(500, 4)
    one = probed(velocities, 3, 64 * STRIDE).state()
    other = probed(velocities, 3, 64 * STRIDE, cut=7).state()
    for key, value in one.items():
        np.testing.assert_array_equal(value, other[key])


def test_pairs_end_where_signs_change():
    correlation = probed(thermal(400, 5), 2, 100 * STRIDE).result().correlation
    assert correlation.counts[3] == 4 * 97
    assert correlation.unit == VELOCITY_CORRELATION_UNIT


def test_errors_of_theory_count_probes_until_they_are_as_many_as_atoms():
    velocities = thermal(100, 6)  # too short for blocks
    few, many = (spectra(probed(velocities, n).result()) for n in (2, 8))
    for name, ratio in (("vdos_O", 4.0), ("vdos_H", 4.0)):
        relative = [
            np.median((s[name].error / s[name].intensity)[5:-5]) for s in (few, many)
        ]
        assert relative[0] / relative[1] == pytest.approx(np.sqrt(ratio), rel=1e-6)
    assert probed(velocities, 64).result().n_components == (48, 24)


def test_an_element_that_is_held_in_place_has_no_spectrum():
    velocities = thermal(100, 7)
    velocities[:, ::3] = 0.0
    assert spectra(probed(velocities, 2).result()).keys() == {"vdos_H"}


def test_probes_stand_beside_those_of_molecules():
    """Both kinds in one record, each found where it was put."""
    chosen = grouping(3)
    molecule = np.repeat(np.arange(8), 3)
    both = Grouping(
        chosen.names,
        chosen.group,
        chosen.species_names,
        chosen.species,
        chosen.masses,
        Probes(molecule, 2, 50),
        None,
        chosen.velocity_probes,
    )
    again = Grouping.from_dict(both.as_dict())
    assert again.as_dict() == both.as_dict()
    layout = Layout.of(again)
    velocities = thermal(2, 8)
    rows = flat(velocities, again)
    assert rows.shape[1] == layout.size == Layout.of(chosen).size + 18
    alone = flat(velocities, chosen)
    for name in ("currents", "sums", "totals", "velocities"):
        np.testing.assert_array_equal(
            getattr(layout, name)(rows), getattr(Layout.of(chosen), name)(alone)
        )
    signs = chosen.velocity_probes.signs(0)
    hydrogens = np.array(SYMBOLS) == "H"
    expected = signs[:, hydrogens] @ (np.sqrt(1.008) * velocities[0, hydrogens])
    np.testing.assert_allclose(layout.velocities(rows)[0, 0], expected, rtol=1e-14)


def test_one_channel_of_all_probes_is_their_mean():
    velocities = thermal(300, 9)
    chosen = grouping(3)
    rows = Layout.of(chosen).velocities(flat(velocities, chosen))
    found = probed(velocities, 3).result().correlation
    each = [(channel, channel) for channel in range(9)]
    separate = Correlator(9, N_LAGS, INTERVAL, VELOCITY_CORRELATION_UNIT, each)
    separate.push(rows[:, 1].reshape(300, 9))
    expected = separate.result().values.sum(axis=1) / 3
    np.testing.assert_allclose(
        found.values[:, 1], expected, rtol=0, atol=1e-12 * expected[0]
    )
