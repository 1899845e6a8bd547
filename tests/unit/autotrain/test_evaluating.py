"""Evaluating: the charge of a frame is that of the code, or of its molecules."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mimyria.autotrain.context import Context
from mimyria.autotrain.evaluating import evaluate_frames
from mimyria.autotrain.evaluation import read_evaluation
from mimyria.autotrain.settings import load_settings
from mimyria.autotrain.state import RunFolder
from mimyria.data.scaling import Scaling
from mimyria.frame import Frame
from mimyria.io import LabelledFrame, write_extxyz
from mimyria.models import ModelMetadata, TensorModel
from mimyria.models.network import target_irreps
from mimyria.targets import APT, PGT
from mimyria.tensors import Tensors
from tests.random_models import TINY

SETTINGS = """\
[autotrain]
trajectories = ["a.extxyz"]
[dynamics]
timestep = 0.5
[code]
kind = "tblite"
method = "GFN1-xTB"
charge = -2
"""
# A hydroxide and a water, far from each other.
NUMBERS = np.array([8, 1, 8, 1, 1])
POSITIONS = np.array(
    [[2, 2, 2], [2.97, 2, 2], [6, 6, 6], [6.96, 6, 6], [5.76, 6.93, 6.0]]
)
DRIFT = np.array([1e-3, -2e-3, 5e-4])  # Å/fs
MOVED = Frame(NUMBERS, POSITIONS, 12 * np.eye(3), np.tile(DRIFT, (5, 1)), 0)


@pytest.fixture
def moved(tmp_path):
    """The file of a trajectory whose atoms all move alike."""
    write_extxyz(tmp_path / "a.extxyz", [LabelledFrame(MOVED, Tensors())])
    return tmp_path / "a.extxyz"


@pytest.fixture
def committee(monkeypatch):
    """Two networks that say anything, of a model that keeps the sum rule."""
    targets = (APT, PGT)
    scaling = Scaling.neutral(2, target_irreps(targets).dim)
    settings = replace(TINY, sum_rule="project")
    metadata = ModelMetadata("two", targets, settings, (1, 8), 5.0, scaling, members=2)

    def anything(species, receivers, senders, vectors):
        return torch.ones(len(species), 72, dtype=vectors.dtype).cumsum(0)

    def load(path, device):
        return TensorModel(anything, metadata, torch.device(device))

    monkeypatch.setattr("mimyria.autotrain.evaluating.load_model", load)


def context(folder, text=SETTINGS):
    (folder / "run.toml").write_text(text)
    return Context(load_settings(folder / "run.toml"), RunFolder(folder / "run"), None)


@pytest.mark.usefixtures("committee")
def test_a_charged_system_that_drifts_is_a_current_of_its_charge(tmp_path, moved):
    task = {
        "models": ["committee.mimyria"],
        "trajectory": moved.name,
        "types": [],
        "velocities_unit": "",
        "n_frames": 1,
        "charge": -2.0,
        "currents": True,
        "device": "cpu",
    }
    evaluate_frames(tmp_path, task, lambda fraction: None)
    found = read_evaluation(tmp_path).currents
    assert found["apt"].shape == (1, 2, 3)
    for dipole, polarizability in zip(found["apt"][0], found["pgt"][0], strict=True):
        np.testing.assert_allclose(dipole, -2.0 * DRIFT, atol=1e-12)
        np.testing.assert_allclose(polarizability, 0.0, atol=1e-11)


def test_the_charge_is_that_of_the_code_or_of_all_molecules(tmp_path, moved):
    assert context(tmp_path).charge == -2
    cut = SETTINGS + "[clusters]\nradius = 4.0\n"
    assert context(tmp_path, cut).charge == 0
    assert context(tmp_path, cut + 'charges = ["HO: -1"]\n').charge == -1
