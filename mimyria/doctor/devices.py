"""Devices: how torch was built, what CUDA and NVML say of the GPU."""

from __future__ import annotations

import importlib.util
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from mimyria.doctor.finding import Finding

__all__ = ["look_at_cpu", "look_at_gpu"]

_GIB: Final = 1 << 30
_SLOWED: Final = {
    0x08: "hardware slowdown",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "power brake",
}
"""Reasons for low clocks that are no normal work; NvmlClocksEventReasons."""


def look_at_cpu() -> Iterator[Finding]:
    """Name of the processor, and what torch makes of it."""
    import torch

    capability = torch.backends.cpu.get_cpu_capability()
    yield Finding(
        "processor",
        f"{_processor()}, torch uses {capability} and {torch.get_num_threads()} "
        "thread(s)",
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(
            line.partition(":")[2].strip()
            for line in lines
            if line.startswith("model name")
        )
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def look_at_gpu() -> Iterator[Finding]:
    """CUDA of torch, each device, Triton, and the state of the devices."""
    import torch

    built = torch.version.cuda
    devices = _nvidia_devices()
    if not torch.cuda.is_available():
        yield _without_cuda(built, devices)
        return
    for index in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(index)
        free, size = torch.cuda.mem_get_info(index)
        yield Finding(
            f"cuda:{index}",
            f"{facts.name}, compute capability {facts.major}.{facts.minor}, "
            f"{free / _GIB:.1f} of {size / _GIB:.1f} GiB free, torch for CUDA {built}",
            numbers={"free_GiB": free / _GIB, "size_GiB": size / _GIB},
        )
    triton = importlib.util.find_spec("triton") is not None
    yield Finding(
        "Triton",
        "is installed" if triton else "is not installed",
        "Triton, for the fast kernel on CUDA",
        "ok" if triton else "warning",
        "" if triton else "pip install triton",
    )
    yield from _states()


def _without_cuda(built: str | None, devices: int) -> Finding:
    if built is None:
        found = "torch is built for the CPU alone"
        advice = "install torch for CUDA (https://pytorch.org/get-started)"
    else:
        found = f"torch is built for CUDA {built}, but finds no device"
        advice = "update the driver of the GPU, or look at CUDA_VISIBLE_DEVICES"
    if devices:
        found += f", while the driver knows {devices} GPU(s)"
        return Finding("GPU", found, "torch that uses the GPU", "warning", advice)
    return Finding("GPU", found + "; there is no GPU", "", "absent")


def _nvidia_devices() -> int:
    """GPUs that NVIDIA's driver knows, whatever torch thinks of them."""
    return len(list(Path("/proc/driver/nvidia/gpus").glob("*")))


def _states() -> Iterator[Finding]:
    """Clocks, temperature and driver, where NVML is there."""
    if importlib.util.find_spec("pynvml") is None:
        yield Finding(
            "state of the GPU", "not known", "", "absent", "pip install 'mimyria[nvml]'"
        )
        return
    import pynvml

    pynvml.nvmlInit()
    try:
        driver = _text(pynvml.nvmlSystemGetDriverVersion())
        for index in range(pynvml.nvmlDeviceGetCount()):
            yield _state(pynvml, pynvml.nvmlDeviceGetHandleByIndex(index), driver)
    finally:
        pynvml.nvmlShutdown()


def _state(library: Any, handle: Any, driver: str) -> Finding:  # noqa: ANN401 (no types)
    def asked(name: str, *arguments: int) -> Any:  # noqa: ANN401 (as NVML gives it)
        try:
            return getattr(library, name)(handle, *arguments)
        except (library.NVMLError, AttributeError):
            return None

    clock = asked("nvmlDeviceGetClockInfo", library.NVML_CLOCK_SM)
    most = asked("nvmlDeviceGetMaxClockInfo", library.NVML_CLOCK_SM)
    warm = asked("nvmlDeviceGetTemperature", library.NVML_TEMPERATURE_GPU)
    bits = asked("nvmlDeviceGetCurrentClocksEventReasons")
    if bits is None:  # its name in older versions
        bits = asked("nvmlDeviceGetCurrentClocksThrottleReasons")
    slowed = [name for bit, name in _SLOWED.items() if (bits or 0) & bit]
    found = f"driver {driver}, {clock} of {most} MHz, {warm} °C"
    if slowed:
        found += f", slowed by {', '.join(slowed)}"
    return Finding(
        "state of the GPU",
        found,
        "full clocks",
        "warning" if slowed else "ok",
        "look at cooling and power: nvidia-smi -q -d PERFORMANCE" if slowed else "",
    )


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
