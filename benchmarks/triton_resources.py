"""What Triton's kernels need of a GPU, found without one: they are only compiled.

    python benchmarks/triton_resources.py [CAPABILITY]

For each preset, dtype and layer: tiles of a receiver, seconds of the compiler for all
kernels, and of each kernel registers of a thread, read from the machine code like bytes
spilled and of shared memory, of which the most are told. Last the shipped committee,
whose members share kernels.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from mimyria.models.fused.problem import Problem
from mimyria.models.fused.specialised import OPTIONS, load_source
from mimyria.models.fused.tiling import make_tilings
from mimyria.models.fused.tritonsource import arguments, kernel_source

_WHOLE = {"rows": "*i64", "senders": "*i64", "kinds": "*i64", "tiles": "*i32"}
_ALIGNED = [["tt.divisibility", 16]]


def tilings_of(convolution, dtype):
    """Kernels of a `FusedConvolution`, with a table for each pair of species."""
    plan = convolution.plan
    ends = (a + b for a, b in zip(plan[4::11], plan[5::11], strict=True))
    problem = Problem(
        [torch.empty(1, 1, m.weight.shape[-1]) for m in convolution.mix_in],
        torch.zeros(2), torch.zeros(1), torch.zeros(1), torch.zeros(1),
        torch.zeros(1, max(ends), dtype=dtype),
        convolution.table, convolution.cutoff, plan, convolution.couplings,
        convolution.outputs,
    )  # fmt: skip
    return make_tilings(problem)


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


def report(name, network, dtype, capability):
    """A line for each layer; Triton does not compile again what it has met before."""
    for number, layer in enumerate(network.layers):
        tilings = tilings_of(layer.convolution, dtype)
        start = time.process_time()
        kernels = [compiled(tiling, capability) for tiling in tilings]
        seconds = time.process_time() - start
        used = [resources(kernel) for kernel in kernels]
        registers, spilled, shared = zip(*used, strict=True)
        print(
            f"{name:24s} {str(dtype)[6:]} {number:5d} "
            f"{sum(len(tiling.tiles) for tiling in tilings):6d} {seconds:6.1f} s "
            f"{max(spilled):8d} {max(shared):7d}  {' '.join(map(str, registers))}",
            flush=True,
        )


def main():
    from network import PRESETS, random_network

    from mimyria.models import load_model
    from mimyria.models.fused.fusing import fuse_network

    capability = int(sys.argv[1]) if sys.argv[1:] else 90
    print(
        "network                  dtype   layer  tiles  compile  spilled  shared  regs"
    )
    with tempfile.TemporaryDirectory() as cache:
        os.environ["TRITON_CACHE_DIR"] = cache
        for architecture, learns in PRESETS:
            network, _ = random_network(architecture, learns)
            for dtype in (torch.float32, torch.float64):
                fused = fuse_network(network, dtype)
                report(f"{architecture} {learns}", fused, dtype, capability)
        committee = load_model("water-compact-committee")._network
        for number, member in enumerate([committee.first, *committee.others]):
            report(f"committee {number}", member, torch.float32, capability)


if __name__ == "__main__":
    main()
