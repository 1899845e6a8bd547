"""Sum rules hold for what fulfils them, and notice what does not.

Velocities are Ornstein-Uhlenbeck processes of each atom, so that only the temperature
and the masses are known; tensors are random functions of time.
"""

import numpy as np
import pytest

from mimyria.blockmeans import BlockMeans
from mimyria.contributions import Layout, contributions
from mimyria.currents import currents
from mimyria.errors import ShapeError
from mimyria.frame import Frame
from mimyria.groups import group_atoms
from mimyria.sumrules import SumRules
from mimyria.tensors import Tensors
from mimyria.units import BOLTZMANN

T = 300.0
NUMBERS = np.array([8, 1, 1] * 4)
MASSES = np.where(NUMBERS == 8, 15.999, 1.008)
SYMBOLS = ["O" if number == 8 else "H" for number in NUMBERS]
GROUPING = group_atoms(SYMBOLS, SYMBOLS, MASSES)
N_FRAMES = 4000


def velocities(seed=1, memory=0.6, centred=False, masses=MASSES):
    rng = np.random.default_rng(seed)
    spread = np.sqrt(BOLTZMANN * T / masses)[:, None]
    v = spread * rng.normal(size=(len(masses), 3))
    while True:
        yield v - (masses @ v / masses.sum() if centred else 0.0)
        kick = spread * rng.normal(size=v.shape)
        v = memory * v + np.sqrt(1 - memory**2) * kick


def tensors(seed=2, charge=0.0):
    rng = np.random.default_rng(seed)
    mean = np.where(NUMBERS == 8, -0.8, 0.4)[:, None, None] * np.eye(3)
    mean = mean + 0.2 * rng.normal(size=(len(NUMBERS), 3, 3))
    mean += charge / len(NUMBERS) * np.eye(3) - mean.mean(axis=0)
    slope = rng.normal(size=(len(NUMBERS), 3, 3, 3))
    slope += slope.swapaxes(1, 2)
    slope -= slope.mean(axis=0)
    while True:
        swing = 1 + 0.2 * rng.normal()
        yield Tensors(mean * swing if charge == 0.0 else mean, slope * swing)


def run(moving, responses, n_frames=N_FRAMES, change=None, grouping=GROUPING):
    rules = SumRules(grouping)
    for step, v, tensor in zip(range(n_frames), moving, responses, strict=False):
        frame = Frame(NUMBERS, np.zeros_like(v), np.eye(3), v, step)
        flat = contributions(frame, tensor, grouping)
        total = currents(frame if change is None else change(frame), tensor)
        rules.push(total.dipole[None], total.polarizability[None], flat[None])
    return {found.name: found for found in rules.diagnostics(T)}


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("charge", [0.0, 2.0])
def test_thermal_velocities_fulfil_every_rule(centred, charge):
    found = run(velocities(centred=centred), tensors(charge=charge))
    assert len(found) == 15
    for name, one in found.items():
        assert one.verdict == "ok", one
        if name.startswith(("f-sum", "temperature")):
            assert abs(one.value - one.expected) < 3 * one.error
            assert one.error < 0.05 * one.expected
    assert found["translation dipole"].value < 1e-12
    assert f"charge {charge:+.0f}" in found["translation dipole"].sentence


def test_charged_cell_without_motion_of_the_centre_needs_the_correction():
    """Without the subtraction of 3 kT Q²/M the ratio would be off visibly."""
    charge = 20.0
    found = run(velocities(centred=True), tensors(charge=charge))
    rng = tensors(charge=charge)
    apt = next(rng).apt
    norm = float((np.einsum("iab,iab->i", apt, apt) / MASSES).sum())
    share = 3 * charge**2 / MASSES.sum() / norm
    assert share > 0.1
    assert abs(found["f-sum dipole"].value - 1) < 3 * found["f-sum dipole"].error


def test_error_bars_are_those_of_many_runs():
    ratios, errors = [], []
    for seed in range(40):
        found = run(velocities(seed, memory=0.9), tensors(seed), 400)
        ratios.append(found["f-sum dipole"].value)
        errors.append(found["f-sum dipole"].error)
    assert 0.8 < np.mean(errors) / np.std(ratios) < 2.0


def scaled(factor, **options):
    def generator():
        for v in velocities(**options):
            yield v * factor

    return generator()


def test_velocities_in_a_wrong_unit_are_wrong():
    """Metal units taken as real ones are 1000 times too large, and back."""
    for factor in (1e3, 1e-3, 2.0):
        found = run(scaled(factor), tensors(), 500)
        assert found["f-sum dipole"].verdict == "wrong"
        assert found["f-sum Raman isotropic"].verdict == "wrong"
        assert found["temperature H"].verdict == "wrong"
        assert "unit of velocities" in found["temperature H"].sentence


