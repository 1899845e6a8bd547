"""Problems for the operator, of any irreps and edges, and four loops over them."""

import torch
from e3nn import o3

from mimyria.models.fused.interpolation import lagrange
from mimyria.models.fused.planning import make_plan
from mimyria.models.fused.problem import POINTS, Problem

CUTOFF = 3.0
N_ATOMS = 7
# Features, sphere, result: equal and unequal parities, l beyond the unrolled loops.
IRREPS = {
    "scalars": ("3x0e", "0e + 1o", "0e + 1o"),
    "both": ("20x0e + 3x0o + 9x1o + 9x1e + 2x2e", "0e + 1o + 2e + 3o", "0e + 1o + 1e"),
    "wide": ("83x0e + 41x1o", "0e + 1o + 2e", "0e + 1o + 2e"),
    "water": (
        "20x0e + 10x1o + 6x2e + 5x3o",
        "0e + 1o + 2e + 3o",
        "0e + 1o + 1e + 2e",
    ),
    "high": ("2x1o + 1x4e + 3x5o", "0e + 1o + 2e + 3o + 4e", "0e + 1o + 4e + 4o"),
}
DEGREES = {
    "some edges": [3, 0, 5, 1, 0, 2, 4],
    "crowds": [200, 64, 65, 1, 0, 63, 128],
    "no edges": [0] * N_ATOMS,
}
TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-13}


def make_problem(irreps, degrees, dtype, n_kinds=2):
    plan = make_plan(*(o3.Irreps(text) for text in IRREPS[irreps]))
    generator = torch.Generator().manual_seed(3)

    def random(*size):
        return torch.randn(size, generator=generator, dtype=torch.float64).to(dtype)

    counts = torch.tensor(DEGREES[degrees])
    n_edges = int(counts.sum())
    dims = {path.input: path.dim_in for path in plan.paths}
    weights = random(n_kinds, 12 + POINTS - 1, len(plan.weights))
    weights[:, :, [k for k, column in enumerate(plan.weights) if column < 0]] = 0.0
    lengths = torch.rand(n_edges, generator=generator, dtype=torch.float64) * 3.3
    if n_edges > 3:
        lengths[:4] = torch.tensor([0.0, CUTOFF, 2.999999, 1.25])
    return Problem(
        [random(N_ATOMS, dims[k], n) for k, n in enumerate(plan.channels_in)],
        torch.cat([torch.zeros(1, dtype=torch.long), counts.cumsum(0)]),
        torch.randint(N_ATOMS, (n_edges,), generator=generator),
        torch.randint(n_kinds, (n_edges,), generator=generator),
        lengths.to(dtype),
        random(n_edges, o3.Irreps(IRREPS[irreps][1]).dim),
        weights,
        CUTOFF,
        plan.flat,
        plan.all_couplings.to(dtype),
        plan.outputs,
    )


def naive_weights(problem, edge):
    """Six rows of the table around one distance."""
    r = float(problem.lengths[edge])
    if r >= CUTOFF:
        return torch.zeros(problem.table.shape[2], dtype=torch.float64)
    intervals = problem.table.shape[1] - (POINTS - 1)
    left = min(int(r * intervals / CUTOFF), intervals - 1)
    u = torch.tensor(r * intervals / CUTOFF - left, dtype=torch.float64)
    rows = problem.table[problem.kinds[edge], left : left + POINTS].double()
    return sum(f * row for f, row in zip(lagrange(u), rows, strict=True))


def naive(problem):
    """One edge after the other, in float64."""
    outputs = [output.double().zero_() for output in problem.empty_outputs()]
    for receiver in range(problem.n_receivers):
        for edge in range(problem.rows[receiver], problem.rows[receiver + 1]):
            weights = naive_weights(problem, edge)
            for path in problem.paths():
                used = slice(path.channel, path.channel + path.n_channels)
                x = problem.features[path.input][problem.senders[edge], :, used]
                y = problem.sphere[edge, path.sphere : path.sphere + path.dim_sphere]
                w = weights[path.weight : path.weight + path.n_channels]
                size = path.dim_in * path.dim_sphere * path.dim_out
                c = problem.couplings[path.coupling : path.coupling + size]
                c = c.view(path.dim_in, path.dim_sphere, path.dim_out).double()
                product = torch.einsum("abc,au,b,u->cu", c, x.double(), y.double(), w)
                place = slice(path.out_channel, path.out_channel + path.n_channels)
                outputs[path.output][receiver, :, place] += product
    return outputs


def off(found, wanted):
    """Largest deviation, relative to the largest number of a block."""
    assert [block.shape for block in found] == [block.shape for block in wanted]
    return max(
        float((one.double() - other).abs().max() / other.abs().max().clamp(min=1e-3))
        for one, other in zip(found, wanted, strict=True)
    )
