"""GPU: what NVIDIA's management library (NVML) says of the device that calculates.

It is asked from the evaluator: a call that never returns costs this process, which a
deadline ends, and not the service. Everything may be missing and then is None: the
library, the device in it, each of its values. Nothing here can end a run.

Source: NVML API Reference Guide, "Device Queries" and "NvmlClocksEventReasons".
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final

__all__ = ["Gpu"]

_REASONS: Final = {
    0x04: "power cap",
    0x08: "hardware slowdown",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "power brake",
}
"""Why clocks are lower than they could be; the first one is normal under load."""


class Gpu:
    """One device, as its driver sees it."""

    def __init__(self, library: Any, handle: Any) -> None:  # noqa: ANN401 (no types)
        """Take a device.

        Args:
            library: the module `pynvml`, initialised.
            handle: of the device.
        """
        self._library = library
        self._handle = handle

    @classmethod
    def find(cls, device: str) -> Gpu | None:
        """The device of torch's name, once torch uses it; None: not known to NVML."""
        if not device.startswith("cuda"):
            return None
        try:
            import pynvml
        except ImportError:
            return None
        try:
            pynvml.nvmlInit()
            # By its identity: CUDA counts the visible devices only.
            handle = pynvml.nvmlDeviceGetHandleByUUID(_identity(device))
        except (pynvml.NVMLError, OSError, AttributeError, RuntimeError):
            return None
        return cls(pynvml, handle)

    def look(self) -> dict[str, Any]:
        """Its present state.

        Returns:
            `memory_used_bytes`, `memory_total_bytes`, `utilisation` (part of the time,
            0 to 1), `temperature` (°C), `slowed_by` (reasons in words) and
            `ecc_uncorrected` (errors since the driver was loaded).
        """
        library = self._library
        memory = self._ask("nvmlDeviceGetMemoryInfo")
        busy = self._ask("nvmlDeviceGetUtilizationRates")
        reasons = self._ask("nvmlDeviceGetCurrentClocksEventReasons")
        if reasons is None:  # its name in older versions
            reasons = self._ask("nvmlDeviceGetCurrentClocksThrottleReasons")
        return {
            "memory_used_bytes": None if memory is None else int(memory.used),
            "memory_total_bytes": None if memory is None else int(memory.total),
            "utilisation": None if busy is None else busy.gpu / 100.0,
            "temperature": self._ask(
                "nvmlDeviceGetTemperature", library.NVML_TEMPERATURE_GPU
            ),
            "slowed_by": [
                name for bit, name in _REASONS.items() if (reasons or 0) & bit
            ],
            "ecc_uncorrected": self._ask(
                "nvmlDeviceGetTotalEccErrors",
                library.NVML_MEMORY_ERROR_TYPE_UNCORRECTED,
                library.NVML_VOLATILE_ECC,
            ),
        }

    def _ask(self, name: str, *arguments: int) -> Any:  # noqa: ANN401 (as NVML gives it)
        function: Callable[..., Any] | None = getattr(self._library, name, None)
        if function is None:
            return None
        try:
            return function(self._handle, *arguments)
        except self._library.NVMLError:
            return None  # this device has no such thing


def _identity(device: str) -> str:
    """As NVML wants it, from torch, which has the device already."""
    return f"GPU-{sys.modules['torch'].cuda.get_device_properties(device).uuid}"
