"""Scaling of targets, and datasets read from files."""

from pathlib import Path

import numpy as np
import pytest

from mimyria.data import IrrepBlock, Scaling, fit_scaling
from mimyria.data.dataset import read_dataset
from mimyria.errors import FormatError, SettingsError, ShapeError
from mimyria.frame import Frame
from mimyria.io import LabelledFrame, write_extxyz
from mimyria.models.coupling import change_of_basis
from mimyria.models.network import irrep_blocks
from mimyria.targets import APT, PGT
from mimyria.tensors import Tensors

WATER = Path(__file__).parents[2] / "data" / "water16-rpbe" / "configurations.extxyz"
BLOCKS = (IrrepBlock("0e", 0, 1), IrrepBlock("1e", 1, 4))


def test_normalised_training_targets_have_unit_size_for_each_species_and_irrep():
    rng = np.random.default_rng(1)
    species = rng.integers(0, 2, 500)
    values = rng.normal(size=(500, 4)) * [3, 0.2, 0.2, 0.2] + [5, 0, 0, 0]
    values[species == 1] *= 4
    scaling = fit_scaling(values, species, 2, BLOCKS)
    normalised = scaling.normalise(values, species)
    for kind in (0, 1):
        own = normalised[species == kind]
        assert np.isclose((own[:, 0] ** 2).mean(), 1)
        assert np.isclose((own[:, 1:] ** 2).mean(), 1)
        assert np.isclose(own[:, 0].mean(), 0, atol=1e-12)


def test_only_scalars_are_shifted_and_components_of_an_irrep_share_a_scale():
    values = np.random.default_rng(1).normal(size=(50, 4)) + 7
    scaling = fit_scaling(values, np.zeros(50, dtype=np.int64), 1, BLOCKS)
    assert scaling.shift[0, 0] == values[:, 0].mean()
    assert not scaling.shift[0, 1:].any()
    assert len(set(scaling.scale[0, 1:])) == 1


def test_species_without_data_and_vanishing_irreps_keep_a_positive_scale():
    values = np.zeros((4, 4))
    scaling = fit_scaling(values, np.zeros(4, dtype=np.int64), 2, BLOCKS)
    assert (scaling.scale > 0).all()
    again = Scaling.from_dict(scaling.as_dict())
    assert np.array_equal(again.scale, scaling.scale)


def test_shapes_of_a_scaling_are_checked():
    with pytest.raises(ShapeError, match="one common shape"):
        Scaling(np.zeros((2, 3)), np.ones((2, 4)))


@pytest.mark.parametrize("target", [APT, PGT], ids=lambda t: t.name)
def test_change_of_basis_is_orthonormal_and_keeps_every_allowed_tensor(target):
    basis = change_of_basis((target,)).numpy()
    assert np.abs(basis @ basis.T - np.eye(len(basis))).max() < 1e-14
    tensor = np.random.default_rng(0).normal(size=target.shape)
    if target is PGT:
        tensor = tensor + tensor.transpose(1, 0, 2)
    assert np.abs(basis.T @ (basis @ tensor.ravel()) - tensor.ravel()).max() < 1e-14
    assert irrep_blocks((target,))[-1].stop == len(basis)


@pytest.mark.parametrize("target", [APT, PGT], ids=lambda t: t.name)
def test_water_data_are_read_with_their_labels(target):
    dataset = read_dataset(WATER, (target,))
    assert len(dataset) == 7
    assert dataset.species == (1, 8)
    assert dataset.labels[0].shape == (48, target.n_components)
    assert len(dataset.sha256) == 64


def test_split_is_seeded_and_leaves_nothing_out():
    dataset = read_dataset(WATER, (APT,))
    train, test = dataset.split(2, seed=4)
    again, _ = dataset.split(2, seed=4)
    assert train.indices == again.indices
    assert sorted(train.indices + test.indices) == list(range(7))
    others = {dataset.split(2, seed=k)[1].indices for k in range(9)}
    assert len(others) > 1


@pytest.mark.parametrize("n_test", [-1, 7])
def test_split_keeps_a_frame_to_train_on(n_test):
    with pytest.raises(SettingsError, match="hold out between 0 and 6"):
        read_dataset(WATER, (APT,)).split(n_test, seed=1)


def test_frame_without_the_label_is_named(tmp_path):
    frame = Frame(np.array([1]), np.zeros((1, 3)), np.eye(3) * 5, None, 0)
    labelled = LabelledFrame(frame, Tensors(apt=np.zeros((1, 3, 3))))
    path = tmp_path / "frames.extxyz"
    write_extxyz(path, [labelled])
    with pytest.raises(FormatError, match="frame 0 has no column REF_pgt"):
        read_dataset(path, (PGT,))