def test_wrong_masses_are_wrong():
    """Hydrogen in the driver, deuterium in the engine."""
    heavy = np.where(NUMBERS == 1, 2.014, MASSES)
    found = run(velocities(masses=heavy), tensors())
    assert found["f-sum dipole H"].verdict == "wrong"
    assert found["temperature H"].verdict == "wrong"
    assert found["temperature O"].verdict == "ok"


def test_swapped_species_are_wrong():
    def swapped():
        order = np.argsort(NUMBERS, kind="stable")
        for v in velocities():
            yield v[order]

    found = run(swapped(), tensors())
    assert found["f-sum dipole H"].verdict == "wrong"
    assert found["f-sum dipole O"].verdict == "wrong"
    assert found["temperature O"].verdict == "wrong"


def test_a_cold_motion_is_told_from_wrong_velocities():
    """The one that changes the isotropic polarizability has 0.36 of its kT."""
    gradient = np.einsum("iaac->ic", next(tensors()).pgt) / np.sqrt(MASSES)[:, None]
    gradient /= np.linalg.norm(gradient)

    def cold():
        for v in velocities():
            held = (1 - 0.6) * np.sum(v * np.sqrt(MASSES)[:, None] * gradient)
            yield v - held * gradient / np.sqrt(MASSES)[:, None]

    found = run(cold(), tensors())
    assert found["f-sum dipole"].verdict == "ok"
    isotropic = found["f-sum Raman isotropic"]
    assert isotropic.verdict == "wrong"
    assert abs(isotropic.value - 0.36) < 3 * isotropic.error
    assert "equilibrate longer" in isotropic.sentence
    assert "unit of velocities" not in isotropic.sentence
    hot = run(scaled(2.0), tensors())["f-sum Raman isotropic"]
    assert "unit of velocities" in hot.sentence


def test_half_step_velocities_are_noticed():
    """1/cos² (w dt / 2) more power: 12 % at 3400 cm^-1 and a time step of 1 fs."""
    found = run(scaled(1 / np.cos(0.32), memory=0.0), tensors())
    assert found["f-sum dipole"].verdict in ("look", "wrong")
    assert found["temperature H"].verdict in ("look", "wrong")


def test_a_transposed_tensor_is_invisible_to_these_rules():
    """As docs/theory.md says: ‖P‖ does not change, and neither does the verdict."""

    def transposed():
        for tensor in tensors():
            yield Tensors(tensor.apt.swapaxes(1, 2), tensor.pgt)

    found = run(velocities(), transposed())
    assert found["f-sum dipole"].verdict == "ok"


def test_a_drift_and_a_broken_translation_rule_are_noticed():
    def drifting():
        for v in velocities():
            yield v + 0.05

    found = run(drifting(), tensors(charge=3.0), 1000)
    assert found["mean dipole current"].verdict == "wrong"

    def biased():
        for tensor in tensors():
            yield Tensors(tensor.apt + 0.3 * (1 - np.eye(3)), tensor.pgt)

    one = run(velocities(), biased(), 200)["translation dipole"]
    assert one.verdict == "wrong"
    np.testing.assert_allclose(one.value, 0.3 * np.sqrt(6 / 9), rtol=1e-9)


def test_short_runs_get_no_verdict():
    found = run(velocities(), tensors(), 5)
    assert found["f-sum dipole"].verdict == "look"
    assert np.isnan(found["f-sum dipole"].error)


def test_parts_of_cells_add_up_to_the_currents():
    v = next(velocities())
    tensor = next(tensors())
    labels = ["first"] * 3 + ["second"] * 9
    grouping = group_atoms(labels, SYMBOLS, MASSES)
    frame = Frame(NUMBERS, np.zeros_like(v), np.eye(3), v, 0)
    flat = contributions(frame, tensor, grouping)
    layout = Layout.of(grouping)
    assert flat.shape == (layout.size,)
    assert layout.n_cells == 4
    cells = layout.currents(flat[None])[0]
    total = currents(frame, tensor)
    np.testing.assert_allclose(cells[:, :3].sum(axis=0), total.dipole, rtol=1e-12)
    np.testing.assert_allclose(
        cells[:, 3:].sum(axis=0), total.polarizability, rtol=1e-12
    )


def test_block_means_do_not_care_how_rows_were_cut():
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(1234, 3)) + 5.0
    whole, single = BlockMeans(3), BlockMeans(3)
    whole.push(rows)
    for row in rows:
        single.push(row[None])
    np.testing.assert_array_equal(whole.mean(), single.mean())
    value, weight = np.array([1.0, 0, 0]), np.array([0, 1.0, 0])
    assert whole.error(value, weight) == single.error(value, weight)
    np.testing.assert_allclose(whole.mean(), rows.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(whole.error(value), 1 / np.sqrt(1234), rtol=0.5)
    with pytest.raises(ShapeError, match="rows must have the shape"):
        whole.push(rows[:, :2])
