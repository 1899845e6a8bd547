"""What every network must keep to: one class of laws, for APT, PGT and both at once.

Networks are the trained one ("e3nn"), and the one made of it for inference, with either
code that does its work ("torch", "cpp") and as TorchScript.
"""

import copy
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from mimyria.data.scaling import Scaling
from mimyria.frame import Frame
from mimyria.models import (
    ModelMetadata,
    NetworkSettings,
    TensorModel,
    build_network,
    preset,
)
from mimyria.models.deployed import script_network
from mimyria.models.fused import compiled
from mimyria.models.fused.fusing import fuse_network
from mimyria.models.network import irrep_blocks
from mimyria.targets import targets_by_name

TOLERANCE = {"float32": 1e-5, "float64": 1e-10}
MODES = ("e3nn", "torch", "cpp", "scripted")
SPECIES = (1, 8)
# What `mimyria import model` makes, of a size that is quick to build.
IMPORTED = NetworkSettings(
    channels=(4, 3, 2),
    lmax_sphere=2,
    parity="both",
    n_layers=2,
    cutoff=4.0,
    n_radial=5,
    radial_width=16,
    radial_basis="bumps",
    weighed_messages=True,
    embedding_channels=2,
)


def random_scaling(targets):
    """Shift of scalars and scale of each irrep, as a training would give them."""
    rng = np.random.default_rng(5)
    blocks = irrep_blocks(targets)
    shift = np.zeros((len(SPECIES), blocks[-1].stop))
    scale = np.ones_like(shift)
    for block in blocks:
        scale[:, block.start : block.stop] = rng.uniform(0.5, 2.0, (2, 1))
        if block.is_scalar:
            shift[:, block.start : block.stop] = rng.normal(size=(2, 1))
    return Scaling(shift, scale)


@cache
def trained(learns, architecture):
    """A network whose weights are all random."""
    targets = targets_by_name(learns)
    imported = architecture == "imported"
    settings = IMPORTED if imported else preset(architecture, learns)
    scaling = random_scaling(targets)
    network = build_network(
        targets, settings, 2, 20.0, scaling, seed=3, dtype=torch.float64
    )
    generator = torch.Generator().manual_seed(4)
    for name, parameter in network.named_parameters():
        if "weigh." in name:  # zero at first, which would hide what it multiplies
            torch.nn.init.normal_(parameter, std=10.0, generator=generator)
    return network.eval(), settings, scaling


@cache
def fused(learns, architecture, dtype):
    network, _, _ = trained(learns, architecture)
    return fuse_network(network, getattr(torch, dtype))


@cache
def model(learns, architecture, mode, dtype):
    """The network in one of `MODES`."""
    network, settings, scaling = trained(learns, architecture)
    if mode == "e3nn":
        network = copy.deepcopy(network).to(getattr(torch, dtype))
    else:
        network = fused(learns, architecture, dtype)
    if mode == "scripted":
        network = script_network(network)
    metadata = ModelMetadata(
        "random", targets_by_name(learns), settings, SPECIES, 20.0, scaling,
        dtype=dtype,
    )  # fmt: skip
    return TensorModel(network, metadata, torch.device("cpu"))


def water_frame():
    """Two waters and a stray hydrogen in a left-handed triclinic box."""
    positions = np.array(
        [
            [0.0, 0.0, 0.0],
            [0.76, 0.59, 0.05],
            [-0.74, 0.6, -0.1],
            [2.6, 1.1, 2.2],
            [3.1, 1.9, 2.3],
            [2.9, 0.6, 3.0],
            [1.2, 3.4, 1.0],
        ]
    )
    cell = np.array([[5.6, 0.3, -0.4], [1.9, 0.2, 5.1], [-0.7, 4.9, 1.1]])
    assert np.linalg.det(cell) < 0
    return Frame(np.array([8, 1, 1, 8, 1, 1, 1]), positions, cell, None, 0)


def rotation_matrix():
    rng = np.random.default_rng(8)
    matrix, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    return matrix * np.sign(np.linalg.det(matrix))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("architecture", ["compact", "reference", "imported"])
