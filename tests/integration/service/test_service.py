import os
import signal
import subprocess
import sys
from pathlib import Path

import analytic
import numpy as np
import pytest
from analytic import (
    STRIDE,
    ScriptedSource,
    arrivals,
    description,
    make_settings,
    models,
    serve,
    trajectory,
)
from growing import wait_for_records

from mimyria.correlators import Correlator
from mimyria.currents import currents
from mimyria.errors import (
    EngineError,
    FrameError,
    IncompatibleError,
    JournalError,
    ModelError,
    SettingsError,
)
from mimyria.io.extxyz import LabelledFrame, write_extxyz
from mimyria.storage import read_result
from mimyria.tensors import Tensors
from mimyria_driver.assembly import build_source
from mimyria_driver.identity import read_header
from mimyria_driver.journal import lock_folder
from mimyria_driver.monitor import read_status
from mimyria_driver.pipeline import rebuild
from mimyria_driver.reading import read_journal
from mimyria_driver.records import RECORD
from mimyria_driver.service import Service
from mimyria_driver.signals import StopRequest
from mimyria_driver.sources import Ended, Started

EXACT = 1e-12
N_FRAMES = 150


def whole_run(frames, **changes):
    return [Started(description(**changes)), *arrivals(frames), Ended("the end")]


def offline(frames, n_lags):
    """The same result from the library alone."""
    dipole = Correlator(3, n_lags, 2.0, "")
    polarizability = Correlator(6, n_lags, 2.0, "")
    for frame in frames:
        sample = currents(
            frame,
            Tensors(analytic.tensor("apt", frame), analytic.tensor("pgt", frame)),
        )
        dipole.push(sample.dipole)
        polarizability.push(sample.polarizability)
    return dipole.result(), polarizability.result()


def bits(directory, settings=None):
    """Everything that the fold of a run's journal holds."""
    path = Path(directory) / "journal"
    identity, _ = read_header(path)
    settings = settings or make_settings(directory)
    pipeline = rebuild(path, identity, settings.spectrum)
    state = {
        f"{target}.{name}": array.tobytes()
        for target, arrays in pipeline.state().items()
        for name, array in arrays.items()
    }
    means = (
        pipeline.kinetic_temperature,
        pipeline._volume,
        pipeline.n_frames,
        repr(pipeline.diagnostics()),
    )
    return state, means


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """The uninterrupted run that all others must equal."""
    directory = tmp_path_factory.mktemp("reference")
    source = ScriptedSource(whole_run(trajectory(N_FRAMES)))
    assert serve(make_settings(directory), source) == 0
    return directory


def test_service_gives_what_the_library_gives_offline(reference):
    result = read_result(reference / "spectrum.h5")
    dipole, polarizability = offline(trajectory(N_FRAMES), result.dipole.n_lags)
    for found, expected in (
        (result.dipole, dipole),
        (result.polarizability, polarizability),
    ):
        assert found.n_samples == N_FRAMES
        np.testing.assert_array_equal(found.counts, expected.counts)
        scale = np.abs(expected.values).max()
        np.testing.assert_allclose(found.values, expected.values, atol=EXACT * scale)
    assert set(result.spectra) >= {"ir", "raman_vv", "raman_vh"}
    assert result.provenance["status"] == "ended"
    assert result.provenance["frames"] == N_FRAMES


def test_running_accumulators_equal_the_fold_of_the_journal(reference):
    result = read_result(reference / "spectrum.h5")
    path = reference / "journal"
    identity, _ = read_header(path)
    again = rebuild(path, identity, make_settings(reference).spectrum).result({})
    for name in ("dipole", "polarizability"):
        np.testing.assert_array_equal(
            getattr(result, name).values, getattr(again, name).values
        )
    assert (result.volume, result.temperature) == (again.volume, again.temperature)
    assert len(list(read_journal(path))) == N_FRAMES


