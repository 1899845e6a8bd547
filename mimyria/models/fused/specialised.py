"""The fused convolution on GPUs: one Triton kernel for each plan, made when first met.

Triton comes with the CUDA builds of torch and needs no nvcc; it keeps what it compiles
in a folder of its own. A program sums over the edges of one receiver in their order, so
that nothing is added atomically and results are the same bits every time. Where Triton
runs in its interpreter (`TRITON_INTERPRET=1`), tensors on the CPU are served too, for
tests.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import linecache
import logging
import os
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

from mimyria.errors import KernelError
from mimyria.models.fused import pytorch
from mimyria.models.fused.problem import PADDING, POINTS, PathPlan, Problem
from mimyria.models.fused.tiling import make_tiling
from mimyria.models.fused.tritonsource import KERNEL, kernel_source

__all__ = ["OPTIONS", "convolve", "give_up", "is_available", "load_source", "serves"]

_log = logging.getLogger(__name__)

OPTIONS: Final = {"num_warps": 1, "enable_fp_fusion": True}
"""How the kernel is compiled: a program is one warp; a product and a sum are one step.

Triton warns where the latter is left open, as its default is going to change.
"""

_INTERPRETER: Final = "TRITON_INTERPRET"
_MOST_PREPARED: Final = 64
_PROBE_TOLERANCE: Final = 1e-5

_lock = threading.RLock()
_reasons: dict[str, KernelError | None] = {}
"""What was found for each type of device: why the kernel cannot be used, or None."""


@dataclass(frozen=True, slots=True, eq=False)
class _Prepared:
    """What stays the same from call to call.

    Attributes:
        kernel: what Triton launches.
        tiles: (n_tiles, fields of `Tile`) int32.
        scales: (2,) float64 — intervals of the table in 1 Å, and the cutoff.
        couplings: kept, so that their address is not given to other numbers.
    """

    kernel: Any
    tiles: Tensor
    scales: Tensor
    couplings: Tensor


_prepared: dict[Hashable, _Prepared] = {}


def serves(device: torch.device) -> bool:
    """Whether the kernel is made for tensors of this device."""
    interpreted = os.environ.get(_INTERPRETER) == "1"
    return device.type == ("cpu" if interpreted else "cuda")


def is_available(device: torch.device, demanded: bool) -> bool:
    """Whether the kernel works on a device; found out by trying it, once.

    Args:
        device: one that it serves.
        demanded: raise where it does not work.

    Raises:
        KernelError: it is demanded and does not work.
    """
    with _lock:
        if device.type not in _reasons:
            try:
                _try_out(device)
            except KernelError as error:
                give_up(device, error)
            else:
                _reasons[device.type] = None
        reason = _reasons[device.type]
    if reason is not None and demanded:
        raise reason
    return reason is None


def give_up(device: torch.device, reason: KernelError) -> None:
    """Use the kernel no more on devices of this type, and tell the log why."""
    with _lock:
        _reasons[device.type] = reason
    _log.warning("networks on %s run slower, in torch alone: %s", device, reason)


def convolve(problem: Problem) -> list[Tensor]:
    """Blocks (n_receivers, 2 l + 1, channels) of the result.

    Each channel of the result belongs to one path. Indices are believed, as looking at
    them would wait for the GPU.

    Raises:
        KernelError: the arguments do not fit together, or Triton cannot compile or
            launch the kernel.
    """
    _require_valid(problem)
    outputs = problem.empty_outputs()
    if problem.n_receivers == 0:
        return outputs
    try:
        with torch.cuda.device_of(problem.sphere):  # type: ignore[no-untyped-call]
            _launch(problem, outputs)
    # Triton and its compilers raise whatever they like.
    except Exception as error:
        raise KernelError(
            f"Triton cannot run the kernel on {problem.sphere.device} "
            f"({_described(error)}). Set MIMYRIA_KERNEL=torch to do without it."
        ) from error
    return outputs


def _launch(problem: Problem, outputs: list[Tensor]) -> None:
    """Start all programs; receivers vary fastest, so that neighbours share a tile."""
    prepared = _preparation(problem)
    senders = problem.senders.contiguous()
    kinds = senders if problem.kinds is None else problem.kinds.contiguous()
    prepared.kernel[(problem.n_receivers, len(prepared.tiles))](
        *(block.contiguous() for block in problem.features),
        *outputs,
        problem.rows.contiguous(),
        senders,
        kinds,
        problem.lengths.contiguous(),
        problem.sphere.contiguous(),
        problem.table.contiguous(),
        prepared.scales,
        prepared.tiles,
        problem.table.shape[1],
        **OPTIONS,
    )


def _preparation(problem: Problem) -> _Prepared:
    """Kernel and constants of a problem, from an earlier call where there was one."""
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
    """Cut the problem, write the kernel, put the constants on the device."""
    tiling = make_tiling(problem)
    intervals = problem.table.shape[1] - (POINTS - 1)
    device = problem.sphere.device
    scales = [intervals / problem.cutoff, problem.cutoff]
    return _Prepared(
        load_source(kernel_source(tiling)),
        torch.tensor(tiling.tiles, dtype=torch.int32, device=device),
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


def _try_out(device: torch.device) -> None:
    """Compile and run a small problem, and compare with torch.

    Raises:
        KernelError: something in it does not work.
    """
    if importlib.util.find_spec("triton") is None:
        raise KernelError("Triton is not installed; it comes with torch for CUDA.")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise KernelError("torch finds no CUDA device.")
    problem = _small_problem(device)
    (found,), (wanted,) = convolve(problem), pytorch.convolve(problem)
    deviation = float((found - wanted).abs().max())
    if not deviation <= _PROBE_TOLERANCE * float(wanted.abs().max()):
        raise KernelError(
            f"Triton's kernel is off by {deviation:.1e} on {device} in a small test. "
            "Set MIMYRIA_KERNEL=torch to do without it."
        )


def _small_problem(device: torch.device) -> Problem:
    """Two receivers, three edges, vectors times vectors to scalars."""
    path = PathPlan(0, 0, PADDING, 3, 0, 3, 0, 0, 0, 1, 0)
    wave = torch.sin(torch.arange(1.0, 1.0 + 16 * PADDING, device=device))
    return Problem(
        [wave[: 6 * PADDING].view(2, 3, PADDING)],
        torch.tensor([0, 2, 3], device=device),
        torch.tensor([0, 1, 0], device=device),
        None,
        torch.tensor([0.3, 0.9, 1.7], device=device),
        wave[:9].view(3, 3),
        wave[: 8 * PADDING].view(1, 8, PADDING),
        2.0,
        list(path),
        torch.eye(3, device=device).flatten(),
        [1, PADDING],
    )


def _described(error: Exception) -> str:
    """Kind and last line of an error, where compilers put the reason."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[-1].strip()}" if lines else repr(error)
