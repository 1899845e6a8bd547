"""Options of the steps that cannot be used: refused before anything is computed."""

from __future__ import annotations

import pytest

from tests.integration.reference.conftest import water_molecules, write_campaign


@pytest.mark.parametrize(
    ("step", "options", "message"),
    [("check", ["--configurations", "0"], "--configurations must be 1 or more"),
     ("check", ["--seed", "-1"], "--seed must be 0 or more"),
     ("check", ["--displacement", "0"], "--displacement must be above 0 and up to"),
     ("check", ["--displacement", "nan"], "--displacement must be above 0 and up to"),
     ("check", ["--tolerance", "0"], "--tolerance must be above 0"),
     ("check", ["--atoms", "3"], "atoms to move must be 0 to 2"),
     ("check", ["--tasks", "0099"], "--tasks: 0099 is no finished task"),
     ("scan", ["--steps", "1e-3", "2e-3"], "--steps must be at least 3 strengths"),
     ("scan", ["--steps", "0", "1e-3", "2e-3"], "--steps must be above 0 and up to"),
     ("scan", ["--steps", "1e-3", "2e-3", "nan"], "--steps must be above 0 and up"),
     ("scan", ["--task", "0099"], "there is no task 0099"),
     ("collect", ["--output", "set.npz"], "--output must end in .extxyz or .xyz"),
     ("collect", ["--output", "."], "--output must end in .extxyz or .xyz")],
)  # fmt: skip
def test_an_option_that_cannot_be_used_costs_nothing(
    finished, refused, step, options, message
):
    before = sorted(finished.rglob("*"))
    assert message in refused(78, step, *options)
    assert sorted(finished.rglob("*")) == before


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A campaign that is done, as far as its files tell."""
    import numpy as np

    from mimyria.reference.campaign.tasks import Task, TaskState, store_point
    from mimyria.reference.codes import SinglePoint
    from mimyria.reference.stencils import pgt_stencil, with_zero_field

    folder = tmp_path_factory.mktemp("finished")
    write_campaign(folder, water_molecules(1))
    from mimyria.reference.campaign import (
        configurations,
        load_campaign_settings,
        plan_campaign,
    )

    settings = load_campaign_settings(folder / "campaign.toml")
    plan_campaign(settings, settings.code(), configurations(settings))
    task = Task(folder / "reference" / "tasks" / "0010")
    for index, field in enumerate(with_zero_field(pgt_stencil(1e-3))):
        task.point_folder(index).mkdir()
        forces = np.tile(field, (3, 1)) * [[-2.0], [1.0], [1.0]]
        store_point(task.point_folder(index), SinglePoint(field, forces), 0.1)
    task.write_state(TaskState("done", version="none"))
    return folder


@pytest.fixture
def finished(folder, monkeypatch, here):
    monkeypatch.chdir(folder)
    return folder
