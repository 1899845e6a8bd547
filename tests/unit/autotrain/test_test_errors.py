"""Errors on held-out frames: what they are, and how sure they are."""

import json

import numpy as np
import pytest

from mimyria.autotrain.components import (
    KINDS,
    current_components,
    irrep_parts,
    tensor_components,
)
from mimyria.autotrain.testerrors import TestErrors, measure_test_errors
from mimyria.currents import polarizability_velocity
from mimyria.errors import SettingsError, ShapeError
from mimyria.spectra.scattering import WEIGHTS
from mimyria.targets import APT, PGT
from mimyria.training.metrics import spectral_errors

NUMBERS = np.array([8, 1, 1])
MASSES = np.array([16.0, 1.0, 1.0])


def tensors_of(rng, n, observable):
    if observable == "ir":
        return rng.normal(size=(n, 9))
    pgt = rng.normal(size=(n, 3, 3, 3))
    return (pgt + pgt.swapaxes(1, 2)).reshape(n, 27)


def frames_of(rng, observable, n_frames=6, n_members=3, noise=0.1):
    labels = [tensors_of(rng, 3, observable) for _ in range(n_frames)]
    shared = [noise * tensors_of(rng, 3, observable) for _ in range(n_frames)]
    predictions = [
        np.stack(
            [y + e + noise * tensors_of(rng, 3, observable) for _ in range(n_members)]
        )
        for y, e in zip(labels, shared, strict=True)
    ]
    return predictions, labels


def measured(observable, predictions, labels):
    n = len(labels)
    return measure_test_errors(
        observable, predictions, labels, [NUMBERS] * n, [MASSES] * n
    )


@pytest.mark.parametrize("observable", ["ir", "raman"])
def test_epsilon_and_bias_are_those_of_the_training(observable):
    predictions, labels = frames_of(np.random.default_rng(1), observable)
    found = measured(observable, predictions, labels)
    wrong = np.concatenate([p.mean(axis=0) for p in predictions]) - np.concatenate(
        labels
    )
    wanted = spectral_errors(
        wrong,
        np.concatenate(labels),
        np.tile(MASSES, len(labels)),
        APT if observable == "ir" else PGT,
    )
    names = {"ir": "ir"} if observable == "ir" else {
        "raman_iso": "isotropic", "raman_aniso": "anisotropic",
    }  # fmt: skip
    for kind, name in names.items():
        assert found.kinds[kind].epsilon == pytest.approx(wanted[name]["epsilon"])
        assert found.kinds[kind].bias == pytest.approx(wanted[name]["bias"])
    for each in found.kinds.values():
        assert each.shift == pytest.approx(2 * each.bias + each.epsilon**2)


@pytest.mark.parametrize("kind", KINDS["raman"])
def test_components_of_currents_are_those_of_tensors_times_velocities(kind):
    rng = np.random.default_rng(2)
    pgt = tensors_of(rng, 5, "raman")
    velocities = rng.normal(size=(5, 3))
    current = polarizability_velocity(pgt.reshape(5, 3, 3, 3), velocities)
    size = (current_components(kind, current) ** 2).sum()
    alpha = np.einsum("iabc,ic->ab", pgt.reshape(5, 3, 3, 3), velocities)
    mean = np.trace(alpha) / 3
    rest = alpha - mean * np.eye(3)
    a, b = WEIGHTS[kind]
    assert size == pytest.approx(a * mean**2 + 1.5 * b * (rest**2).sum())
    # Thermal velocities: the mean of the square is the sum of squares over atoms.
    draws = rng.normal(size=(40_000, 5, 3))
    alphas = np.einsum("iabc,tic->tab", pgt.reshape(5, 3, 3, 3), draws)
    voigt = alphas[:, (0, 1, 2, 0, 0, 1), (0, 1, 2, 1, 2, 2)]
    squares = (current_components(kind, voigt) ** 2).sum(axis=1).mean()
    wanted = (tensor_components(kind, pgt) ** 2).sum()
    assert squares == pytest.approx(wanted, rel=0.03)


@pytest.mark.parametrize(("observable", "dimensions"), [
    ("ir", {"0e": 1, "1e": 3, "2e": 5}),
    ("raman", {"1o": 6, "2o": 5, "3o": 7}),
])  # fmt: skip
def test_irreps_are_orthogonal_parts_of_their_dimension(observable, dimensions):
    tensors = tensors_of(np.random.default_rng(3), 50, observable)
    parts = irrep_parts(observable, tensors)
    assert {name: np.linalg.matrix_rank(p) for name, p in parts.items()} == dimensions
    np.testing.assert_allclose(sum(parts.values()), tensors, atol=1e-12)
    names = list(parts)
    for k, one in enumerate(names):
        for other in names[k + 1 :]:
            products = parts[one] @ parts[other].T
            assert np.abs(products).max() < 1e-12 * np.abs(tensors).max() ** 2 * 27


def test_irreps_turn_into_themselves():
    rng = np.random.default_rng(4)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    pgt = tensors_of(rng, 4, "raman")

    def turned(tensors):
        shaped = tensors.reshape(-1, 3, 3, 3)
        found = np.einsum("ax,by,cz,ixyz->iabc", turn, turn, turn, shaped)
        return found.reshape(tensors.shape)

    after, before = irrep_parts("raman", turned(pgt)), irrep_parts("raman", pgt)
    for name, part in before.items():
        np.testing.assert_allclose(after[name], turned(part), atol=1e-12)


def test_shares_of_elements_and_irreps_add_up_to_one():
    predictions, labels = frames_of(np.random.default_rng(5), "raman")
    found = measured("raman", predictions, labels)
    assert {(p.number, p.irrep) for p in found.parts} == {
        (z, irrep) for z in (1, 8) for irrep in ("1o", "2o", "3o")
    }
    assert sum(part.share for part in found.parts) == pytest.approx(1)
    assert [p.share for p in found.parts] == sorted(
        (p.share for p in found.parts), reverse=True
    )


