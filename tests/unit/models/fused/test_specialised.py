"""Triton's kernel: its numbers in the interpreter, its machine code from the compiler.

Neither needs a GPU. The interpreter takes more than the compiler does, and the compiler
says nothing of numbers, so that both are asked; test_cuda.py asks a GPU, and whether
the kernel is chosen is the business of test_availability.py.
"""

import importlib.util
import re
from dataclasses import replace

import pytest
import torch
from fused_cases import BENCHMARKS, FRAMES, SMALL, arguments, fused
from operator_cases import TOLERANCE, make_problem, naive, off

from mimyria.errors import KernelError
from mimyria.models.deployed import script_network
from mimyria.models.fused import backend_name, pytorch, specialised
from mimyria.models.fused.tiling import make_tilings

CPU = torch.device("cpu")
HOPPER = 90


def some(problem, first, last):
    """The problem for a few receivers: the interpreter is slow."""
    return replace(problem, rows=problem.rows[first : last + 1])


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize(
    ("irreps", "degrees", "first", "last"),
    [
        ("scalars", "some edges", 0, 7),  # two receivers have no edges
        ("both", "some edges", 1, 4),
        ("water", "some edges", 5, 6),
        ("high", "some edges", 3, 4),
        ("both", "no edges", 0, 1),
    ],
)
def test_interpreted_kernel_equals_four_loops(
    interpreter, irreps, degrees, first, last, dtype
):
    problem = some(make_problem(irreps, degrees, dtype), first, last)
    found = specialised.convolve(problem)
    wanted = naive(problem)
    assert off(found, wanted) < TOLERANCE[dtype]
    assert off(pytorch.convolve(problem), wanted) < TOLERANCE[dtype]
    assert {block.dtype for block in found} == {dtype}


def test_crowded_receiver_with_tables_of_pairs_and_then_with_one(interpreter):
    problem = some(make_problem("scalars", "crowds", torch.float64), 1, 3)
    for kinds in (problem.kinds, None):
        problem = replace(problem, kinds=kinds)
        found = specialised.convolve(problem)
        assert off(found, pytorch.convolve(problem)) < TOLERANCE[torch.float64]


def test_other_coefficients_at_the_same_address_are_seen(interpreter):
    problem = some(make_problem("scalars", "some edges", torch.float64), 0, 1)
    before = specialised.convolve(problem)
    problem.couplings.mul_(2.0)
    after = specialised.convolve(problem)
    assert off(after, [2.0 * block for block in before]) < 1e-14


def test_numbers_that_are_not_finite_stay_with_their_receivers(interpreter):
    problem = some(make_problem("scalars", "some edges", torch.float64), 0, 3)
    problem.lengths[0] = float("nan")
    problem.sphere[0] = float("nan")
    for output in specialised.convolve(problem):
        assert output[0].isnan().any()
        assert output[1:].isfinite().all()


def test_no_receivers_are_no_work(interpreter):
    problem = make_problem("scalars", "no edges", torch.float64)
    problem = replace(problem, rows=problem.rows[:1])
    assert {len(block) for block in specialised.convolve(problem)} == {0}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_scripted_network_calls_the_kernel(interpreter, monkeypatch, dtype):
    given = arguments([FRAMES["isolated atoms"]], 4.0, dtype)
    network = fused("apt", SMALL, dtype)
    with torch.inference_mode():
        monkeypatch.setenv("MIMYRIA_KERNEL", "torch")
        wanted = network(*given)
        monkeypatch.setenv("MIMYRIA_KERNEL", "triton")
        assert backend_name(CPU) == "triton"
        found = script_network(network)(*given)
    assert specialised._prepared  # the kernel did the work, and keeps what it made
    assert off([found], [wanted.double()]) < TOLERANCE[getattr(torch, dtype)]


def test_order_of_edges_does_not_matter(interpreter, monkeypatch):
    species, receivers, senders, vectors = arguments([FRAMES["isolated atoms"]], 4.0)
    network = fused("apt", SMALL, "float64")
    monkeypatch.setenv("MIMYRIA_KERNEL", "triton")
    wanted = network(species, receivers, senders, vectors)
    found = network(species, receivers.flip(0), senders.flip(0), vectors.flip(0))
    assert off([found], [wanted]) < 1e-13


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lengths": torch.ones(15)}, "arguments must be float32 or float64, all"),
        ({"senders": torch.ones(15, dtype=torch.int32)}, "must be int64"),
        ({"table": torch.ones(1, 17, 8, device="meta").double()}, "on one device"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(changes, message):
    problem = make_problem("scalars", "some edges", torch.float64)
    with pytest.raises(KernelError, match=message):
        specialised.convolve(replace(problem, **changes))


@pytest.fixture(scope="module")
def compiling(triton, tmp_path_factory):
    """Compiles for a GPU that need not be here, with an empty cache."""
    spec = importlib.util.spec_from_file_location(
        "triton_resources", BENCHMARKS / "triton_resources.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("TRITON_INTERPRET", raising=False)
        patch.setenv("TRITON_CACHE_DIR", str(tmp_path_factory.mktemp("triton")))
        yield module


def require_compiled(compiling, tiling):
    kernel = compiling.compiled(tiling, HOPPER)
    assert kernel.asm["cubin"][:4] == b"\x7fELF"
    registers, spilled, shared = compiling.resources(kernel)
    assert spilled <= 64  # a handful of numbers, outside of the loops or nearly so
    assert registers <= 255
    assert shared <= 1024
    # No atomic additions: sums have one order, and results the same bits every time.
    assert not re.search(r"\b(atom|red)\.", kernel.asm["ptx"])


@pytest.mark.parametrize(
    ("irreps", "dtype"), [("scalars", torch.float64), ("both", torch.float32)]
)
def test_kernel_compiles_to_machine_code(compiling, irreps, dtype):
    for tiling in make_tilings(make_problem(irreps, "some edges", dtype)):
        require_compiled(compiling, tiling)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("preset", ["compact", "reference"])
def test_kernels_of_the_presets_compile_without_spilling(compiling, preset, dtype):
    for layer in fused("joint", preset, dtype).layers:
        real = getattr(torch, dtype)
        for tiling in compiling.tilings_of(layer.convolution, real):
            require_compiled(compiling, tiling)
