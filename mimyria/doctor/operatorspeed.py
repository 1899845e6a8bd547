"""Operator speed: which code does the work of the networks here, and how fast it is.

Measured with a shipped model on water, against plain torch on the same device.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from mimyria.doctor.box import shipped_model, threads, water_box
from mimyria.doctor.finding import Finding
from mimyria.frame import Frame

if TYPE_CHECKING:
    from mimyria.models import TensorModel

__all__ = ["look_at_operator", "median_seconds"]

_SIDES: Final = (2, 4)
"""Molecules along an edge: 24 and 192 atoms."""
_SECONDS: Final = 0.8  # for each size and code
_MOST: Final = 50


def look_at_operator() -> Iterator[Finding]:
    """The backend that a run would take, and its speed."""
    from mimyria.models.fused import backend_name
    from mimyria.models.fused.operator import KERNEL_VARIABLE

    model = shipped_model("IR")
    device = model.device
    name = backend_name(device)
    best = "triton" if device.type == "cuda" else "cpp"
    wish = os.environ.get(KERNEL_VARIABLE, "auto")
    yield Finding(
        "operator",
        f"'{name}' on {device} ({KERNEL_VARIABLE} is {wish})",
        f"'{best}'",
        "ok" if name == best else "warning",
        "" if name == best else _why_not(device.type),
    )
    for side in _SIDES:
        yield _speed(model, water_box(side), name)


def _speed(model: TensorModel, frame: Frame, name: str) -> Finding:
    """Time of a prediction with the code of a name, and with plain torch."""
    from mimyria.models.fused.operator import KERNEL_VARIABLE

    def predict() -> None:
        model.predict([frame])  # the answer comes to the processor: it is finished

    with threads(1):
        ours = median_seconds(predict, _SECONDS)
        with _kernel(KERNEL_VARIABLE, "torch"):
            plain = median_seconds(predict, _SECONDS)
    slower = name != "torch" and ours > plain
    return Finding(
        f"IR, {frame.n_atoms} atoms",
        f"{1e3 * ours:.3g} ms with '{name}', {1e3 * plain:.3g} ms with plain torch, "
        f"one thread: {plain / ours:.1f} times as fast",
        "that it is faster",
        "warning" if slower else "ok",
        "measure again while nobody else computes, or set MIMYRIA_KERNEL=torch"
        if slower
        else "",
        {"ms": 1e3 * ours, "plain_torch_ms": 1e3 * plain},
    )


def _why_not(device: str) -> str:
    if device == "cuda":
        return "pip install triton, and a C compiler for what starts its kernels"
    return "install a C++ compiler, or name one in CXX; docs/models.md, 'The fast path'"


@contextlib.contextmanager
def _kernel(variable: str, name: str) -> Iterator[None]:
    """Another choice of the code for a while."""
    before = os.environ.get(variable)
    os.environ[variable] = name
    try:
        yield
    finally:
        if before is None:
            del os.environ[variable]
        else:
            os.environ[variable] = before


def median_seconds(work: Callable[[], None], seconds: float) -> float:
    """Median time of some work, repeated for a while after one that does not count."""
    work()
    times: list[float] = []
    begin = time.perf_counter()
    while not times or (time.perf_counter() - begin < seconds and len(times) < _MOST):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)
