"""The fused network on a GPU against the same on the CPU; skipped without a GPU."""

from dataclasses import fields, replace

import operator_cases
import pytest
import torch
from fused_cases import FRAMES, TRICLINIC, arguments, fused, random_frame
from operator_cases import make_problem, off

from mimyria.models.deployed import script_network
from mimyria.models.fused import backend_name, pytorch, specialised

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


@pytest.mark.parametrize("dtype", operator_cases.TOLERANCE, ids=str)
@pytest.mark.parametrize(
    ("irreps", "degrees"),
    [("water", "crowds"), ("high", "some edges"), ("both", "no edges")],
)
def test_kernels_give_the_sums_of_torch(irreps, degrees, dtype):
    problem = make_problem(irreps, degrees, dtype)
    tensors = {
        each.name: value.cuda()
        for each in fields(problem)
        if isinstance(value := getattr(problem, each.name), torch.Tensor)
    }
    blocks = [block.cuda() for block in problem.features]
    found = specialised.convolve(replace(problem, features=blocks, **tensors))
    wanted = [block.double() for block in pytorch.convolve(problem)]
    size = operator_cases.TOLERANCE[dtype]
    assert off([block.cpu() for block in found], wanted) < size
