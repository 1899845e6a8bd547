"""A Slurm of our own for tests: munged, slurmctld and slurmd with one node."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

__all__ = ["PrivateSlurm", "private_slurm"]

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel")

CONFIGURATION = """
ClusterName=private
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
KillWait=2
SchedulerParameters=sched_interval=2
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 State=UNKNOWN
PartitionName=short Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


@pytest.fixture(scope="session")
def private_slurm():
    """munged, slurmctld and slurmd of our own; no root is needed."""
    lacking = [each for each in PROGRAMS if _program(each) is None]
    if lacking:
        pytest.skip(f"no {', '.join(lacking)}; see `make engines-slurm`")
    with tempfile.TemporaryDirectory(prefix="slurm-") as name:
        slurm = PrivateSlurm(Path(name))
        try:
            slurm.start()
            yield slurm
        finally:
            slurm.stop()


class PrivateSlurm:
    """Started by `start`, gone after `stop`; `environment` makes clients find it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {"SLURM_CONF": str(folder / "slurm.conf")}
        self._daemons: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start the daemons, and wait for the node."""
        for name in ("state", "spool"):
            (self.folder / name).mkdir()
        self.folder.chmod(0o755)
        (self.folder / "slurm.conf").write_text(
            CONFIGURATION.format(
                folder=self.folder,
                host=socket.gethostname().split(".")[0],
                user=getpass.getuser(),
                controller_port=_free_port(),
                node_port=_free_port(),
            )
        )
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o600)
        names = {"key-file": "key", "socket": "socket", "pid-file": "pid"}
        names |= {"log-file": "log", "seed-file": "seed"}
        options = [f"--{k}={self.folder}/munge.{v}" for k, v in names.items()]
        self._spawn("munged", "--foreground", "--force", *options)
        self._until(lambda: (self.folder / "munge.socket").exists(), "munged")
        self._spawn("slurmctld", "-D")
        self._spawn("slurmd", "-D")
        self._until(lambda: "idle" in self.call("sinfo", "-ho", "%t"), "the node")

    def stop(self) -> None:
        """End jobs and daemons."""
        self.call("scancel", "--user", getpass.getuser())
        end = time.monotonic() + 10
        while self.jobs() and time.monotonic() < end:
            time.sleep(0.2)
        for daemon in reversed(self._daemons):
            daemon.terminate()
            try:
                daemon.wait(timeout=10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()

    def call(self, program: str, *arguments: str) -> str:
        """Output of a client."""
        return subprocess.run(
            [program, *arguments],
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        ).stdout

    def jobs(self) -> list[str]:
        """Numbers of the jobs that wait or run."""
        return self.call("squeue", "-ho", "%i").split()

    def _spawn(self, program: str, *arguments: str) -> None:
        with (self.folder / f"{program}.out").open("wb") as output:
            self._daemons.append(
                subprocess.Popen(
                    [str(_program(program)), *arguments],
                    env={**os.environ, **self.environment},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            )

    def _until(self, condition, what: str) -> None:
        end = time.monotonic() + 60
        while not condition():
            if time.monotonic() > end:
                logs = [
                    f"{path.name}: {path.read_text(errors='replace')[-800:]}"
                    for path in self.folder.iterdir()
                    if path.suffix in (".out", ".log")
                ]
                raise TimeoutError("\n".join([f"{what} did not come up", *logs]))
            time.sleep(0.2)


def _program(name: str) -> str | None:
    """Daemons lie where only root's path looks."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    return shutil.which(name, path=path)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
