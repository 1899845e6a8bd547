"""One call for a task, whatever runs it: an executor of the standard library's shape.

Locally that is a pool of threads, each of which waits for the process of one task. On a
cluster it is Parsl, whose workers wait in the same way. Either way a task has a process
of its own, its outcome stands in its folder, and the future says only whether the
process lived to the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from mimyria.errors import CalculationError, MimyriaError
from mimyria.reference.execution.processes import Processes, run_in_process
from mimyria.reference.execution.settings import ExecutionSettings

__all__ = ["Engine", "engine"]

RUN_TASK = "mimyria.reference.worker:run_task"


class Engine:
    """Takes folders of tasks and gives futures.

    Args:
        executor: does the waiting.
        run: what it calls: `run(folder, task, threads)`.
        task: `module:function`, called with the folder.
        threads: of each task.
    """

    def __init__(
        self,
        executor: Executor,
        run: Callable[[str, str, int], None],
        task: str,
        threads: int,
    ) -> None:
        """Nothing is started by this."""
        self._executor = executor
        self._run = run
        self._task = task
        self._threads = threads

    def submit(self, folder: Path) -> Future[None]:
        """Have one task done.

        Returns:
            A future without a result; its exception, a `CalculationError` with one line
            of text, says that the process or its machine was lost.
        """
        inner = self._executor.submit(
            self._run, str(folder.resolve()), self._task, self._threads
        )
        outer: Future[None] = Future()
        inner.add_done_callback(lambda ended: _hand_over(ended, outer, folder.name))
        return outer


@contextmanager
def engine(
    settings: ExecutionSettings, folder: Path, task: str = RUN_TASK
) -> Iterator[Engine]:
    """Something that does tasks as long as the block lasts.

    At the end of the block it waits for what was submitted; when the block is left by
    an exception, Ctrl-C among them, everything that runs is ended at once.

    Args:
        settings: where, and how many at once.
        folder: of the campaign, for the engine's own files.
        task: `module:function`, called with the folder of each task.

    Raises:
        SettingsError: the engine asked for is not there.
    """
    opener = _cluster if settings.where == "slurm" else _local
    with opener(settings, folder, task) as ready:
        yield ready


@contextmanager
def _local(settings: ExecutionSettings, folder: Path, task: str) -> Iterator[Engine]:
    processes = Processes()
    pool = ThreadPoolExecutor(settings.workers, thread_name_prefix="task")
    try:
        yield Engine(pool, processes.run, task, settings.threads)
        pool.shutdown(wait=True)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        processes.stop()
        pool.shutdown(wait=True)


@contextmanager
def _cluster(settings: ExecutionSettings, folder: Path, task: str) -> Iterator[Engine]:
    from mimyria.reference.execution.cluster import slurm_executor

    with slurm_executor(settings, folder) as executor:
        yield Engine(executor, run_in_process, task, settings.threads)


def _hand_over(inner: Future[None], outer: Future[None], name: str) -> None:
    """Give the outcome on, errors of any engine as ours."""
    if inner.cancelled():
        outer.cancel()
        outer.set_running_or_notify_cancel()
        return
    error = inner.exception()
    if not outer.set_running_or_notify_cancel():
        return
    if error is None:
        outer.set_result(None)
    elif isinstance(error, MimyriaError):
        outer.set_exception(error)
    else:
        text = " ".join(str(error).split())
        lost = CalculationError(f"{name}: {type(error).__name__}: {text}")
        lost.__cause__ = error
        outer.set_exception(lost)
