"""Campaigns for tests: files, the command as a user gives it, molecules with tblite."""

from __future__ import annotations

import shutil
import subprocess
import sys

import numpy as np
import pytest

from mimyria.cli import main
from mimyria.frame import Frame
from mimyria.io.extxyz import write_extxyz
from mimyria.io.labelled import LabelledFrame
from mimyria.tensors import Tensors
from tests.conftest import REPOSITORY
from tests.integration.childenvironment import environment
from tests.integration.conftest import missing


class Command:
    """`mimyria reference STEP campaign.toml` in a folder."""

    def __init__(self, folder, timeout=280):
        self.folder = folder
        self.timeout = timeout

    def start(self, step, *options, campaign="campaign.toml"):
        return subprocess.Popen(
            self._words(step, options, campaign),
            cwd=self.folder,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, step, *options, code=0, campaign="campaign.toml"):
        """Run it to its end; what it said."""
        done = subprocess.run(
            self._words(step, options, campaign),
            cwd=self.folder,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=self.timeout,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    def _words(self, step, options, campaign):
        return [sys.executable, "-m", "mimyria", "reference", step, campaign, *options]


@pytest.fixture
def reference(tmp_path):
    return Command(tmp_path)


@pytest.fixture
def here(tmp_path, monkeypatch, capsys):
    """The command in this process: as the other, without the start of a Python."""
    monkeypatch.chdir(tmp_path)
    for name, value in environment().items():
        monkeypatch.setenv(name, value)

    def run(step, *options, code=0):
        capsys.readouterr()
        arguments = ["reference", step, "campaign.toml", *map(str, options)]
        found = main(arguments)
        out, err = capsys.readouterr()
        assert found == code, out + err
        return out, err

    return run


@pytest.fixture
def refused(here):
    """A command that must fail: one line on stderr, nothing on stdout."""

    def run(code, step, *options):
        out, err = here(step, *options, code=code)
        last = err.splitlines()[-1]
        assert last.startswith("error: ")
        assert err.count("error: ") == 1
        assert out == ""
        return err

    return run


def water_molecules(count, seed=1):
    """Distorted water molecules without symmetry, turned at random."""
    rng = np.random.default_rng(seed)
    rest = np.array([[0.0, 0, 0], [0.76, 0.59, 0], [-0.76, 0.59, 0]])
    frames = []
    for number in range(count):
        turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        positions = (rest + 0.05 * rng.normal(size=(3, 3))) @ turn
        frame = Frame(
            np.array([8, 1, 1]), positions, np.zeros((3, 3)), None, number,
            pbc=(False,) * 3,
        )  # fmt: skip
        frames.append(LabelledFrame(frame, Tensors(), {"id": 10 + number}))
    return frames


def write_campaign(folder, frames, text=""):
    """A campaign of molecules with GFN1-xTB."""
    write_extxyz(folder / "molecules.extxyz", frames)
    (folder / "campaign.toml").write_text(
        "[campaign]\nframes = ['molecules.extxyz']\ntitle = 'Water molecules'\n"
        f"{text}\n[code]\nkind = 'tblite'\nmethod = 'GFN1-xTB'\n"
        "[fields]\nstep = 1e-3\n[execution]\nworkers = 2\n"
    )


@pytest.fixture(scope="session")
def cp2k_program():
    """CP2K, as it is installed."""
    program = shutil.which("cp2k.psmp")
    if program is None:
        missing("there is no cp2k.psmp")
    return program


@pytest.fixture
def cp2k_input(tmp_path):
    """Copy one folder of inputs/cp2k, as a user would."""

    def copy(name):
        shutil.copytree(REPOSITORY / "inputs" / "cp2k" / name, tmp_path / name)
        return Command(tmp_path / name)

    return copy
