"""What i-PI is told: keys, index orders, units, sums, and what it is never told."""

import json

import numpy as np
import pytest

from mimyria.errors import (
    DeviceError,
    DeviceLostError,
    EvaluatorError,
    FrameError,
    SettingsError,
)
from mimyria.tensors import Tensors
from mimyria.units import ANGSTROM_PER_IPI_BOHR
from mimyria_driver.driven.answers import Answers
from mimyria_driver.driven.extras import (
    born_charges,
    checked_keys,
    mean_removed,
    pack_extras,
)
from mimyria_driver.driven.serving import DrivenSettings
from mimyria_driver.ipi.protocol import Positions

NUMBERS = np.array([8, 1, 1])
CELL = np.diag([20.0, 21.0, 22.0])


class Source:
    """Tensors without any symmetry, or what a test wants instead."""

    def __init__(self, apt):
        self.apt = apt
        self.frames = []

    def predict(self, frames):
        self.frames += frames
        if isinstance(self.apt, Exception):
            raise self.apt
        return [Tensors(self.apt)]


def request(n_atoms=3, rid=1):
    positions = np.arange(3.0 * n_atoms)
    return Positions(rid, CELL.tobytes(), positions.tobytes(), n_atoms)


@pytest.fixture
def apt(rng):
    return rng.normal(size=(3, 3, 3))


def test_each_key_has_the_index_order_that_ipi_reads(apt):
    said = json.loads(pack_extras(("BEC", "dipole_derivative"), apt, None))
    assert np.shape(said["BEC"]) == (9, 3)
    assert np.shape(said["dipole_derivative"]) == (27,)
    for i, a, b in np.ndindex(3, 3, 3):
        assert said["BEC"][3 * i + b][a] == apt[i, a, b]
        assert said["dipole_derivative"][9 * i + 3 * a + b] == apt[i, a, b]


def test_the_force_of_a_field_is_the_derivative_of_its_energy(apt):
    """F_ib = ∂(M·E)/∂r_ib, so the field meets the first index of our tensors."""
    field = np.array([0.3, -0.2, 0.1])
    wanted = np.array([[field @ apt[i, :, b] for b in range(3)] for i in range(3)])
    np.testing.assert_allclose(born_charges(apt) @ field, wanted.ravel())


def test_the_dipole_goes_out_in_the_bohr_of_ipi(apt):
    said = json.loads(pack_extras(("dipole",), apt, np.array([1.0, -2.0, 0.5])))
    wanted = np.array([1.0, -2.0, 0.5]) / ANGSTROM_PER_IPI_BOHR
    np.testing.assert_allclose(said["dipole"], wanted, rtol=1e-15)


def test_tensors_add_up_to_zero_and_keep_their_differences(rng):
    apt = rng.normal(size=(500, 3, 3)) + 0.5
    without = mean_removed(apt)
    assert np.abs(without.sum(axis=0)).max() < 1e-12
    differences = without - apt
    np.testing.assert_allclose(differences, differences[:1].repeat(500, 0), atol=1e-15)


def test_replies_hold_the_same_keys_whatever_is_asked(apt):
    answers = Answers(Source(apt), NUMBERS, ("BEC", "dipole_derivative"))
    said = [json.loads(answers.extras(request(rid=rid))) for rid in (1, 1, 7)]
    assert {tuple(each) for each in said} == {("BEC", "dipole_derivative")}
    assert answers.n_answered == 3
    assert np.abs(np.sum(np.reshape(said[0]["BEC"], (3, 3, 3)), axis=0)).max() < 1e-15


def test_the_model_sees_angstrom_and_rows_as_lattice_vectors(apt):
    source = Source(apt)
    cell = np.array([[20.0, 3.0, -2.0], [0.0, 21.0, 1.0], [0.0, 0.0, 22.0]])
    positions = np.arange(9.0)
    Answers(source, NUMBERS, ("BEC",)).extras(
        Positions(4, cell.tobytes(), positions.tobytes(), 3)
    )
    (frame,) = source.frames
    unit = ANGSTROM_PER_IPI_BOHR
    np.testing.assert_allclose(frame.cell, cell.T * unit)
    np.testing.assert_allclose(frame.positions, positions.reshape(3, 3) * unit)
    np.testing.assert_array_equal(frame.numbers, NUMBERS)


def test_a_large_mean_is_said_once_and_a_small_one_never(apt, caplog):
    answers = Answers(Source(apt - apt.mean(axis=0)), NUMBERS, ("BEC",))
    answers.extras(request())
    assert not caplog.records
    answers = Answers(Source(apt + 1.0), NUMBERS, ("BEC",))
    for _ in range(3):
        answers.extras(request())
    (record,) = caplog.records
    assert "which i-PI demands to be zero and which is taken off" in record.message


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_never_becomes_an_answer(apt, value):
    apt[1, 2, 0] = value
    answers = Answers(Source(apt), NUMBERS, ("BEC",))
    with pytest.raises(EvaluatorError, match="not finite, first for atom 1"):
        answers.extras(request())
    assert answers.n_answered == 0


def test_positions_that_are_not_finite_are_refused(apt):
    positions = np.full(9, np.nan).tobytes()
    with pytest.raises(FrameError, match="positions must be finite"):
        Answers(Source(apt), NUMBERS, ("BEC",)).extras(
            Positions(1, CELL.tobytes(), positions, 3)
        )


def test_another_number_of_atoms_is_refused_by_both_numbers(apt):
    with pytest.raises(FrameError, match="sends 5 atoms, but 3 were named"):
        Answers(Source(apt), NUMBERS, ("BEC",)).extras(request(5))


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (ValueError("no\nluck"), EvaluatorError, "The model stopped: ValueError: no l"),
        (RuntimeError("CUDA out of memory"), DeviceError, "has too little memory"),
        (RuntimeError("CUDA error: unspecified"), DeviceLostError, "on another node"),
        (FrameError("our own."), FrameError, "our own"),
    ],
)
def test_foreign_errors_become_ours_with_the_code_that_fits(error, kind, text):
    with pytest.raises(kind, match=text):
        Answers(Source(error), NUMBERS, ("BEC",)).extras(request())


def test_keys_come_in_one_order_and_unknown_ones_are_refused():
    assert checked_keys(["dipole_derivative", "BEC", "BEC"]) == (
        "BEC",
        "dipole_derivative",
    )
    with pytest.raises(SettingsError, match=r"Unknown key 'bec'.*Known: BEC, dipole"):
        checked_keys(["bec"])
    with pytest.raises(SettingsError, match="name one or more of BEC, dipole"):
        checked_keys([])


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"keys": ("dipole",)}, "give --folder with the key 'dipole'"),
        ({"folder": "way"}, "give --folder with the key 'dipole'"),
        ({"address": "nowhere"}, "must be unix:NAME"),
        ({"charge": np.nan}, "must be finite"),
        (
            {"keys": ("dipole",), "folder": "way", "start": (0.0, np.inf, 0.0)},
            "must be finite",
        ),
    ],
)
def test_settings_that_cannot_work_are_refused_before_a_model_is_loaded(changes, text):
    wanted = {"model": "none", "address": "unix:bec", "numbers": NUMBERS, **changes}
    with pytest.raises(SettingsError, match=text):
        DrivenSettings(**wanted)
