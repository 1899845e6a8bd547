"""Which code does the work on a device, and what happens where Triton does not."""

import importlib
import logging
import re

import pytest
import torch
from fused_cases import FRAMES, SMALL, arguments, fused
from operator_cases import make_problem, off

from mimyria.errors import KernelError
from mimyria.models.fused import availability, backend_name, compiled, specialised

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def gpu(monkeypatch):
    """As if there were a GPU on which all is well."""
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr(availability, "_reasons", {"cuda": None})


@pytest.mark.parametrize(
    ("wish", "on_gpu", "on_cpu"),
    [
        ("", "triton", "cpp"),
        ("auto", "triton", "cpp"),
        ("cpp", "triton", "cpp"),
        ("triton", "triton", "cpp"),
        ("torch", "torch", "torch"),
    ],
)
def test_the_kernel_follows_the_wish_and_the_device(
    gpu, monkeypatch, wish, on_gpu, on_cpu
):
    monkeypatch.setattr(compiled, "is_available", lambda demanded: True)
    monkeypatch.setenv("MIMYRIA_KERNEL", wish)
    assert backend_name(CUDA) == on_gpu
    assert backend_name(CPU) == on_cpu
    assert backend_name(torch.device("meta")) == "torch"


def test_without_a_gpu_torch_does_the_work_and_one_line_says_so(monkeypatch, caplog):
    """A build of torch without CUDA is one of many reasons."""
    if torch.cuda.is_available():
        pytest.skip("here it works")
    device = torch.device("cuda", 7)
    monkeypatch.delenv("MIMYRIA_KERNEL", raising=False)
    monkeypatch.setattr(availability, "_reasons", {})
    with caplog.at_level(logging.WARNING):
        assert [backend_name(device) for _ in range(2)] == ["torch", "torch"]
    (record,) = caplog.records
    assert "networks on cuda:7 run slower, in torch alone" in record.getMessage()
    monkeypatch.setenv("MIMYRIA_KERNEL", "triton")
    with pytest.raises(KernelError, match=r"no CUDA device|not installed"):
        backend_name(device)


def test_where_triton_fails_torch_does_the_work_and_one_line_says_so(
    interpreter, monkeypatch, caplog
):
    def broken(problem, outputs):
        raise RuntimeError("ptxas went away\nno such instruction")

    given = arguments([FRAMES["isolated atoms"]], 4.0)
    network = fused("apt", SMALL, "float64")
    monkeypatch.setattr(specialised, "_launch", broken)
    monkeypatch.setattr(availability, "serves", lambda device: device.type == "cuda")
    monkeypatch.setattr(availability, "_small_problem", lambda _: problem)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    problem = make_problem("scalars", "some edges", torch.float64)
    assert [backend_name(CUDA) for _ in range(2)] == ["torch", "torch"]
    (record,) = caplog.records
    assert re.search(r"slower.*no such instruction", record.getMessage())
    monkeypatch.setenv("MIMYRIA_KERNEL", "triton")
    with pytest.raises(KernelError, match="Set MIMYRIA_KERNEL=torch to do without"):
        backend_name(CUDA)
    assert network(*given).isfinite().all()  # the wish does not concern the CPU


def test_kernel_that_fails_later_is_replaced_unless_it_is_demanded(
    interpreter, monkeypatch, caplog
):
    given = arguments([FRAMES["isolated atoms"]], 4.0)
    network = fused("apt", SMALL, "float64")
    wanted = network(*given)
    monkeypatch.setattr(specialised, "_launch", None)
    monkeypatch.setattr(availability, "_reasons", {"cpu": None})
    choice = importlib.import_module("mimyria.models.fused.operator")
    # As on a GPU, where the kernel is what auto means.
    monkeypatch.setattr(choice, "backend_name", lambda device: "triton")
    assert off([network(*given)], [wanted]) < 1e-13
    assert "torch alone" in caplog.records[0].getMessage()
    monkeypatch.setenv("MIMYRIA_KERNEL", "triton")
    with pytest.raises(KernelError, match="cannot run its kernels on cpu"):
        network(*given)
