"""A committee in the evaluator: strange frames are noticed, counted and kept."""

import json
import logging
from dataclasses import replace

import numpy as np
import pytest
from analytic import (
    ScriptedSource,
    arrivals,
    description,
    make_settings,
    serve,
    trajectory,
)

from mimyria.data.dataset import TensorDataset
from mimyria.io import read_extxyz
from mimyria.models import NetworkSettings, load_model
from mimyria.storage import read_result
from mimyria.targets import APT
from mimyria.training import (
    ModelText,
    Training,
    TrainingSettings,
    finish,
    join_members,
)
from mimyria_driver.reading import read_journal
from mimyria_driver.sources import Ended, Started

N_FRAMES = 24
STRANGE = 17
SETTINGS = TrainingSettings(epochs=2, test_frames=0, split_seed=0)
TINY = NetworkSettings((4, 3, 2), 2, "natural", 2, 2.5, 4, 8)


def frames():
    """One of them was pressed together."""
    known = trajectory(N_FRAMES)
    odd = known[STRANGE]
    known[STRANGE] = replace(odd, positions=0.45 * odd.positions)
    return known


@pytest.fixture(scope="module")
def committee(tmp_path_factory):
    """Two networks that were trained on the quiet part of the run."""
    folder = tmp_path_factory.mktemp("committee")
    known = tuple(trajectory(4))
    labels = tuple(np.random.default_rng(0).normal(size=(6, 9)) for _ in known)
    dataset = TensorDataset((APT,), known, labels, (0, 1, 2, 3), "frames", "0" * 64)
    members = []
    for seed in (1, 2):
        training = Training(dataset, (1, 8), TINY, replace(SETTINGS, seed=seed))
        training.run(folder)
        members.append(folder / f"{seed}.mimyria")
        parts = (dataset, dataset.subset([]))
        finish(training, TINY, parts, ModelText("m"), members[-1])
    path = folder / "two.mimyria"
    join_members(members, dataset, ModelText("two"), path)
    return path


def run(folder, committee, n_frames, **models):
    names = {"apt": str(committee), "pgt": None, **models}
    settings = make_settings(folder, models=names)
    events = [Started(description()), *arrivals(frames()[:n_frames]), Ended("")]
    assert serve(settings, ScriptedSource(events)) == 0


def test_strange_frames_are_kept_and_counted(tmp_path, committee, caplog):
    with caplog.at_level(logging.WARNING):
        run(tmp_path, committee, N_FRAMES)
    model = load_model(committee)
    wanted = [known["apt"].excess for _, known in model.predict_uncertain(frames())]
    found = [record.excess for record in read_journal(tmp_path / "journal")]
    np.testing.assert_allclose(found, wanted, rtol=1e-4)
    assert wanted[STRANGE] > 2 > max(np.delete(wanted, STRANGE))
    (kept,) = read_extxyz(tmp_path / "uncertain.extxyz")
    assert kept.frame.step == frames()[STRANGE].step
    np.testing.assert_allclose(kept.frame.positions, frames()[STRANGE].positions)
    assert kept.info["uncertainty"] == pytest.approx(wanted[STRANGE], rel=1e-4)
    status = json.loads((tmp_path / "status.json").read_text())
    assert status["uncertain"] == 1
    assert status["last_uncertain"] == frames()[STRANGE].step
    assert read_result(tmp_path / "spectrum.h5").provenance["uncertain_frames"] == 1
    assert caplog.text.count("is unlike what the networks were trained on") == 1


def test_a_continued_run_counts_each_once(tmp_path, committee):
    for n_frames in (STRANGE + 3, N_FRAMES):
        run(tmp_path, committee, n_frames)
    status = json.loads((tmp_path / "status.json").read_text())
    assert status["uncertain"] == 1
    assert len(list(read_extxyz(tmp_path / "uncertain.extxyz"))) == 1


def test_the_limit_is_the_users(tmp_path, committee):
    run(tmp_path, committee, N_FRAMES, uncertain_above=1e6)
    assert json.loads((tmp_path / "status.json").read_text())["uncertain"] == 0
    assert not (tmp_path / "uncertain.extxyz").exists()
