"""`mimyria vdos`: velocity spectra of the elements of a stored trajectory."""

import re

import numpy as np
import pytest

from mimyria.cli import main
from mimyria.correlators import Correlator
from mimyria.frame import Frame
from mimyria.io import LabelledFrame, write_extxyz
from mimyria.io.tables import read_table
from mimyria.spectra import (
    mass_weighted,
    velocity_spectrum,
    window_for_resolution,
)
from mimyria.spectra.elements import VelocitySpectra
from mimyria.spectra.vdos import VELOCITY_CORRELATION_UNIT
from mimyria.tensors import Tensors
from mimyria.units import angular_frequency

INTERVAL = 2.0
OXYGEN, HYDROGEN = 1600.0, 3400.0


def frames(n_frames, rng):
    """Each element moves with one frequency, every atom with its own phase."""
    numbers = np.array([8, 1, 1, 8])
    omega = np.where(numbers == 8, *map(angular_frequency, (OXYGEN, HYDROGEN)))
    phase = rng.uniform(0, 2 * np.pi, size=(4, 3))
    for step in range(n_frames):
        velocities = 1e-3 * np.cos(omega[:, None] * step * INTERVAL + phase)
        positions = rng.normal(size=(4, 3))
        frame = Frame(numbers, positions, 9.0 * np.eye(3), velocities, step)
        yield LabelledFrame(frame, Tensors(), {})


@pytest.fixture
def trajectory(tmp_path, rng):
    path = tmp_path / "motion.extxyz"
    write_extxyz(path, frames(900, rng))
    return path


def test_each_element_has_its_band_and_its_number_of_modes(
    trajectory, tmp_path, capsys
):
    table, figure = tmp_path / "vdos.csv", tmp_path / "vdos.png"
    arguments = ["vdos", str(trajectory), "--interval", "2", "--resolution", "40"]
    code = main([*arguments, "--csv", str(table), "--plot", str(figure)])
    assert code == 0
    lines = capsys.readouterr().out.splitlines()
    first, second = (re.sub(" +", " ", line) for line in lines[:2])
    assert re.fullmatch(r"vdos_H 6\.0 modes, error \d+\.\d%; bands at 3400 cm⁻¹", first)
    assert re.fullmatch(
        r"vdos_O 6\.0 modes, error \d+\.\d%; bands at 1600 cm⁻¹", second
    )
    spectrum = read_table(table, column="vdos_O")
    top = spectrum.wavenumbers[np.argmax(spectrum.intensity)]
    assert abs(top - OXYGEN) <= spectrum.spacing
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_one_channel_for_all_atoms_equals_one_for_each(rng):
    velocities = rng.normal(size=(400, 3, 3))
    masses = np.array([16.0, 1.0, 1.0])
    accumulated = VelocitySpectra(["a"] * 3, masses, 120, INTERVAL)
    own = [(channel, channel) for channel in range(9)]
    separate = Correlator(9, 120, INTERVAL, VELOCITY_CORRELATION_UNIT, own)
    for frame in velocities:
        accumulated.push(frame)
        separate.push(mass_weighted(frame, masses))
    window = window_for_resolution("gaussian", 250.0, 120, INTERVAL)
    expected = velocity_spectrum(
        separate.result(), n_atoms=3, window=window, spacing=250.0 / 8
    )
    (found,) = accumulated.spectra("gaussian", 250.0, 9000.0)
    np.testing.assert_allclose(found.intensity, expected.intensity, rtol=1e-12)


def test_no_pair_crosses_from_one_trajectory_to_the_next(tmp_path, rng, capsys):
    """The same file twice has the spectrum of the file once."""
    path = tmp_path / "motion.extxyz"
    write_extxyz(path, frames(900, rng))
    for name, files in (("once", [path]), ("twice", [path, path])):
        table = str(tmp_path / f"{name}.csv")
        arguments = ["--interval", "2", "--resolution", "40", "--csv", table]
        assert main(["vdos", *map(str, files), *arguments]) == 0
    once, twice = (
        read_table(tmp_path / f"{name}.csv", column="vdos_H").intensity
        for name in ("once", "twice")
    )
    np.testing.assert_allclose(twice, once, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("words", [[], ["--interval", "0"], ["--interval", "nan"]])
def test_a_trajectory_needs_its_interval(trajectory, words, capsys):
    assert main(["vdos", str(trajectory), *words]) == 78
    assert "a trajectory needs --interval FS" in capsys.readouterr().err


def test_atoms_that_change_are_refused(tmp_path, rng, capsys):
    stored = list(frames(2, rng))
    frame = stored[1].frame
    changed = Frame(
        np.array([1, 1, 8, 8]), frame.positions, frame.cell, frame.velocities, 1
    )
    path = tmp_path / "changed.extxyz"
    write_extxyz(path, [stored[0], LabelledFrame(changed, Tensors(), {})])
    code = main(["vdos", str(path), "--interval", "2", "--resolution", "40"])
    assert code == 65
    assert "the atoms must be the same in every frame" in capsys.readouterr().err
