"""Run by test_triton_kernel.py: the interpreter is chosen before Triton is loaded."""

import os
import sys

os.environ["TRITON_INTERPRET"] = "1"

from dataclasses import replace

import torch
from test_convolution_operator import TOLERANCE, make_problem

from mimyria.models.fused import cuda, pytorch

CASES = (
    ("scalars", "some edges"),
    ("both", "some edges"),
    ("high", "some edges"),
    ("both", "no edges"),
)


def require_equal(problem, tolerance, what):
    found, wanted = cuda.convolve(problem), pytorch.convolve(problem)
    for one, other in zip(found, wanted, strict=True):
        assert one.shape == other.shape, what
        assert one.dtype == other.dtype, what
        if other.numel():
            size = max(float(other.abs().max()), 1e-3)
            assert float((one - other).abs().max()) <= tolerance * size, what


def main():
    for irreps, degrees in CASES:
        for dtype, tolerance in TOLERANCE.items():
            problem = make_problem(irreps, degrees, dtype)
            require_equal(problem, tolerance, (irreps, degrees, dtype))
    problem = make_problem("scalars", "some edges", torch.float64)
    require_equal(replace(problem, kinds=None), 1e-13, "one table")
    part = replace(problem, rows=problem.rows[2:5])
    require_equal(part, 1e-13, "some of the receivers")
    none = replace(problem, rows=problem.rows[:1])
    require_equal(none, 1e-13, "no receivers")
    assert cuda.is_available(torch.device("cpu"), demanded=True)


if __name__ == "__main__":
    sys.exit(main())
