"""Committees: one file of several networks, calibrated on what they never saw."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from ase.data import atomic_masses
from scipy.stats import spearmanr

from mimyria.cli import main
from mimyria.data import Scaling
from mimyria.data.dataset import read_dataset
from mimyria.errors import ModelError
from mimyria.frame import Frame
from mimyria.io import read_extxyz
from mimyria.models import export_model, load_model, model_card, read_metadata
from mimyria.models.committee import committee_scores
from mimyria.models.modelfile import read_model, save_model
from mimyria.targets import targets_by_name
from mimyria.training import (
    ModelText,
    Training,
    TrainingSettings,
    finish,
    join_members,
    split_frames,
)
from mimyria.training.calibration import _correlation, calibrate
from mimyria.training.loop import CHECKPOINT
from tests.unit.training.conftest import TINY, WATER

SETTINGS = TrainingSettings(epochs=3, split_seed=5, test_frames=2, peak_rate=0.03)
SEEDS = (1, 2)


@pytest.fixture(scope="module")
def dataset():
    return read_dataset(WATER, targets_by_name("joint")).subset([0, 1, 2, 3])


def trained(dataset, folder, network=TINY, **changes):
    settings = replace(SETTINGS, **changes)
    train, validation, test = split_frames(dataset, settings)
    training = Training(train, dataset.species, network, settings, validation)
    work = folder / f"seed-{settings.seed}"
    work.mkdir(parents=True)
    training.run(work)
    finish(training, network, (train, test), ModelText("m"), work / "m.mimyria")
    return work / "m.mimyria"


@pytest.fixture(scope="module")
def members(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("members")
    return [trained(dataset, folder, seed=seed) for seed in SEEDS]


@pytest.fixture(scope="module")
def committee(members, dataset, tmp_path_factory):
    path = tmp_path_factory.mktemp("committee") / "committee.mimyria"
    join_members(members, dataset, ModelText("pair"), path, path.parent)
    return path


def test_a_committee_gives_what_its_members_give(committee, members, dataset):
    frames = dataset.frames[:2]
    model = load_model(committee)
    assert model.metadata.members == 2
    for k, path in enumerate(members):
        for one, other in zip(
            model.predict_members(frames), load_model(path).predict(frames), strict=True
        ):
            wanted = other.columns(dataset.targets)
            assert np.abs(one[k] - wanted).max() < 1e-6 * np.abs(wanted).max()
    for tensors, each in zip(
        model.predict(frames), model.predict_members(frames), strict=True
    ):
        np.testing.assert_array_equal(
            tensors.columns(dataset.targets), each.mean(axis=0)
        )


def test_its_deployed_twin_gives_the_same_numbers(committee, dataset, tmp_path):
    export_model(committee, tmp_path / "committee.pt")
    model, deployed = load_model(committee), load_model(tmp_path / "committee.pt")
    assert deployed.metadata.as_dict() == model.metadata.as_dict()
    (one,), (other,) = (
        m.predict_uncertain(dataset.frames[:1]) for m in (model, deployed)
    )
    for target in ("apt", "pgt"):
        wanted = getattr(one[0], target)
        assert np.abs(getattr(other[0], target) - wanted).max() < 1e-5
        assert other[1][target].epsilon == pytest.approx(one[1][target].epsilon, 1e-3)


def test_calibrated_disagreement_is_the_error_on_the_held_out_frames(
    committee, dataset
):
    """By its definition: over all held-out atoms both add up to the same."""
    model = load_model(committee)
    test = dataset.subset(model.metadata.training["test_frames"])
    assert len(test) == 2
    answers = model.predict_uncertain(test.frames)
    for name, columns in dataset.columns.items():
        expected = measured = 0.0
        for (tensors, known), frame, label in zip(
            answers, test.frames, test.labels, strict=True
        ):
            inverse = 1 / atomic_masses[frame.numbers][:, None]
            found = tensors.columns(dataset.targets)[:, columns]
            size = float((found**2 * inverse).sum())
            expected += known[name].epsilon ** 2 * size
            measured += float(((found - label[:, columns]) ** 2 * inverse).sum())
        assert expected == pytest.approx(measured, rel=1e-6)
        assert model.metadata.uncertainty[name]["frames"] == 2
        found = model.metadata.uncertainty[name]
        assert 0 < found["within"] <= 1
        # Leaving out one of two frames leaves the factor of the other.
        factors = [alone(model, test.subset([k]), name) for k in (0, 1)]
        wanted = abs(factors[0] - factors[1]) / 2
        assert found["factor_error"] == pytest.approx(wanted, rel=1e-6)
        assert f"{found['factor']:.2f} ± {wanted:.2f}" in model_card(model.metadata)


def alone(model, test, name):
    """The factor by these frames alone."""
    return calibrate(model, test.subset([]), test)[name]["factor"]


def test_no_known_atom_is_stranger_than_the_strangest(committee, dataset):
    model = load_model(committee)
    training = model.metadata.training
    known = dataset.subset([*training["train_frames"], *training["test_frames"]])
    excesses = {
        name: [known[name].excess for _, known in model.predict_uncertain(known.frames)]
        for name in ("apt", "pgt")
    }
    for found in excesses.values():
        assert max(found) == pytest.approx(1.0)
    frame = known.frames[0]
    torn = Frame(
        frame.numbers,
        frame.cell[0] * 0.5 + 0.55 * (frame.positions - frame.cell[0] * 0.5),
        frame.cell,
        None,
        0,
    )
    ((_, found),) = model.predict_uncertain([torn])
    assert max(each.excess for each in found.values()) > 2.0


def test_card_and_report_tell_of_it(committee):
    metadata = read_metadata(committee)
    card = model_card(metadata)
    assert "2 networks of 2 convolutions" in card
    assert "## Uncertainty" in card
    assert [each["seed"] for each in metadata.training["members"]] == list(SEEDS)
    assert (committee.parent / "report.html").exists()
    assert not (committee.parent / "learning-curve.png").exists()


def test_predict_writes_what_is_known_beside_the_tensors(committee, tmp_path):
    out = tmp_path / "predicted.extxyz"
    assert main(["predict", str(committee), str(WATER), "--output", str(out)]) == 0
    frames = [each.frame for each in read_extxyz(WATER)]
    known = [each for _, each in load_model(committee).predict_uncertain(frames)]
    for written, wanted in zip(read_extxyz(out), known, strict=True):
        for name, uncertainty in wanted.items():
            found = written.info[f"{name}_epsilon"], written.info[f"{name}_excess"]
            assert found == pytest.approx((uncertainty.epsilon, uncertainty.excess))


def test_scores_of_the_known_frames_are_those_of_the_model(committee, dataset):
    model = load_model(committee)
    for part in ("train", "test"):
        chosen = dataset.subset(model.metadata.training[f"{part}_frames"])
        answers = model.predict_uncertain(chosen.frames)
        for name in ("apt", "pgt"):
            found = [known[name].excess for _, known in answers]
            scores = model.metadata.uncertainty[name]["scores"][part]
            assert scores["largest"] == pytest.approx(max(found), rel=1e-4)
            assert scores["median"] == pytest.approx(np.median(found), rel=1e-4)
            assert scores["median"] <= scores["p90"] <= scores["largest"]
    card = model_card(model.metadata)
    assert "**2 held-out frame(s) are few**" in card
    assert "| apt | training | " in card


def test_rank_correlation_is_taken_within_each_element():
    numbers = np.repeat([1, 8], 10)
    spreads = np.concatenate([np.arange(1, 11), 100.0 + np.arange(10)])
    assert _correlation(numbers, spreads, spreads**3) == pytest.approx(1)
    assert _correlation(numbers, spreads, 1 / spreads) == pytest.approx(-1)
    # Oxygen differs from hydrogen in both, and says nothing about which atom is wrong.
    shuffled = np.random.default_rng(0).permutation(np.arange(10))
    errors = np.concatenate([shuffled, 100.0 + shuffled])
    wanted = spearmanr(np.arange(10), shuffled).statistic
    assert _correlation(numbers, spreads, errors) == pytest.approx(wanted)
    assert _correlation(numbers, np.ones(20), errors) is None


def test_members_and_mean_keep_the_sum_rules_in_double_precision(dataset, tmp_path):
    network = replace(TINY, sum_rule="built in")
    few = dataset.subset([0, 1])
    paths = [
        trained(
            few, tmp_path, network, seed=k, epochs=1, test_frames=0, dtype="float64"
        )
        for k in (1, 2)
    ]
    join_members(paths, few, ModelText("kept"), tmp_path / "kept.mimyria")
    export_model(tmp_path / "kept.mimyria", tmp_path / "kept.pt")
    for name in ("kept.mimyria", "kept.pt"):
        model = load_model(tmp_path / name)
        assert model.metadata.dtype == "float64"
        (members,) = model.predict_members(few.frames[:1], [2.0])
        (mean,) = model.predict(few.frames[:1], [2.0])
        for tensors in (*members, mean.columns(few.targets)):
            left = tensors.sum(axis=0)
            np.testing.assert_allclose(left[:9].reshape(3, 3), 2 * np.eye(3), atol=1e-9)
            np.testing.assert_allclose(left[9:], 0, atol=1e-9)


def test_single_networks_know_nothing(members, dataset):
    ((_, known),) = load_model(members[0]).predict_uncertain(dataset.frames[:1])
    assert known == {}


def test_a_committee_scores_frames_as_its_members_do(committee, members, dataset):
    frames = dataset.frames[:2]
    for name in ("apt", "pgt"):
        one = committee_scores([str(committee)], frames, "cpu", target=name)
        other = committee_scores([str(path) for path in members], frames, "cpu", name)
        np.testing.assert_allclose(one, other, rtol=1e-4)


def test_without_held_out_frames_nothing_is_calibrated(dataset, tmp_path):
    few = dataset.subset([0, 1])
    paths = [trained(few, tmp_path, seed=seed, test_frames=0) for seed in (1, 2)]
    saved = join_members(paths, few, ModelText("two"), tmp_path / "two.mimyria")
    assert saved.uncertainty["apt"]["factor"] is None
    assert "1, not calibrated" in model_card(saved)
    ((_, known),) = load_model(tmp_path / "two.mimyria").predict_uncertain(
        few.frames[:1]
    )
    assert 0 < known["apt"].excess <= 1 + 1e-6


def test_what_does_not_belong_together_is_refused(members, dataset, tmp_path):
    def refused(paths, message, data=dataset):
        with pytest.raises(ModelError, match=message):
            join_members(paths, data, ModelText("x"), tmp_path / "x.mimyria")
        assert not (tmp_path / "x.mimyria").exists()

    refused(members[:1], "needs two models or more, not 1")
    refused([members[0], members[0]], r"seeds of their own, but have \[1, 1\]")
    wide = replace(TINY, radial_width=9)
    refused([members[0], trained(dataset, tmp_path / "a", wide, seed=9)], "network set")
    other = trained(dataset, tmp_path / "b", seed=8, split_seed=6)
    refused([members[0], other], "its train_frames are .*same --split-seed")
    scaled = tmp_path / "scaled.mimyria"
    file = read_model(members[1])
    scaling = Scaling(file.metadata.scaling.shift, 1.01 * file.metadata.scaling.scale)
    metadata = file.metadata.with_changes(scaling=scaling)
    save_model(scaled, metadata, file.weights, file.example)
    refused([members[0], scaled], "its scaling of the tensors is another one")
    altered = replace(dataset, sha256="0" * 64)
    refused(members, "is not what .* was trained on", altered)


def test_commands_make_the_same_committee_at_once_and_piece_by_piece(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("mimyria.models.preset", lambda *_: TINY)

    def train(*more):
        common = ("--target", "apt", "--epochs", "1", "--cutoff", "2.0")
        code = main(["train", str(WATER), *common, "--train-frames", "2", *more])
        assert code == 0

    at_once, joined = tmp_path / "at-once.mimyria", tmp_path / "joined.mimyria"
    train("--members", "2", "--seed", "3", "--output", str(at_once), "--name", "pair")
    pieces = []
    for seed in ("3", "4"):
        pieces.append(str(tmp_path / f"{seed}.mimyria"))
        train("--seed", seed, "--split-seed", "3", "--output", pieces[-1])
    options = ["--data", str(WATER), "--output", str(joined), "--name", "pair"]
    assert main(["committee", *pieces, *options]) == 0
    assert "## Uncertainty" in capsys.readouterr().out
    one, other = (load_model(path) for path in (at_once, joined))
    assert one.metadata.uncertainty == other.metadata.uncertainty
    assert json.dumps(one.metadata.errors) == json.dumps(other.metadata.errors)
    # What was trained is not trained again; what has not begun begins.
    before = at_once.read_bytes()
    work = at_once.with_suffix(".work")
    shutil.rmtree(work / "member-2")
    at_once.unlink()
    kept = (work / "member-1" / CHECKPOINT).stat().st_mtime_ns
    again = (
        "--members",
        "2",
        "--seed",
        "3",
        "--output",
        str(at_once),
        "--name",
        "pair",
    )
    train(*again, "--resume")
    assert at_once.read_bytes() == before
    assert (work / "member-1" / CHECKPOINT).stat().st_mtime_ns == kept
    capsys.readouterr()
    few = ["train", str(WATER), "--target", "apt", "--output", str(joined)]
    assert main([*few, "--members", "0"]) == 78
    assert "--members must be 1 or more, but is 0" in capsys.readouterr().err
    assert main(["committee", pieces[0], *options]) == 66
    assert "needs two models or more" in capsys.readouterr().err
