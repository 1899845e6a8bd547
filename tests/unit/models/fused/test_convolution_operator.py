"""The operator against four loops, whatever the irreps, edges and threads."""

from dataclasses import replace

import pytest
import torch
from operator_cases import IRREPS, N_ATOMS, TOLERANCE, make_problem, naive

from mimyria.errors import KernelError
from mimyria.models.fused import compiled, pytorch


def convolve(backend, problem):
    return {"cpp": compiled, "torch": pytorch}[backend].convolve(problem)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize(
    ("irreps", "degrees"),
    [
        *((irreps, "some edges") for irreps in IRREPS),
        ("both", "crowds"),
        ("both", "no edges"),
    ],
)
def test_operator_equals_four_loops(backend, irreps, degrees, dtype):
    problem = make_problem(irreps, degrees, dtype)
    for found, wanted in zip(convolve(backend, problem), naive(problem), strict=True):
        size = max(float(wanted.abs().max()), 1e-3)
        assert (found.double() - wanted).abs().max() <= TOLERANCE[dtype] * size
        assert degrees != "no edges" or not found.any()


def test_one_table_for_all_edges_needs_no_kinds(backend):
    problem = make_problem("both", "some edges", torch.float64)
    zero = replace(problem, kinds=torch.zeros_like(problem.senders))
    for one, other in zip(
        convolve(backend, zero),
        convolve(backend, replace(zero, kinds=None)),
        strict=True,
    ):
        assert torch.equal(one, other)


def test_some_receivers_get_what_all_of_them_get(backend):
    problem = make_problem("both", "crowds", torch.float64)
    whole = convolve(backend, problem)
    part = convolve(backend, replace(problem, rows=problem.rows[2:5]))
    for some, every in zip(part, whole, strict=True):
        assert (some - every[2:4]).abs().max() < 1e-12 * every.abs().max()


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_result_does_not_depend_on_the_number_of_threads(compiler, dtype):
    problem = make_problem("both", "crowds", dtype)
    before = torch.get_num_threads()
    try:
        answers = []
        for n_threads in (1, 2, 3, 8):
            torch.set_num_threads(n_threads)
            answers.append([o.numpy().tobytes() for o in compiled.convolve(problem)])
    finally:
        torch.set_num_threads(before)
    assert all(answer == answers[0] for answer in answers)


def test_numbers_that_are_not_finite_stay_with_their_receivers(backend):
    problem = make_problem("both", "some edges", torch.float64)
    problem.lengths[0] = float("nan")
    problem.sphere[0] = float("nan")
    for output in convolve(backend, problem):
        assert output[0].isnan().any()
        assert output[1:].isfinite().all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"senders": torch.full((15,), N_ATOMS)}, "senders must be int64 from 0 to 6"),
        ({"kinds": torch.full((15,), -1)}, "kinds must be int64 from 0 to 1"),
        ({"rows": torch.tensor([0, 16])}, "rows must be int64 from 0 to 15"),
        ({"lengths": torch.ones(15)}, "arguments must be float32 or float64, all"),
    ],
)
def test_arguments_that_would_be_read_beyond_their_ends_are_refused(
    compiler, changes, message
):
    problem = make_problem("both", "some edges", torch.float64)
    with pytest.raises(KernelError, match=message):
        compiled.convolve(replace(problem, **changes))
