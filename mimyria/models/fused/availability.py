"""Whether the kernels of `specialised` work on a device, found out by trying them once.

What may be missing: Triton, a C compiler for what starts its kernels, a GPU. Then torch
does the work, and one line in the log says so. Where Triton runs in its interpreter
(`TRITON_INTERPRET=1`), tensors on the CPU are served, for tests.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import threading
from typing import Final

import torch

from mimyria.errors import KernelError
from mimyria.models.fused import pytorch, specialised
from mimyria.models.fused.problem import PADDING, PathPlan, Problem

__all__ = ["give_up", "is_available", "serves"]

_INTERPRETER: Final = "TRITON_INTERPRET"
_TOLERANCE: Final = 1e-5

_log = logging.getLogger(__name__)

_lock = threading.RLock()
_reasons: dict[str, KernelError | None] = {}
"""What was found for each type of device: why kernels cannot be used, or None."""


def serves(device: torch.device) -> bool:
    """Whether kernels are made for tensors of this device."""
    interpreted = os.environ.get(_INTERPRETER) == "1"
    return device.type == ("cpu" if interpreted else "cuda")


def is_available(device: torch.device, demanded: bool) -> bool:
    """Whether kernels work on a device.

    Args:
        device: one that is served.
        demanded: raise where they do not work.

    Raises:
        KernelError: they are demanded and do not work.
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
    """Use kernels no more on devices of this type, and tell the log why."""
    with _lock:
        _reasons[device.type] = reason
    _log.warning("networks on %s run slower, in torch alone: %s", device, reason)


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
    (found,), (wanted,) = specialised.convolve(problem), pytorch.convolve(problem)
    deviation = float((found - wanted).abs().max())
    if not deviation <= _TOLERANCE * float(wanted.abs().max()):
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
