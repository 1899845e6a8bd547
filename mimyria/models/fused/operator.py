"""The operator `mimyria::convolve_v1`, and the choice of the code that does its work.

TorchScript files name the operator, so its schema never changes: another schema is
another version, with a name of its own.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, Final

import torch
from torch import Tensor

from mimyria.errors import KernelError, SettingsError
from mimyria.models.fused import availability, compiled, pytorch, specialised
from mimyria.models.fused.problem import Problem

__all__ = ["KERNEL_VARIABLE", "OPERATOR", "backend_name", "register_operator"]

OPERATOR: Final = "mimyria::convolve_v1"

KERNEL_VARIABLE: Final = "MIMYRIA_KERNEL"
"""Environment variable: `auto`, `cpp`, `triton` or `torch`."""

_SCHEMA: Final = (
    "convolve_v1(Tensor[] features, Tensor rows, Tensor senders, Tensor? kinds, "
    "Tensor lengths, Tensor sphere, Tensor table, float cutoff, int[] plan, "
    "Tensor couplings, int[] outputs) -> Tensor[]"
)

Backend = Callable[[Problem], list[Tensor]]

BACKENDS: Final[dict[str, Backend]] = {
    "cpp": compiled.convolve,
    "triton": specialised.convolve,
    "torch": pytorch.convolve,
}
"""Every code that can do the work; a new one is a module and a line here."""

_libraries: list[torch.library.Library] = []
_lock = threading.Lock()


def register_operator() -> None:
    """Make the operator known to torch; calls after the first change nothing."""
    with _lock:
        if _libraries:
            return
        namespace, _, name = OPERATOR.partition("::")
        # torch.library has no types of its own.
        library: Any = torch.library.Library(namespace, "FRAGMENT")  # type: ignore[no-untyped-call]
        library.define(_SCHEMA)
        library.impl(name, _convolve, "CompositeExplicitAutograd")
        _libraries.append(library)


def backend_name(device: torch.device) -> str:
    """The code that will work on tensors of a device.

    A wish for a kernel that is not made for the device is no wish: `cpp` on a GPU, and
    `triton` on a CPU, are `auto` there.

    Raises:
        SettingsError: the environment asks for something unknown.
        KernelError: the environment demands a kernel that does not work on the device.
    """
    wish = _wish()
    if wish == "torch":
        return "torch"
    if availability.serves(device) and (device.type != "cpu" or wish == "triton"):
        usable = availability.is_available(device, demanded=wish == "triton")
        return "triton" if usable else "torch"
    if device.type == "cpu" and compiled.is_available(demanded=wish == "cpp"):
        return "cpp"
    return "torch"


def _wish() -> str:
    """What the environment asks for."""
    wish = os.environ.get(KERNEL_VARIABLE) or "auto"
    if wish not in ("auto", *BACKENDS):
        raise SettingsError(
            f"{KERNEL_VARIABLE} is '{wish}'; it may be auto, {', '.join(BACKENDS)}."
        )
    return wish


def _convolve(
    features: list[Tensor],
    rows: Tensor,
    senders: Tensor,
    kinds: Tensor | None,
    lengths: Tensor,
    sphere: Tensor,
    table: Tensor,
    cutoff: float,
    plan: list[int],
    couplings: Tensor,
    outputs: list[int],
) -> list[Tensor]:
    """What torch calls; arguments as in `Problem`."""
    problem = Problem(
        features, rows, senders, kinds, lengths, sphere, table, cutoff, plan,
        couplings, outputs,
    )  # fmt: skip
    name = backend_name(sphere.device)
    try:
        return BACKENDS[name](problem)
    except KernelError as error:
        # A small kernel worked, this one does not, and nobody insists on it.
        if name != "triton" or _wish() == "triton":
            raise
        availability.give_up(sphere.device, error)
        return pytorch.convolve(problem)
