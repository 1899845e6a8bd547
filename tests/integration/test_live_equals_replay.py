"""A live LAMMPS run and the replay of its stored trajectory give the same numbers."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mimyria.frame import Frame
from mimyria.io import LabelledFrame, write_extxyz
from mimyria.storage import read_result
from mimyria.tensors import Tensors
from mimyria_driver.lammps.bundle import bundle_hook

pytestmark = pytest.mark.engine

INPUTS = Path(__file__).resolve().parents[2] / "inputs" / "lammps" / "water"
STEPS, STRIDE = 80, 4
TIMEOUT = 180.0
DUMP = """
dump            all_of_it all custom ${stride} water.dump id type x y z vx vy vz
dump_modify     all_of_it sort id format float %.17g
"""


def run_live(folder, program, environment):
    """The shipped input with a dump beside the hook, driver and engine as processes."""
    shutil.copytree(INPUTS, folder)
    with (folder / "run.toml").open("a") as settings:
        settings.write("\n[groups]\nvelocity_probes = 2\n")
    (folder / "mimyria_hook.py").write_text(bundle_hook())
    text = (folder / "in.lammps").read_text()
    before, after = text.split("# Production at constant energy", 1)
    (folder / "in.lammps").write_text(before + DUMP + "# Production" + after)
    driver = subprocess.Popen(
        [sys.executable, "-m", "mimyria_driver", "run", "run.toml"],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    engine = subprocess.Popen(
        [
            *(program, "-in", "in.lammps", "-screen", "none"),
            *("-var", "warmup", "50", "-var", "steps", str(STEPS)),
        ],
        cwd=folder,
        env=environment,
    )
    try:
        assert engine.wait(timeout=TIMEOUT) == 0
        assert driver.wait(timeout=TIMEOUT) == 0
    finally:
        for process in (engine, driver):
            process.kill()
            process.wait(timeout=TIMEOUT)


def read_dump(path):
    """Frames of a sorted text dump; the one of step 0 is not sampled by a hook."""
    sections = path.read_text().split("ITEM: TIMESTEP\n")[1:]
    for section in sections:
        lines = section.splitlines()
        step = int(lines[0])
        bounds = np.array([line.split() for line in lines[4:7]], dtype=float)
        columns = np.array([line.split() for line in lines[8:]], dtype=float)
        if step == 0:
            continue
        yield Frame(
            np.where(columns[:, 1] == 1, 8, 1),
            columns[:, 2:5].copy(),
            np.diag(bounds[:, 1] - bounds[:, 0]),
            columns[:, 5:8].copy(),
            step,
        )


def replay(trajectory, directory):
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mimyria_driver", "replay", str(trajectory)),
            *("--apt", "water-compact-apt", "--pgt", "water-compact-pgt"),
            *("--time-step", "0.5", "--stride", str(STRIDE)),
            *("--temperature", "300", "--resolution", "30"),
            *("--directory", str(directory), "--velocity-probes", "2"),
        ],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_replay_of_the_engines_own_dump_gives_the_live_spectra(
    lammps_program, engine_environment, short_directory
):
    folder = short_directory / "live"
    run_live(folder, lammps_program, engine_environment)
    frames = [
        LabelledFrame(frame, Tensors(), {})
        for frame in read_dump(folder / "water.dump")
    ]
    assert [each.frame.step for each in frames] == list(
        range(STRIDE, STEPS + 1, STRIDE)
    )
    write_extxyz(short_directory / "water.extxyz", frames)
    replay(short_directory / "water.extxyz", short_directory / "replayed")

    live = read_result(folder / "spectrum" / "spectrum.h5")
    again = read_result(short_directory / "replayed" / "spectrum.h5")
    assert live.dipole.n_samples == STEPS // STRIDE
    for name in ("dipole", "polarizability"):
        ours, theirs = getattr(live, name).values, getattr(again, name).values
        np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-10 * abs(ours).max())
    assert live.spectra.keys() == again.spectra.keys() >= {"vdos_H", "vdos_O"}
    for name, spectrum in live.spectra.items():
        # The depolarisation ratio of so short a run is masked: NaN in both.
        largest = np.abs(np.nan_to_num(spectrum.intensity)).max()
        np.testing.assert_allclose(
            again.spectra[name].intensity,
            spectrum.intensity,
            rtol=0,
            atol=1e-10 * largest,
            err_msg=name,
        )
