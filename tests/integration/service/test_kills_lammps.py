"""A real LAMMPS while drivers and engines are killed at random moments."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest
from hammer import (
    TIMEOUT,
    check_rebuild,
    ended,
    finish,
    hammered,
    last_step,
    moments_of,
    restarted,
    run_file,
    same_as,
    steps,
    succeeded,
    undisturbed,
    wait_for_step,
)
from waterruns import Lammps, driver_of, expected

pytestmark = [pytest.mark.engine, pytest.mark.timeout(1500)]


@pytest.mark.soak  # test_lammps_service.py has the short one
@pytest.mark.parametrize(("n_kills", "n_steps"), [(50, 8_000)])
def test_killed_driver_of_lammps_misses_nothing(
    lammps_program, engine_environment, short_directory, n_kills, n_steps
):
    """R1: to the bit the journal of the run that nobody disturbed."""
    engine = (lammps_program, engine_environment)
    quiet, folder = short_directory / "quiet", short_directory / "killed"
    undisturbed(Lammps(*engine, quiet, n_steps, 200), driver_of(quiet))
    lammps = Lammps(*engine, folder, n_steps, 200)
    hammered(lammps, driver_of(folder), folder, 1, n_kills)
    assert steps(folder) == expected(n_steps)
    same_as(folder, quiet)


@pytest.mark.parametrize(
    ("n_kills", "n_steps"),
    [
        pytest.param(1, 480, id="short"),
        pytest.param(10, 4_000, id="soak", marks=pytest.mark.soak),
    ],
)
def test_killed_lammps_has_each_step_once(
    lammps_program, engine_environment, short_directory, n_kills, n_steps
):
    """R2: it goes on from its restart files; nothing twice, nothing missing."""
    folder = short_directory / "run"
    lammps = Lammps(lammps_program, engine_environment, folder, n_steps, 100)
    driver = driver_of(folder)
    # Somewhere in each part of the run, with files from before and after.
    restarted(lammps, driver, folder, moments_of(7, n_steps, n_kills, 0))
    assert "went back from step" in driver.log  # the restart was not to the bit
    assert steps(folder) == expected(n_steps)
    result = check_rebuild(folder)
    assert result.provenance["segments"] == 1
    assert result.provenance["missing_frames"] == 0


@pytest.mark.slow
def test_driver_on_standby_takes_over_from_a_killed_one(
    lammps_program, engine_environment, short_directory
):
    """To the bit the journal of the run that nobody disturbed."""
    engine, n_steps = (lammps_program, engine_environment), 480
    quiet, folder = short_directory / "quiet", short_directory / "killed"
    undisturbed(Lammps(*engine, quiet, n_steps, 200), driver_of(quiet))
    lammps = Lammps(*engine, folder, n_steps, 200)
    succeeded(lammps, run_file(folder, 'kind = "lammps"'), 120)
    assert lammps.n_kills == 0
    assert steps(folder) == expected(n_steps)
    same_as(folder, quiet)


@pytest.mark.soak
@pytest.mark.parametrize("seed", [3, 5, 6])
def test_killed_and_stopped_both_have_each_step_once(
    lammps_program, engine_environment, short_directory, seed
):
    """R3: 20 faults, each on one end or on both."""
    folder = short_directory / "run"
    n_steps, n_faults = 5_000, 20
    lammps = Lammps(lammps_program, engine_environment, folder, n_steps, 200)
    driver = driver_of(folder)
    rng = np.random.default_rng(seed)
    lammps.start()
    driver.start()
    done = {"driver": 0, "engine": 0, "both": 0, "stop": 0}
    with ended(lammps, driver):
        for number in range(n_faults):
            wait_for_step(
                folder,
                n_steps * number // (n_faults + 1) + rng.integers(0, 300),
                driver.is_running,
            )
            fault = str(rng.choice(list(done)))
            done[fault] += 1
            if fault == "stop":
                driver.pause(rng.uniform(0.1, 2.2))
            if fault in ("driver", "both"):
                driver.kill()
            if fault in ("engine", "both"):
                lammps.kill()
                lammps.start()
            if fault in ("driver", "both"):
                driver.start()
        finish(driver, lammps)
    assert sum(done.values()) == n_faults
    assert min(done.values()) > 0
    assert steps(folder) == expected(n_steps)
    result = check_rebuild(folder)
    assert result.provenance["segments"] == 1
    assert result.provenance["missing_frames"] == 0


def test_without_the_barrier_a_loss_is_a_gap_that_is_counted_and_said(
    lammps_program, engine_environment, short_directory
):
    """R4: both die after a restart file that the driver has no frames for."""
    folder = short_directory / "run"
    lammps = Lammps(lammps_program, engine_environment, folder, 800, 100)
    lammps.words += ["-var", "options", "barrier=0"]
    text = (folder / "restart.lammps").read_text()
    (folder / "restart.lammps").write_text(text.replace("barrier=${every}", "wait=1"))
    driver = driver_of(folder)
    lammps.start()
    driver.start()
    with ended(lammps, driver):
        wait_for_step(folder, 120, driver.is_running)
        lammps.process.kill()
        lammps.process.wait(TIMEOUT)
        driver.kill()
        # A restart file from later than anything the driver has.
        reached = last_step(folder)
        alone = text.replace("mimyria_frame", "#").split("label           production")[
            0
        ]
        (folder / "alone.lammps").write_text(
            alone + f"label production\nrun {600 - 0} upto\nwrite_restart water.a\n"
        )
        subprocess.run(
            [*lammps.words[:2], "alone.lammps", *lammps.words[3:]],
            cwd=folder,
            env=engine_environment,
            check=True,
            timeout=TIMEOUT,
            stdout=subprocess.DEVNULL,
        )
        (folder / "water.b").unlink(missing_ok=True)
        driver.start()
        lammps.start()
        finish(driver, lammps)
    found = steps(folder)
    assert found == [*range(0, reached + 1, 4), *range(600, 801, 4)]
    result = check_rebuild(folder)
    assert result.provenance["segments"] == 2
    assert result.provenance["missing_frames"] == (600 - reached) // 4 - 1
    assert f"frames are missing between step {reached} and 600" in driver.log
    assert f"the driver has frames up to step {reached}, but this run" in lammps.log
