"""Determinism: torch set up so that a batch gives the same bits each time.

For one model of device, one version of torch and one composition of the batch; nothing
is promised beyond. CUBLAS_WORKSPACE_CONFIG is set before the process starts.

Source: docs/operation.md, "The device"; torch's notes on reproducibility.
"""

from __future__ import annotations

__all__ = ["prepare_torch"]


def prepare_torch(device: str, threads: int) -> str:
    """Set torch up; in the service it is imported by this process alone.

    Args:
        device: as in the settings, "auto" included.
        threads: of the CPU; 0 leaves the number to torch.

    Returns:
        The device of this name.

    Raises:
        DeviceError: there is no such device.
    """
    import torch

    from mimyria.models import resolve_device

    if threads:
        torch.set_num_threads(threads)
    # An operation without a deterministic version warns: a sum in another order is no
    # reason to end a run, and the canary finds it.
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.set_float32_matmul_precision("highest")
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    place = resolve_device(device)
    if place.type == "cuda":
        _without_fusers()
        place = torch.device(place.type, place.index or 0)
    return str(place)


def _without_fusers() -> None:
    """TorchScript compiles no kernels of its own, after some calls, for some shapes."""
    import torch

    switch = getattr(torch._C, "_jit_set_texpr_fuser_enabled", None)
    if switch is not None:
        switch(False)
