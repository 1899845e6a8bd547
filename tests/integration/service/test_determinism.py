"""D1, D2: the same frames give the same bits, however they come and are kept."""

import analytic
import invariants
import numpy as np
import pytest
from analytic import STRIDE, arrivals
from invariants import END, N_FRAMES, START, check, check_fold, serve

from mimyria.frame import Frame
from mimyria.io.extxyz import LabelledFrame, write_extxyz
from mimyria.storage import read_result
from mimyria.tensors import Tensors
from mimyria_driver import cadence, session
from mimyria_driver.replay import ReplaySource


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return invariants.undisturbed(tmp_path_factory.mktemp("reference") / "run")


@pytest.mark.parametrize(
    ("batch", "credit", "at_once"), [(1, 1, 1), (7, 64, 20), (3, 5, 2), (1, 64, 30)]
)
def test_how_frames_arrive_makes_no_difference(
    tmp_path, reference, batch, credit, at_once
):
    events = [START, *arrivals(analytic.trajectory(N_FRAMES)), END]
    _, evaluator = serve(
        tmp_path / "run",
        events,
        at_once=at_once,
        models={"batch": batch},
        run={"credit": credit},
    )
    assert evaluator.largest <= 2 * batch
    assert batch == 1 or evaluator.largest > 1  # there really were batches
    check(tmp_path / "run", reference)


@pytest.mark.parametrize(("records", "seconds"), [(1, 1000.0), (1 << 30, 1000.0)])
def test_how_often_it_is_synced_makes_no_difference(
    tmp_path, reference, monkeypatch, records, seconds
):
    made = session.Session.__init__

    def with_other_cadence(self, *given):
        made(self, *given)
        self._cadence._sync_records = records

    monkeypatch.setattr(session.Session, "__init__", with_other_cadence)
    monkeypatch.setattr(cadence, "_SYNC_SECONDS", seconds)
    monkeypatch.setattr(cadence, "_IDLE_SECONDS", seconds)
    events = [START, *arrivals(analytic.trajectory(N_FRAMES)), END]
    source, _ = serve(tmp_path / "run", events)
    acknowledged = len(set(source.acknowledged))
    assert acknowledged == (N_FRAMES if records == 1 else 1)
    check(tmp_path / "run", reference)


def water(n_frames):
    """Two rigid molecules that drift: frames for a real network."""
    rng = np.random.default_rng(2)
    molecule = np.array([[0.0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
    base = np.concatenate([molecule + 1.0, molecule + 4.0])
    velocities = np.repeat(rng.normal(0.0, 0.004, (2, 3)), 3, axis=0)
    velocities = velocities + rng.normal(0.0, 0.006, (6, 3))
    return [
        Frame(
            analytic.NUMBERS,
            base + velocities * (index * STRIDE * analytic.TIME_STEP),
            np.diag([8.0, 8.5, 9.0]),
            velocities,
            index * STRIDE,
        )
        for index in range(n_frames)
    ]


@pytest.mark.slow
def test_the_same_number_of_threads_gives_the_same_bits():
    """Another number does not: sums are split elsewhere, and agree to single precision.

    So `models.threads` belongs to what an interrupted run must keep.
    """
    import torch

    from mimyria.models import load_model

    model = load_model("water-compact-apt", device="cpu")
    frames = water(2)
    before = torch.get_num_threads()
    found = {1: [], 2: []}
    try:
        for threads in (1, 2, 1, 2):
            torch.set_num_threads(threads)
            found[threads].append(
                np.array([model.predict([each])[0].apt for each in frames])
            )
    finally:
        torch.set_num_threads(before)
    for first, second in found.values():
        np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(found[1][0], found[2][0], atol=1e-6)


def test_the_stored_trajectory_gives_what_the_running_one_gave(tmp_path, reference):
    """Running accumulators, fold of the journal, replay of the frames."""
    check_fold(reference)
    path = tmp_path / "run.extxyz"
    frames = analytic.trajectory(N_FRAMES)
    write_extxyz(path, [LabelledFrame(frame, Tensors()) for frame in frames])

    source = ReplaySource([path], analytic.TIME_STEP, STRIDE, None)
    events = []
    try:
        found = source.receive()
        source.accept(-1)
        while found:
            events += found
            found = source.receive()
    finally:
        source.close()
    serve(tmp_path / "run", [START, *events[1:]])
    for name in ("dipole", "polarizability"):
        live = getattr(read_result(reference / "spectrum.h5"), name)
        stored = getattr(read_result(tmp_path / "run" / "spectrum.h5"), name)
        scale = np.abs(live.values).max()
        np.testing.assert_allclose(stored.values, live.values, atol=1e-12 * scale)
        np.testing.assert_array_equal(stored.counts, live.counts)
