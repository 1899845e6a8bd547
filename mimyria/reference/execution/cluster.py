"""Slurm through Parsl: jobs that hold workers, each doing task after task.

Messages between this machine and the jobs are encrypted and authenticated with keys
made for the run (CurveZMQ); nothing listens without them.
"""

from __future__ import annotations

import logging
import shlex
import shutil
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from os import getpid
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mimyria.errors import SettingsError
from mimyria.reference.execution.settings import ExecutionSettings

if TYPE_CHECKING:
    from parsl.config import Config
    from parsl.providers import SlurmProvider

__all__ = ["parsl_config", "slurm_executor"]

_MISSED_BEATS: Final = 6
_FAILED_BLOCKS: Final = 3  # jobs in a row that did not come up: the settings are wrong
_WORKER_POOL: Final = "parsl.executors.high_throughput.process_worker_pool"


@contextmanager
def slurm_executor(settings: ExecutionSettings, folder: Path) -> Iterator[Executor]:
    """An executor whose workers are Slurm jobs, submitted as tasks come.

    Args:
        settings: of the execution.
        folder: Parsl's own files go to `cluster` in it.

    Raises:
        SettingsError: Parsl or Slurm is not installed, or this machine has no address.
    """
    try:
        from parsl.concurrent import ParslPoolExecutor
        from parsl.dataflow.dflow import DataFlowKernel
    except ImportError as error:
        raise SettingsError(
            'execution.where = "slurm" needs Parsl, which is not installed: '
            'pip install "mimyria[cluster]".'
        ) from error
    if shutil.which("sbatch") is None:
        raise SettingsError(
            'execution.where = "slurm", but there is no sbatch on this machine. Start '
            'the campaign on a login node, or write where = "local".'
        )
    config = parsl_config(settings, folder)
    with _log(folder / "cluster"):
        kernel = DataFlowKernel(config)
        try:
            yield ParslPoolExecutor(dfk=kernel)
            kernel.wait_for_current_tasks()
        finally:
            kernel.cleanup()


@contextmanager
def _log(folder: Path) -> Iterator[None]:
    """What Parsl says of jobs, in a file; its own way leaves that file open."""
    folder.mkdir(exist_ok=True)
    logger = logging.getLogger("parsl")
    handler = logging.FileHandler(folder / "parsl.log")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)
        handler.close()


def parsl_config(settings: ExecutionSettings, folder: Path) -> Config:
    """What Parsl is told."""
    from parsl.config import Config
    from parsl.executors import HighThroughputExecutor
    from parsl.executors.high_throughput.executor import DEFAULT_LAUNCH_CMD
    from parsl.jobs.error_handlers import windowed_error_handler

    python = shlex.quote(sys.executable)
    executor = HighThroughputExecutor(
        label="tasks",
        address=_address(settings),
        max_workers_per_node=settings.workers,
        cores_per_worker=settings.threads,
        heartbeat_period=settings.heartbeat,
        heartbeat_threshold=_MISSED_BEATS * settings.heartbeat,
        drain_period=_drain_period(settings),
        encrypted=True,
        block_error_handler=windowed_error_handler,
        # By full path: a job finds the same Python with no environment activated.
        launch_cmd=DEFAULT_LAUNCH_CMD.replace(
            "process_worker_pool.py", f"{python} -m {_WORKER_POOL}", 1
        ),
        interchange_launch_cmd=[
            sys.executable,
            "-m",
            "mimyria.reference.execution.interchange",
            str(getpid()),
        ],
        provider=_provider(settings),
    )
    return Config(
        executors=[executor],
        run_dir=str(folder / "cluster"),
        retries=0,  # the campaign tries again, and counts
        strategy="simple",
        usage_tracking=0,
        initialize_logging=False,
    )


def _provider(settings: ExecutionSettings) -> SlurmProvider:
    from parsl.launchers import SingleNodeLauncher, SrunLauncher
    from parsl.providers import SlurmProvider

    class PolledSlurm(SlurmProvider):
        """Slurm, asked as often as the settings say."""

        @property
        def status_polling_interval(self) -> int:
            return settings.poll

    options = "\n".join(f"#SBATCH {option}" for option in settings.scheduler_options)
    many = settings.nodes_per_block > 1
    return PolledSlurm(
        partition=settings.partition or None,
        account=settings.account or None,
        nodes_per_block=settings.nodes_per_block,
        cores_per_node=settings.cores_per_node,
        mem_per_node=settings.memory or None,
        init_blocks=0,  # no job without a task
        min_blocks=0,
        max_blocks=settings.max_blocks,
        walltime=settings.walltime,
        exclusive=settings.exclusive,
        scheduler_options=options,
        worker_init="\n".join(settings.worker_init),
        launcher=SrunLauncher() if many else SingleNodeLauncher(),
        cmd_timeout=60,
    )


def _drain_period(settings: ExecutionSettings) -> int | None:
    return settings.walltime_seconds - settings.drain if settings.drain else None


def _address(settings: ExecutionSettings) -> str:
    """The number that nodes connect to; the interchange listens on it alone."""
    name = settings.address or socket.gethostname()
    try:
        number = socket.gethostbyname(name)
    except OSError as error:
        raise SettingsError(
            f"execution.address: '{name}' has no address ({error}). Write the one "
            "under which compute nodes reach this machine."
        ) from error
    if not settings.address and number.startswith("127."):
        raise SettingsError(
            f"execution.address must be written: this machine calls itself '{name}', "
            f"which is {number}, and no compute node can reach that."
        )
    return number
