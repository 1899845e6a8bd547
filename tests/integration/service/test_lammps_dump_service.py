"""The whole service behind a pipe: the same numbers as by the hook, whatever dies."""

import shutil
import subprocess
import sys
import time
from pathlib import Path
from signal import SIGKILL, SIGPIPE, SIGTERM

import analytic
import numpy as np
import pytest
from waterruns import wait_for_records

from mimyria.storage import read_result
from mimyria_driver.journal import read_journal
from mimyria_driver.lammps.bundle import bundle_hook

pytestmark = pytest.mark.engine

INPUTS = Path(__file__).resolve().parents[3] / "inputs" / "lammps"
STEPS, SHORT = 600, 200
TIMEOUT = 120.0
# The set-up of a run puts atoms back into the box, before the dump of its first step.
HOOK = """
run 0
python mimyria_start input 3 ipc://hook/engine "O H" 4 format ssi file mimyria_hook.py
python mimyria_start invoke
python mimyria_frame input 1 SELF format p exists
python mimyria_frame invoke
fix mimyria all python/invoke 4 end_of_step mimyria_frame
"""
FINISH = """
python mimyria_finish exists
python mimyria_finish invoke
"""


def make_folder(folder, *, hook=False):
    """The shipped input; with the hook beside the dump, in the same LAMMPS."""
    for name in ("water", "water-dump"):
        shutil.copytree(INPUTS / name, folder / name, ignore=lambda *_: ["spectrum"])
    folder = folder / "water-dump"
    if hook:
        (folder / "mimyria_hook.py").write_text(bundle_hook())
        text = (folder / "in.lammps").read_text()
        before, after = text.split("# Production", 1)
        (folder / "in.lammps").write_text(f"{before}{HOOK}#{after}{FINISH}")
    return folder


def start_lammps(program, environment, folder, steps=STEPS):
    return subprocess.Popen(
        [
            *(program, "-in", "in.lammps", "-screen", "none"),
            *("-var", "warmup", "50", "-var", "steps", str(steps)),
        ],
        cwd=folder,
        env=environment,
    )


def start_driver(folder, kind="dump", directory="spectrum"):
    more = [str(folder / "frames.bin")] if kind == "dump" else []
    return subprocess.Popen(
        [sys.executable, analytic.__file__, kind, str(folder / directory), *more],
        cwd=folder,
        stderr=subprocess.PIPE,
    )


def finish(*processes):
    for process in processes:
        _, errors = process.communicate(timeout=TIMEOUT)
        assert process.returncode == 0, errors


def end(*processes):
    for process in processes:
        process.kill()
        process.communicate(timeout=TIMEOUT)


def wait_for_pipe(folder):
    deadline = time.monotonic() + TIMEOUT
    while not (folder / "spectrum" / "pipe").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_spectra_through_the_pipe_are_those_of_the_hook_to_the_bit(
    lammps_program, engine_environment, short_directory
):
    """One LAMMPS sends to two drivers, so that both have the same trajectory."""
    folder = make_folder(short_directory, hook=True)
    pipe = start_driver(folder)
    hook = start_driver(folder, "lammps", "hook")
    wait_for_pipe(folder)
    lammps = start_lammps(lammps_program, engine_environment, folder, SHORT)
    try:
        finish(lammps, pipe, hook)
    finally:
        end(lammps, pipe, hook)
    theirs = list(read_journal(folder / "hook" / "journal"))
    ours = list(read_journal(folder / "spectrum" / "journal"))
    assert [each.step for each in ours] == list(range(0, SHORT + 1, 4))
    for mine, its in zip(ours, theirs, strict=True):
        assert (mine.step, mine.previous_step) == (its.step, its.previous_step)
        assert mine.digest == its.digest  # positions, cell and velocities, to the bit
        np.testing.assert_array_equal(mine.currents.dipole, its.currents.dipole)
    ours = read_result(folder / "spectrum" / "spectrum.h5")
    theirs = read_result(folder / "hook" / "spectrum.h5")
    assert ours.provenance["segments"] == 1
    assert ours.spectra.keys() == theirs.spectra.keys() >= {"ir"}
    for name, spectrum in ours.spectra.items():
        np.testing.assert_array_equal(
            spectrum.intensity, theirs.spectra[name].intensity, err_msg=name
        )
    assert not (folder / "spectrum" / "pipe").exists()


