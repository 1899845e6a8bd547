"""The models that come with mimyria do what their cards say."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mimyria.data.dataset import read_dataset
from mimyria.frame import Frame
from mimyria.models import (
    export_model,
    load_model,
    model_card,
    read_metadata,
    resolve_model,
    shipped_models,
)
from mimyria.training import prediction_errors

WATER = Path(__file__).parents[2] / "data" / "water16-rpbe" / "water16-rpbe.extxyz"
TARGETS = {
    "water-compact-apt": ("apt",),
    "water-compact-pgt": ("pgt",),
    "water-compact-joint": ("apt", "pgt"),
    "water-compact-committee": ("apt", "pgt"),
}
NAMES = tuple(TARGETS)

# What a spectrum feels of the errors on the held-out frames, eq. (93).
LARGEST_EPSILON = {"ir": 0.05, "raman": 0.10}


@pytest.fixture(scope="module", params=NAMES)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def model(name):
    return load_model(name)


@pytest.fixture(scope="module")
def dataset(model):
    return read_dataset(WATER, model.targets)


def columns(model, frames):
    """Components of all targets side by side, for each frame."""
    return [tensors.columns(model.targets) for tensors in model.predict(frames)]


def squeezed(frame):
    """The same water at twice its density: nothing like it was seen in training."""
    scale = 2 ** (-1 / 3)
    return replace(frame, positions=scale * frame.positions, cell=scale * frame.cell)


def sixty_four_waters(frame):
    """Four copies of sixteen waters, slightly disordered: 192 atoms."""
    shifts = [(i * frame.cell[0] + j * frame.cell[1]) for i in (0, 1) for j in (0, 1)]
    positions = np.concatenate([frame.positions + shift for shift in shifts])
    positions += np.random.default_rng(0).normal(scale=0.03, size=positions.shape)
    cell = frame.cell * [[2], [2], [1]]
    return Frame(np.tile(frame.numbers, 4), positions, cell, None, 0)


def test_shipped_models_are_those_that_are_announced():
    assert set(shipped_models()) == set(NAMES)


def test_name_and_target_of_the_file_agree(name, model):
    assert model.metadata.name == name
    assert model.metadata.target_names == TARGETS[name]
    assert model.metadata.species == (1, 8)


def test_test_error_on_the_card_is_found_again_on_the_held_out_frame(model, dataset):
    metadata = model.metadata
    assert metadata.training["data_sha256"] == dataset.sha256
    held_out = dataset.subset(metadata.training["test_frames"])
    assert not set(metadata.training["train_frames"]) & set(held_out.indices)
    answers = columns(model, held_out.frames)
    found = prediction_errors(held_out, answers, metadata.species, metadata.scaling)
    for target in metadata.target_names:
        again, stored = found[target], metadata.errors["test"][target]
        assert again["relative"] == pytest.approx(stored["relative"], rel=1e-4)
        for symbol in ("H", "O"):
            for irrep, values in stored["elements"][symbol]["irreps"].items():
                one = again["elements"][symbol]["irreps"][irrep]
                assert one["rmse"] == pytest.approx(values["rmse"], rel=1e-3)
        for kind in LARGEST_EPSILON.keys() & again["spectral"].keys():
            assert again["spectral"][kind]["epsilon"] < LARGEST_EPSILON[kind]


def test_the_committee_is_sure_of_what_it_knows_and_not_of_what_is_squeezed():
    model = load_model("water-compact-committee")
    dataset = read_dataset(WATER, model.targets)
    known, far = (
        model.predict_uncertain([frame])[0][1]
        for frame in (dataset.frames[0], squeezed(dataset.frames[0]))
    )
    for target in ("apt", "pgt"):
        assert known[target].excess <= 1.001
        assert far[target].excess > 2
        assert far[target].epsilon > 2 * known[target].epsilon


def test_predictions_for_192_atoms_are_finite_and_of_the_right_size(model, dataset):
    frame = sixty_four_waters(dataset.frames[0])
    (answer,) = columns(model, [frame])
    assert answer.shape == (192, dataset.labels[0].shape[1])
    assert np.isfinite(answer).all()
    sizes = [np.abs(label).max() for label in dataset.labels]
    assert np.abs(answer).max() < 1.5 * max(sizes)


def test_batch_equals_single_frames(model, dataset):
    frames = [*dataset.frames[:2], sixty_four_waters(dataset.frames[2])]
    singles = [columns(model, [frame])[0] for frame in frames]
    for one, other in zip(columns(model, frames), singles, strict=True):
        assert np.abs(one - other).max() < 1e-5 * np.abs(other).max()


def test_deployed_twin_gives_the_same_numbers(name, model, dataset, tmp_path):
    export_model(resolve_model(name), tmp_path / "deployed.pt")
    deployed = load_model(tmp_path / "deployed.pt")
    assert deployed.metadata.as_dict() == model.metadata.as_dict()
    (one,), (other,) = (columns(m, dataset.frames[:1]) for m in (model, deployed))
    assert np.abs(one - other).max() < 1e-5 * np.abs(one).max()


def test_card_beside_the_model_is_the_one_made_from_its_metadata(name):
    path = shipped_models()[name]
    card = path.with_suffix(".md").read_text(encoding="utf-8")
    assert card == model_card(read_metadata(path))
    for heading in ("## What it is not for", "Held-out frames", "Sum rule"):
        assert heading in card
