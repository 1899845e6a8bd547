"""Training: it learns, repeats itself to the bit, and goes on where it stopped."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mimyria.data import Scaling
from mimyria.data.dataset import TensorDataset, read_dataset
from mimyria.errors import IncompatibleError, ModelError, SettingsError
from mimyria.frame import Frame
from mimyria.models import load_model, model_card, read_metadata
from mimyria.targets import APT, PGT, targets_by_name
from mimyria.training import (
    ModelText,
    Training,
    TrainingSettings,
    cross_validate,
    finish,
    prediction_errors,
)
from mimyria.training.metrics import spectral_errors
from mimyria.training.settings import learning_rate
from tests.unit.training.conftest import TINY, WATER

SHORT = TrainingSettings(epochs=6, batch_size=2, checkpoint_every=2)


@pytest.fixture(scope="module", params=["apt", "pgt", "joint"])
def dataset(request):
    return read_dataset(WATER, targets_by_name(request.param)).subset([0, 1, 2])


def training_of(dataset, **changes):
    return Training(dataset, dataset.species, TINY, replace(SHORT, **changes))


def weights(training):
    return {name: value.numpy().tobytes() for name, value in training.averages.items()}


def test_training_reduces_the_loss(dataset, tmp_path):
    training = training_of(dataset, epochs=40)
    training.run(tmp_path)
    losses = [row[2] for row in training.curve]
    assert np.mean(losses[-3:]) < 0.5 * losses[0]


def test_same_seed_gives_the_same_weights_and_another_seed_others(dataset, tmp_path):
    results = []
    for seed in (1, 1, 2):
        training = training_of(dataset, seed=seed)
        training.run(tmp_path)
        results.append(weights(training))
    assert results[0] == results[1]
    assert results[0] != results[2]


@pytest.mark.parametrize("stop", [2, 3])
def test_interrupted_and_resumed_equals_uninterrupted(dataset, tmp_path, stop):
    straight = training_of(dataset)
    straight.run(tmp_path)
    folder = tmp_path / "interrupted"
    folder.mkdir()
    training_of(dataset).run(folder, until=stop)
    resumed = training_of(dataset)
    resumed.resume(folder)
    assert resumed.epoch == stop
    resumed.run(folder)
    assert weights(resumed) == weights(straight)
    assert resumed.curve == straight.curve
    name = "learning-curve.csv"
    assert (folder / name).read_text() == (tmp_path / name).read_text()


def test_training_killed_between_checkpoints_repeats_the_lost_epochs(water, tmp_path):
    class KilledError(Exception):
        pass

    def kill(epoch, _loss):
        if epoch == 5:
            raise KilledError

    straight, killed, resumed = (training_of(water) for _ in range(3))
    straight.run(tmp_path)
    folder = tmp_path / "killed"
    folder.mkdir()
    with pytest.raises(KilledError):
        killed.run(folder, kill)
    resumed.resume(folder)
    assert resumed.epoch == 4
    resumed.run(folder)
    assert weights(resumed) == weights(straight)


def test_checkpoint_of_another_training_is_refused(water, tmp_path):
    training_of(water).run(tmp_path, until=2)
    with pytest.raises(
        IncompatibleError, match=r"another training: [a-z_]+ is \S+ there and \S+ here"
    ):
        training_of(water, peak_rate=0.5).resume(tmp_path)
    with pytest.raises(IncompatibleError, match="frames is"):
        training_of(water.subset([0, 1])).resume(tmp_path)


def test_missing_and_damaged_checkpoints_are_refused(water, tmp_path):
    with pytest.raises(ModelError, match="There is no checkpoint"):
        training_of(water).resume(tmp_path)
    (tmp_path / "checkpoint.safetensors").write_bytes(b"torn")
    with pytest.raises(ModelError, match=r"cannot be read .* Start without --resume"):
        training_of(water).resume(tmp_path)


def test_learning_curve_has_names_and_units_first(water, tmp_path):
    training_of(water, epochs=2).run(tmp_path)
    lines = (tmp_path / "learning-curve.csv").read_text().splitlines()
    assert lines[:2] == ["epoch,learning_rate,loss,validation_loss", "1,1,1,1"]
    assert len(lines) == 4


def test_learning_rate_rises_then_falls_to_zero():
    settings = TrainingSettings(peak_rate=0.1, warmup=0.2)
    rates = [learning_rate(settings, step, 100) for step in range(100)]
    assert 15 <= int(np.argmax(rates)) <= 25
    assert rates[0] < 0.01
    assert rates[-1] < 1e-4
    assert max(rates) <= 0.1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "epochs must be positive"),
        ({"weight_decay": -1.0}, "weight_decay must not be negative"),
        ({"averaging": 1.0}, "averaging must be at least 0 and less than 1"),
        ({"colour": 3}, "Unknown training settings"),
    ],
)
def test_bad_training_settings_are_refused(change, message):
    with pytest.raises(SettingsError, match=message):
        TrainingSettings.from_dict({**SHORT.as_dict(), **change})


def test_finished_model_holds_what_was_measured(dataset, tmp_path):
    parts = dataset.split(1, seed=1)
    training = Training(parts[0], dataset.species, TINY, SHORT)
    training.run(tmp_path)
    path = tmp_path / "m.mimyria"
    text = ModelText("m", "For a test.", ("Nothing real.",))
    metadata = finish(training, TINY, parts, text, path)
    assert read_metadata(path).as_dict() == metadata.as_dict()
    answers = [
        tensors.columns(dataset.targets)
        for tensors in load_model(path).predict(parts[1].frames)
    ]
    again = prediction_errors(parts[1], answers, (1, 8), metadata.scaling)
    for name, errors in again.items():
        stored = metadata.errors["test"][name]
        assert errors["rmse"] == pytest.approx(stored["rmse"], rel=1e-5)
    card = model_card(metadata)
    for part in ("# m", "For a test.", "- Nothing real.", dataset.sha256, "| O |"):
        assert part in card


def test_cross_validation_predicts_every_frame(water, tmp_path):
    epochs = []
    errors = cross_validate(
        water, TINY, replace(SHORT, epochs=2), tmp_path, lambda e, _: epochs.append(e)
    )
    assert errors["apt"]["frames"] == 3
    assert epochs == [1, 2] * 3
    assert errors["apt"]["relative"] > 0.1


def test_errors_are_zero_for_perfect_and_one_for_the_best_constant():
    rng = np.random.default_rng(3)
    frame = Frame(np.array([1, 1, 8]), np.eye(3), np.eye(3) * 9, None, 0)
    labels = rng.normal(size=(3, 9))
    dataset = TensorDataset((APT,), (frame,), (labels,), (0,), "x", "")
    scaling = Scaling.neutral(2, 9)
    perfect = prediction_errors(dataset, [labels], (1, 8), scaling)["apt"]
    assert perfect["relative"] < 1e-15
    nothing = prediction_errors(dataset, [0 * labels], (1, 8), scaling)["apt"]
    assert nothing["relative"] == pytest.approx(1)
    assert nothing["rmse"] == pytest.approx(np.sqrt((labels**2).mean()))
    hydrogen = nothing["elements"]["H"]
    assert hydrogen["rmse"] == pytest.approx(np.sqrt((labels[:2] ** 2).mean()))
    trace = np.trace(labels[2].reshape(3, 3)) / np.sqrt(3)
    assert nothing["elements"]["O"]["irreps"]["0e"]["rmse"] == pytest.approx(abs(trace))
    assert nothing["sum_rule"]["labels"] == np.abs(labels.sum(axis=0)).max()
    assert nothing["spectral"]["ir"] == pytest.approx({"epsilon": 1, "bias": -1})


def test_a_scale_of_the_labels_is_an_error_of_the_intensity():
    rng = np.random.default_rng(4)
    labels = rng.normal(size=(5, 27))
    masses = np.array([1.008, 1.008, 15.999, 1.008, 12.011])
    found = spectral_errors(0.1 * labels, labels, masses, PGT)
    for name in ("raman", "isotropic", "anisotropic"):
        assert found[name] == pytest.approx({"epsilon": 0.1, "bias": 0.1})
    # An isotropic error is none of the anisotropic spectrum.
    trace = np.einsum("ab,ic->iabc", np.eye(3), rng.normal(size=(5, 3)))
    found = spectral_errors(trace.reshape(5, -1), labels, masses, PGT)
    assert found["anisotropic"]["epsilon"] < 1e-15
    weights = 1 / masses
    sizes = [(tensor.reshape(5, -1) ** 2).sum(axis=1) for tensor in (trace, labels)]
    wanted = np.sqrt((weights * sizes[0]).sum() / (weights * sizes[1]).sum())
    assert found["raman"]["epsilon"] == pytest.approx(wanted)


def test_training_leaves_the_global_state_of_torch_alone(water, tmp_path):
    torch.manual_seed(4)
    wanted = torch.rand(3)
    torch.manual_seed(4)
    training_of(water, epochs=1).run(tmp_path)
    assert torch.equal(torch.rand(3), wanted)
    assert torch.get_default_dtype() is torch.float32
