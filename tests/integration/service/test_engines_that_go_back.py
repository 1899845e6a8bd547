"""R7: an engine that begins earlier: the same, nearly the same, or another run."""

from __future__ import annotations

import numpy as np
import pytest
from analytic import (
    STRIDE,
    ScriptedSource,
    arrivals,
    description,
    make_settings,
    serve,
    trajectory,
)

from mimyria.storage import read_result
from mimyria_driver.identity import read_header
from mimyria_driver.pipeline import rebuild
from mimyria_driver.reading import read_journal
from mimyria_driver.sources import Arrived, Ended, Started

N_FRAMES, DIED, BACK = 90, 60, 40


class Engine(ScriptedSource):
    """Notes what was confirmed of which life of it, and what it had sent by then."""

    def __init__(self, events):
        super().__init__(events, resumes=False)
        self.lives = []
        self.confirmed = []
        self.sent = []

    def receive(self):
        events = super().receive()
        for event in events:
            if isinstance(event, Started):
                self.lives.append(len(self.lives))
                self.sent.append([])
            elif isinstance(event, Arrived):
                self.sent[-1].append(event.frame.step)
        return events

    def acknowledge(self, step):
        super().acknowledge(step)
        if step >= 0:
            self.confirmed.append((len(self.lives) - 1, step))


def two_lives(first, second, begin):
    """Killed after frame DIED, goes on from frame BACK; its first frame is `begin`."""
    return [
        Started(description()),
        *arrivals(first[:DIED]),
        Started(description()),
        *arrivals(second[begin:]),
        Ended("the end"),
    ]


@pytest.mark.parametrize(
    ("shift", "begin", "n_segments"),
    [
        (0.0, BACK + 1, 1),  # to the bit
        (1e-13, BACK, 1),  # nearly, after the frame of the restart file
        (1e-13, BACK + 1, 2),  # nearly, without it: the driver does not guess
        (0.7, BACK + 1, 2),  # other velocities
    ],
)
def test_every_step_once_and_equal_to_a_rebuild(tmp_path, shift, begin, n_segments):
    first, second = trajectory(N_FRAMES), trajectory(N_FRAMES, shift=shift)
    second[: BACK + 1] = first[: BACK + 1]
    source = Engine(two_lives(first, second, begin))
    assert serve(make_settings(tmp_path), source) == 0

    path = tmp_path / "journal"
    records = list(read_journal(path))
    assert [record.step for record in records] == [n * STRIDE for n in range(N_FRAMES)]
    identity, _ = read_header(path)
    again = rebuild(path, identity, make_settings(tmp_path).spectrum).result({})
    result = read_result(tmp_path / "spectrum.h5")
    for name in ("dipole", "polarizability"):
        np.testing.assert_array_equal(
            getattr(result, name).values, getattr(again, name).values
        )
    assert result.provenance["segments"] == n_segments
    assert result.provenance["missing_frames"] == 0
    # Nothing is confirmed that this life of the engine has not sent.
    assert {life for life, _ in source.confirmed} == {0, 1}
    for life, step in source.confirmed:
        assert step in source.sent[life]
    assert source.confirmed[-1] == (1, (N_FRAMES - 1) * STRIDE)
