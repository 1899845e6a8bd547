"""The demo, short: separate processes, real engines, the shipped networks."""

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mimyria.storage import read_result
from mimyria_driver.demo import engines

TIMEOUT = 600.0


def demo(directory, *arguments):
    return subprocess.run(
        [
            *(sys.executable, "-m", "mimyria_driver", "demo"),
            *(*arguments, "--directory", str(directory)),
        ],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def check_results(folder, n_frames):
    result = read_result(folder / "spectrum.h5")
    assert result.dipole.n_samples == n_frames
    assert result.polarizability.n_samples == n_frames
    assert result.provenance["segments"] == 1
    ir = result.spectra["ir"]
    assert np.isfinite(ir.intensity).all()
    # Even 0.2 ps of water absorb at the stretch and not between the bands.
    stretch = ir.between(3300.0, 3800.0).intensity.max()
    assert stretch > 10 * np.median(ir.between(2200.0, 2800.0).intensity)
    for picture in ("ir.png", "raman.png"):
        assert (folder / picture).read_bytes().startswith(b"\x89PNG")


@pytest.mark.engine
@pytest.mark.timeout(1300)  # two of them
def test_the_demo_with_lammps_leaves_spectra_and_says_where_the_bands_are(
    short_directory,
):
    folder = short_directory / "out"
    done = demo(folder, "--picoseconds", "0.2")
    assert done.returncode == 0, done.stdout + done.stderr
    run = folder / "lammps" / "water"
    assert re.search(r"LAMMPS \(\d+ \w+ 2025", (run / "log.lammps").read_text())
    check_results(run / "spectrum", 100)
    for band in ("libration", "bend", "OH stretch"):
        assert re.search(rf"{band} +\d+ +(in|OUT)side", done.stdout, re.I), done.stdout
    with np.load(run / "velocities.npz", allow_pickle=False) as stored:
        assert stored["velocities"].shape == (100, 192, 3)

    again = demo(folder, "--picoseconds", "0.02")
    assert again.returncode == 0, again.stderr
    check = read_result(run / "spectrum" / "spectrum.h5")
    assert check.dipole.n_samples == 10, "the folder of an earlier demo is made anew"


@pytest.mark.engine
@pytest.mark.slow
def test_the_demo_with_ipi_runs_three_programs(
    short_directory, lammps_program, ipi_program
):
    folder = short_directory / "out"
    done = demo(folder, "--engine", "ipi", "--picoseconds", "0.2")
    assert done.returncode == 0, done.stdout + done.stderr
    run = folder / "ipi" / "water"
    assert "Got EXIT message from i-PI" in (run / "log.lammps").read_text()
    assert "Shutting down the driver interface" in (run / "ipi.log").read_text()
    check_results(run / "spectrum", 100)
    name = re.search(r'"unix:([\w-]+)-driver"', (run / "run.toml").read_text())[1]
    assert not list(Path("/tmp").glob(f"ipi_{name}*"))


def test_what_a_user_left_beside_the_inputs_does_no_harm(short_directory, monkeypatch):
    """A run by hand leaves a socket, which cannot be copied."""
    inputs = short_directory / "inputs"
    shutil.copytree(engines.inputs_folder(), inputs, ignore=lambda *_: ["spectrum"])
    left = inputs / "lammps" / "water" / "spectrum"
    left.mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(left / "engine"))
    monkeypatch.setattr(engines, "inputs_folder", lambda: inputs)
    engines.prepare(short_directory / "out")
    assert (short_directory / "out/lammps/water/in.lammps").is_file()
    assert not (short_directory / "out/lammps/water/spectrum").exists()


def test_a_demo_copies_what_it_runs_and_no_other_inputs(tmp_path):
    engines.prepare(tmp_path)
    folders = {each.name for each in tmp_path.iterdir() if each.is_dir()}
    assert folders == {"ipi", "lammps"}
    for engine in folders:
        assert (tmp_path / engine / "water" / "run.toml").is_file()


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    done = demo(tmp_path)
    assert done.returncode == 73
    assert "is not the folder of an earlier demo" in done.stderr
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_demo_with_ring_polymers_compares_two_liquids(short_directory):
    folder = short_directory / "out"
    done = demo(folder, "--engine", "trpmd", "--picoseconds", "0.2")
    assert done.returncode == 0, done.stdout + done.stderr
    for name, beads in (("classical", 1), ("quantum", 8)):
        run = folder / "ipi" / f"water-{name}"
        check_results(run / "spectrum", 100)
        positions = (run / "RESTART").read_text()
        assert f"nbeads='{beads}'" in positions
    for label in ("IR", "VV"):
        assert re.search(rf"  {label}  \d+ to \d+: [+-]\d+ ± ", done.stdout)
    assert (folder / "ipi" / "ir.png").read_bytes().startswith(b"\x89PNG")
