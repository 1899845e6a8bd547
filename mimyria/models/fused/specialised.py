"""The fused convolution on GPUs: Triton kernels for each plan, made when first met.

Triton comes with the CUDA builds of torch and needs no nvcc; it keeps what it compiles
in a folder of its own. A program sums over the edges of one receiver in their order, so
that nothing is added atomically and results are the same bits every time. Networks with
the same plan, as the members of a committee, share their kernels. Whether it works on a
device is the business of `availability`.
"""

from __future__ import annotations

import functools
import hashlib
import linecache
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

from mimyria.errors import KernelError
from mimyria.models.fused.problem import POINTS, Problem
from mimyria.models.fused.tiling import make_tilings
from mimyria.models.fused.tritonsource import KERNEL, kernel_source

__all__ = ["OPTIONS", "convolve", "load_source"]

OPTIONS: Final = {"num_warps": 1, "enable_fp_fusion": True}
"""How kernels are compiled: a program is one warp; a product and a sum are one step.

Triton warns where the latter is left open, as its default is going to change.
"""

_MOST_PREPARED: Final = 256

_lock = threading.Lock()


@dataclass(frozen=True, slots=True, eq=False)
class _Prepared:
    """What stays the same from call to call.

    Attributes:
        kernels: what Triton launches, and (n_tiles, fields of `Tile`) int32 for each.
        scales: (2,) float64 — intervals of the table in 1 Å, and the cutoff.
        couplings: kept, so that their address is not given to other numbers.
    """

    kernels: list[tuple[Any, Tensor]]
    scales: Tensor
    couplings: Tensor


_prepared: dict[Hashable, _Prepared] = {}


def convolve(problem: Problem) -> list[Tensor]:
    """Blocks (n_receivers, 2 l + 1, channels) of the result.

    Each channel of the result belongs to one path. Indices are believed, as looking at
    them would wait for the GPU.

    Raises:
        KernelError: the arguments do not fit together, or Triton cannot compile or
            launch a kernel.
    """
    _require_valid(problem)
    outputs = problem.empty_outputs()
    if problem.n_receivers == 0:
        return outputs
    try:
        with torch.cuda.device_of(problem.sphere):  # type: ignore[no-untyped-call]
            _launch(problem, outputs)
    except torch.cuda.OutOfMemoryError:
        raise  # which torch alone would need more of
    # Triton and its compilers raise whatever they like.
    except Exception as error:
        raise KernelError(
            f"Triton cannot run its kernels on {problem.sphere.device} "
            f"({_described(error)}). Set MIMYRIA_KERNEL=torch to do without it."
        ) from error
    return outputs


def _launch(problem: Problem, outputs: list[Tensor]) -> None:
    """Start all programs; receivers vary fastest, so that neighbours share a tile."""
    prepared = _preparation(problem)
    senders = problem.senders.contiguous()
    kinds = senders if problem.kinds is None else problem.kinds.contiguous()
    shared = [
        *(block.contiguous() for block in problem.features),
        *outputs,
        problem.rows.contiguous(),
        senders,
        kinds,
        problem.lengths.contiguous(),
        problem.sphere.contiguous(),
        problem.table.contiguous(),
        prepared.scales,
    ]
    n_rows = problem.table.shape[1]
    for kernel, tiles in prepared.kernels:
        kernel[(problem.n_receivers, len(tiles))](*shared, tiles, n_rows, **OPTIONS)


def _preparation(problem: Problem) -> _Prepared:
    """Kernels and constants of a problem, from an earlier call where there was one."""
    couplings = problem.couplings
    if couplings.is_inference():  # changes of such tensors leave no trace
        return _prepare(problem)
    key = (
        problem.sphere.device,
        problem.sphere.dtype,
        problem.kinds is None,
        tuple(problem.plan),
        tuple(problem.outputs),
        tuple(block.shape[2] for block in problem.features),
        problem.sphere.shape[1],
        problem.table.shape[1:],
        problem.cutoff,
        (couplings.data_ptr(), couplings._version, couplings.stride()),
    )
    with _lock:
        found = _prepared.get(key)
        if found is None:
            found = _prepared[key] = _prepare(problem)
            while len(_prepared) > _MOST_PREPARED:
                del _prepared[next(iter(_prepared))]
    return found


def _prepare(problem: Problem) -> _Prepared:
    """Cut the problem, write its kernels, put the constants on the device."""
    device = problem.sphere.device
    intervals = problem.table.shape[1] - (POINTS - 1)
    scales = [intervals / problem.cutoff, problem.cutoff]
    kernels = [
        (
            load_source(kernel_source(tiling)),
            torch.tensor(tiling.tiles, dtype=torch.int32, device=device),
        )
        for tiling in make_tilings(problem)
    ]
    return _Prepared(
        kernels,
        torch.tensor(scales, dtype=torch.float64, device=device),
        problem.couplings,
    )


@functools.lru_cache(maxsize=_MOST_PREPARED)
def load_source(source: str) -> Callable[..., Any]:
    """The kernel in a text, which Triton compiles when it is launched.

    Raises:
        ImportError: there is no Triton.
    """
    name = f"<mimyria kernel {hashlib.sha256(source.encode()).hexdigest()[:16]}>"
    # Triton reads the text of its functions where tracebacks find it.
    linecache.cache[name] = (len(source), None, source.splitlines(True), name)
    namespace: dict[str, Any] = {"__name__": name}
    exec(compile(source, name, "exec"), namespace)
    kernel: Callable[..., Any] = namespace[KERNEL]
    return kernel


def _require_valid(problem: Problem) -> None:
    """Check what can be known without waiting for the GPU."""
    real = [problem.lengths, problem.sphere, problem.table, problem.couplings]
    whole = [problem.rows, problem.senders]
    whole += [] if problem.kinds is None else [problem.kinds]
    tensors = [*problem.features, *real, *whole]
    dtypes = {tensor.dtype for tensor in [*problem.features, *real]}
    if len(dtypes) > 1 or not dtypes <= {torch.float32, torch.float64}:
        raise KernelError(f"arguments must be float32 or float64, all, not {dtypes}.")
    if {tensor.dtype for tensor in whole} != {torch.int64}:
        raise KernelError("rows, senders and kinds must be int64.")
    devices = {str(tensor.device) for tensor in tensors}
    if len(devices) > 1:
        raise KernelError(f"arguments must be on one device, not on {sorted(devices)}.")


def _described(error: Exception) -> str:
    """Kind and last line of an error, where compilers put the reason."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[-1].strip()}" if lines else repr(error)