def test_every_frame_is_acknowledged_and_the_source_closed(tmp_path):
    source = ScriptedSource(whole_run(trajectory(40)))
    serve(make_settings(tmp_path), source)
    assert source.accepted == [-1]
    assert source.acknowledged[-1] == 39 * STRIDE
    assert source.acknowledged == sorted(source.acknowledged)
    assert source.closed
    status = read_status(tmp_path)
    assert status["state"] == "ended"
    assert status["durable"] == 40
    assert status["in_flight"] == 0


def test_batches_give_the_same_result(tmp_path, reference):
    settings = make_settings(tmp_path, models={"batch": 7})
    serve(settings, ScriptedSource(whole_run(trajectory(N_FRAMES))))
    assert bits(tmp_path) == bits(reference)


def test_only_the_wanted_spectra_are_made(tmp_path):
    settings = make_settings(tmp_path, models={"pgt": None})
    serve(settings, ScriptedSource(whole_run(trajectory(40))))
    result = read_result(tmp_path / "spectrum.h5")
    assert result.polarizability is None
    assert set(result.spectra) == {"ir"}


@pytest.mark.parametrize("kind", ["kill", "crash"])
def test_evaluator_that_dies_once_changes_nothing(
    kind, tmp_path, reference, monkeypatch
):
    flag = tmp_path / "it_died"
    monkeypatch.setenv(
        "MIMYRIA_TEST_FAULT",
        f'{{"kind": "{kind}", "step": 200, "once": "{flag}"}}',
    )
    run = tmp_path / "run"
    assert (
        serve(make_settings(run), ScriptedSource(whole_run(trajectory(N_FRAMES)))) == 0
    )
    assert flag.exists()
    assert read_status(run)["restarts"] == 1
    assert bits(run) == bits(reference)


def test_evaluator_that_hangs_is_replaced(tmp_path, reference, monkeypatch):
    flag = tmp_path / "it_hung"
    monkeypatch.setenv(
        "MIMYRIA_TEST_FAULT", f'{{"kind": "hang", "step": 200, "once": "{flag}"}}'
    )
    run = tmp_path / "run"
    source = ScriptedSource(whole_run(trajectory(N_FRAMES)))
    assert serve(make_settings(run), source, deadline=1.0) == 0
    assert flag.exists()
    assert bits(run) == bits(reference)


def test_frame_that_the_evaluator_dies_of_again_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("MIMYRIA_TEST_FAULT", '{"kind": "crash", "step": 40}')
    source = ScriptedSource(whole_run(trajectory(40)))
    with pytest.raises(FrameError, match=r"died .* again.*illegal memory access"):
        serve(make_settings(tmp_path), source)
    assert len(list(read_journal(tmp_path / "journal"))) == 10
    assert source.acknowledged[-1] == 36
    assert read_result(tmp_path / "spectrum.h5").provenance["status"] == "failed"


def test_numbers_that_are_not_finite_are_refused(tmp_path):
    source = ScriptedSource(whole_run(trajectory(40)))
    with pytest.raises(FrameError, match="step 40: the apt model gave numbers"):
        serve(make_settings(tmp_path, models=models("nan_model")), source)
    assert len(list(read_journal(tmp_path / "journal"))) == 10


def test_model_that_cannot_be_loaded_is_an_error_with_its_reason(tmp_path):
    source = ScriptedSource(whole_run(trajectory(4)))
    with pytest.raises(SettingsError, match=r"analytic.py has no function no_such"):
        serve(make_settings(tmp_path, models=models("no_such")), source)


# -- kills and restarts ---------------------------------------------------------------


def start_driver(directory, n_frames=N_FRAMES, pause=0.01):
    return subprocess.Popen(
        [
            sys.executable,
            analytic.__file__,
            "scripted",
            str(directory),
            str(n_frames),
            str(pause),
        ],
        stderr=subprocess.PIPE,
    )


