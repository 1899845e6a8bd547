"""Acoustic sum rules: reported, projected or built in, for every frame and charge."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mimyria.data.dataset import read_dataset
from mimyria.errors import SettingsError
from mimyria.models import load_model
from mimyria.models.sumrule import without_residual
from mimyria.targets import targets_by_name
from mimyria.training import ModelText, Training, TrainingSettings, finish
from tests.unit.training.conftest import TINY, WATER

SETTINGS = TrainingSettings(epochs=4, batch_size=2)


@pytest.fixture(scope="module")
def dataset():
    return read_dataset(WATER, targets_by_name("joint")).subset([0, 1, 2])


def model_of(dataset, folder, sum_rule):
    network = replace(TINY, sum_rule=sum_rule)
    parts = dataset.subset([0, 1]), dataset.subset([2])
    training = Training(parts[0], (1, 8), network, SETTINGS)
    training.run(folder)
    path = folder / f"{sum_rule.replace(' ', '')}.mimyria"
    metadata = finish(training, network, parts, ModelText("m"), path)
    return load_model(path), metadata, training


@pytest.mark.parametrize("charge", [0.0, -2.0])
@pytest.mark.parametrize("sum_rule", ["project", "built in"])
def test_the_sums_are_what_they_must_be(dataset, tmp_path, sum_rule, charge):
    charged = replace(dataset, charges=(0.0, 0.0, charge))
    model, metadata, _ = model_of(charged, tmp_path, sum_rule)
    frames = dataset.frames[1:]
    for tensors, total in zip(
        model.predict(frames, [0.0, charge]), (0.0, charge), strict=True
    ):
        rest = tensors.sum_rule_residual(total)
        assert np.abs(rest.apt).max() < 1e-12
        assert np.abs(rest.pgt).max() < 1e-11
    if charge == 0:
        found = metadata.errors["test"]["apt"]["sum_rule"]
        assert found["predicted"] < 1e-12 < found["labels"]


def test_without_it_they_are_broken(dataset, tmp_path):
    model, metadata, _ = model_of(dataset, tmp_path, "report")
    (tensors,) = model.predict(dataset.frames[:1])
    assert np.abs(tensors.sum_rule_residual().apt).max() > 1e-3
    assert metadata.errors["test"]["apt"]["sum_rule"]["predicted"] > 1e-3


def test_projection_changes_finished_predictions_only(dataset, tmp_path):
    (_, _, plain), (_, _, projected), (_, _, built_in) = (
        model_of(dataset, tmp_path, name) for name in ("report", "project", "built in")
    )
    for name, value in plain.weights.items():
        assert torch.equal(projected.weights[name], value)
    assert any(
        not torch.equal(built_in.weights[name], value)
        for name, value in plain.weights.items()
    )


def test_the_smallest_weighted_change_is_made(rng):
    values, shares = rng.normal(size=(7, 9)), rng.uniform(0.5, 2, size=(7, 1))
    shares = np.repeat(shares, 9, axis=1)
    wanted = rng.normal(size=(2, 9))
    frames = np.array([0, 0, 0, 1, 1, 1, 1])
    found = without_residual(*map(torch.from_numpy, (values, shares, frames, wanted)))
    change = found.numpy() - values
    for frame in range(2):
        own = frames == frame
        assert found.numpy()[own].sum(axis=0) == pytest.approx(wanted[frame])
        # Lagrange: change/share is the same for all atoms of a frame.
        ratio = change[own] / shares[own]
        assert np.abs(ratio - ratio[0]).max() < 1e-12


def test_an_unknown_way_is_refused():
    with pytest.raises(SettingsError, match="sum_rule must be one of"):
        replace(TINY, sum_rule="hope")
