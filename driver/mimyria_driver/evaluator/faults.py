"""Faults: what an exception says about the device, by its text alone.

torch is not needed to tell: what CUDA reports arrives as a RuntimeError with CUDA's own
words. After most of these errors the context is dead, and every later call in the same
process fails or lies, so the process has to end.

Source: the list of fatal errors of Triton's ONNX Runtime backend, pull request 365;
CUDA Runtime API, section "Data types used by CUDA Runtime", cudaError_t.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["FAILED", "GONE", "MEMORY", "fault_of", "wanted_memory"]

MEMORY: Final = "memory"
"""Out of memory: the process may go on with less at once."""
FAILED: Final = "failed"
"""The process is lost, the device perhaps not."""
GONE: Final = "gone"
"""There is no device any more for a new process either."""

_MEMORY: Final = (
    "out of memory",
    "can't allocate memory",
    "cublas_status_alloc_failed",
    "cudnn_status_alloc_failed",
)
_GONE: Final = (
    "no cuda-capable device is detected",
    "cuda-capable device(s) is/are busy or unavailable",
    "all cuda-capable devices are busy or unavailable",
    "invalid device ordinal",
    "gpu is lost",
    "driver shutting down",
    "found no nvidia driver",
    "no cuda gpus are available",
)
_FAILED: Final = (
    "illegal memory access",
    "illegal address",
    "unspecified launch failure",
    "illegal instruction was encountered",
    "misaligned address",
    "invalid program counter",
    "hardware stack error",
    "invalid address space",
    "operation not supported on global/shared address space",
    "uncorrectable ecc error",
    "uncorrectable nvlink error",
    "device-side assert",
    "the launch timed out and was terminated",
    "mps client failed to connect",
    "cuda error",
    "cublas_status_",
    "cudnn_status_",
    "cusparse_status_",
    "cufft_status_",
)


def fault_of(error: BaseException) -> str | None:
    """What an exception says of the device: one of the three, or None: nothing."""
    text = str(error).lower()
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return MEMORY
    if not isinstance(error, RuntimeError):
        return None
    for kind, phrases in ((MEMORY, _MEMORY), (GONE, _GONE), (FAILED, _FAILED)):
        if any(phrase in text for phrase in phrases):
            return kind
    return None


def wanted_memory(error: BaseException) -> str:
    """How much memory was wanted when there was none, in MiB where torch says it."""
    found = re.search(
        r"[Tt]ried to allocate ([\d.]+) (?:(Ki|Mi|Gi)B|bytes)", str(error)
    )
    if found is None:
        return "an unknown amount"
    size = {"Ki": 1 / 1024, "Mi": 1.0, "Gi": 1024.0, None: 1 / (1 << 20)}[found[2]]
    return f"{float(found[1]) * size:.0f} MiB"
