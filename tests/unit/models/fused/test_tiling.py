"""How a convolution is cut into kernels and tiles, and the text of the kernels."""

import torch
from operator_cases import make_problem

from mimyria.models.fused.tiling import make_tilings
from mimyria.models.fused.tritonsource import kernel_source


def test_every_channel_of_the_result_has_one_tile():
    problem = make_problem("water", "some edges", torch.float64)
    tilings = make_tilings(problem)
    assert len(tilings) > 1
    places = [
        (tiling.loops[tile.loop].couplings[tile.coupling].output, tile.out_channel)
        for tiling in tilings
        for tile in tiling.tiles
    ]
    blocks = enumerate(problem.outputs[1::2])
    assert sorted(places) == [(k, c) for k, n in blocks for c in range(n // 8)]
    texts = [kernel_source(tiling) for tiling in tilings]
    assert texts == [kernel_source(tiling) for tiling in make_tilings(problem)]


def test_kernels_have_about_the_same_length_and_small_plans_have_one():
    assert len(make_tilings(make_problem("scalars", "some edges", torch.float64))) == 1
    sums = [
        [loop.dim_in * loop.dim_sphere for loop in tiling.loops]
        for tiling in make_tilings(make_problem("water", "some edges", torch.float32))
    ]
    assert sums == [[49, 35, 35], [25, 21, 21, 15], [15, 9, 5, 5, 3, 3, 1]]
