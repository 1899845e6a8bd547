"""TEMPORARY"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mimyria.settings.fields import setting


@dataclass(frozen=True, slots=True)
class ExecutionSettings:
    """Where."""

    workers: int = setting(1, "x")
    threads: int = setting(1, "x")


class _W:
    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self.pool = pool

    def submit(self, folder: Path) -> Future[None]:
        from mimyria.reference.worker import run_task

        return self.pool.submit(run_task, str(folder))


@contextmanager
def engine(settings: ExecutionSettings, folder: Path) -> Iterator[_W]:
    with ProcessPoolExecutor(
        settings.workers, mp_context=multiprocessing.get_context("spawn")
    ) as p:
        yield _W(p)
