"""Renewal: what is taken back when the pool has grown, and when it is not."""

import numpy as np
import pytest

from mimyria.autotrain.context import Context
from mimyria.autotrain.renewal import renew_pool
from mimyria.autotrain.settings import load_settings
from mimyria.autotrain.state import RunFolder
from mimyria.autotrain.steps import kept_pool
from mimyria.frame import Frame
from mimyria.io import LabelledFrame, write_extxyz
from mimyria.tensors import Tensors

SETTINGS = """\
[autotrain]
trajectories = ["a.extxyz"]
directory = "run"
pool = ["uncertain.extxyz"]
[dynamics]
timestep = 0.5
[code]
kind = "tblite"
method = "GFN1-xTB"
"""
EVALUATED = "cycle-001/evaluate"
CHOSEN = "cycle-002/choose"


class Silent:
    def __init__(self):
        self.lines = []

    def say(self, line):
        self.lines.append(line)


def labelled(rng, numbers=(8, 1, 1)):
    frame = Frame(np.array(numbers), rng.uniform(0, 3, (3, 3)), 10 * np.eye(3), None, 0)
    return LabelledFrame(frame, Tensors())


@pytest.fixture
def context(tmp_path):
    (tmp_path / "run.toml").write_text(SETTINGS)
    run = RunFolder(tmp_path / "run")
    for step, facts in (
        ("survey", {"numbers": [8, 1, 1]}),
        (EVALUATED, {}),
        ("cycle-001/choose", {"count": 0}),
        (CHOSEN, {"count": 0}),
    ):
        assert run.begin(step, "inputs")
        run.finish(step, "inputs", [], facts)
    return Context(load_settings(tmp_path / "run.toml"), run, Silent())


@pytest.fixture
def frames(rng):
    return [labelled(rng) for _ in range(3)]


@pytest.fixture
def pool(context, frames):
    """What the pool holds, and what the second cycle chose from: two frames."""
    path = context.settings.path.parent / "uncertain.extxyz"
    kept = kept_pool(context, 2)
    kept.parent.mkdir()
    (kept.parent / "chunk-00000000.npz").write_bytes(b"what networks said of two")
    write_extxyz(kept, frames[:2])
    write_extxyz(path, frames[:2])
    return path


def test_a_pool_that_is_as_it_was_takes_nothing_back(context, pool, frames, rng):
    assert not renew_pool(context, 2)
    # Fewer frames, and one of another system: nothing that could be chosen is new.
    write_extxyz(pool, [frames[1], labelled(rng, (7, 1, 1))])
    assert not renew_pool(context, 2)
    pool.unlink()
    assert not renew_pool(context, 2)
    assert context.run.mark(EVALUATED) is not None
    assert context.run.mark(CHOSEN) is not None


def test_frames_that_replace_others_are_new(context, pool, frames):
    write_extxyz(pool, [frames[0], frames[2]])
    assert renew_pool(context, 2)
    assert context.teller.lines == ["the pool has 1 new frames: going on"]
    for step in (EVALUATED, CHOSEN):
        assert context.run.mark(step) is None
        assert context.run.begin(step, "other inputs")
    assert not kept_pool(context, 2).parent.exists()


def test_killed_within_it_is_taken_back_by_the_next_one(
    context, pool, frames, monkeypatch
):
    write_extxyz(pool, frames)

    def killed(step):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(context.run, "forget", killed)
        with pytest.raises(KeyboardInterrupt):
            renew_pool(context, 2)
    assert context.run.mark(CHOSEN) is not None
    forget = context.run.forget

    def killed_later(step):
        if step == EVALUATED:
            raise KeyboardInterrupt
        forget(step)

    with monkeypatch.context() as patch:
        patch.setattr(context.run, "forget", killed_later)
        with pytest.raises(KeyboardInterrupt):
            renew_pool(context, 2)
    # What names files still has them.
    assert context.run.mark(EVALUATED) is not None
    assert kept_pool(context, 2).is_file()
    assert renew_pool(context, 2)


def test_in_the_first_cycle_the_pool_lies_beside_the_choice(context, pool, frames):
    kept = kept_pool(context, 1)
    write_extxyz(kept, frames[:2])
    assert not renew_pool(context, 1)
    write_extxyz(pool, frames)
    assert renew_pool(context, 1)
    assert not kept.exists()
    assert context.run.mark("cycle-001/choose") is None
    assert context.run.mark(EVALUATED) is not None
