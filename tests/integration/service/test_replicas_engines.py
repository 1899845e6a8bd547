"""Replicas with real engines: partitions of one LAMMPS, several LAMMPS, two i-PI."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import analytic
import numpy as np
import pytest

from mimyria.storage import read_result
from mimyria_driver.journal import read_journal
from mimyria_driver.labels import replica_folder
from mimyria_driver.lammps.bundle import bundle_hook
from mimyria_driver.monitor import read_status
from tests.integration.ipi_input import ipi_input

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


LAMMPS = 'kind = "lammps"\n'


def start_driver(folder, n_replicas, source=LAMMPS):
    models = "\n".join(
        f'{name} = "python:analytic:make_model"' for name in ("apt", "pgt")
    )
    (folder / "run.toml").write_text(
        f"[source]\n{source}replicas = {n_replicas}\n"
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


ELEMENTS = ("O", "H", "H") * 3


def start_ipi(program, folder, seed):
    """Nine atoms in a field of springs, at another place for each seed."""
    folder.mkdir()
    (folder / "input.xml").write_text(ipi_input("", steps=STEPS, latency=1e-4))
    places = np.random.default_rng(seed).normal(scale=0.04, size=(9, 3))
    rows = [
        f"{element} {x:.6f} {y:.6f} {z:.6f}"
        for element, (x, y, z) in zip(ELEMENTS, places, strict=True)
    ]
    head = "# CELL(abcABC): 20 22 24 80 75 70 positions{angstrom} cell{angstrom}"
    (folder / "init.xyz").write_text("\n".join(["9", head, *rows]) + "\n")
    return subprocess.Popen(
        [program, "-S", f"{folder}/", "input.xml"],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
    )


def ipi_source(address):
    return (
        f'kind = "ipi"\naddress = "unix:{address}/driver"\n'
        f"time_step = {analytic.TIME_STEP}\nstride = {analytic.STRIDE}\n"
        f"elements = {list(ELEMENTS)}\n"
    )


def test_two_ipi_with_one_driver_and_one_alone_give_the_same_bits(
    ipi_program, short_directory
):
    folder = short_directory / "two"
    folder.mkdir()
    engines = [
        start_ipi(ipi_program, folder / f"{number:03d}", number) for number in (0, 1)
    ]
    source = ipi_source(folder / "{replica}")
    finish(start_driver(folder, 2, source), *engines)
    alone = short_directory / "one"
    alone.mkdir()
    engine = start_ipi(ipi_program, alone / "000", 1)
    finish(start_driver(alone, 1, ipi_source(alone / "000")), engine)
    journal = replica_folder(folder / "spectrum", 1) / "journal"
    assert journal.read_bytes() == (alone / "spectrum" / "journal").read_bytes()
    result = read_result(folder / "spectrum" / "spectrum.h5")
    assert result.provenance["replicas"] == 2
    assert result.provenance["segments"] == 2
