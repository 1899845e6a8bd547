"""Interface: what the service asks of whatever evaluates its frames.

`Evaluator` is a process of its own; a run with replicas shares one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from mimyria.contributions import Sample
from mimyria.frame import Frame
from mimyria.groups import Grouping
from mimyria_driver.durations import Durations
from mimyria_driver.evaluator.gpustate import GpuState

if TYPE_CHECKING:
    from mimyria_driver.evaluator.work import Verdict

__all__ = ["Networks"]


class Networks(Protocol):
    """The networks, wherever they are; nothing here blocks."""

    @property
    def ready(self) -> dict[str, Any] | None:
        """What is known of networks and device once they are loaded."""
        ...

    @property
    def restarts(self) -> int:
        """Processes that had to be replaced."""
        ...

    @property
    def repeated(self) -> int:
        """Frames that were evaluated twice."""
        ...

    @property
    def unusual(self) -> int:
        """Frames that change much faster than those before."""
        ...

    @property
    def last_unusual(self) -> int:
        """Step of the latest of them, −1: none."""
        ...

    @property
    def mismatches(self) -> int:
        """Numbers that were not as before."""
        ...

    @property
    def gpu(self) -> GpuState:
        """What is known of the GPU."""
        ...

    @property
    def seconds(self) -> Durations:
        """How long the last batches took."""
        ...

    @property
    def pollable(self) -> int:
        """Descriptor to wait on."""
        ...

    @property
    def wants_write(self) -> bool:
        """Whether to wait until the descriptor can be written, too."""
        ...

    @property
    def n_batches(self) -> int:
        """Batches without an answer."""
        ...

    def describe(self, grouping: Grouping) -> None:
        """Tell which groups the atoms are in, before the first batch."""
        ...

    def submit(self, frames: Sequence[Frame], *, twice: bool = False) -> None:
        """Hand over a batch, to be evaluated once or twice."""
        ...

    def check(self) -> None:
        """Ask for a canary; `results` gives its verdict behind the samples before."""
        ...

    def results(self) -> list[Sample | Verdict]:
        """What was answered since, in order."""
        ...

    def kill(self) -> None:
        """End at once."""
        ...

    def close(self) -> None:
        """End."""
        ...
