"""Training and errors with labels of some atoms: the others count for nothing."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mimyria.data import Scaling
from mimyria.data.dataset import TensorDataset
from mimyria.data.graph import batch_graph
from mimyria.errors import FormatError, ShapeError
from mimyria.frame import Frame
from mimyria.models import model_card
from mimyria.models.coupling import change_of_basis
from mimyria.models.network import irrep_blocks
from mimyria.targets import APT
from mimyria.training import (
    ModelText,
    Training,
    TrainingSettings,
    cross_validate,
    finish,
    prediction_errors,
)
from mimyria.training.loss import irrep_loss, irrep_weights
from mimyria.training.samples import (
    dataset_scaling,
    join_samples,
    make_samples,
    mean_neighbours,
)
from tests.unit.training.conftest import TINY

SHORT = TrainingSettings(epochs=3, batch_size=2, checkpoint_every=3)
# Molecules of three atoms; of each frame other ones, and another number of them.
CHOSEN = ((0, 1, 2, 9, 10, 11), (3, 4, 5), tuple(range(30, 45)))


def masked(dataset, chosen=CHOSEN, garbage=0.0):
    """The dataset with labels of the chosen atoms only, garbage in all other rows."""
    masks = tuple(
        np.isin(np.arange(frame.n_atoms), atoms)
        for frame, atoms in zip(dataset.frames, chosen, strict=True)
    )
    labels = tuple(
        np.where(mask[:, None], label, garbage)
        for mask, label in zip(masks, dataset.labels, strict=True)
    )
    return replace(dataset, masks=masks, labels=labels)


def smaller(dataset):
    """Frames of different size: molecules are left away at the end of two of them."""
    sizes = (48, 45, 48)
    return replace(
        dataset,
        frames=tuple(
            Frame(f.numbers[:n], f.positions[:n], f.cell, None, f.step)
            for f, n in zip(dataset.frames, sizes, strict=True)
        ),
        labels=tuple(x[:n] for x, n in zip(dataset.labels, sizes, strict=True)),
    )


def weights(dataset, folder):
    training = Training(dataset, (1, 8), TINY, SHORT)
    training.run(folder)
    return {name: value.numpy().tobytes() for name, value in training.averages.items()}


def test_garbage_without_a_label_changes_no_bit_of_the_weights(water, tmp_path):
    results = [
        weights(masked(water, garbage=garbage), tmp_path)
        for garbage in (0.0, 1e30, np.nan)
    ]
    assert results[0] == results[1] == results[2]
    other = masked(water, (CHOSEN[0], (6, 7, 8), CHOSEN[2]))
    assert weights(other, tmp_path) != results[0]


def test_masks_that_leave_nothing_out_give_the_weights_of_no_masks(water, tmp_path):
    frames = smaller(water)
    everything = [tuple(range(frame.n_atoms)) for frame in frames.frames]
    assert weights(masked(frames, everything), tmp_path) == weights(frames, tmp_path)


def samples_of(dataset):
    graphs = [batch_graph([frame], (1, 8), 2.5) for frame in dataset.frames]
    scaling = dataset_scaling(dataset, (1, 8))
    return make_samples(dataset, graphs, scaling), scaling, graphs


def test_the_loss_of_a_batch_is_the_mean_over_its_labelled_atoms(water, rng):
    dataset = masked(smaller(water), garbage=np.nan)
    samples, scaling, _ = samples_of(dataset)
    batch = join_samples(samples)
    n_atoms = sum(frame.n_atoms for frame in dataset.frames)
    predicted = torch.from_numpy(rng.normal(size=(n_atoms, 9))).requires_grad_()
    weight = torch.from_numpy(np.tile(irrep_weights(irrep_blocks((APT,))), (2, 1)))
    labelled = predicted.index_select(0, batch.labelled)
    loss = irrep_loss(labelled, batch.wanted, batch.weighted(weight)) / len(labelled)
    loss.backward()
    basis, total, offset = change_of_basis((APT,)).numpy(), [], 0
    labelled = np.zeros(n_atoms, bool)
    for frame, label, atoms in zip(dataset.frames, dataset.labels, CHOSEN, strict=True):
        for atom in atoms:
            kind = {1: 0, 8: 1}[int(frame.numbers[atom])]
            wanted = (basis @ label[atom].ravel() - scaling.shift[kind]) / (
                scaling.scale[kind]
            )
            guess = predicted.detach().numpy()[offset + atom]
            total.append((weight[0].numpy() * (guess - wanted) ** 2).sum())
            labelled[offset + atom] = True
        offset += frame.n_atoms
    assert float(loss.detach()) == pytest.approx(np.mean(total), rel=1e-12)
    gradient = predicted.grad.numpy()
    assert not gradient[~labelled].any()
    assert (gradient[labelled] != 0).all()


def test_scaling_and_neighbours_are_those_of_labelled_atoms(water):
    dataset = masked(water, garbage=np.nan)
    _, scaling, graphs = samples_of(dataset)
    basis = change_of_basis((APT,)).numpy()
    traces = [
        (basis @ label[atom].ravel())[0]
        for frame, label, atoms in zip(water.frames, water.labels, CHOSEN, strict=True)
        for atom in atoms
        if frame.numbers[atom] == 8
    ]
    assert len(traces) == 8
    assert scaling.shift[1, 0] == pytest.approx(np.mean(traces), rel=1e-12)
    assert scaling.scale[1, 0] == pytest.approx(np.std(traces), rel=1e-9)
    means = [
        np.mean([(graph.receivers == atom).sum() for atom in atoms])
        for graph, atoms in zip(graphs, CHOSEN, strict=True)
    ]
    assert mean_neighbours(dataset, graphs) == pytest.approx(np.mean(means), rel=1e-12)


def test_errors_count_labelled_atoms_only_as_a_naive_loop_does(water, rng):
    dataset = masked(smaller(water), garbage=np.nan)
    scaling = dataset_scaling(dataset, (1, 8))
    guesses = [rng.normal(size=label.shape) for label in dataset.labels]
    found = prediction_errors(dataset, guesses, (1, 8), scaling)["apt"]
    squares, per_element = [], {"H": [], "O": []}
    for frame, label, guess, atoms in zip(
        dataset.frames, dataset.labels, guesses, CHOSEN, strict=True
    ):
        for atom in atoms:
            for a in range(3):
                for b in range(3):
                    square = (guess[atom, 3 * a + b] - label[atom, 3 * a + b]) ** 2
                    squares.append(square)
                    symbol = "O" if frame.numbers[atom] == 8 else "H"
                    per_element[symbol].append(square)
    assert found["atoms"] == 24
    assert found["rmse"] == pytest.approx(np.sqrt(np.mean(squares)), rel=1e-12)
    for symbol, values in per_element.items():
        element = found["elements"][symbol]
        assert element["rmse"] == pytest.approx(np.sqrt(np.mean(values)), rel=1e-12)


def test_sum_rules_are_reported_for_whole_frames_only(water, rng):
    everything = tuple(range(48))
    guesses = [rng.normal(size=label.shape) for label in water.labels]
    scaling = Scaling.neutral(2, 9)
    dataset = masked(water, (CHOSEN[0], everything, CHOSEN[2]), garbage=np.nan)
    rule = prediction_errors(dataset, guesses, (1, 8), scaling)["apt"]["sum_rule"]
    assert rule == {
        "frames": 1,
        "predicted": np.abs(guesses[1].sum(axis=0)).max(),
        "labels": np.abs(water.labels[1].sum(axis=0)).max(),
    }
    rule = prediction_errors(masked(water), guesses, (1, 8), scaling)["apt"]["sum_rule"]
    assert rule == {"frames": 0, "predicted": None, "labels": None}


def test_the_card_says_what_was_left_out(water, tmp_path):
    dataset = masked(water, garbage=np.nan)
    parts = dataset.subset([0, 1]), dataset.subset([2])
    training = Training(parts[0], (1, 8), TINY, replace(SHORT, epochs=1))
    training.run(tmp_path)
    path = tmp_path / "m.mimyria"
    metadata = finish(training, TINY, parts, ModelText("m"), path)
    assert metadata.errors["test"]["apt"]["atoms"] == 15
    card = model_card(metadata)
    assert "Sum rule: left out, since no frame has labels of all its atoms" in card
    assert "(96 atoms, 9 of them with labels)" in card
    one_whole = {"frames": 1, "predicted": 0.5, "labels": 0.25}
    changed = {**metadata.errors["train"]["apt"], "sum_rule": one_whole}
    errors = {"train": {"apt": changed}}
    card = model_card(metadata.with_changes(errors=errors))
    assert "Sum rule over 1 frame(s) (1 with labels of some atoms left out)" in card


def test_cross_validation_counts_labelled_atoms_only(water, tmp_path):
    dataset = masked(water, garbage=np.nan).subset([0, 1])
    errors = cross_validate(dataset, TINY, replace(SHORT, epochs=1), tmp_path)["apt"]
    assert errors["atoms"] == 9
    assert np.isfinite(errors["rmse"])


def test_labels_that_a_mask_promises_must_be_there(water):
    broken = [label.copy() for label in water.labels]
    broken[1][4, 0] = np.nan
    with pytest.raises(FormatError, match="apt of atom 4 is not finite"):
        replace(water, labels=tuple(broken))


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ((np.ones(2, bool), np.zeros(2, bool)), "frame 6 has no atom with a label"),
        ((np.ones(2, bool), np.ones(3, bool)), "for each of the 2 atoms"),
        ((np.ones(2, bool),), "a mask for each of the 2 frames, but there are 1"),
    ],
)
def test_masks_of_a_dataset_are_checked(masks, message):
    frame = Frame(np.array([1, 8]), np.eye(3)[:2], np.eye(3) * 9, None, 0)
    labels = (np.zeros((2, 9)),) * 2
    with pytest.raises(ShapeError, match=message):
        TensorDataset((APT,), (frame, frame), labels, (5, 6), "x", "", masks)