def test_driver_killed_again_and_again_gives_the_identical_result(tmp_path, reference):
    kills = 0
    for n in (20, 60, 100):
        process = start_driver(tmp_path)
        wait_for_records(tmp_path, n, process)
        process.kill()
        process.communicate(timeout=20)
        kills += 1
    process = start_driver(tmp_path)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors.decode()
    assert kills == 3
    assert bits(tmp_path) == bits(reference)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_leaves_a_complete_result_and_the_run_goes_on(
    number, tmp_path, reference
):
    process = start_driver(tmp_path)
    wait_for_records(tmp_path, 30, process)
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 75, errors.decode()
    result = read_result(tmp_path / "spectrum.h5")
    n_records = len(list(read_journal(tmp_path / "journal")))
    assert 30 <= n_records < N_FRAMES
    assert result.provenance["frames"] == n_records
    assert result.provenance["status"] == "stopped"
    assert read_status(tmp_path)["state"] == "stopped"
    process = start_driver(tmp_path)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors.decode()
    assert bits(tmp_path) == bits(reference)


def test_signal_before_any_engine_ends_with_75(tmp_path):
    stop = StopRequest()
    stop.signal_name = "SIGTERM"
    assert serve(make_settings(tmp_path), ScriptedSource([]), stop=stop) == 75
    assert not (tmp_path / "journal").exists()


def test_exit_file_ends_the_run_normally(tmp_path):
    process = start_driver(tmp_path)
    wait_for_records(tmp_path, 30, process)
    (tmp_path / "EXIT").touch()
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors.decode()
    assert not (tmp_path / "EXIT").exists()
    assert read_status(tmp_path)["message"] == "ended by the file EXIT"


def test_finished_run_that_is_served_again_stays_as_it_is(tmp_path):
    for _ in range(2):
        source = ScriptedSource(whole_run(trajectory(40)))
        serve(make_settings(tmp_path), source)
    assert source.accepted == [39 * STRIDE]
    assert read_result(tmp_path / "spectrum.h5").provenance["frames"] == 40


def test_two_drivers_on_one_folder_are_refused(tmp_path):
    process = start_driver(tmp_path)
    wait_for_records(tmp_path, 5, process)
    try:
        with pytest.raises(JournalError, match=rf"process {process.pid} on .* writing"):
            serve(make_settings(tmp_path), ScriptedSource([]))
    finally:
        process.kill()
        process.communicate(timeout=20)


# -- what engines do ------------------------------------------------------------------


def test_missing_step_starts_a_new_segment(tmp_path):
    frames = trajectory(60)
    source = ScriptedSource(whole_run(frames[:20] + frames[23:]))
    serve(make_settings(tmp_path), source)
    result = read_result(tmp_path / "spectrum.h5")
    assert result.provenance["segments"] == 2
    assert result.provenance["missing_frames"] == 3
    n_lags = result.dipole.n_lags
    expected = sum(np.maximum(n - np.arange(n_lags), 0) for n in (20, 37))
    np.testing.assert_array_equal(result.dipole.counts, expected)


def test_frames_sent_again_are_counted_once(tmp_path, reference):
    frames = trajectory(N_FRAMES)
    events = [
        Started(description()),
        *arrivals(frames[:50]),
        Started(description()),
        *arrivals(frames[30:], previous=frames[29].step),
        Ended("the end"),
    ]
    serve(make_settings(tmp_path), ScriptedSource(events, resumes=False))
    assert bits(tmp_path) == bits(reference)


def test_engine_that_goes_back_and_another_way_replaces_the_old_branch(
    tmp_path, reference
):
    good, bad = trajectory(N_FRAMES), trajectory(N_FRAMES, shift=1e-9)
    events = [
        Started(description()),
        *arrivals(good[:40] + bad[40:60]),
        Started(description()),
        # The first frame after the restart repeats the series; then it differs.
        *arrivals(good[39:]),
        Ended("the end"),
    ]
    serve(make_settings(tmp_path), ScriptedSource(events, resumes=False))
    assert bits(tmp_path) == bits(reference)
    result = read_result(tmp_path / "spectrum.h5")
    assert result.provenance["frames"] == N_FRAMES
    assert result.provenance["segments"] == 1


