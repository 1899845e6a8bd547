"""Settings of the execution: where tasks run, and how many at once."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mimyria.errors import SettingsError
from mimyria.settings.fields import choice, require, setting

__all__ = ["ExecutionSettings"]

_WALLTIME = re.compile(r"(\d+):([0-5]\d):([0-5]\d)")


@dataclass(frozen=True, slots=True)
class ExecutionSettings:
    """Where tasks run; all after `threads` is for Slurm alone."""

    where: str = setting(
        "local", "local: processes of this machine; slurm: jobs of a Slurm cluster."
    )
    workers: int = setting(1, "Tasks at once; on a cluster, on each node.")
    threads: int = setting(1, "Threads of each task (OMP_NUM_THREADS).")
    partition: str = setting("", "Slurm partition; empty: the default one.")
    account: str = setting("", "Slurm account that is charged; empty: your own.")
    nodes_per_block: int = setting(1, "Nodes of one Slurm job (a block).")
    max_blocks: int = setting(1, "Slurm jobs at once, at most.")
    cores: int = setting(0, "Cores asked for on each node; 0: workers times threads.")
    memory: int = setting(
        0, "Memory asked for on each node, GB; 0: what the partition gives."
    )
    walltime: str = setting("01:00:00", "Time limit of one Slurm job, HH:MM:SS.")
    drain: int = setting(
        0, "Seconds before the end of a Slurm job in which no new task begins."
    )
    exclusive: bool = setting(False, "Whether nodes are asked for as a whole.")
    scheduler_options: tuple[str, ...] = setting(
        (), 'More options for sbatch, as ["--qos=long", "--constraint=zen4"].'
    )
    worker_init: tuple[str, ...] = setting(
        (), "Shell lines that a Slurm job runs first, as module load cp2k."
    )
    address: str = setting(
        "",
        "Address under which compute nodes reach this machine; empty: its host name's.",
    )
    heartbeat: int = setting(
        10, "Seconds between signs of life of a job; after six without it is lost."
    )
    poll: int = setting(30, "Seconds between two looks at the Slurm queue.")

    def __post_init__(self) -> None:
        """Check values once."""
        choice("execution.where", self.where, ("local", "slurm"))
        for name in (
            "workers", "threads", "nodes_per_block", "max_blocks", "heartbeat", "poll",
        ):  # fmt: skip
            value = getattr(self, name)
            require(value >= 1, f"execution.{name}", "at least 1", value)
        for name in ("cores", "memory", "drain"):
            value = getattr(self, name)
            require(value >= 0, f"execution.{name}", "at least 0", value)
        for option in self.scheduler_options:
            if not option.startswith("-") or "\n" in option:
                raise SettingsError(
                    "execution.scheduler_options must be options of sbatch such as "
                    f"'--qos=long', one in each string, but one is '{option}'."
                )
        self._check_cores()
        seconds = self.walltime_seconds
        require(seconds > 0, "execution.walltime", "more than zero", self.walltime)
        require(
            self.drain < seconds,
            "execution.drain",
            f"less than the walltime of {seconds} s",
            self.drain,
        )

    def _check_cores(self) -> None:
        needed = self.workers * self.threads
        require(
            self.cores == 0 or self.cores >= needed,
            "execution.cores",
            f"0 or at least workers times threads = {needed}",
            self.cores,
        )

    @property
    def cores_per_node(self) -> int:
        """Cores that a job asks for on each node."""
        return self.cores or self.workers * self.threads

    @property
    def walltime_seconds(self) -> int:
        """Time limit of one job, s.

        Raises:
            SettingsError: it is not written as HH:MM:SS.
        """
        found = _WALLTIME.fullmatch(self.walltime)
        if found is None:
            raise SettingsError(
                "execution.walltime must be hours, minutes and seconds as 08:00:00, "
                f"but is '{self.walltime}'."
            )
        hours, minutes, seconds = map(int, found.groups())
        return 3600 * hours + 60 * minutes + seconds
