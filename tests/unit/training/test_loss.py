"""Weights of the loss: by irrep and target alike, or as the spectrum feels them."""

import numpy as np
import pytest
import torch

from mimyria.data.dataset import read_dataset
from mimyria.data.graph import batch_graph, species_indices
from mimyria.models.coupling import change_of_basis
from mimyria.models.network import irrep_blocks
from mimyria.targets import APT, PGT
from mimyria.training.loss import (
    irrep_loss,
    irrep_weights,
    loss_weights,
    spectral_weights,
)
from mimyria.training.metrics import spectral_errors
from mimyria.training.samples import dataset_scaling, join_samples, make_samples
from tests.unit.training.conftest import WATER

MASSES = np.array([1.008, 15.999])


def test_every_target_and_every_irrep_has_its_share():
    blocks = irrep_blocks((APT, PGT))
    weights = irrep_weights(blocks)
    assert weights.sum() == pytest.approx(1)
    assert weights[:9].sum() == pytest.approx(0.5)
    sums = [weights[block.start : block.stop].sum() for block in blocks]
    assert sums == pytest.approx([1 / 6] * 3 + [1 / 8] * 4)


@pytest.mark.parametrize("targets", [(APT,), (PGT,), (APT, PGT)], ids=len)
def test_the_spectral_loss_is_the_square_of_epsilon(targets, rng):
    dataset = read_dataset(WATER, targets).subset([0, 1])
    scaling = dataset_scaling(dataset, (1, 8))
    blocks = irrep_blocks(targets)
    kinds = species_indices(dataset.labelled_numbers, (1, 8))
    weights = spectral_weights(blocks, scaling, kinds, MASSES)
    table = loss_weights(irrep_weights(blocks), weights, 1.0)
    graphs = [batch_graph([frame], (1, 8), 2.0) for frame in dataset.frames]
    batch = join_samples(make_samples(dataset, graphs, scaling))
    wrong = batch.wanted + torch.from_numpy(rng.normal(size=batch.wanted.shape))
    loss = float(irrep_loss(wrong, batch.wanted, batch.weighted(table)))
    nothing = float(irrep_loss(0 * wrong, batch.wanted, batch.weighted(table)))
    # The best constant has the loss 1 for each atom.
    assert nothing / len(kinds) == pytest.approx(1)
    basis = change_of_basis(targets).numpy()
    change = (wrong - batch.wanted).numpy() * scaling.scale[kinds] @ basis
    centred = batch.wanted.numpy() * scaling.scale[kinds] @ basis
    squares = []
    for target in targets:
        columns = slice(0, 9) if target is APT else slice(-27, None)
        found = spectral_errors(
            change[:, columns], centred[:, columns], MASSES[kinds], target
        )
        squares.append(found["ir" if target is APT else "raman"]["epsilon"] ** 2)
    assert loss / len(kinds) == pytest.approx(np.mean(squares), rel=1e-6)


def test_part_of_the_loss_follows_the_spectrum():
    by_irrep, by_spectrum = np.array([0.5, 0.5]), np.array([[1.0, 3.0], [2.0, 0.0]])
    mixed = loss_weights(by_irrep, by_spectrum, 0.25).numpy()
    assert mixed == pytest.approx(np.array([[0.625, 1.125], [0.875, 0.375]]))
