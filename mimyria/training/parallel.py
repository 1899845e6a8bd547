"""Training by several processes, one for each GPU, each with a part of every batch.

torchrun starts them; this module only joins what it has started.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.distributed import broadcast, destroy_process_group, init_process_group
from torch.nn.parallel import DistributedDataParallel

__all__ = ["Workers", "workers"]


@dataclass(frozen=True, slots=True)
class Workers:
    """The processes of one training.

    Attributes:
        rank: number of this one.
        count: of all.
    """

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this one writes files and speaks to people."""
        return self.rank == 0

    def wrapped(self, module: nn.Module) -> nn.Module:
        """The module with gradients averaged over all processes."""
        return module if self.count == 1 else DistributedDataParallel(module)

    def agreed(self, value: float) -> float:
        """The first one's value, so that all decide alike."""
        if self.count == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64)
        if torch.cuda.is_available():
            shared = shared.cuda()
        broadcast(shared, src=0)
        return float(shared)

    def total(self, value: Tensor) -> float:
        """Sum over all processes."""
        if self.count == 1:
            return float(value)
        shared = value.detach().clone()
        torch.distributed.all_reduce(shared)
        return float(shared)


@contextmanager
def workers() -> Iterator[Workers]:
    """All processes that torchrun has started; just this one without it.

    Each takes the GPU of its number on its machine, where there are GPUs.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Workers()
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield Workers(int(os.environ["RANK"]), count)
    finally:
        destroy_process_group()
