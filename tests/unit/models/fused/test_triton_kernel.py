"""The kernel for CUDA, as far as it can be tried without a GPU.

Triton's interpreter runs it on the CPU, its compiler makes machine code of it.
"""

import importlib.util
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mimyria.errors import KernelError
from mimyria.models.fused import cuda, operator

HERE = Path(__file__).parent


@pytest.fixture
def triton():
    if importlib.util.find_spec("triton") is None:
        if os.environ.get("CI") == "true" and sys.platform == "linux":
            pytest.fail("triton is not installed, but CI=true")
        pytest.skip("triton is not installed")
    return importlib.import_module("triton")


@pytest.mark.usefixtures("triton")
def test_interpreted_it_equals_the_convolution_in_torch():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "triton_cases.py"],
        cwd=HERE,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("products", [1, 16, 64])
@pytest.mark.parametrize("real", ["fp32", "fp64"])
def test_it_compiles_for_a_gpu(triton, tmp_path, monkeypatch, products, real):
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from mimyria.models.fused.tritonkernel import convolution

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    kinds = {
        "*i64": ("rows", "senders", "kinds", "tiles"),
        "*fp64": ("scales",),
        "i32": ("n_atoms", "dim_sphere", "n_rows", "n_weights", "n_receivers"),
        "constexpr": ("HAS_KINDS", "PRODUCTS", "CHANNELS"),
    }
    signature = dict.fromkeys(convolution.arg_names, f"*{real}")
    signature |= {name: kind for kind, names in kinds.items() for name in names}
    constants = {"HAS_KINDS": True, "PRODUCTS": products, "CHANNELS": 16}
    source = ASTSource(convolution, signature, constants)
    options = {"enable_fp_fusion": True}
    made = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)
    assert len(made.asm["cubin"]) > 1000


def test_the_kernel_follows_the_device(monkeypatch):
    monkeypatch.delenv(operator.KERNEL_VARIABLE, raising=False)
    monkeypatch.setattr(cuda, "_reason", lambda device: None)
    assert operator.backend_name(torch.device("cuda")) == "triton"
    assert operator.backend_name(torch.device("cpu")) in ("cpp", "torch")
    monkeypatch.setenv(operator.KERNEL_VARIABLE, "torch")
    assert operator.backend_name(torch.device("cuda")) == "torch"
    monkeypatch.setenv(operator.KERNEL_VARIABLE, "triton")
    assert operator.backend_name(torch.device("meta")) == "torch"


def test_where_it_does_not_work_torch_does(monkeypatch, caplog):
    """A build of torch without CUDA is one of many reasons."""
    if torch.cuda.is_available():
        pytest.skip("here it works")
    device = torch.device("cuda", 7)
    monkeypatch.delenv(operator.KERNEL_VARIABLE, raising=False)
    with caplog.at_level(logging.WARNING):
        assert operator.backend_name(device) == "torch"
        assert operator.backend_name(device) == "torch"
    assert caplog.text.count("networks run slower on cuda:7, in torch alone") == 1
    monkeypatch.setenv(operator.KERNEL_VARIABLE, "triton")
    with pytest.raises(KernelError, match="Triton kernel does not work on cuda:7: "):
        operator.backend_name(device)


@pytest.mark.gpu
def test_on_a_gpu_it_equals_the_convolution_in_torch():
    from dataclasses import fields, replace

    from test_convolution_operator import TOLERANCE, make_problem

    from mimyria.models.fused import pytorch

    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    for dtype, tolerance in TOLERANCE.items():
        problem = make_problem("both", "crowds", dtype)
        tensors = {
            each.name: value.cuda()
            for each in fields(problem)
            if isinstance(value := getattr(problem, each.name), torch.Tensor)
        }
        blocks = [block.cuda() for block in problem.features]
        there = replace(problem, features=blocks, **tensors)
        first, again = cuda.convolve(there), cuda.convolve(there)
        for one, two, wanted in zip(
            first, again, pytorch.convolve(problem), strict=True
        ):
            size = float(wanted.abs().max())
            assert (one.cpu() - wanted).abs().max() <= 10 * tolerance * size
            assert torch.equal(one, two)
