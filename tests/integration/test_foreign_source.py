"""A replay with a source that is no network of ours, against the exact result."""

import textwrap

import numpy as np
import pytest

from mimyria.errors import (
    FrameError,
    IncompatibleError,
    MimyriaError,
    SettingsError,
    UnitError,
)
from mimyria.frame import Frame
from mimyria.io import LabelledFrame, write_extxyz
from mimyria.storage import read_result
from mimyria.tensors import Tensors
from mimyria_driver.cli import main
from mimyria_driver.service import run
from mimyria_driver.settings import load_settings

CHARGES = {8: -0.8, 1: 0.4}
SKEW = np.array([[1.0, 0.5, 0.0], [0.0, 1.0, 0.0], [0.0, -0.7, 1.0]])
N_FRAMES = 60

TOY = """
    import numpy as np
    from mimyria.targets import APT
    from mimyria.tensorsources import SourceMetadata

    CHARGES = {8: -0.8, 1: 0.4}


    class FixedCharges:
        metadata = SourceMetadata("fixed charges", APT, order="dM_a/dr_b", unit="e")

        def predict(self, frames):
            return [
                np.multiply.outer([CHARGES[z] for z in frame.numbers], np.eye(3))
                for frame in frames
            ]


    def make(target, device):
        assert (target, device) == ("apt", "cpu")
        return FixedCharges()


    class Skewed(FixedCharges):
        metadata = SourceMetadata("skewed", APT, order="dM_b/dr_a", unit="e")

        def predict(self, frames):
            skew = np.array([[1.0, 0.5, 0.0], [0.0, 1.0, 0.0], [0.0, -0.7, 1.0]])
            return [z @ skew.T for z in super().predict(frames)]


    def skewed(target, device):
        return Skewed()


    class Nameless(FixedCharges):
        metadata = SourceMetadata("nameless", APT, order="", unit="e")


    def nameless(target, device):
        return Nameless()


    class Broken(FixedCharges):
        def predict(self, frames):
            return [1 / 0 for _ in frames]


    def broken(target, device):
        return Broken()


    def stops(target, device):
        raise ValueError("no weights here")
"""

RUN = """
    [run]
    directory = "{directory}"
    report = 1000.0
    [source]
    kind = "replay"
    path = "md.extxyz"
    time_step = 0.5
    stride = 4
    [models]
    apt = "python:toy:{function}"
    device = "cpu"
    [spectrum]
    resolution = 200.0
    plots = false
    [groups]
    kind = "none"
"""


@pytest.fixture
def folder(tmp_path):
    """A trajectory of a molecule that swings, and toy.py beside it."""
    rng = np.random.default_rng(5)
    amplitude = rng.normal(scale=0.05, size=(3, 3))
    frequency = rng.uniform(0.02, 0.1, size=(3, 3))
    frames = []
    for index in range(N_FRAMES):
        t = 2.0 * index
        frames.append(
            Frame(
                np.array([8, 1, 1]),
                np.eye(3) + amplitude * np.sin(frequency * t),
                9.0 * np.eye(3),
                amplitude * frequency * np.cos(frequency * t),
                4 * index,
            )
        )
    labelled = [LabelledFrame(frame, Tensors(), {}) for frame in frames]
    write_extxyz(tmp_path / "md.extxyz", labelled)
    (tmp_path / "toy.py").write_text(textwrap.dedent(TOY))
    return tmp_path


def velocities(folder):
    from mimyria.io import read_extxyz

    return np.array([f.frame.velocities for f in read_extxyz(folder / "md.extxyz")])


def settings(folder, function, directory="run"):
    path = folder / "run.toml"
    text = textwrap.dedent(RUN).format(function=function, directory=directory)
    path.write_text(text)
    return load_settings(path)


def correlation(samples, n_lags):
    """The naive sum over all pairs of samples, traced."""
    return np.array(
        [
            np.mean([samples[k] @ samples[k + lag] for k in range(len(samples) - lag)])
            for lag in range(n_lags)
        ]
    )


@pytest.mark.parametrize("function", ["make", "skewed"])
def test_fixed_charges_give_the_correlation_of_charges_times_velocities(
    folder, function
):
    assert run(settings(folder, function)) == 0
    result = read_result(folder / "run" / "spectrum.h5")
    q = np.array([CHARGES[8], CHARGES[1], CHARGES[1]])
    current = np.einsum("i,tia->ta", q, velocities(folder))
    if function == "skewed":  # M = Σ q S v; stored with a row for each displacement
        current = current @ SKEW.T
    diagonal = [u == v for u, v in result.dipole.pairs]
    found = result.dipole.values[:N_FRAMES, diagonal].sum(axis=1)
    expected = correlation(current, N_FRAMES)
    assert np.abs(found - expected).max() < 1e-12 * np.abs(expected).max()
    assert result.polarizability is None
    name = {"make": "fixed charges", "skewed": "skewed"}[function]
    assert result.provenance["model_apt"].startswith(f"{name} ")


def test_the_command_takes_it_too_and_the_text_of_the_module_identifies_it(
    folder, monkeypatch, capsys
):
    monkeypatch.chdir(folder)
    arguments = ["replay", "md.extxyz", "--apt", "python:toy:make", "--device", "cpu"]
    arguments += ["--time-step", "0.5", "--stride", "4", "--directory", "run"]
    arguments += ["--resolution", "200", "--groups", "none"]
    assert main(arguments) == 0
    before = (folder / "run" / "journal").read_bytes()
    assert main(arguments) == 0
    another = [word.replace("toy:make", "toy:skewed") for word in arguments]
    assert main(another) == IncompatibleError.exit_code
    text = (folder / "toy.py").read_text()
    (folder / "toy.py").write_text(text.replace("1: 0.4", "1: 0.5"))
    capsys.readouterr()
    assert main(arguments) == IncompatibleError.exit_code
    assert "was written with other models (apt)" in capsys.readouterr().err
    assert (folder / "run" / "journal").read_bytes() == before


@pytest.mark.parametrize(
    ("function", "error", "text"),
    [
        ("nameless", UnitError, r"python:toy:nameless': apt_order must be one of"),
        ("broken", FrameError, r"died .* ZeroDivisionError"),
        ("stops", SettingsError, r"target 'apt' and the device 'cpu' and stopped: Val"),
        ("absent", SettingsError, r"toy\.py has no function absent"),
    ],
)
def test_what_a_source_does_wrong_is_said(folder, function, error, text):
    with pytest.raises(error, match=text) as raised:
        run(settings(folder, function))
    assert isinstance(raised.value, MimyriaError)


def test_nothing_runs_without_the_prefix_or_with_a_wrong_form(folder):
    with pytest.raises(SettingsError, match='of the form "python:module:function"'):
        settings(folder, "no function")