class NetworkContract:
    learns = "apt"

    def answer(self, variant, *frames):
        return model(self.learns, *variant).predict(list(frames))

    @pytest.fixture
    def variant(self, architecture, mode, dtype, monkeypatch):
        if mode == "cpp" and not compiled.is_available(demanded=False):
            pytest.skip("no C++ compiler here")
        if mode in ("cpp", "torch"):
            monkeypatch.setenv("MIMYRIA_KERNEL", mode)
        return architecture, mode, dtype

    def assert_close(self, found, wanted, dtype, sense=lambda tensor: tensor):
        """Each target of `found` equals that of `wanted`, after `sense`."""
        for target in targets_by_name(self.learns):
            one, other = (getattr(each, target.name) for each in (found, wanted))
            other = sense(other)
            size = np.abs(other).max()
            assert size > 0.1
            assert np.abs(one - other).max() < TOLERANCE[dtype] * size

    @pytest.mark.parametrize("sign", [1, -1], ids=["proper", "improper"])
    def test_rotated_frame_gives_rotated_tensors(self, variant, dtype, sign):
        frame, matrix = water_frame(), sign * rotation_matrix()
        turned = replace(
            frame, positions=frame.positions @ matrix.T, cell=frame.cell @ matrix.T
        )
        before, after = self.answer(variant, frame)[0], self.answer(variant, turned)[0]
        self.assert_close(after, before.rotated(matrix), dtype)

    def test_inverted_frame_gives_tensors_of_their_parity(self, variant, dtype):
        frame = water_frame()
        inverted = replace(frame, positions=-frame.positions, cell=-frame.cell)
        before, after = (self.answer(variant, f)[0] for f in (frame, inverted))
        # An APT has two indices, a PGT three.
        self.assert_close(after, before, dtype, lambda t: (-1) ** (t.ndim - 1) * t)

    def test_permuted_atoms_give_permuted_tensors(self, variant, dtype):
        frame, order = water_frame(), np.array([3, 6, 0, 5, 1, 4, 2])
        permuted = replace(
            frame, numbers=frame.numbers[order], positions=frame.positions[order]
        )
        before, after = (self.answer(variant, f)[0] for f in (frame, permuted))
        self.assert_close(after, before, dtype, lambda tensor: tensor[order])

    def test_translation_and_other_images_change_nothing(self, variant, dtype):
        frame = water_frame()
        images = np.random.default_rng(2).integers(-2, 3, (frame.n_atoms, 3))
        moved = frame.positions + [0.3, -7.1, 2.2] + images @ frame.cell
        before, after = (
            self.answer(variant, f)[0] for f in (frame, replace(frame, positions=moved))
        )
        self.assert_close(after, before, dtype)

    def test_other_vectors_of_the_same_lattice_change_nothing(self, variant, dtype):
        frame = water_frame()
        other = np.array([[1, 1, 0], [0, 1, 0], [-1, 0, 1]]) @ frame.cell
        before, after = (
            self.answer(variant, f)[0] for f in (frame, replace(frame, cell=other))
        )
        self.assert_close(after, before, dtype)

    def test_supercell_repeats_the_tensors(self, variant, dtype):
        frame = water_frame()
        double = Frame(
            np.tile(frame.numbers, 2),
            np.concatenate([frame.positions, frame.positions + frame.cell[0]]),
            frame.cell * [[2], [1], [1]],
            None,
            0,
        )
        before, after = (self.answer(variant, f)[0] for f in (frame, double))
        self.assert_close(after, before, dtype, lambda t: np.concatenate([t, t]))

    def test_batch_equals_single_frames(self, variant, dtype):
        frame = water_frame()
        small = replace(frame, numbers=frame.numbers[:3], positions=frame.positions[:3])
        singles = [self.answer(variant, f)[0] for f in (frame, small, frame)]
        batch = self.answer(variant, frame, small, frame)
        for found, wanted in zip(batch, singles, strict=True):
            self.assert_close(found, wanted, dtype)

    def test_lone_atom_has_an_isotropic_tensor(self, variant, dtype):
        lone = Frame(
            np.array([8]), np.zeros((1, 3)), np.eye(3) * 30, None, 0, pbc=(False,) * 3
        )
        (answer,) = self.answer(variant, lone)
        if answer.apt is not None:
            isotropic = np.trace(answer.apt[0]) / 3 * np.eye(3)
            assert np.abs(answer.apt[0] - isotropic).max() < TOLERANCE[dtype]
        if answer.pgt is not None:
            assert np.abs(answer.pgt).max() < TOLERANCE[dtype]

    def test_same_frame_twice_gives_the_same_bits(self, variant, dtype):
        first, second = (self.answer(variant, water_frame())[0] for _ in range(2))
        targets = targets_by_name(self.learns)
        assert first.columns(targets).tobytes() == second.columns(targets).tobytes()

    def test_answer_has_the_shape_of_the_target_in_double(self, variant, dtype):
        (answer,) = self.answer(variant, water_frame())
        for target in targets_by_name(self.learns):
            tensor = getattr(answer, target.name)
            assert tensor.shape == (7, *target.shape)
            assert tensor.dtype == np.float64

    def test_first_two_indices_of_a_pgt_are_exactly_symmetric(self, variant, dtype):
        (answer,) = self.answer(variant, water_frame())
        if answer.pgt is not None:
            assert np.array_equal(answer.pgt, answer.pgt.transpose(0, 2, 1, 3))