@pytest.mark.slow
def test_killed_or_stopped_driver_misses_nothing_of_a_real_run(
    lammps_program, engine_environment, short_directory
):
    """Ended twice and started again: to the bit the journal of the quiet run."""
    journals = {}
    for name, how in {"quiet": None, "killed": SIGKILL, "stopped": SIGTERM}.items():
        folder = make_folder(short_directory / name)
        driver = start_driver(folder)
        wait_for_pipe(folder)
        lammps = start_lammps(lammps_program, engine_environment, folder)
        try:
            for n in (20, 70) if how else ():
                wait_for_records(folder, n, driver)
                driver.send_signal(how)
                driver.communicate(timeout=TIMEOUT)
                assert driver.returncode == (75 if how == SIGTERM else -SIGKILL)
                driver = start_driver(folder)
            finish(driver, lammps)
        finally:
            end(driver, lammps)
        journals[name] = (folder / "spectrum" / "journal").read_bytes()
        steps = [record.step for record in read_journal(folder / "spectrum/journal")]
        assert steps == list(range(0, STEPS + 1, 4))
    assert journals["quiet"] == journals["killed"] == journals["stopped"]
    result = read_result(folder / "spectrum" / "spectrum.h5")
    assert result.provenance["segments"] == 1
    assert 200 < result.provenance["kinetic_temperature"] < 400


@pytest.mark.slow
def test_a_run_that_is_refused_ends_lammps_and_the_driver_says_why(
    lammps_program, engine_environment, short_directory
):
    folder = make_folder(short_directory)
    text = (folder / "in.lammps").read_text()
    # Oxygen where the driver was told hydrogen.
    (folder / "in.lammps").write_text(
        text.replace("# Production", "mass 1 1.008\nmass 2 15.999\n# Production")
    )
    driver = start_driver(folder)
    wait_for_pipe(folder)
    lammps = start_lammps(lammps_program, engine_environment, folder)
    try:
        _, errors = driver.communicate(timeout=TIMEOUT)
        lammps.communicate(timeout=TIMEOUT)
    finally:
        end(driver, lammps)
    assert driver.returncode not in (0, 75)
    assert b"Atoms of type 1 have the mass 1.008, but O has 15.999" in errors
    assert lammps.returncode == -SIGPIPE
    assert not (folder / "spectrum" / "journal").exists()


@pytest.mark.slow
def test_after_the_file_exit_lammps_goes_on_alone(
    lammps_program, engine_environment, short_directory
):
    folder = make_folder(short_directory)
    driver = start_driver(folder)
    wait_for_pipe(folder)
    lammps = start_lammps(lammps_program, engine_environment, folder, 4000)
    try:
        wait_for_records(folder, 30, driver, lammps)
        (folder / "spectrum" / "EXIT").touch()
        finish(driver, lammps)
    finally:
        end(driver, lammps)
    assert "Total wall time" in (folder / "log.lammps").read_text()
    steps = [record.step for record in read_journal(folder / "spectrum/journal")]
    assert steps == list(range(0, 4 * len(steps), 4))
    assert len(steps) < 1000


@pytest.mark.slow
def test_a_lammps_that_is_killed_and_restarted_replaces_what_it_makes_anew(
    lammps_program, engine_environment, short_directory
):
    folder = make_folder(short_directory)
    text = (folder / "in.lammps").read_text()
    again = """
read_restart    half.restart
kspace_style    pppm/tip4p 1.0e-5
neighbor        2.0 bin
neigh_modify    every 1 delay 0 check yes
timestep        0.5
fix             integrate all nve
"""
    (folder / "again.lammps").write_text(
        "variable pipe index frames.bin\nvariable stride index 4\n"
        "variable steps index 400\n"
        + again
        + text[text.index("dump ") :].replace("${steps}", "${steps} upto")
    )
    (folder / "in.lammps").write_text(
        text.replace("run             ${steps}", "restart 100 half.restart\nrun 200")
    )
    restart = folder / "half.restart"
    driver = start_driver(folder)
    wait_for_pipe(folder)
    lammps = start_lammps(lammps_program, engine_environment, folder)
    try:
        wait_for_records(folder, 40, driver)
        driver.kill()
        driver.communicate(timeout=TIMEOUT)
        lammps.communicate(timeout=TIMEOUT)
        assert lammps.returncode == 0
        named = sorted(folder.glob("half.restart*"))
        assert named
        shutil.copy(folder / "half.restart.100", restart)
        again = subprocess.Popen(
            [lammps_program, "-in", "again.lammps", "-screen", "none"],
            cwd=folder,
            env=engine_environment,
        )
        driver = start_driver(folder)
        finish(again, driver)
    finally:
        end(driver, lammps, again)
    steps = [record.step for record in read_journal(folder / "spectrum/journal")]
    assert steps == list(range(0, 401, 4))
    result = read_result(folder / "spectrum" / "spectrum.h5")
    assert result.provenance["missing_frames"] == 0
    assert result.provenance["segments"] <= 2
