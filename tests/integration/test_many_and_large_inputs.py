"""Shipped inputs for many trajectories and large systems, short, as users run them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mimyria.storage import read_result
from mimyria_driver.journal import read_journal
from mimyria_driver.labels import replica_folder
from mimyria_driver.status import read_status

pytestmark = pytest.mark.engine

TIMEOUT = 280.0
INPUTS = Path(__file__).resolve().parents[2] / "inputs" / "lammps"
SCRIPTS = (
    "water-replicas/run.sh",
    "water-replicas/engines.sbatch",
    "water-large/run.sh",
)


@pytest.fixture
def environment(lammps_program, mpirun_program, engine_environment):
    """That of a user who has installed mimyria, Debian's LAMMPS, and two cores."""
    beside = str(Path(sys.executable).parent)
    environment = {
        **engine_environment,
        "PATH": os.pathsep.join([beside, engine_environment["PATH"]]),
        "LMP": lammps_program,
        "MPIRUN": mpirun_program,
        "OMPI_MCA_rmaps_base_oversubscribe": "1",
    }
    if os.geteuid() == 0:
        environment |= dict.fromkeys(
            ("OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"), "1"
        )
    return environment


def copied(folder, name, changes):
    """The input beside the one that it takes its water from, with other settings."""
    for each in ("water", name):
        shutil.copytree(INPUTS / each, folder / each)
    settings = folder / name / "run.toml"
    text = settings.read_text()
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    settings.write_text(text)
    return folder / name


def run(script, environment, **variables):
    """Run a script with variables of LAMMPS; it has to end well."""
    words = [word for item in variables.items() for word in ("-var", *map(str, item))]
    done = subprocess.run(
        [str(script), *words],
        env=environment,
        cwd=script.parent,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def steps_and_temperature(folder):
    records = list(read_journal(folder / "journal"))
    temperatures = [record.kinetic_temperature for record in records]
    return [record.step for record in records], float(np.mean(temperatures))


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_are_shell_and_those_to_run_are_executable(script):
    path = INPUTS / script
    assert os.access(path, os.X_OK) == (path.suffix == ".sh")
    subprocess.run(["sh", "-n", str(path)], check=True, timeout=60)


@pytest.mark.slow
def test_four_partitions_give_one_spectrum(environment, short_directory):
    folder = copied(short_directory, "water-replicas", {"= 30.0": "= 300.0"})
    run(folder / "run.sh", environment, warmup=40, steps=160)
    spectrum = folder / "spectrum"
    currents = []
    for number in range(4):
        one = replica_folder(spectrum, number)
        steps, temperature = steps_and_temperature(one)
        assert steps == list(range(4, 161, 4))
        assert 200.0 < temperature < 400.0
        currents.append(next(read_journal(one / "journal")).currents.dipole)
    assert len({tuple(each) for each in currents}) == 4  # seeds of their own
    assert read_status(spectrum)["replicas"]["states"] == {"ended": 4}
    result = read_result(spectrum / "spectrum.h5")
    assert result.provenance["replicas"] == 4
    assert result.provenance["frames"] == 4 * 40
    for name in ("ir", "raman_vv"):
        found = result.spectra[name]
        known = found.wavenumbers < 3000.0
        assert np.isfinite(found.error[known]).all()
        assert (found.error[known] > 0).any()
    assert (spectrum / "ir.png").exists()


@pytest.mark.slow
def test_an_array_of_jobs_gives_one_spectrum(environment, short_directory):
    """Two of its elements, over TCP with the keys of the run."""
    changes = {
        "= 30.0": "= 300.0",
        "replicas = 4": "replicas = 2",
        "# endpoint = ": "endpoint = ",
        "0.0.0.0": "127.0.0.1",  # noqa: S104 (no other machine is here)
    }
    folder = copied(short_directory, "water-replicas", changes)
    command = ["mimyria-driver", "hook", "mimyria_hook.py"]
    subprocess.run(command, cwd=folder, env=environment, check=True, timeout=TIMEOUT)
    processes = [
        subprocess.Popen(
            ["mimyria-driver", "run", "run.toml"], cwd=folder, env=environment
        )
    ]
    short = ["-var", "warmup", "20", "-var", "steps", "80"]
    try:
        processes += [
            subprocess.Popen(
                ["bash", "engines.sbatch", *short],
                cwd=folder,
                env={**environment, "SLURM_ARRAY_TASK_ID": str(number)},
            )
            for number in range(2)
        ]
        for process in reversed(processes):
            assert process.wait(timeout=TIMEOUT) == 0
    finally:
        for process in processes:
            process.kill()
            process.wait()
    for number in range(2):
        steps, _ = steps_and_temperature(replica_folder(folder / "spectrum", number))
        assert steps == list(range(4, 81, 4))
    result = read_result(folder / "spectrum" / "spectrum.h5")
    assert result.provenance["frames"] == 2 * 20


@pytest.mark.slow
def test_ranks_that_ask_the_networks_give_the_spectrum_of_a_large_box(
    environment, embedded_site, short_directory
):
    folder = copied(short_directory, "water-large", {"= 50.0": "= 500.0"})
    environment = {**environment, "SITE": embedded_site}
    run(folder / "run.sh", environment, warmup=20, steps=40)
    steps, temperature = steps_and_temperature(folder / "spectrum")
    assert steps == list(range(4, 41, 4))
    assert 200.0 < temperature < 400.0
    result = read_result(folder / "spectrum" / "spectrum.h5")
    assert result.volume == pytest.approx(8 * 12.417**3, rel=1e-6)
    assert result.provenance["atoms"] == 8 * 192
    assert result.spectra.keys() >= {"ir", "raman_vv"}