def test_steps_that_go_back_within_one_stream_are_refused(tmp_path):
    frames = trajectory(60)
    other = trajectory(60, seed=1)
    source = ScriptedSource(whole_run(frames[:30] + other[10:]))
    with pytest.raises(FrameError, match="step 40 came after step 116"):
        serve(make_settings(tmp_path), source)


def test_credit_bounds_what_is_taken(tmp_path, monkeypatch):
    frames = trajectory(60)
    source = ScriptedSource(whole_run(frames))
    lags = []
    original = source.receive

    def receive():
        lags.append(source._sent * STRIDE - 4 - max([-4, *source.acknowledged]))
        return original()

    source.receive = receive
    serve(make_settings(tmp_path, run={"credit": 4}), source)
    # Credit for frames at work, and as many records that wait for their sync.
    assert max(lags) <= 2 * 4 * STRIDE


# -- refusals -------------------------------------------------------------------------


def changed(frame, **changes):
    names = ("numbers", "positions", "cell", "velocities", "step")
    values = {name: getattr(frame, name) for name in names} | changes
    return type(frame)(**values)


def with_one(array, value):
    copy = array.copy()
    copy.flat[4] = value
    return copy


BAD_FRAMES = {
    "atom count": (
        lambda f: changed(
            f,
            numbers=f.numbers[:-1],
            positions=f.positions[:-1],
            velocities=f.velocities[:-1],
        ),
        "began with 6 atoms, but this frame has 5",
    ),
    "order of atoms": (
        lambda f: changed(f, numbers=f.numbers[::-1].copy()),
        "atom 0 must be element 8, but is 1",
    ),
    "NaN in positions": (
        lambda f: changed(f, positions=with_one(f.positions, np.nan)),
        "positions must be finite, but row 1",
    ),
    "infinite velocity": (
        lambda f: changed(f, velocities=with_one(f.velocities, np.inf)),
        "velocities must be finite",
    ),
    "no velocities": (
        lambda f: changed(f, velocities=None),
        "has no velocities",
    ),
    "flat cell": (
        lambda f: changed(f, cell=np.zeros((3, 3))),
        "has no volume",
    ),
}


@pytest.mark.parametrize("name", BAD_FRAMES)
def test_bad_frame_ends_the_run_and_keeps_all_before_it(name, tmp_path):
    spoil, text = BAD_FRAMES[name]
    frames = trajectory(30)
    frames[20] = spoil(frames[20])
    source = ScriptedSource(whole_run(frames))
    with pytest.raises(FrameError, match=text) as raised:
        serve(make_settings(tmp_path), source)
    assert raised.value.exit_code == 65
    assert len(list(read_journal(tmp_path / "journal"))) == 20
    assert source.acknowledged[-1] == 19 * STRIDE
    assert read_result(tmp_path / "spectrum.h5").provenance["frames"] == 20
    assert read_status(tmp_path)["state"] == "failed"


def test_velocities_in_a_wrong_unit_are_refused(tmp_path):
    frames = [changed(f, velocities=1e3 * f.velocities) for f in trajectory(30)]
    with pytest.raises(FrameError, match=r"amount to .* K where about 300 K"):
        serve(make_settings(tmp_path), ScriptedSource(whole_run(frames)))


def refused(tmp_path, error, text, settings=None, **changes):
    source = ScriptedSource(whole_run(trajectory(30), **changes))
    with pytest.raises(error, match=text):
        serve(settings or make_settings(tmp_path), source)
    assert text.split("|")[0].split(".*")[0] in source.refused
    assert source.closed


def test_stride_too_long_for_the_spectrum_is_refused(tmp_path):
    refused(tmp_path, FrameError, "Sample at least every 8 steps", stride=10)


def test_time_step_too_long_for_the_spectrum_is_refused(tmp_path):
    refused(tmp_path, FrameError, "Use a time step below 4.02 fs", time_step=5.0)


def test_element_unknown_to_the_model_is_refused(tmp_path):
    numbers = analytic.NUMBERS.copy()
    numbers[0] = 11
    refused(tmp_path, ModelError, "the run also has", numbers=numbers)
    assert not (tmp_path / "journal").exists()


