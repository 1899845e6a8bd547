"""What Triton's kernels need of a GPU, found without one: they are only compiled.

    python benchmarks/triton_resources.py [CAPABILITY]

For each preset, dtype and layer: tiles of a receiver, seconds of the compiler,
registers of a thread, bytes spilled and of shared memory, read from the machine code.
"""

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from mimyria.models.fused.problem import Problem
from mimyria.models.fused.specialised import OPTIONS, load_source
from mimyria.models.fused.tiling import make_tiling
from mimyria.models.fused.tritonsource import arguments, kernel_source

_WHOLE = {"rows": "*i64", "senders": "*i64", "kinds": "*i64", "tiles": "*i32"}
_ALIGNED = [["tt.divisibility", 16]]


def tiling_of(convolution, dtype):
    """The tiling of a `FusedConvolution`, with a table for each pair of species."""
    plan = convolution.plan
    ends = (a + b for a, b in zip(plan[4::11], plan[5::11], strict=True))
    problem = Problem(
        [torch.empty(1, 1, m.weight.shape[-1]) for m in convolution.mix_in],
        torch.zeros(2), torch.zeros(1), torch.zeros(1), torch.zeros(1),
        torch.zeros(1, max(ends), dtype=dtype),
        convolution.table, convolution.cutoff, plan, convolution.couplings,
        convolution.outputs,
    )  # fmt: skip
    return make_tiling(problem)


def compiled(tiling, capability):
    """What Triton makes of a tiling for GPUs of a compute capability, as 90."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    real = "*fp64" if tiling.double else "*fp32"
    names = arguments(tiling)
    types = {**_WHOLE, "scales": "*fp64", "n_rows": "i32"}
    # As when launched: rows may begin anywhere, other arrays where torch put them.
    aligned = [k for k, name in enumerate(names) if name not in ("rows", "n_rows")]
    source = ASTSource(
        fn=load_source(kernel_source(tiling)),
        signature={name: types.get(name, real) for name in names},
        constexprs={},
        attrs={(k,): _ALIGNED for k in aligned},
    )
    return triton.compile(
        source, target=GPUTarget("cuda", capability, 32), options=OPTIONS
    )


def resources(kernel):
    """Registers, bytes spilled to local memory and shared bytes of the machine code."""
    import triton

    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(kernel.asm["cubin"])
        file.flush()
        said = subprocess.run(
            [tool, "-res-usage", file.name], capture_output=True, text=True, check=True
        ).stdout
    used = {name: int(n) for name, n in re.findall(r"(REG|STACK|LOCAL):(\d+)", said)}
    return used["REG"], used["STACK"] + used["LOCAL"], kernel.metadata.shared


def main():
    from network import PRESETS, random_network

    from mimyria.models.fused.fusing import fuse_network

    capability = int(sys.argv[1]) if sys.argv[1:] else 90
    print("network          dtype   layer  tiles  compile  registers  spilled  shared")
    for architecture, learns in PRESETS:
        network, _ = random_network(architecture, learns)
        for dtype in (torch.float32, torch.float64):
            for number, layer in enumerate(fuse_network(network, dtype).layers):
                tiling = tiling_of(layer.convolution, dtype)
                start = time.process_time()
                kernel = compiled(tiling, capability)
                seconds = time.process_time() - start
                registers, spilled, shared = resources(kernel)
                print(
                    f"{architecture + ' ' + learns:16s} {str(dtype)[6:]} {number:5d} "
                    f"{len(tiling.tiles):6d} {seconds:6.0f} s {registers:10d} "
                    f"{spilled:8d} {shared:7d}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