def test_standard_errors_are_the_scatter_of_other_sets_of_frames():
    rng = np.random.default_rng(6)
    values, errors = [], []
    for _ in range(100):
        found = measured("ir", *frames_of(rng, "ir", n_frames=12)).kinds["ir"]
        values.append((found.epsilon, found.bias, found.shift, found.factor))
        errors.append(
            (
                found.epsilon_error,
                found.bias_error,
                found.shift_error,
                found.factor_error,
            )
        )
    ratio = np.sqrt(np.mean(np.square(errors), axis=0)) / np.std(values, axis=0)
    np.testing.assert_allclose(ratio, 1, atol=0.2)


def test_the_calibration_gives_back_the_errors_of_the_held_out_frames():
    predictions, labels = frames_of(np.random.default_rng(7), "ir")
    found = measured("ir", predictions, labels).kinds["ir"]
    weights = 1 / MASSES
    variance = sum(weights @ p.var(axis=0, ddof=1).sum(axis=1) for p in predictions)
    size = sum(weights @ (y**2).sum(axis=1) for y in labels)
    assert found.factor * variance / size == pytest.approx(found.epsilon**2)
    mean = sum(weights @ (p.mean(axis=0) ** 2).sum(axis=1) for p in predictions)
    expected = found.hidden * mean + found.seen * variance
    assert expected / size == pytest.approx(found.epsilon**2)


def test_errors_of_members_that_share_nothing_are_seen_and_not_hidden():
    rng = np.random.default_rng(8)
    labels = [tensors_of(rng, 3, "ir") for _ in range(200)]
    sizes = [np.exp(rng.normal(size=(3, 1))) for _ in labels]
    predictions = [
        np.stack([y + 0.1 * s * rng.normal(size=(3, 9)) for _ in range(4)])
        for y, s in zip(labels, sizes, strict=True)
    ]
    own = measured("ir", predictions, labels).kinds["ir"]
    assert own.seen == pytest.approx(1 / 4, rel=0.15)
    assert own.hidden < 0.1 * own.epsilon**2
    same = [p + 0.3 * y for p, y in zip(predictions, labels, strict=True)]
    shared = measured("ir", same, labels).kinds["ir"]
    assert shared.hidden * 1.3**2 == pytest.approx(0.3**2, rel=0.25)
    assert shared.bias == pytest.approx(0.3, abs=0.03)


def test_members_that_agree_have_no_factor_but_an_error():
    rng = np.random.default_rng(9)
    labels = [tensors_of(rng, 3, "ir") for _ in range(3)]
    found = measured("ir", [np.stack([1.1 * y] * 2) for y in labels], labels)
    assert np.isnan(found.kinds["ir"].factor)
    assert found.kinds["ir"].epsilon == pytest.approx(0.1)
    assert found.kinds["ir"].hidden == pytest.approx(0.01 / 1.21)


def test_a_single_frame_has_no_standard_error():
    predictions, labels = frames_of(np.random.default_rng(10), "ir", n_frames=1)
    assert np.isnan(measured("ir", predictions, labels).kinds["ir"].epsilon_error)


def test_errors_survive_json():
    predictions, labels = frames_of(np.random.default_rng(11), "raman")
    found = measured("raman", predictions, labels)
    again = TestErrors.from_dict(json.loads(json.dumps(found.as_dict())))
    assert again == found


def test_what_does_not_fit_is_refused():
    predictions, labels = frames_of(np.random.default_rng(12), "ir", n_frames=2)
    with pytest.raises(SettingsError, match="at least one held-out frame"):
        measure_test_errors("ir", [], [], [], [])
    with pytest.raises(ShapeError, match="two members or more"):
        measured("ir", [p[:1] for p in predictions], labels)
    with pytest.raises(ShapeError, match="a number and a mass"):
        measure_test_errors("ir", predictions, labels, [NUMBERS] * 2, [MASSES[:2]] * 2)
    with pytest.raises(ShapeError, match="needs 27 components"):
        measured("raman", predictions, labels)
    with pytest.raises(SettingsError, match="unknown spectrum 'vcd'"):
        tensor_components("vcd", labels[0])


def test_errors_of_opposite_sign_in_two_directions_have_no_bias_but_can_be_in_phase():
    """P = 1 is 10 % too large for moves along one axis, too small along another."""
    rng = np.random.default_rng(3)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    off = turn @ np.diag([0.1, -0.1, 0.0]) @ turn.T
    label = np.tile(np.eye(3).ravel(), (3, 1))
    predictions = [np.stack([label + off.ravel()] * 2) for _ in range(4)]
    found = measured("ir", predictions, [label] * 4).kinds["ir"]
    assert found.bias == pytest.approx(0, abs=1e-12)
    assert found.phased == pytest.approx(0.2 / 3)
    # An error that turns a moment without making it longer is never in phase.
    askew = np.cross(np.eye(3), [0.1, 0.2, 0.3]).ravel()
    predictions = [np.stack([label + askew] * 2) for _ in range(4)]
    found = measured("ir", predictions, [label] * 4).kinds["ir"]
    assert found.epsilon > 0.1
    assert found.phased == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("kind", ["ir", "raman_iso", "raman_vv", "raman_aniso"])
def test_what_can_be_in_phase_is_between_the_bias_and_epsilon(kind):
    observable = "ir" if kind == "ir" else "raman"
    predictions, labels = frames_of(np.random.default_rng(4), observable)
    found = measured(observable, predictions, labels).kinds[kind]
    assert abs(found.bias) < found.phased < found.epsilon
