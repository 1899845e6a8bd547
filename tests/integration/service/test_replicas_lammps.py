"""Replicas with real engines: partitions of one LAMMPS, and several LAMMPS."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import analytic
import pytest

from mimyria.storage import read_result
from mimyria_driver.journal import read_journal
from mimyria_driver.labels import replica_folder
from mimyria_driver.lammps.bundle import bundle_hook
from mimyria_driver.monitor import read_status

pytestmark = [pytest.mark.engine, pytest.mark.slow]

INPUTS = Path(__file__).resolve().parents[3] / "inputs" / "lammps" / "water"
STEPS = 200
SEEDS = (11, 12, 13, 14)
TIMEOUT = 240.0


def prepare(folder, seed):
    """The shipped input, with another seed for each replica."""
    shutil.copytree(INPUTS, folder)
    (folder / "mimyria_hook.py").write_text(bundle_hook())
    text = (folder / "in.lammps").read_text()
    text = f"variable seed {seed}\n" + text.replace("20231", "${seed}")
    (folder / "in.lammps").write_text(text)


def start_driver(folder, n_replicas):
    models = "\n".join(
        f'{name} = "python:analytic:make_model"' for name in ("apt", "pgt")
    )
    (folder / "run.toml").write_text(
        f'[source]\nkind = "lammps"\nreplicas = {n_replicas}\n'
        f'[models]\n{models}\ndevice = "cpu"\nsearch = "{analytic.HERE}"\n'
        "[spectrum]\nresolution = 200.0\nplots = false\n"
    )
    return subprocess.Popen(
        [sys.executable, "-m", "mimyria_driver", "run", "run.toml"],
        cwd=folder,
        stderr=subprocess.PIPE,
    )


def start_lammps(command, folder, endpoint, environment, **variables):
    return subprocess.Popen(
        [
            *(*command, "-in", "in.lammps", "-screen", "none", "-log", "none"),
            *("-var", "warmup", "50", "-var", "steps", str(STEPS)),
            *("-var", "endpoint", endpoint),
        ],
        cwd=folder,
        env={**environment, **variables},
    )


def finish(driver, *engines):
    try:
        for engine in engines:
            assert engine.wait(timeout=TIMEOUT) == 0
        _, said = driver.communicate(timeout=TIMEOUT)
        assert driver.returncode == 0, said.decode()
    finally:
        for process in (driver, *engines):
            process.kill()
            process.wait(timeout=TIMEOUT)


EACH = "spectrum/replicas/{replica}/endpoint.json"


@pytest.fixture(scope="module")
def partitions(tmp_path_factory, lammps_program, mpirun_program, engine_environment):
    """Four partitions of one LAMMPS, which know their numbers themselves."""
    folder = tmp_path_factory.mktemp("p") / "run"
    prepare(folder, "world " + " ".join(map(str, SEEDS)))
    driver = start_driver(folder, len(SEEDS))
    flags = ["--oversubscribe", *(["--allow-run-as-root"] if not os.geteuid() else [])]
    command = [mpirun_program, *flags, "-np", "4", lammps_program]
    command += ["-partition", "4x1"]
    finish(driver, start_lammps(command, folder, EACH, engine_environment))
    return folder / "spectrum"


def test_partitions_of_one_lammps_are_replicas(partitions):
    for number in range(len(SEEDS)):
        path = replica_folder(partitions, number) / "journal"
        steps = [record.step for record in read_journal(path)]
        assert steps == list(range(4, STEPS + 1, 4))
    status = read_status(partitions)
    assert status["replicas"]["states"] == {"ended": len(SEEDS)}
    assert read_result(partitions / "spectrum.h5").provenance["frames"] == (
        len(SEEDS) * STEPS // 4
    )


def test_separate_lammps_and_a_single_run_give_the_same_bits(
    partitions, lammps_program, engine_environment, short_directory
):
    """Two of the four, each in a LAMMPS of its own, and one alone with its driver."""
    folder = short_directory / "two"
    folder.mkdir()
    driver = start_driver(folder, 2)
    engines = []
    for number in (0, 1):
        prepare(folder / str(number), f"equal {SEEDS[number]}")
        engines.append(
            start_lammps(
                [lammps_program],
                folder / str(number),
                f"../{EACH}",
                engine_environment,
                MIMYRIA_REPLICA=str(number),
            )
        )
    finish(driver, *engines)
    alone = short_directory / "one"
    prepare(alone, f"equal {SEEDS[0]}")
    finish(
        start_driver(alone, 1),
        start_lammps(
            [lammps_program], alone, "spectrum/endpoint.json", engine_environment
        ),
    )
    journals = [
        (replica_folder(run, number) / "journal").read_bytes()
        for run in (partitions, folder / "spectrum")
        for number in (0, 1)
    ]
    assert journals[:2] == journals[2:]
    assert journals[0] == (alone / "spectrum" / "journal").read_bytes()
