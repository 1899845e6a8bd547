"""The folder of a task: its lock, its state, and what a damaged file means."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest

from mimyria.errors import CalculationError
from mimyria.frame import Frame
from mimyria.io.labelled import LabelledFrame
from mimyria.reference.campaign.tasks import Task, TaskState, load_point, store_point
from mimyria.reference.codes.protocol import SinglePoint
from mimyria.tensors import Tensors


@pytest.fixture
def task(tmp_path):
    frame = Frame(np.array([2]), np.zeros((1, 3)), np.zeros((3, 3)), None, 0)
    return Task.create(tmp_path / "0001", LabelledFrame(frame, Tensors()))


def test_whoever_looks_never_keeps_a_worker_from_its_task(task):
    """`status` and `run` look at locks all the time, from another open file."""
    ended = threading.Event()

    def look():
        while not ended.is_set():
            task.is_at_work()

    lookers = [threading.Thread(target=look) for _ in range(2)]
    for looker in lookers:
        looker.start()
    try:
        for _ in range(300):
            with task.lock() as ours:
                assert ours
    finally:
        ended.set()
        for looker in lookers:
            looker.join()


def test_a_lock_that_is_held_is_seen_and_not_given_twice(task):
    assert not task.is_at_work()
    with task.lock() as ours:
        assert ours
        assert task.is_at_work()
        with task.lock() as second:
            assert not second
    assert not task.is_at_work()


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"schema_version": 2}', b'{"schema_version": 1, "a": 1}',
     b'{"schema_version": 1, "state": "begun"}', b"\xff\xfe"],
)  # fmt: skip
def test_a_damaged_state_is_a_failed_try_that_says_what_to_do(task, content):
    (task.folder / "state.json").write_bytes(content)
    state = task.state()
    assert (state.state, state.failures) == ("failed", 1)
    assert "state.json is not readable" in state.reason
    assert "mimyria reference run --again" in state.reason
    assert "\n" not in state.reason
    task.write_state(TaskState("done"))
    assert task.state().state == "done"
    assert json.loads((task.folder / "state.json").read_text())["schema_version"] == 1


def test_a_point_is_whole_or_not_there(task):
    folder = task.point_folder(0)
    assert load_point(folder) is None
    folder.mkdir()
    assert load_point(folder) is None
    point = SinglePoint(np.array([1e-3, 0, 0]), np.ones((1, 3)), -1.5, np.ones(3))
    store_point(folder, point, 2.0)
    stored = load_point(folder)
    assert stored.seconds == 2.0
    assert stored.point.energy == -1.5
    assert stored.point.quantum is None
    assert np.array_equal(stored.point.field, point.field)
    path = folder / "point.npz"
    whole = path.read_bytes()
    for share in (0.0, 0.3, 0.9):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(CalculationError, match="Remove it; the point is computed"):
            load_point(folder)
