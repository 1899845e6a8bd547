"""Planning, and growing what is planned: selections, ids, charges, committees, sets."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from ase.data import atomic_masses

from mimyria.frame import Frame
from mimyria.io.extxyz import read_extxyz
from mimyria.models import (
    load_model,
)
from mimyria.reference.campaign.tasks import Task
from mimyria.reference.referenceset import read_reference_set
from mimyria.targets import APT, PGT
from mimyria_driver.uncertain import UNCERTAIN_NAME, UncertainFrames
from tests.integration.reference.conftest import (
    REPOSITORY,
    water_molecules,
    write_campaign,
)
from tests.random_models import save_random_model


def tasks_of(folder):
    return [Task(path) for path in sorted((folder / "reference" / "tasks").iterdir())]


def names_of(folder):
    return [task.name for task in tasks_of(folder)]


def selection(method, count, more=""):
    return f"[selection]\nmethod = '{method}'\ncount = {count}\n{more}"


@pytest.mark.parametrize("method", ["random", "farthest"])
def test_a_selection_grows_to_its_count_and_no_further(here, tmp_path, method):
    """First three and then seven are the seven of one go, in whatever steps."""
    frames = water_molecules(20, seed=2)
    write_campaign(tmp_path, frames, selection(method, 3))
    here("plan")
    first = names_of(tmp_path)
    assert len(first) == 3
    out, _ = here("plan")
    assert "0 new configurations (3 in all), 13 fields each: 0 single points" in out
    write_campaign(tmp_path, frames, selection(method, 7))
    assert "4 new configurations (7 in all) of 3 atoms" in here("plan", "--dry-run")[0]
    assert names_of(tmp_path) == first
    here("plan")
    grown = names_of(tmp_path)
    assert set(first) < set(grown)
    assert len(grown) == 7
    write_campaign(tmp_path, frames, f"directory = 'once'\n{selection(method, 7)}")
    here("plan")
    assert sorted(path.name for path in (tmp_path / "once" / "tasks").iterdir()) == (
        grown
    )


def test_more_than_there_is_gives_all_and_says_how_many(here, tmp_path):
    write_campaign(tmp_path, water_molecules(3), selection("farthest", 24))
    assert "3 new configurations (3 in all)" in here("plan")[0]


def model_file(folder, target, seed):
    """An untrained network: committees do not ask whether their members are good."""
    path = folder / f"{target.name}-{seed}.mimyria"
    frame = water_molecules(1)[0].frame
    return save_random_model(path, frame, (target,), seed=seed, neighbours=2.0)


def test_a_committee_chooses_the_frames_on_which_it_disagrees_most(
    here, refused, tmp_path
):
    frames = water_molecules(9, seed=4)
    text = selection("uncertain", 3, "separation = 0.0")
    write_campaign(tmp_path, frames, text)
    paths = [model_file(tmp_path, APT, seed) for seed in (1, 2, 3)]
    here("plan", *(word for path in paths for word in ("--model", path)))
    plain = [each.frame for each in frames]
    answers = np.array([
        [tensors.apt for tensors in load_model(str(path)).predict(plain)]
        for path in paths
    ])  # fmt: skip
    variance = ((answers - answers.mean(axis=0)) ** 2).sum(axis=0) / (len(paths) - 1)
    masses = atomic_masses[[8, 1, 1]]
    scores = (variance.sum(axis=(2, 3)) / masses).sum(axis=1)
    most = sorted(np.argsort(scores)[-3:].tolist())
    assert names_of(tmp_path) == [f"{10 + place:04d}" for place in most]
    assert most != [6, 7, 8]

    assert "give --model, once for each file" in refused(78, "plan")
    said = refused(66, "plan", "--model", paths[0])
    assert "needs at least two networks of one target, not 1 of apt" in said
    other = model_file(tmp_path, PGT, 1)
    said = refused(66, "plan", "--model", paths[0], "--model", other)
    assert "at least two networks of one target, not 2 of apt, pgt" in said
    write_campaign(tmp_path, frames, selection("random", 3))
    said = refused(78, "plan", "--model", paths[0], "--model", paths[1])
    assert "--model is used only where [selection] has method = 'uncertain'" in said


def test_a_frame_of_another_charge_is_not_planned(here, refused, tmp_path):
    frames = water_molecules(2)
    frames[1] = replace(frames[1], info={"id": 11, "charge": 1})
    write_campaign(tmp_path, frames)
    for options in ([], ["--dry-run"]):
        said = refused(78, "plan", *options)
        assert "has the charge 1 e, but tblite computes all with 0 e" in said
    assert not (tmp_path / "reference").exists()
    frames[1] = replace(frames[1], info={"id": 11, "charge": 0.0})
    write_campaign(tmp_path, frames)
    here("plan")


def test_ids_name_the_tasks_and_must_be_unique(here, refused, tmp_path):
    frames = water_molecules(5)
    ids = [{"id": 7}, {"id": "dimer_a"}, {}, {"id": "no/folder"}, {"id": 123456}]
    write_campaign(
        tmp_path, [replace(f, info=i) for f, i in zip(frames, ids, strict=True)]
    )
    here("plan")
    assert names_of(tmp_path) == ["0007", "0008", "0009", "123456", "dimer_a"]
    twins = [replace(each, info={"id": 3}) for each in frames[:2]]
    write_campaign(tmp_path, twins, "directory = 'twins'")
    said = refused(65, "plan")
    assert "two different configurations have id=3. Give each its own" in said
    assert not (tmp_path / "twins").exists()
    # A frame that stands twice in the files is computed once.
    write_campaign(tmp_path, [frames[0], frames[0]], "directory = 'same'")
    assert "1 new configurations (1 in all)" in here("plan")[0]


def test_a_damaged_task_costs_itself_alone(here, refused, tmp_path):
    """state.json and frame.extxyz of two tasks are cut; what is left goes its way."""
    write_campaign(tmp_path, water_molecules(3), "retries = 0")
    here("plan")
    here("run")
    state = tmp_path / "reference" / "tasks" / "0011" / "state.json"
    state.write_text(state.read_text()[:20])
    frame = tmp_path / "reference" / "tasks" / "0012" / "frame.extxyz"
    whole = frame.read_text()
    frame.write_text(whole[:-30])
    status = json.loads(here("status", "--json")[0])
    assert [task["state"] for task in status["tasks"]] == ["done", "failed", "done"]
    assert "state.json is not readable" in status["tasks"][1]["reason"]
    assert status["finished_points"] == status["points"] == 39
    assert status["code"] == "tblite"
    out, err = here("collect", "--output", "set.extxyz")
    assert out.startswith("1 configurations in ")
    assert "0011 failed: " in err
    assert "mimyria reference run --again" in err
    assert "0012 failed: " in err
    assert len(err.splitlines()) == 2
    times = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("point.npz")}
    frame.write_text(whole)
    assert "2 of 3 tasks are done, 1 failed" in here("run", code=75)[1]
    here("run", "--again")
    assert times == {p: p.stat().st_mtime_ns for p in tmp_path.rglob("point.npz")}
    assert here("collect", "--output", "set.extxyz")[0].startswith("3 configurations")


def test_a_set_is_added_to_under_other_names_and_methods_do_not_mix_unseen(
    here, refused, tmp_path
):
    write_campaign(tmp_path, water_molecules(1))
    here("plan")
    assert "no task is finished yet" in refused(65, "collect", "--output", "old.extxyz")
    here("run")
    here("collect", "--output", "old.extxyz")
    # Another molecule by the same name.
    write_campaign(tmp_path, water_molecules(1, seed=9), "directory = 'second'")
    here("plan")
    here("run")
    add = ("collect", "--output", "both.extxyz", "--add-to")
    said = refused(65, *add, "old.extxyz")
    assert "the frame 0010 of the old set is another configuration" in said
    assert not list(tmp_path.glob("both.*"))
    assert "there is no none.npz beside the set" in refused(65, *add, "none.extxyz")
    # A third molecule by a new name and another method.
    frame = replace(water_molecules(1, seed=8)[0], info={"id": 20})
    write_campaign(tmp_path, [frame], "directory = 'third'")
    path = tmp_path / "campaign.toml"
    path.write_text(path.read_text().replace("GFN1-xTB", "GFN2-xTB"))
    here("plan")
    here("run")
    out, err = here(*add, "old.extxyz")
    assert "2 configurations in both.extxyz" in out
    assert "0010: computed with other settings than the frames of this campaign" in err
    sets = {f.name: f for f in read_reference_set(tmp_path / "both.extxyz")}
    (old,) = read_reference_set(tmp_path / "old.extxyz")
    assert list(sets) == ["0010", "0020"]
    assert np.array_equal(sets["0010"].forces, old.forces)
    assert sets["0010"].info["settings_sha256"] == old.info["settings_sha256"]
    assert len(list(read_extxyz(tmp_path / "both.extxyz"))) == 2


def test_a_campaign_whose_tasks_were_removed_is_not_called_done(
    here, refused, tmp_path
):
    write_campaign(tmp_path, water_molecules(1))
    here("plan")
    (tmp_path / "reference" / "tasks" / "0010" / "frame.extxyz").unlink()
    assert "the campaign has no task" in refused(65, "run")
    assert "1 new configurations (1 in all)" in here("plan")[0]


@pytest.mark.parametrize("name", ["tblite", "pyscf"])
def test_the_campaigns_that_ship_are_planned_as_their_readme_says(here, tmp_path, name):
    from tests.conftest import REPOSITORY

    for path in (REPOSITORY / "inputs" / name).iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert "13 single points" in here("plan")[0]
    steps = [
        line.split()[2:]
        for line in (tmp_path / "README.md").read_text().splitlines()
        if line.startswith("    mimyria reference")
    ]
    known = ["plan", "run", "status", "collect", "check"]
    assert [words[0] for words in steps] == known
    if name == "tblite":
        for words in steps:
            here(words[0], *words[2:])
        assert len(read_reference_set(tmp_path / "water.extxyz")) == 1


def test_uncertain_frames_of_a_run_are_configurations(here, tmp_path):
    """What a driver kept goes to labelling as it is."""
    rng = np.random.default_rng(5)
    cell = np.array([[6.0, 0, 0], [1.0, 6.5, 0], [0.5, -1.0, 7.0]])
    frames = [
        Frame(np.array([8, 1, 1]), 5 * rng.random((3, 3)), cell, np.ones((3, 3)), step)
        for step in (4000, 8000)
    ]
    watcher = UncertainFrames(tmp_path, limit=2.0, most=9, time_step=0.5)
    for frame, excess in zip(frames, (2.5, 4.0), strict=True):
        watcher.look(frame, excess)
    shipped = REPOSITORY / "inputs" / "cp2k" / "water"
    for name in ("water.inp", "rpbe.inc"):
        shutil.copy(shipped / name, tmp_path)
    text = (shipped / "campaign.toml").read_text()
    named = text.replace("configurations.extxyz", UNCERTAIN_NAME)
    (tmp_path / "campaign.toml").write_text(named)
    assert "2 new configurations (2 in all)" in here("plan")[0]
    for task, frame, excess in zip(tasks_of(tmp_path), frames, (2.5, 4), strict=True):
        found = task.configuration()
        np.testing.assert_allclose(found.frame.positions, frame.positions, rtol=1e-12)
        np.testing.assert_allclose(found.frame.cell, cell, rtol=1e-12)
        np.testing.assert_array_equal(found.frame.numbers, frame.numbers)
        assert (found.frame.step, found.frame.replica) == (frame.step, 0)
        assert found.info["uncertainty"] == excess
        assert found.info["source"].startswith(f"{UNCERTAIN_NAME}, frame ")
