"""GPU state: what the evaluator last said of its GPU, and what is worth an event.

Counters are compared over the whole run of the service, whichever evaluator asked.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["GpuState"]

_OLD: Final = 60.0
"""Seconds after which numbers are no longer those of now."""

_log = logging.getLogger(__name__)


class GpuState:
    """The last that was heard."""

    def __init__(self) -> None:
        """Nothing was heard."""
        self._said: Mapping[str, Any] | None = None
        self._heard = 0.0
        self._errors: int | None = None

    @property
    def present(self) -> Mapping[str, Any] | None:
        """What `Gpu.look` gives; None: nothing was heard for a minute."""
        fresh = time.monotonic() - self._heard < _OLD
        return self._said if fresh else None

    def take(self, said: Mapping[str, Any]) -> None:
        """Take in a state."""
        self._said = said
        self._heard = time.monotonic()
        errors, before = said["ecc_uncorrected"], self._errors
        if errors is None:
            return
        self._errors = errors
        if before is not None and errors > before:
            _log.warning(
                "the memory of the GPU had %d errors that it could not correct (ECC; "
                "%d since its driver was loaded). Look at its health, with nvidia-smi "
                "-q -d ECC",
                errors - before,
                errors,
                extra={"code": "gpu_ecc", "fields": {"errors": errors - before}},
            )