class TestAptNetwork(NetworkContract):
    learns = "apt"


class TestPgtNetwork(NetworkContract):
    learns = "pgt"


class TestJointNetwork(NetworkContract):
    learns = "joint"


def columns(tensors, learns):
    return tensors.columns(targets_by_name(learns))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("mode", MODES[1:])
@pytest.mark.parametrize("learns", ["apt", "pgt", "joint"])
@pytest.mark.parametrize("architecture", ["compact", "reference", "imported"])
def test_all_ways_give_the_same_numbers(learns, architecture, mode, dtype, monkeypatch):
    if mode != "scripted":
        monkeypatch.setenv("MIMYRIA_KERNEL", "auto" if mode == "cpp" else mode)
    wanted, found = (
        columns(model(learns, architecture, *way).predict([water_frame()])[0], learns)
        for way in (("e3nn", "float64"), (mode, dtype))
    )
    tolerance = {"float32": 1e-5, "float64": 1e-8}[dtype]
    assert np.abs(found - wanted).max() < tolerance * np.abs(wanted).max()


@pytest.mark.parametrize("learns", ["apt", "pgt", "joint"])
def test_atoms_far_away_do_not_matter(learns):
    frame = water_frame()
    apart = replace(frame, cell=np.eye(3) * 40, pbc=(False, False, False))
    far = replace(
        apart,
        numbers=np.append(apart.numbers, 8),
        positions=np.vstack([apart.positions, [20.0, 20.0, 20.0]]),
    )
    network = model(learns, "compact", "cpp", "float64")
    alone, together = (
        columns(network.predict([frame])[0], learns) for frame in (apart, far)
    )
    assert np.abs(together[:-1] - alone).max() < 1e-12 * np.abs(alone).max()


@pytest.mark.parametrize("mode", ["e3nn", "cpp"])
@pytest.mark.parametrize("architecture", ["compact", "imported"])
def test_tensors_are_continuous_where_a_neighbour_crosses_the_cutoff(
    architecture, mode
):
    network = model("apt", architecture, mode, "float64")
    cutoff = network.metadata.cutoff
    answers = []
    for distance in (cutoff - 1e-5, cutoff + 1e-5):
        frame = Frame(
            np.array([8, 1]),
            np.array([[0.0, 0, 0], [0, 0, distance]]),
            np.eye(3) * 30,
            None,
            0,
            pbc=(False, False, False),
        )
        answers.append(network.predict([frame])[0].apt)
    assert np.abs(answers[0] - answers[1]).max() < 1e-10
