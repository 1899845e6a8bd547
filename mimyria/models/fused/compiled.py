"""The fused convolution on processors: calls the library made of `kernel.cpp`.

ctypes lets other Python threads run meanwhile; the kernel starts as many threads of its
own as torch may use.
"""

from __future__ import annotations

import ctypes
import logging
import threading
from collections.abc import Sequence
from typing import Any, Final

import torch
from torch import Tensor

from mimyria.errors import KernelError
from mimyria.models.fused import building
from mimyria.models.fused.problem import PathPlan, Problem

__all__ = ["convolve", "is_available"]

_log = logging.getLogger(__name__)

_ENTRIES: Final = dict(
    zip((torch.float32, torch.float64), building.ENTRIES, strict=True)
)


class _Arguments(ctypes.Structure):
    """`Problem` of kernel.cpp: the same fields in the same order."""

    _fields_ = (
        *[
            (name, ctypes.c_int64)
            for name in (
                "n_receivers", "n_paths", "n_outputs", "dim_sphere", "n_rows",
                "n_weights",
            )
        ],
        ("cutoff", ctypes.c_double),
        *[
            (name, ctypes.c_void_p)
            for name in (
                "features", "feature_channels", "rows", "senders", "kinds", "lengths",
                "sphere", "table", "plan", "couplings", "outputs", "output_dims",
                "output_channels",
            )
        ],
    )  # fmt: skip


class _Kernel:
    """The library of this process, built and loaded when first asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._library: ctypes.CDLL | None = None
        self._reason: KernelError | None = None
        self._said = False

    def library(self) -> ctypes.CDLL:
        """The loaded library.

        Raises:
            KernelError: it cannot be built or loaded; tried once in a process.
        """
        with self._lock:
            if self._reason is not None:
                raise self._reason
            if self._library is None:
                try:
                    self._library = building.load_kernel()
                except KernelError as error:
                    self._reason = error
                    raise
            return self._library

    def say_once(self, reason: KernelError) -> None:
        """Tell the log, the first time, why the kernel is not used."""
        if not self._said:
            self._said = True
            _log.warning("networks run slower, in torch alone: %s", reason)


_kernel = _Kernel()


def is_available(demanded: bool) -> bool:
    """Whether the kernel can be used; building it takes seconds the first time.

    Args:
        demanded: raise where it cannot.

    Raises:
        KernelError: it is demanded and cannot be built.
    """
    try:
        _kernel.library()
    except KernelError as error:
        if demanded:
            raise
        _kernel.say_once(error)
        return False
    return True


def convolve(problem: Problem) -> list[Tensor]:
    """Blocks (n_receivers, 2 l + 1, channels) of the result; tensors on the CPU.

    Raises:
        KernelError: the arguments do not fit together.
    """
    _require_valid(problem)
    features = [block.contiguous() for block in problem.features]
    tensors = {
        name: getattr(problem, name).contiguous()
        for name in ("rows", "senders", "lengths", "sphere", "table", "couplings")
    }
    kinds = None if problem.kinds is None else problem.kinds.contiguous()
    outputs = problem.empty_outputs()
    arrays: dict[str, ctypes.Array[Any]] = {  # they must live until the kernel returns
        "features": _addresses(features),
        "feature_channels": _integers([block.shape[2] for block in features]),
        "plan": _integers(problem.plan),
        "outputs": _addresses(outputs),
        "output_dims": _integers(problem.outputs[::2]),
        "output_channels": _integers(problem.outputs[1::2]),
    }
    arguments = _Arguments(
        n_receivers=problem.n_receivers,
        n_paths=len(problem.plan) // len(PathPlan._fields),
        n_outputs=len(outputs),
        dim_sphere=tensors["sphere"].shape[1],
        n_rows=tensors["table"].shape[1],
        n_weights=tensors["table"].shape[2],
        cutoff=problem.cutoff,
        kinds=None if kinds is None else kinds.data_ptr(),
        **{name: tensor.data_ptr() for name, tensor in tensors.items()},
        **{name: ctypes.addressof(array) for name, array in arrays.items()},
    )
    entry = getattr(_kernel.library(), _ENTRIES[problem.sphere.dtype])
    if entry(ctypes.byref(arguments), torch.get_num_threads()):
        raise KernelError("The C++ kernel found no memory for its work.")
    return outputs


def _require_valid(problem: Problem) -> None:
    """Check what the kernel believes: it would read beyond the ends of arrays."""
    real = [problem.lengths, problem.sphere, problem.table, problem.couplings]
    dtypes = {tensor.dtype for tensor in [*problem.features, *real]}
    if len(dtypes) > 1 or not dtypes <= set(_ENTRIES):
        raise KernelError(f"arguments must be float32 or float64, all, not {dtypes}.")
    limits = {
        "rows": (problem.rows, len(problem.senders) + 1),
        "senders": (problem.senders, len(problem.features[0])),
        "kinds": (problem.kinds, len(problem.table)),
    }
    for name, (tensor, limit) in limits.items():
        if tensor is None or len(tensor) == 0:
            continue
        least, most = (int(value) for value in tensor.aminmax())
        if tensor.dtype != torch.int64 or least < 0 or most >= limit:
            raise KernelError(
                f"{name} must be int64 from 0 to {limit - 1}, but are {tensor.dtype} "
                f"from {least} to {most}."
            )


def _addresses(tensors: Sequence[Tensor]) -> ctypes.Array[ctypes.c_void_p]:
    """C array of the addresses of some tensors."""
    return (ctypes.c_void_p * len(tensors))(*[tensor.data_ptr() for tensor in tensors])


def _integers(values: Sequence[int]) -> ctypes.Array[ctypes.c_int64]:
    """C array of integers."""
    return (ctypes.c_int64 * len(values))(*values)
