"""Hardware: what the numbers of an evaluator may depend on in their last digits."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

__all__ = ["describe_hardware"]


def describe_hardware(device: str) -> str:
    """Device and versions in one line, the same wherever bits should be the same."""
    torch = sys.modules.get("torch")
    parts = [_processor()]
    if torch is not None:
        if device.startswith("cuda"):
            parts = [str(torch.cuda.get_device_name(device)), _driver(torch)]
        parts.append(f"torch {torch.__version__}")
    return ", ".join(part for part in parts if part)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.split(":", 1)[1].strip() for line in lines if "model name" in line)
    return next(named, platform.processor() or platform.machine())


def _driver(torch: object) -> str:
    version = getattr(getattr(torch, "version", None), "cuda", None)
    return f"CUDA {version}" if version else ""
