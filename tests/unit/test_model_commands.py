"""The commands train, export, predict and info, from the command line inwards."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from mimyria.cli import main
from mimyria.io import read_extxyz
from mimyria.models import load_model

WATER = Path(__file__).parents[1] / "data" / "water16-rpbe" / "configurations.extxyz"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A model trained for two epochs, not good for anything."""
    path = tmp_path_factory.mktemp("trained") / "apt.mimyria"
    arguments = ["train", str(WATER), "--target", "apt", "--output", str(path)]
    assert main([*arguments, "--epochs", "2", "--cutoff", "2.5"]) == 0
    return path


def test_train_writes_model_checkpoint_and_learning_curve(trained):
    names = {path.name for path in trained.with_suffix(".work").iterdir()}
    assert names == {
        "checkpoint.safetensors",
        "learning-curve.csv",
        "learning-curve.png",
        "parity-apt.png",
        "report.html",
    }
    metadata = load_model(trained).metadata
    assert metadata.cutoff == 2.5
    assert len(metadata.training["train_frames"]) == 6
    assert metadata.errors["test"]["apt"]["frames"] == 1


def test_resumed_command_gives_the_same_model(trained, tmp_path, capsys):
    def run(*more):
        path = tmp_path / "apt.mimyria"
        arguments = ["train", str(WATER), "--target", "apt", "--output", str(path)]
        return main([*arguments, "--epochs", "2", "--cutoff", "2.5", *more]), path

    work = str(trained.with_suffix(".work"))
    code, path = run("--work-dir", work, "--resume")
    assert code == 0
    assert path.read_bytes() == trained.read_bytes()
    code, _ = run("--resume")
    assert code == 66
    assert "There is no checkpoint" in capsys.readouterr().err


def test_export_predict_and_info_work_together(trained, tmp_path, capsys):
    deployed, predicted = tmp_path / "apt.pt", tmp_path / "predicted.extxyz"
    assert main(["export", str(trained), str(deployed)]) == 0
    assert "self-test ok" in capsys.readouterr().out
    arguments = ["predict", str(deployed), str(WATER), "--output", str(predicted)]
    assert main(arguments) == 0
    frames = [labelled.frame for labelled in read_extxyz(WATER)]
    wanted = load_model(trained).predict(frames)
    found = [labelled.tensors.apt for labelled in read_extxyz(predicted)]
    assert len(found) == 7
    for one, other in zip(found, wanted, strict=True):
        assert np.abs(one - other.apt).max() < 1e-5
    capsys.readouterr()
    assert main(["info", str(deployed)]) == 0
    assert "# apt" in capsys.readouterr().out
    assert main(["info", str(trained), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["targets"][0]["unit"] == "e"
    digest = hashlib.sha256(trained.read_bytes()).hexdigest()
    assert document["file_sha256"] == digest


def test_info_without_a_model_lists_those_that_are_shipped(capsys):
    assert main(["info"]) == 0
    out = capsys.readouterr().out
    assert "water-compact-apt" in out
    assert "water-compact-pgt" in out


def test_two_models_of_one_target_are_refused(trained, tmp_path, capsys):
    output = str(tmp_path / "x")
    arguments = ["predict", str(trained), str(trained), str(WATER), "--output", output]
    assert main(arguments) == 78
    assert "one model for each target" in capsys.readouterr().err


def test_missing_model_is_one_line_on_stderr(tmp_path, capsys):
    assert main(["info", str(tmp_path / "none")]) == 66
    err = capsys.readouterr().err
    assert "There is no model file" in err
    assert err.count("\n") == 1
