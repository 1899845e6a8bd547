"""A pool that grows: a run that had no other frames to choose goes on with it."""

from __future__ import annotations

import pytest

from mimyria.autotrain.state import RunFolder
from mimyria.io import LabelledFrame, read_extxyz, write_extxyz
from mimyria.tensors import Tensors
from tests.integration.autotrain.analytic import (
    SETTINGS,
    finish,
    molecule,
    start,
    write_run,
)

STOPPED = 75
EXHAUSTED = "ended: there are no other frames to choose from"
# Test frames and those of the first cycle leave no frame that is far enough from them.
APART = "[choice]\napart = 60.0\nseparation = 0.0\n\n[dynamics]"


def strange(number):
    """A frame of the pool: a bond is longer than in any of the trajectory."""
    frame = molecule(10.0, number)
    frame.positions[1] += 0.2 + 0.1 * number
    return LabelledFrame(frame, Tensors())


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_same_command_goes_on_after_the_pool_grew(tmp_path):
    text = SETTINGS.replace("[dynamics]", APART)
    for old, new in (("max_cycles = 2", "max_cycles = 9"), ("cycle = 2", "cycle = 3")):
        assert old in text
        text = text.replace(old, new)
    write_run(tmp_path, text)
    pool = tmp_path / "uncertain.extxyz"
    said = finish(start(tmp_path, "run.toml"), STOPPED, 900)
    assert EXHAUSTED in said
    assert "cycle-002/choose: 0 configurations" in said
    run = RunFolder(tmp_path / "run")
    before = run.marks()
    # Nothing is new: the same again, and nothing is done.
    said = finish(start(tmp_path, "run.toml"), STOPPED)
    assert EXHAUSTED in said
    assert "cycle-" not in said
    write_extxyz(pool, [strange(0), strange(1), strange(2)])
    said = finish(start(tmp_path, "run.toml"), STOPPED, 900)
    assert "the pool has 3 new frames: going on" in said
    assert "cycle-001/evaluate: 150 frames and 3 of the pool" in said
    assert "cycle-002/choose: 3 configurations, 3 of them from the pool" in said
    assert EXHAUSTED in said
    after = run.marks()
    for mark in after.values():
        run.verify(mark)
    # What was computed before is as it was.
    for name in ("test", "cycle-001/reference", "cycle-001/train"):
        assert after[name] == before[name]
    labels = list(read_extxyz(run.root / "cycle-002/reference/labels.extxyz"))
    found = {each.frame.positions.tobytes() for each in labels}
    assert found == {strange(k).frame.positions.tobytes() for k in range(3)}
    assert after["cycle-003/choose"].facts["count"] == 0
