"""Campaigns as a user runs them: real tasks, real processes, kills and broken tasks."""

from __future__ import annotations

import json
import random
import signal
import time

import numpy as np
import pytest

from mimyria.io.extxyz import read_extxyz
from mimyria.reference import fit_tensors
from mimyria.reference.referenceset import read_reference_set
from tests.integration.reference.conftest import water_molecules, write_campaign


def collected(folder):
    return {frame.name: frame for frame in read_reference_set(folder / "set.extxyz")}


def test_from_plan_to_set(reference, tmp_path):
    write_campaign(tmp_path, water_molecules(2))
    assert "2 new configurations (2 in all)" in reference("plan", "--dry-run")
    assert not (tmp_path / "reference").exists()
    assert "26 single points with tblite" in reference("plan")
    assert "0 new configurations (2 in all)" in reference("plan")
    assert "cost: known after the first point" in reference("status")
    assert "all tasks are done" in reference("run")
    status = json.loads(reference("status", "--json"))
    assert [task["state"] for task in status["tasks"]] == ["done", "done"]
    assert status["core_hours_left"] == 0
    assert "2 configurations in set.extxyz, set.npz, set.md" in reference(
        "collect", "--output", "set.extxyz"
    )
    frames = list(read_extxyz(tmp_path / "set.extxyz"))
    for frame, original in zip(frames, water_molecules(2), strict=True):
        # The tensors stand with the positions they belong to.
        assert np.array_equal(frame.frame.positions, original.frame.positions)
        info = frame.info
        assert info["code"].startswith("tblite 0.")
        assert len(info["settings_sha256"]) == 64
        assert info["quality_verdict"] == "sound"
        assert np.array(info["fields_au"]).reshape(13, 3)[1].tolist() == [1e-3, 0, 0]
        assert np.abs(frame.tensors.apt.sum(axis=0)).max() < 1e-6
    assert "Water molecules" in (tmp_path / "set.md").read_text()


def test_a_set_read_back_is_the_set_and_its_forces_give_its_tensors(
    reference, tmp_path
):
    write_campaign(tmp_path, water_molecules(1))
    reference("plan")
    reference("run")
    reference("collect", "--output", "set.extxyz")
    (stored,) = read_extxyz(tmp_path / "set.extxyz")
    (again,) = read_reference_set(tmp_path / "set.extxyz")
    fit = fit_tensors(again.fields, again.forces)
    assert np.array_equal(fit.apt, stored.tensors.apt)
    assert np.array_equal(fit.pgt, stored.tensors.pgt)
    assert again.info["code"] == stored.info["code"]
    # A later campaign adds to it; what is there already stands once.
    write_campaign(tmp_path, water_molecules(2))
    reference("plan")
    reference("run")
    reference("collect", "--output", "more.extxyz", "--add-to", "set.extxyz")
    names = [frame.name for frame in read_reference_set(tmp_path / "more.extxyz")]
    assert names == ["0010", "0011"]


def run_with_kills(reference, kills, seed):
    """Run the campaign, killed so many times at random moments, then to its end."""
    chance = random.Random(seed)
    for _ in range(kills):
        process = reference.start("run")
        time.sleep(chance.uniform(0.3, 2.5))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    return reference("run", code=75)


def break_three(folder):
    """Atoms on top of each other; a damaged point; a folder that cannot be made."""
    tasks = folder / "reference" / "tasks"
    frame = tasks / "0011" / "frame.extxyz"
    lines = frame.read_text().splitlines()
    lines[3] = "H " + lines[2].split(maxsplit=1)[1]
    frame.write_text("\n".join(lines) + "\n")
    (tasks / "0012" / "point-04").mkdir()
    (tasks / "0012" / "point-04" / "point.npz").write_bytes(b"damaged")
    (tasks / "0013" / "point-05").write_text("a file where a folder should be")


def check_what_is_left(reference, folder, n_frames):
    said = reference("run", code=75)
    assert f"{n_frames - 3} of {n_frames} tasks are done, 3 failed" in said
    said = reference("collect", "--output", "set.extxyz")
    found = collected(folder)
    assert len(found) == n_frames - 3
    assert not found.keys() & {"0011", "0012", "0013"}
    failed = {
        line.split()[0]: line for line in said.splitlines() if " failed: " in line
    }
    assert failed.keys() == {"0011", "0012", "0013"}
    assert "point-00" in failed["0011"]
    assert "point.npz is damaged" in failed["0012"]
    assert "point-05" in failed["0013"]
    return found


def undisturbed(folder, n_frames):
    from tests.integration.reference.conftest import Command

    folder.mkdir()
    write_campaign(folder, water_molecules(n_frames))
    quiet = Command(folder)
    quiet("plan")
    quiet("run")
    quiet("collect", "--output", "set.extxyz")
    return collected(folder)


@pytest.mark.parametrize(
    "kills", [pytest.param(3), pytest.param(20, marks=pytest.mark.slow)]
)
def test_killed_at_random_and_three_tasks_broken_all_others_are_there_once(
    reference, tmp_path, kills
):
    n_frames = 6 if kills < 20 else 12
    write_campaign(tmp_path, water_molecules(n_frames), "retries = 0")
    reference("plan")
    break_three(tmp_path)
    run_with_kills(reference, kills, seed=kills)
    found = check_what_is_left(reference, tmp_path, n_frames)
    expected = undisturbed(tmp_path / "quiet", n_frames)
    for name, frame in found.items():
        assert np.array_equal(frame.forces, expected[name].forces)
        assert np.array_equal(frame.frame.positions, expected[name].frame.positions)


