"""inputs/autotrain/sulfate-liquid, up to the first reference calculation.

LAMMPS makes short trajectories, autotrain chooses, and a campaign of CP2K is planned.
Its points take minutes each and are not made here.
"""

from __future__ import annotations

import re
import shutil
import subprocess

import numpy as np
import pytest

from mimyria.autotrain.choosing import Candidates, choose_frames, draw_test_frames
from mimyria.autotrain.settings import load_settings
from mimyria.autotrain.trajectoryset import TrajectorySet, survey
from mimyria.experiments import load_experiment
from mimyria.io import read_extxyz, write_extxyz
from mimyria.io.trajectory import Trajectory
from mimyria.reference.campaign import configurations, plan_campaign
from tests.conftest import REPOSITORY

pytestmark = pytest.mark.engine

FOLDER = REPOSITORY / "inputs" / "autotrain" / "sulfate-liquid"
STEPS, STRIDE = 1200, 4
NUMBERS = [16, 8, 8, 8, 8] + 30 * [8, 1, 1]


@pytest.fixture(scope="module")
def liquid(lammps_program, engine_environment, tmp_path_factory):
    """A copy of the inputs in which LAMMPS has run, and what it said."""
    inputs = tmp_path_factory.mktemp("liquid") / "inputs"
    for name in ("autotrain/sulfate-liquid", "cp2k/sulfate"):
        shutil.copytree(REPOSITORY / "inputs" / name, inputs / name)
    folder = inputs / "autotrain" / "sulfate-liquid"
    values = ("-var", "warmup", "200", "-var", "steps", str(STEPS))
    said = subprocess.run(
        [lammps_program, "-in", "in.lammps", "-log", "none", *values],
        cwd=folder,
        env=engine_environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    ).stdout
    return folder, said


def test_both_inputs_of_lammps_have_the_same_liquid(liquid):
    """And the start is a configuration of the campaign in ../../cp2k/sulfate."""
    folder, _ = liquid
    for path in (
        folder / "in.lammps",
        folder / "../../cp2k/sulfate/equilibrate.lammps",
    ):
        text = path.read_text()
        assert "settings.lammps\n" in text
        assert "pair_coeff" not in text
    first = next(read_extxyz(folder / "../../cp2k/sulfate/configurations.extxyz"))
    atoms = (folder / "start.data").read_text().split("Atoms # full")[1]
    rows = [line.split() for line in atoms.split("Bonds")[0].splitlines() if line]
    found = np.array([[float(x) for x in row[4:]] for row in rows])
    np.testing.assert_allclose(found, first.frame.positions, atol=1e-8)


def test_the_trajectories_are_those_of_one_ion_in_the_liquid_at_constant_energy(
    liquid,
):
    folder, said = liquid
    for name in load_settings(folder / "autotrain.toml").autotrain.trajectories:
        frames = list(Trajectory(folder / name))
        assert [frame.step for frame in frames] == list(range(0, STEPS + 1, STRIDE))
        for frame in frames:
            assert frame.numbers.tolist() == NUMBERS
            # Unwrapped: symmetry.py takes the bonds as they are.
            bonds = np.linalg.norm(frame.positions[1:5] - frame.positions[0], axis=1)
            assert np.all((bonds > 1.3) & (bonds < 1.7))
    rows = r"^Step .*\n +0 +\S+ +\S+ +(\S+) .*\n +{} +\S+ +\S+ +(\S+) "
    energies = re.findall(rows.format(STEPS), said, re.M)
    assert len(energies) == 2
    for begin, end in energies:  # 1 % of kT an atom
        assert abs(float(end) - float(begin)) < 0.01 * 0.6 * len(NUMBERS)


def test_autotrain_accepts_them_up_to_the_campaign(liquid, tmp_path):
    folder, _ = liquid
    settings = load_settings(folder / "autotrain.toml")
    load_experiment(settings.spectra.experiment)
    lammps = (folder / "../../cp2k/sulfate/settings.lammps").read_text()
    assert f"timestep        {settings.dynamics.timestep:g}\n" in lammps
    frames = TrajectorySet(tuple(settings.files(settings.autotrain.trajectories)))
    facts, numbers = survey(frames)
    assert numbers == NUMBERS
    assert [each.gaps for each in facts] == [0, 0]
    assert facts[0].temperature == pytest.approx(300, rel=0.2)
    interval = settings.dynamics.timestep * facts[0].stride
    assert interval == 2.0
    candidates = Candidates(frames, facts, interval)
    test = draw_test_frames(candidates, settings)
    labelled = test[: settings.autotrain.test_frames]
    assert len(labelled) == settings.autotrain.test_frames
    now = Candidates(frames, facts, interval, taken=labelled)
    chosen = choose_frames(now, settings, 1)
    assert chosen
    write_extxyz(tmp_path / "chosen.extxyz", chosen)
    campaign = settings.campaign(tmp_path / "chosen.extxyz", tmp_path / "c", "liquid")
    code = settings.code()
    assert code.charge == -2
    plan, new = plan_campaign(campaign, code, configurations(campaign))
    assert len(new) == len(chosen)
    assert len(plan.fields) == 13


def test_the_section_for_a_cluster_can_be_used(tmp_path):
    lines = (FOLDER / "autotrain.toml").read_text().splitlines()
    begin = next(k for k, line in enumerate(lines) if line.startswith("[execution]"))
    own = next(k for k, line in enumerate(lines) if line == "# [execution]")
    switched_on = [line[2:] for line in lines[own:]]
    path = tmp_path / "run.toml"
    path.write_text("\n".join([*lines[:begin], *switched_on]))
    settings = load_settings(path)
    for section in (settings.execution, settings.compute):
        assert section.where == "slurm"
        assert section.partition == "cpu"
    assert settings.execution.walltime_seconds > settings.execution.drain > 0
