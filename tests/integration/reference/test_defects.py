"""Defects of an earlier program, each looked for in what a campaign leaves behind.

Numbers D1, D3 … are those of the list of defects. GFN1-xTB of molecules: milliseconds a
point, so what costs time here is the start of processes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from mimyria.frame import Frame
from mimyria.io.extxyz import read_extxyz
from mimyria.io.labelled import LabelledFrame
from mimyria.reference import FieldQuality, fit_tensors
from mimyria.reference.campaign.tasks import Task
from mimyria.reference.codes.tblite import TbliteCode, TbliteSettings
from mimyria.reference.displacement import (
    apt_from_dipoles,
    displaced_positions,
    pgt_from_polarizabilities,
    polarizability_from_dipoles,
)
from mimyria.reference.stencils import apt_stencil, pgt_stencil, with_zero_field
from mimyria.tensors import Tensors
from tests.integration.childenvironment import environment
from tests.integration.reference.conftest import (
    Command,
    water_molecules,
    write_campaign,
)

STEP = 1e-3
NAMES = ("0003", "0007", "0010", "0011")
LAST = "0003"  # the first by name is made to finish last


def molecules():
    """Different atoms in different orders, one in a skewed box; ids out of order."""
    frames = [each.frame for each in water_molecules(4, seed=5)]
    first, second, third, fourth = frames
    boxed = replace(first, cell=np.array([[9, 0, 0], [1 / 3, 8, 0], [-0.7, 0.1, 7.0]]))
    turned = replace(second, numbers=second.numbers[[1, 0, 2]],
                     positions=second.positions[[1, 0, 2]])  # fmt: skip
    ammonia = Frame(
        np.array([1, 7, 1, 1]),
        np.vstack([third.positions[1], third.positions[0] + 0.013,
                   third.positions[2], third.positions[0] + [0.1, -0.5, 0.9]]),
        np.zeros((3, 3)), None, 0, pbc=(False,) * 3,
    )  # fmt: skip
    ids = (10, 3, 11, 7)
    return {
        f"{number:04d}": LabelledFrame(frame, Tensors(), {"id": number})
        for number, frame in zip(ids, (boxed, turned, ammonia, fourth), strict=True)
    }


@pytest.fixture(scope="module")
def campaign(tmp_path_factory):
    """Four molecules; one task fails at first and is done last. Times of its files."""
    folder = tmp_path_factory.mktemp("campaign")
    write_campaign(folder, list(molecules().values()), "retries = 0")
    reference = Command(folder)
    reference("plan")
    tasks = folder / "reference" / "tasks"
    obstacle = tasks / LAST / "point-05"
    obstacle.write_text("in the way")
    assert "3 of 4 tasks are done, 1 failed" in reference("run", code=75)
    before = {path: path.stat().st_mtime_ns for path in tasks.rglob("point.npz")}
    obstacle.unlink()
    reference("run", "--again")
    reference("collect", "--output", "set.extxyz")
    return folder, before


@pytest.fixture(scope="module")
def frames(campaign):
    folder, _ = campaign
    return {name: frame for name, frame in zip(
        NAMES, read_extxyz(folder / "set.extxyz"), strict=True)}  # fmt: skip


def test_d1_tensors_stand_with_the_configuration_they_are_of(campaign, frames):
    """Whatever the order in which tasks have finished."""
    folder, _ = campaign
    tasks = folder / "reference" / "tasks"
    ended = {n: (tasks / n / "state.json").stat().st_mtime_ns for n in NAMES}
    assert max(ended, key=ended.get) == LAST
    planned = molecules()
    assert planned.keys() == frames.keys()
    for name, found in frames.items():
        frame = planned[name].frame
        assert np.array_equal(found.frame.numbers, frame.numbers)
        assert np.array_equal(found.frame.positions, frame.positions)
        points = []
        for index in range(13):
            with np.load(tasks / name / f"point-{index:02d}" / "point.npz") as arrays:
                points.append((arrays["field"], arrays["forces"]))
        fields, forces = map(np.stack, zip(*points, strict=True))
        fit = fit_tensors(fields, forces)
        assert np.array_equal(found.tensors.apt, fit.apt)
        assert np.array_equal(found.tensors.pgt, fit.pgt)
        others = [f.tensors.apt for n, f in frames.items() if n != name]
        assert all(o.shape != fit.apt.shape or np.abs(o - fit.apt).max() > 0.1
                   for o in others)  # fmt: skip


def test_d10_the_collected_cell_is_that_of_the_file_to_the_bit(frames):
    for name, planned in molecules().items():
        assert np.array_equal(frames[name].frame.cell, planned.frame.cell)
        assert frames[name].frame.pbc == planned.frame.pbc
    assert frames["0010"].frame.cell[1, 0] == 1 / 3


def test_d12_running_again_computes_only_what_is_missing(campaign):
    folder, before = campaign
    assert len(before) == 3 * 13 + 5
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    after = set((folder / "reference" / "tasks").rglob("point.npz")) - before.keys()
    assert {path.parent.parent.name for path in after} == {LAST}
    assert len(after) == 8
    state = Task(folder / "reference" / "tasks" / LAST).state()
    assert (state.state, state.reason) == ("done", "")


def test_d4_d5_order_and_unit_stand_in_every_comment_line(campaign):
    folder, _ = campaign
    lines = (folder / "set.extxyz").read_text().splitlines()
    comments = [line for line in lines if "Properties=" in line]
    assert len(comments) == 4
    for comment in comments:
        assert 'apt_order="dM_a/dr_b" apt_unit="e" ' in comment
        assert 'pgt_order="dalpha_ab/dr_c" ' in comment
        assert 'pgt_unit="e^2 a0^2 Eh^-1 Angstrom^-1" ' in comment
        assert "REF_apt:R:9:REF_pgt:R:27" in comment


def displaced_tensors(frame, atoms, folder, step=0.005):
    """Both tensors from dipole moments of moved atoms; no campaign, no forces."""
    code = TbliteCode(TbliteSettings("GFN1-xTB"))
    fields = with_zero_field(apt_stencil(STEP))
    moved = displaced_positions(frame.positions, atoms, step)
    dipoles = np.empty((len(atoms), 3, 2, len(fields), 3))
    for place in np.ndindex(len(atoms), 3, 2):
        displaced = replace(frame, positions=moved[place])
        for index, field in enumerate(fields):
            point = code.single_point(displaced, field, folder, None)
            dipoles[(*place, index)] = point.dipole
    alpha = np.empty((len(atoms), 3, 2, 3, 3))
    for place in np.ndindex(len(atoms), 3, 2):
        alpha[place] = polarizability_from_dipoles(fields, dipoles[place], None)
    return (
        apt_from_dipoles(dipoles[..., 0, :], step, None),
        pgt_from_polarizabilities(alpha, step),
    )


def test_d4_d5_the_collected_tensors_are_those_of_moved_atoms(frames, tmp_path):
    """Index order, sign and unit at once; the transposed ones are another thing."""
    atoms = [2]
    found = frames["0011"]
    apt, pgt = displaced_tensors(found.frame, atoms, tmp_path)
    collected = found.tensors.apt[atoms], found.tensors.pgt[atoms]
    assert np.abs(collected[0] - apt).max() < 1e-4 * np.abs(apt).max()
    assert np.abs(collected[0].transpose(0, 2, 1) - apt).max() > 0.02
    # The displaced route has its own truncation, in the step and in the field.
    assert np.abs(collected[1] - pgt).max() < 1e-3 * np.abs(pgt).max()
    assert np.abs(collected[1].transpose(0, 1, 3, 2) - pgt).max() > 1.0


def test_fields_are_stored_as_they_were_applied_and_judged_by_the_forces(frames):
    """A field along (1, 1, 0) has the length √2 h, and its forces say so."""
    expected = with_zero_field(pgt_stencil(STEP))
    lengths = np.linalg.norm(expected, axis=1)
    assert sorted(lengths.round(12)) == pytest.approx(
        [0.0] + 6 * [STEP] + 6 * [np.sqrt(2) * STEP]
    )
    for frame in frames.values():
        stored = np.array(frame.info["fields_au"]).reshape(13, 3)
        assert np.array_equal(stored, expected)
        assert FieldQuality.from_info(frame.info).normalisation == "consistent"


def test_a_normalised_field_that_is_said_to_be_a_component_is_noticed(campaign):
    """The same forces with the diagonal fields called shorter than they were."""
    folder, _ = campaign
    with np.load(folder / "set.npz") as arrays:
        fields, forces = arrays["0010/fields"].copy(), arrays["0010/forces"]
    diagonal = (fields != 0).sum(axis=1) == 2
    fields[diagonal] /= np.sqrt(2)
    from mimyria.reference import field_quality

    quality = field_quality(fields, forces, fit_tensors(fields, forces), 0.0)
    assert quality.normalisation != "consistent"
    assert quality.verdict.level != "sound"


def test_d3_d12_a_step_that_has_nothing_to_give_ends_with_its_reason(
    refused, here, tmp_path
):
    said = refused(66, "plan")
    assert "There is no file 'campaign.toml'" in said
    write_campaign(tmp_path, water_molecules(2), "retries = 0")
    for step in ("run", "status", "check", "scan"):
        assert "First: mimyria reference plan" in refused(65, step)
    output = ("--output", "set.extxyz")
    assert "First: mimyria reference plan" in refused(65, "collect", *output)
    here("plan")
    said = refused(65, "collect", *output)
    assert "not finished: 0010, 0011" in said
    assert "no task is finished yet; nothing was written" in said
    tasks = tmp_path / "reference" / "tasks"
    for name in ("0010", "0011"):
        (tasks / name / "point-00").write_text("in the way")
    out, said = here("run", code=75)
    assert "0 of 2 tasks are done, 2 failed" in said
    assert out == ""
    said = refused(65, "collect", *output)
    assert "0010 failed: " in said
    assert "0011 failed: " in said
    assert "point-00" in said
    assert not list(tmp_path.glob("set.*"))
    plan = tmp_path / "reference" / "campaign.json"
    plan.write_text(plan.read_text()[:-40])
    for step in ("plan", "run", "status"):
        assert "Remove it, and plan again" in refused(65, step)
    assert "Remove it, and plan again" in refused(65, "collect", *output)
    plan.unlink()
    assert "0 new configurations (2 in all)" in here("plan")[0]
    (tmp_path / "campaign.toml").write_text("[campaign\n")
    assert "not readable as TOML" in refused(65, "collect", *output)


def test_d10_a_periodic_frame_without_a_cell_is_not_planned(refused, tmp_path):
    write_campaign(tmp_path, water_molecules(1))
    path = tmp_path / "molecules.extxyz"
    path.write_text(path.read_text().replace('pbc="F F F"', 'pbc="T T T"'))
    said = refused(65, "plan")
    assert "molecules.extxyz, frame 0 repeats along a, b, c, but its cell" in said
    assert not (tmp_path / "reference").exists()


@pytest.mark.parametrize("method", ["random", "farthest"])
def test_d13_the_same_frames_are_planned_whatever_the_hash_seed(tmp_path, method):
    frames = water_molecules(12, seed=3)
    planned = []
    for seed in ("0", "1"):
        folder = tmp_path / seed
        folder.mkdir()
        write_campaign(folder, frames, f"[selection]\nmethod = '{method}'\ncount = 4")
        subprocess.run(
            [sys.executable, "-m", "mimyria", "reference", "plan", "campaign.toml"],
            cwd=folder,
            env={**environment(), "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
        )
        tasks = sorted(os.listdir(folder / "reference" / "tasks"))
        planned.append(tasks)
    assert planned[0] == planned[1]
    assert len(planned[0]) == 4
    assert planned[0] != [f"{number:04d}" for number in range(10, 14)]