def test_what_failed_is_tried_again_by_itself_and_when_asked(reference, tmp_path):
    write_campaign(tmp_path, water_molecules(1), "retries = 2")
    reference("plan")
    obstacle = tmp_path / "reference" / "tasks" / "0010" / "point-02"
    obstacle.write_text("in the way")
    said = reference("run", code=75)
    assert said.count("tried again") == 2
    assert said.count("given up") == 1
    assert "failed" in reference("status")
    obstacle.unlink()
    assert "0 of 1 tasks are done, 1 failed" in reference("run", code=75)
    assert "all tasks are done" in reference("run", "--again")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [("GFN1-xTB", "GFN2-xTB", "was planned with other settings of tblite"),
     ("step = 1e-3", "step = 2e-3", "was planned with other fields"),
     ("[fields]", "[field]", "Unknown section 'field'. Did you mean 'fields'?"),
     ("kind = 'tblite'", "kind = 'tblit'", "Did you mean 'tblite'?"),
     ("workers = 2", "worker = 2", "Unknown setting 'execution.worker'"),
     ("['molecules.extxyz']", "[]", "campaign.frames must be at least one file")],
)  # fmt: skip
def test_a_campaign_file_that_cannot_be_used_ends_in_one_line(
    reference, tmp_path, old, new, message
):
    write_campaign(tmp_path, water_molecules(1))
    reference("plan")
    path = tmp_path / "campaign.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    process = reference.start("plan")
    out, err = process.communicate()
    assert process.returncode in (65, 78)
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err
    assert out == ""


def test_fields_and_displacements_agree_and_a_wrong_tensor_is_noticed(
    reference, tmp_path
):
    write_campaign(tmp_path, water_molecules(1))
    reference("plan")
    said = reference("check", code=65)
    assert "no task is finished yet" in said
    reference("run")
    said = reference("check", "--configurations", "1")
    assert said.count("agree; largest difference") == 2
    # A check of one atom does not finish what another check has left.
    (left,) = (tmp_path / "reference" / "check").glob("*/tasks/0010-000-xm")
    (left / "point-00" / "point.npz").unlink()
    (left / "state.json").write_text('{"schema_version": 1, "state": "planned"}')
    said = reference("check", "--configurations", "1", "--atoms", "1")
    assert said.count("agree; largest difference") == 2
    assert not (left / "point-00" / "point.npz").exists()
    # A field that acted 5 % weaker than it says: both tensors are off.
    task = tmp_path / "reference" / "tasks" / "0010"
    with np.load(task / "point-01" / "point.npz") as arrays:
        point = dict(arrays)
    with np.load(task / "point-00" / "point.npz") as arrays:
        zero = arrays["forces"]
    point["forces"] = zero + 0.9 * (point["forces"] - zero)
    np.savez(task / "point-01" / "point.npz", **point)
    said = reference("check", "--configurations", "1", code=65)
    assert "fields and displacements disagree in 0010" in said


def test_the_scan_finds_a_field_between_noise_and_truncation(reference, tmp_path):
    write_campaign(tmp_path, water_molecules(1))
    reference("plan")
    said = reference("scan", "--plot", "scan.png")
    best = float(said.split(" for both")[0].split()[-1])
    assert 1e-3 < best < 4e-3
    assert (tmp_path / "scan.png").stat().st_size > 10_000


def test_clusters_are_cut_computed_and_masked(reference, tmp_path):
    """Whole chain: a periodic frame, clusters, tensors of the central molecule only."""
    (tmp_path / "campaign.toml").write_text(
        "[campaign]\nframes = ['box.extxyz']\n[clusters]\nradius = 2.5\n"
        "per_frame = 2\n[code]\nkind = 'tblite'\nmethod = 'GFN1-xTB'\n"
        "[fields]\nstep = 1e-3\n[execution]\nworkers = 2\n"
    )
    source = tmp_path.joinpath("box.extxyz")
    from tests.conftest import REPOSITORY

    configurations = REPOSITORY / "tests/data/water16-rpbe/configurations.extxyz"
    source.write_text("\n".join(configurations.read_text().splitlines()[:50]) + "\n")
    reference("plan")
    reference("run")
    reference("collect", "--output", "set.extxyz")
    frames = list(read_extxyz(tmp_path / "set.extxyz"))
    assert len(frames) == 2
    reference("collect", "--output", "liquid.extxyz", "--local-field")
    liquid = list(read_extxyz(tmp_path / "liquid.extxyz"))
    for frame, corrected in zip(frames, liquid, strict=True):
        # The field in the cluster is weaker than outside, so the tensors are larger.
        ratio = np.trace(corrected.tensors.apt[0]) / np.trace(frame.tensors.apt[0])
        assert 1.05 < ratio < 1.4
        assert frame.frame.pbc == (False, False, False)
        assert frame.frame.n_atoms > 3
        mask = frame.labelled("apt")
        assert mask.sum() == 3
        assert mask[:3].all()
        assert np.isfinite(frame.tensors.apt[:3]).all()
        assert np.isnan(frame.tensors.apt[3:]).all()


def test_what_an_earlier_set_holds_is_not_planned_again(reference, tmp_path):
    write_campaign(tmp_path, water_molecules(1))
    reference("plan")
    reference("run")
    reference("collect", "--output", "old.extxyz")
    write_campaign(
        tmp_path,
        water_molecules(3),
        "directory = 'more'\nknown = ['old.extxyz']",
    )
    assert "2 new configurations (2 in all)" in reference("plan")
    write_campaign(
        tmp_path, water_molecules(1), "directory = 'none'\nknown = ['old.extxyz']"
    )
    assert "no configuration to plan" in reference("plan", code=65)
