"""The README's blocks, taken from the README itself and run."""

import re
import sys
from pathlib import Path

import numpy as np

from mimyria.frame import Frame
from mimyria.io import LabelledFrame, write_extxyz
from mimyria.tensors import Tensors
from mimyria_driver.cli import build_parser
from mimyria_driver.settings import parse_settings

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

REPOSITORY = Path(__file__).resolve().parents[2]
README = (REPOSITORY / "README.md").read_text()


def block(language):
    (text,) = re.findall(rf"```{language}\n(.*?)```", README, re.S)
    return text


def test_the_library_example_runs(tmp_path, monkeypatch, water_molecule, rng):
    frames = []
    for step in range(2700):
        frame = Frame(
            water_molecule.numbers,
            water_molecule.positions,
            water_molecule.cell,
            rng.normal(scale=1e-3, size=(3, 3)),
            step,
        )
        apt = np.multiply.outer([-0.8, 0.4, 0.4], np.eye(3))
        frames.append(LabelledFrame(frame, Tensors(apt, None), {}))
    write_extxyz(tmp_path / "labelled.extxyz", frames)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(block("python"), "README.md", "exec"), names)
    assert names["spectra"]["ir"].unit == "cm^-1"
    assert np.isfinite(names["spectra"]["ir"].intensity).all()


def test_the_settings_are_valid(tmp_path):
    settings = parse_settings(tomllib.loads(block("toml")), tmp_path)
    assert settings.models.apt == "water-compact-apt"
    assert settings.source.kind == "lammps"


def test_the_files_that_are_linked_exist():
    for target in re.findall(r"\]\((?!http)(.*?)\)", README):
        assert (REPOSITORY / target).exists(), target


def test_the_commands_are_known():
    parser = build_parser()
    for command in ("init", "run", "watch", "demo"):
        assert f"mimyria-driver {command}" in README or command == "demo"
        assert command in parser.format_help()
