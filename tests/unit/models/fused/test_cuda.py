"""The fused network on a GPU against the same on the CPU; skipped without a GPU."""

import pytest
import torch
from fused_cases import FRAMES, TRICLINIC, arguments, fused, random_frame

from mimyria.models.deployed import script_network
from mimyria.models.fused import backend_name

pytestmark = pytest.mark.gpu
TOLERANCE = {"float32": 1e-5, "float64": 1e-10}


@pytest.fixture(params=["triton", "torch"])
def kernel(request, monkeypatch):
    """Each code that can do the convolution on a GPU."""
    monkeypatch.setenv("MIMYRIA_KERNEL", request.param)
    assert backend_name(torch.device("cuda")) == request.param


def both(network, given, scripted=False):
    """Answers of the CPU and the GPU."""
    with torch.inference_mode():
        here = network.to("cpu")(*given)
        there = script_network(network) if scripted else network
        answer = there.to("cuda")(*(tensor.to("cuda") for tensor in given))
    network.to("cpu")
    assert answer.device.type == "cuda"
    return here, answer.cpu()


@pytest.mark.parametrize("scripted", [False, True])
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("frame", FRAMES)
def test_gpu_gives_the_numbers_of_the_cpu(kernel, frame, dtype, scripted):
    given = arguments([FRAMES[frame]], 4.0, dtype)
    here, there = both(fused("joint", "compact", dtype), given, scripted)
    size = max(float(here.abs().max()), 0.1)
    assert (here - there).abs().max() < TOLERANCE[dtype] * size


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_reference_network_gives_the_numbers_of_the_cpu(kernel, dtype):
    given = arguments([FRAMES["crowded"]], 6.0, dtype)
    here, there = both(fused("apt", "reference", dtype), given)
    assert (here - there).abs().max() < TOLERANCE[dtype] * float(here.abs().max())


def test_gpu_gives_the_same_bits_every_time(kernel):
    given = arguments([random_frame(60, TRICLINIC * 2.2)], 4.0, "float32")
    network = fused("pgt", "compact", "float32")
    answers = [both(network, given)[1] for _ in range(3)]
    assert all(torch.equal(answer, answers[0]) for answer in answers)


def test_pieces_of_receivers_give_what_the_whole_gives(kernel, monkeypatch):
    given = arguments([random_frame(60, TRICLINIC * 2.2)], 4.0)
    network = fused("pgt", "compact", "float64")
    _, whole = both(network, given)
    for layer in network.layers:
        monkeypatch.setattr(layer, "receivers_at_once", 1)
    _, pieces = both(network, given)
    assert (whole - pieces).abs().max() < 1e-13 * float(whole.abs().max())