@pytest.mark.parametrize(
    ("error", "text", "changes"),
    [
        (FrameError, "was written for 6 atoms", {"numbers": analytic.NUMBERS[::-1]}),
        (IncompatibleError, "has a frame every", {"time_step": 0.25}),
        (IncompatibleError, "has a frame every", {"stride": 2}),
    ],
)
def test_another_run_is_not_mixed_into_a_journal(error, text, changes, tmp_path):
    serve(make_settings(tmp_path), ScriptedSource(whole_run(trajectory(10))))
    before = (tmp_path / "journal").read_bytes()
    refused(tmp_path, error, text, **changes)
    assert (tmp_path / "journal").read_bytes() == before


def test_other_models_do_not_continue_a_journal(tmp_path):
    serve(make_settings(tmp_path), ScriptedSource(whole_run(trajectory(10))))
    settings = make_settings(tmp_path, models={"pgt": "python:analytic:another_model"})
    refused(tmp_path, IncompatibleError, "was written with other models", settings)


def test_damaged_journal_is_refused_before_an_engine_is_spoken_to(tmp_path):
    serve(make_settings(tmp_path), ScriptedSource(whole_run(trajectory(30))))
    path = tmp_path / "journal"
    data = bytearray(path.read_bytes())
    data[-10 * RECORD.itemsize] ^= 4
    path.write_bytes(data)
    with pytest.raises(JournalError, match="is damaged, but record"):
        serve(make_settings(tmp_path), ScriptedSource([]))
    assert path.read_bytes() == bytes(data)


def test_silent_engine_ends_the_run_where_patience_is_set(tmp_path):
    events = whole_run(trajectory(10))[:-1]
    settings = make_settings(tmp_path, run={"patience": 2.0})
    with pytest.raises(EngineError, match="no frame came for"):
        serve(settings, ScriptedSource(events))
    assert read_result(tmp_path / "spectrum.h5").provenance["frames"] == 10


def test_service_leaves_torch_alone():
    code = (
        "import sys, mimyria_driver.service, mimyria_driver.cli, mimyria_driver.replay;"
        "assert 'torch' not in sys.modules and 'e3nn' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=dict(os.environ))


# -- replay ---------------------------------------------------------------------------


def store(path, frames):
    labelled = [LabelledFrame(frame, Tensors()) for frame in frames]
    write_extxyz(path, labelled)
    return path


def test_replay_of_a_stored_trajectory_equals_the_live_run(tmp_path, reference):
    """Through the file and back, to 1e-10 of the maximum."""
    path = store(tmp_path / "md.extxyz", trajectory(N_FRAMES))
    settings = make_settings(
        tmp_path / "replay",
        source={"kind": "replay", "path": str(path), "time_step": 0.5, "stride": 4},
    )
    assert serve(settings, build_source(settings)) == 0
    live = read_result(reference / "spectrum.h5")
    replayed = read_result(tmp_path / "replay" / "spectrum.h5")
    for name, spectrum in live.spectra.items():
        scale = np.nanmax(np.abs(spectrum.intensity))
        np.testing.assert_allclose(
            replayed.spectra[name].intensity, spectrum.intensity, atol=1e-10 * scale
        )


def test_replay_without_velocities_is_refused(tmp_path):
    path = store(
        tmp_path / "md.extxyz", [changed(f, velocities=None) for f in trajectory(5)]
    )
    settings = make_settings(
        tmp_path / "replay",
        source={"kind": "replay", "path": str(path), "time_step": 0.5, "stride": 4},
    )
    with pytest.raises(FrameError, match=r"md.extxyz has no velocities"):
        serve(settings, build_source(settings))


def test_second_driver_does_not_touch_the_source(tmp_path):
    """Binding a socket takes it away from whoever has it: the lock comes first."""
    lock = lock_folder(tmp_path)
    opened = []
    with pytest.raises(JournalError, match="is writing here"):
        Service(make_settings(tmp_path), lambda: opened.append(1), None, StopRequest())
    os.close(lock)
    assert not opened
