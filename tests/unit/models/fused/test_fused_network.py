"""The fused network against the trained one, and against plain e3nn."""

import pytest
import torch
from fused_cases import (
    FRAMES,
    TRICLINIC,
    arguments,
    e3nn_network,
    fused,
    random_frame,
    reference,
)

from mimyria.models import NetworkSettings
from mimyria.models.deployed import script_network
from mimyria.models.fused.fusing import fuse_network

TOLERANCE = {"float32": 3e-6, "float64": 1e-9}
TARGETS = ("apt", "pgt", "joint")
PRESETS = ("compact", "reference")
CUTOFF = {"compact": 4.0, "reference": 6.0}

# What imported networks have.
WEIGHED = {
    "radial_basis": "bumps",
    "weighed_messages": True,
    "embedding_channels": 2,
}

# What the presets do not have: one layer, no harmonics, l without harmonics of its own,
# l of features beyond those of the result, weighed messages.
UNUSUAL = {
    "one layer": NetworkSettings((4,), 2, "both", 1, 4.0, 4, 8),
    "scalars": NetworkSettings((5,), 1, "both", 2, 4.0, 4, 8),
    "few harmonics": NetworkSettings((4, 3, 2), 1, "both", 4, 4.0, 4, 8, True),
    "high l": NetworkSettings((3, 2, 2, 2, 1), 4, "natural", 2, 4.0, 4, 8),
    "weighed": NetworkSettings((4, 3, 2), 2, "both", 2, 4.0, 4, 8, **WEIGHED),
    "weighed, one layer": NetworkSettings((4,), 3, "both", 1, 4.0, 4, 8, **WEIGHED),
}


def relative(found, wanted):
    return float((found.double() - wanted).abs().max() / wanted.abs().max())


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("settings", PRESETS)
def test_fused_network_equals_plain_e3nn(settings, target, dtype, backend):
    frame, cutoff = FRAMES["triclinic"], min(CUTOFF[settings], 4.5)
    network = reference(target, settings)
    with torch.inference_mode():
        wanted = e3nn_network(network)(*arguments([frame], cutoff))
        ours = network(*arguments([frame], cutoff))
        found = fused(target, settings, dtype)(*arguments([frame], cutoff, dtype))
    assert relative(ours, wanted) < 1e-12
    assert found.dtype == getattr(torch, dtype)
    assert relative(found, wanted) < TOLERANCE[dtype]


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("target", TARGETS)
def test_any_frame_gives_what_the_trained_network_gives(frame, target, dtype, backend):
    with torch.inference_mode():
        wanted = reference(target, "compact")(*arguments([FRAMES[frame]], 4.0))
        found = fused(target, "compact", dtype)(*arguments([FRAMES[frame]], 4.0, dtype))
    # The PGT of a lone atom is zero; what is left is rounding.
    size = max(float(wanted.abs().max()), 0.1)
    assert (found.double() - wanted).abs().max() < TOLERANCE[dtype] * size


@pytest.mark.parametrize("name", UNUSUAL)
@pytest.mark.parametrize("target", TARGETS)
def test_unusual_architectures_are_right(name, target, backend):
    given = arguments([FRAMES["triclinic"]], 4.0)
    with torch.inference_mode():
        wanted = reference(target, UNUSUAL[name])(*given)
        found = fused(target, UNUSUAL[name], "float64")(*given)
    assert (found - wanted).abs().max() < 1e-9 * max(float(wanted.abs().max()), 0.1)


def test_network_of_single_precision_can_be_fused_and_is_left_as_it_was():
    network = reference("apt", "compact")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    single = fuse_network(network, torch.float32)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])
    numbers = {value.dtype for value in single.buffers() if value.is_floating_point()}
    assert numbers == {torch.float32}
    assert not list(single.parameters())


def test_order_of_the_edges_does_not_matter(backend):
    species, receivers, senders, vectors = arguments([FRAMES["triclinic"]], 4.0)
    order = torch.randperm(len(senders), generator=torch.Generator().manual_seed(1))
    network = fused("apt", "compact", "float64")
    wanted = network(species, receivers, senders, vectors)
    found = network(species, receivers[order], senders[order], vectors[order])
    assert relative(found, wanted) < 1e-13


def test_pieces_of_receivers_give_the_bits_of_the_whole(monkeypatch, compiler):
    given = arguments([random_frame(30, TRICLINIC * 1.6)], 4.0)
    network = fused("pgt", "compact", "float64")
    wanted = network(*given)
    for layer in network.layers:
        monkeypatch.setattr(layer, "receivers_at_once", 7)
    found = network(*given)
    assert relative(found, wanted) < 1e-14


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_scripted_network_gives_the_same_bits_from_the_first_call(dtype, backend):
    network = fused("apt", "compact", dtype)
    given = arguments([FRAMES["triclinic"]], 4.0, dtype)
    scripted = script_network(network)
    with torch.inference_mode():
        wanted = network(*given)
        for _ in range(4):
            assert torch.equal(scripted(*given), wanted)


def test_fused_network_of_one_dtype_serves_both_backends_alike(compiler, monkeypatch):
    given = arguments([FRAMES["crowded"]], 6.0)
    network = fused("apt", "reference", "float64")
    answers = []
    for kernel in ("cpp", "torch"):
        monkeypatch.setenv("MIMYRIA_KERNEL", kernel)
        answers.append(network(*given))
    assert relative(answers[0], answers[1]) < 1e-13
