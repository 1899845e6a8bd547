"""Uncertainty: what disagreement is, and how it is measured by what is known."""

import numpy as np
import pytest

from mimyria.uncertainty import LARGEST, Calibration, excesses, judge, spread

NUMBERS = np.array([8, 1, 1])
MASSES = np.array([16.0, 1.0, 1.0])
CALIBRATION = Calibration(2.0, {1: 0.1, 8: 0.4})


def members_of(offsets):
    """Two members that differ by 2 × offset in one component of each atom."""
    mean = np.zeros((3, 9))
    mean[:, 0] = [-0.8, 0.4, 0.4]
    apart = np.zeros((3, 9))
    apart[:, 4] = offsets
    return np.stack([mean - apart, mean + apart])


def test_spread_is_the_standard_deviation_over_all_components():
    rng = np.random.default_rng(1)
    members = rng.normal(size=(5, 4, 27))
    mean = members.mean(axis=0)
    wanted = [
        np.sqrt(sum(np.sum((m[i] - mean[i]) ** 2) for m in members) / 4)
        for i in range(4)
    ]
    np.testing.assert_allclose(spread(members), wanted)


def test_members_that_agree_leave_no_doubt():
    found = judge(members_of([0, 0, 0]), NUMBERS, MASSES, CALIBRATION)
    assert (found.epsilon, found.excess) == (0, 0)


def test_expected_error_weighs_atoms_as_the_spectrum_does():
    found = judge(members_of([0.04, 0, 0.01]), NUMBERS, MASSES, CALIBRATION)
    variance = 2 * 0.04**2 / 16 + 2 * 0.01**2
    size = 0.8**2 / 16 + 2 * 0.4**2
    assert found.epsilon == pytest.approx(2 * np.sqrt(variance / size))


def test_excess_is_that_of_the_worst_atom_by_the_measure_of_its_element():
    found = judge(members_of([0.2, 0.1, 0.0]), NUMBERS, MASSES, CALIBRATION)
    assert found.excess == pytest.approx(max(0.2 / 0.4, 0.1 / 0.1) * np.sqrt(2))


def test_what_nobody_ever_disagreed_about_is_strange_as_soon_as_somebody_does():
    """An element without a label, or one that all knew alike; never NaN."""
    for largest in ({8: 0.4}, {8: 0.4, 1: 0.0}):
        sizes = np.array([0.2, 0.0, 0.1])
        found = excesses(sizes, NUMBERS, largest)
        np.testing.assert_array_equal(found, [0.5, 0.0, LARGEST])
        assert np.isfinite(np.float32(found)).all()
        calibration = Calibration(1.0, largest)
        same = judge(members_of([0.2, 0, 0]), NUMBERS, MASSES, calibration)
        assert same.excess == pytest.approx(0.5 * np.sqrt(2))


def test_uncertainty_does_not_depend_on_the_axes():
    rng = np.random.default_rng(2)
    tensors = rng.normal(size=(4, 3, 3, 3))
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    turned = np.einsum("ax,by,kixy->kiab", rotation, rotation, tensors)
    one, other = (
        judge(each.reshape(4, 3, 9), NUMBERS, MASSES, CALIBRATION)
        for each in (tensors, turned)
    )
    assert one.epsilon == pytest.approx(other.epsilon)
    assert one.excess == pytest.approx(other.excess)


def test_calibration_is_stored_by_symbols():
    values = CALIBRATION.as_dict()
    assert values == {"factor": 2.0, "largest": {"H": 0.1, "O": 0.4}}
    assert Calibration.from_dict(values) == CALIBRATION
    assert Calibration.from_dict({**values, "factor": None}).factor == 1.0
