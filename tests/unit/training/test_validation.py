"""Validation: the best epoch is kept, patience ends a training, a resume keeps both."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mimyria.data.dataset import read_dataset
from mimyria.errors import SettingsError
from mimyria.models import load_model
from mimyria.targets import APT, targets_by_name
from mimyria.training import ModelText, Training, TrainingSettings, finish, split_frames
from mimyria.training.report import write_report
from tests.unit.training.conftest import TINY, WATER

SETTINGS = TrainingSettings(
    epochs=8, batch_size=2, checkpoint_every=2, validation_frames=1, validate_every=2
)


@pytest.fixture(scope="module")
def parts():
    dataset = read_dataset(WATER, (APT,)).subset([0, 1, 2, 3])
    return split_frames(dataset, SETTINGS)


def training_of(parts, **changes):
    settings = replace(SETTINGS, **changes)
    return Training(parts[0], (1, 8), TINY, settings, parts[1])


def test_frames_are_split_without_overlap(parts):
    found = [index for part in parts for index in part.indices]
    assert [len(part) for part in parts] == [2, 1, 1]
    assert sorted(found) == [0, 1, 2, 3]


def test_the_best_epoch_is_the_one_of_the_curve(parts, tmp_path):
    training = training_of(parts)
    training.run(tmp_path)
    validated = {row.epoch: row.validation for row in training.curve if row.validation}
    assert list(validated) == [2, 4, 6, 8]
    assert training.best.epoch == min(validated, key=validated.get)
    again = training.best.validated(training.weights)
    assert again == pytest.approx(validated[training.best.epoch], rel=1e-12)
    text = (tmp_path / "learning-curve.csv").read_text().splitlines()
    assert text[2].endswith(",")
    assert float(text[3].split(",")[3]) == pytest.approx(validated[2], rel=1e-5)


def test_patience_ends_a_training_that_gets_no_better(parts, tmp_path):
    # So large a rate that the first validation stays the best.
    training = training_of(parts, peak_rate=3.0, epochs=60, patience=4)
    training.run(tmp_path)
    assert training.is_over
    assert training.epoch == training.best.epoch + 4 < 60
    first = {row.epoch: row.validation for row in training.curve}[training.best.epoch]
    assert training.best.loss == first


@pytest.mark.parametrize("stop", [3, 6])
def test_the_best_epoch_survives_an_interruption(parts, tmp_path, stop):
    straight = training_of(parts)
    straight.run(tmp_path)
    folder = tmp_path / "interrupted"
    folder.mkdir()
    training_of(parts).run(folder, until=stop)
    resumed = training_of(parts)
    resumed.resume(folder)
    resumed.run(folder)
    assert resumed.curve == straight.curve
    assert (resumed.best.epoch, resumed.best.loss) == (
        straight.best.epoch,
        straight.best.loss,
    )
    for name, value in straight.weights.items():
        assert torch.equal(resumed.weights[name], value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"patience": 3, "validation_frames": 0}, "patience needs frames to validate"),
        ({"spectral_loss": 1.5}, "spectral_loss must be from 0 to 1"),
        ({"validate_every": 0}, "validate_every must be positive"),
        ({"dtype": "half"}, "dtype must be one of"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(SettingsError, match=message):
        replace(SETTINGS, **changes)


def test_double_precision_and_the_loss_of_the_spectrum(parts, tmp_path):
    training = training_of(parts, dtype="float64", spectral_loss=1.0, epochs=30)
    training.run(tmp_path)
    assert training.curve[-1].loss < 0.7 * training.curve[0].loss
    path = tmp_path / "m.mimyria"
    metadata = finish(training, TINY, (parts[0], parts[2]), ModelText("m"), path)
    assert metadata.dtype == "float64"
    assert metadata.training["validation_frames"] == list(parts[1].indices)
    assert metadata.training["best_epoch"] == training.best.epoch
    assert load_model(path).metadata.errors["test"]["apt"]["spectral"]["ir"]


def test_the_report_shows_curve_and_parity(tmp_path):
    dataset = read_dataset(WATER, targets_by_name("joint")).subset([0, 1, 2])
    parts = split_frames(dataset, SETTINGS)
    training = training_of(parts, epochs=2)
    training.run(tmp_path)
    metadata = finish(
        training, TINY, (parts[0], parts[2]), ModelText("<joint>"), tmp_path / "m"
    )
    rng = np.random.default_rng(0)
    guesses = [rng.normal(size=label.shape) for label in parts[2].labels]
    shown = [("test", parts[2], guesses), ("none", dataset.subset([]), [])]
    page = write_report(tmp_path, metadata, training.curve, shown)
    text = page.read_text()
    for name in ("learning-curve", "parity-apt", "parity-pgt"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert f'alt="{name}"' in text
    assert "&lt;joint&gt;" in text
    assert "<joint>" not in text
