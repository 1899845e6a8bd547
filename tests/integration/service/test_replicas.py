"""Many replicas in one driver: each is the single run that it would be."""

import json
import shutil
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from analytic import (
    HERE,
    STRIDE,
    TIME_STEP,
    arrivals,
    description,
    trajectory,
)
from instant import InstantEvaluator
from many import Engines, ensemble, frames_of, settings_for, single_runs

from mimyria.errors import FrameError, IncompatibleError, SettingsError
from mimyria.io.extxyz import LabelledFrame, write_extxyz
from mimyria.merging import merge_results
from mimyria.storage import read_result, write_result
from mimyria.tensors import Tensors
from mimyria_driver.cli import main
from mimyria_driver.labels import replica_folder
from mimyria_driver.monitor import read_status
from mimyria_driver.pipeline import Pipeline
from mimyria_driver.reading import read_journal
from mimyria_driver.signals import STOPPED, StopRequest
from mimyria_driver.snapshot import Snapshot
from mimyria_driver.sources import Ended, Started

N = 16


@pytest.fixture(scope="module")
def singles(tmp_path_factory):
    """Sixteen single runs."""
    return single_runs(tmp_path_factory.mktemp("singles"), N)


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """The same sixteen in one driver."""
    folder = tmp_path_factory.mktemp("together")
    assert ensemble(settings_for(folder, N)).run() == 0
    return folder


def test_sixteen_replicas_at_once_have_the_journals_of_single_runs(together, singles):
    for number, single in enumerate(singles):
        found = (replica_folder(together, number) / "journal").read_bytes()
        assert found == (single / "journal").read_bytes()


def test_sixteen_replicas_at_once_are_exactly_the_sum_of_single_runs(together, singles):
    """To the bit: sums and counts are added in the order of the replicas."""
    found = read_result(together / "spectrum.h5")
    results = [read_result(single / "spectrum.h5") for single in singles]
    for name in ("dipole", "polarizability"):
        parts = [getattr(result, name) for result in results]
        counts, sums = np.zeros_like(parts[0].counts), np.zeros_like(parts[0].values)
        for part in parts:
            counts = counts + part.counts
            sums = sums + part.values * part.counts[:, np.newaxis]
        correlation = getattr(found, name)
        np.testing.assert_array_equal(correlation.counts, counts)
        means = sums / np.maximum(counts, 1)[:, np.newaxis]
        np.testing.assert_array_equal(correlation.values, means)
        assert correlation.n_samples == sum(part.n_samples for part in parts)
    merged = merge_results(results, [str(single) for single in singles]).result
    for name in ("dipole", "isotropic", "anisotropic"):
        one, other = getattr(found.parts, name), getattr(merged.parts, name)
        np.testing.assert_array_equal(one.values, other.values)
    assert found.provenance["frames"] == sum(60 + number for number in range(N))
    np.testing.assert_array_equal(
        found.spectra["ir"].intensity, merged.spectra["ir"].intensity
    )


def test_replicas_of_one_temperature_are_compared_in_the_result_of_all(together):
    checks = read_result(together / "spectrum.h5").diagnostics
    found = next(each for each in checks if each.name == "temperature of the runs")
    assert found.verdict != "wrong"
    assert found.value > 0


def test_status_of_all_adds_up(together):
    status = read_status(together)
    assert status["state"] == "ended"
    assert status["durable"] == sum(60 + number for number in range(N))
    assert status["replicas"]["number"] == N
    assert status["replicas"]["states"] == {"ended": N}
    assert read_status(replica_folder(together, 3))["durable"] == 63


def test_verify_finds_the_sum_of_the_journals(together, capsys):
    assert main(["verify", str(together)]) == 0
    said = capsys.readouterr().out
    assert "replica 007: journal: 67 sound records" in said
    assert f"spectrum.h5: is the sum of {N} journals, to the bit" in said


def test_verify_finds_a_result_that_is_not_the_sum(together, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(together, folder)
    result = read_result(folder / "spectrum.h5")
    values = result.dipole.values.copy()
    values[3, 1] = np.nextafter(values[3, 1], 1.0)
    changed = replace(result, dipole=replace(result.dipole, values=values))
    write_result(folder / "spectrum.h5", changed)
    assert main(["verify", str(folder)]) == 74
    assert "is not the sum of the journals: dipole differ" in capsys.readouterr().err


def test_rebuild_makes_the_result_of_all_again(together, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(together, folder)
    for path in folder.glob("**/spectrum.h5"):
        path.unlink()
    assert main(["rebuild", str(folder), "--resolution", "200"]) == 0
    assert f"1080 frames of {N} replicas" in capsys.readouterr().out
    before, after = (read_result(f / "spectrum.h5") for f in (together, folder))
    for name in ("dipole", "polarizability"):
        one, other = getattr(before, name), getattr(after, name)
        np.testing.assert_array_equal(one.values, other.values)
        np.testing.assert_array_equal(one.blocks.values, other.blocks.values)
    np.testing.assert_array_equal(before.spectra["ir"].error, after.spectra["ir"].error)
    assert (replica_folder(folder, 5) / "spectrum.h5").exists()
    assert main(["verify", str(folder)]) == 0


def journal_of(folder, number):
    return (replica_folder(folder, number) / "journal").read_bytes()


def journal_alone(singles, number):
    return (singles[number] / "journal").read_bytes()


def test_engine_that_dies_and_comes_back_changes_nothing(tmp_path, singles):
    """One of three sends half of its frames, dies, and begins again further back."""

    class Dying(Engines):
        def __call__(self, settings):
            source = super().__call__(settings)
            if settings.run.directory.name == "001":
                frames = frames_of(1)
                source.resumes = False
                source.events = [
                    Started(description()),
                    *arrivals(frames[:30]),
                    Started(description()),
                    *arrivals(frames[20:]),
                    Ended("the end"),
                ]
            return source

    engines = Dying()
    assert ensemble(settings_for(tmp_path, 3), engines).run() == 0
    assert len(engines.sources[1].accepted) == 2
    for number in range(3):
        assert (
            journal_of(tmp_path, number) == (singles[number] / "journal").read_bytes()
        )
    assert read_status(replica_folder(tmp_path, 1))["duplicates"] > 0


def test_signal_stops_all_and_the_next_start_goes_on(tmp_path, singles):
    stop = StopRequest()
    engines = Engines(pause=lambda replica: 0.002)

    class Stopping(InstantEvaluator):
        n_frames = 0

        def submit(self, frames, **options):
            super().submit(frames, **options)
            Stopping.n_frames += len(frames)
            if Stopping.n_frames > 60:
                stop.signal_name = "SIGTERM"

    settings = settings_for(tmp_path, 3)
    assert ensemble(settings, engines, Stopping, stop).run() == STOPPED
    assert read_status(tmp_path)["state"] == "stopped"
    assert read_status(tmp_path)["durable"] < 183
    assert ensemble(settings).run() == 0
    for number in range(3):
        assert (
            journal_of(tmp_path, number) == (singles[number] / "journal").read_bytes()
        )
    assert main(["verify", str(tmp_path)]) == 0


def test_file_exit_ends_all_replicas(tmp_path):
    engines = Engines(pause=lambda replica: 0.1)
    settings = settings_for(tmp_path, 3)

    class Leaving(InstantEvaluator):
        n_frames = 0

        def submit(self, frames, **options):
            super().submit(frames, **options)
            Leaving.n_frames += 1
            if Leaving.n_frames == 20:
                (tmp_path / "EXIT").touch()

    assert ensemble(settings, engines, Leaving).run() == 0
    status = read_status(tmp_path)
    assert (status["state"], status["message"]) == ("ended", "ended by the file EXIT")
    assert status["durable"] < 183
    assert all(source.closed for source in engines.sources.values())


def test_replica_whose_engine_ended_before_a_restart_does_not_hold_up_the_rest(
    tmp_path,
):
    """The driver was gone when the others had yet to end; that one never comes back."""
    stop = StopRequest()
    settings = settings_for(tmp_path, 2)
    slow = Engines(pause=lambda replica: 0.03 * replica)

    class Stopping(InstantEvaluator):
        def results(self):
            path = replica_folder(tmp_path, 0)
            if (path / "spectrum.h5").exists() and read_status(path)[
                "state"
            ] == "ended":
                stop.signal_name = "SIGTERM"
            return super().results()

    assert ensemble(settings, slow, Stopping, stop).run() == STOPPED

    class OnlyTheSecond(Engines):
        def __call__(self, settings):
            source = super().__call__(settings)
            if settings.run.directory.name == "000":
                source.events = []
            return source

    assert ensemble(settings, OnlyTheSecond()).run() == 0
    result = read_result(tmp_path / "spectrum.h5")
    assert result.provenance["frames"] == 60 + 61  # those of before are in it
    assert result.provenance["replica_records"] == "0:60 1:61"


def test_refused_replica_fails_alone_and_is_named(tmp_path, singles):
    class Broken(Engines):
        def __call__(self, settings):
            source = super().__call__(settings)
            if settings.run.directory.name == "002":
                source.events[5] = replace(
                    source.events[5], frame=replace(trajectory(1)[0], velocities=None)
                )
            return source

    with pytest.raises(FrameError, match="replica 2: step 0: the frame has no veloc"):
        ensemble(settings_for(tmp_path, 4), Broken()).run()
    for number in (0, 1, 3):
        assert (
            journal_of(tmp_path, number) == (singles[number] / "journal").read_bytes()
        )
    status = read_status(tmp_path)
    assert status["state"] == "failed"
    assert status["replicas"]["states"] == {"ended": 3, "failed": 1}
    assert status["replicas"]["failed"] == [2]
    conditions = {each["name"]: each["text"] for each in status["conditions"]}
    assert conditions["replica_failed"] == "failed: 1 of 4 replicas (2)"
    result = read_result(tmp_path / "spectrum.h5")
    assert result.provenance["frames"] == 60 + 61 + 63 + 4
    assert main(["verify", str(tmp_path)]) == 0


def test_the_same_trajectory_twice_is_no_second_replica(tmp_path):
    engines = Engines(frames=lambda replica: trajectory(40))
    with pytest.raises(IncompatibleError, match="replica 000 and replica 001 hold the"):
        ensemble(settings_for(tmp_path, 2), engines).run()
    assert len(list(read_journal(replica_folder(tmp_path, 1) / "journal"))) == 40


def hotter(replica, factor):
    """The same with larger amplitudes: `factor` squared times the temperature."""
    frames = frames_of(replica)
    rest = frames[0].positions
    return [
        replace(
            frame,
            positions=rest + factor * (frame.positions - rest),
            velocities=factor * frame.velocities,
        )
        for frame in frames
    ]


def test_replicas_of_two_temperatures_have_results_of_their_own_and_none_of_all(
    tmp_path, capsys
):
    """The settings give one temperature; those of exchanged replicas are several."""
    settings = settings_for(tmp_path, 4, spectrum={"temperature": 30.0})
    engines = Engines(lambda k: hotter(k, 5.0 if k == 3 else 1.0))
    run = ensemble(settings, engines)
    text = "the replicas are not of one temperature \\(replica 003 has had .* K and"
    with pytest.raises(IncompatibleError, match=text):
        run.run()
    status = read_status(tmp_path)
    assert status["state"] == "failed"
    assert "Run a driver for each temperature, with its own" in status["message"]
    assert status["replicas"]["states"] == {"ended": 4}
    run._publishing._try_to_write()  # as while they run
    while_running = run._publishing.show(Snapshot()).message
    assert while_running.startswith("there is no new result of all replicas: the rep")
    assert not (tmp_path / "spectrum.h5").exists()
    for number in range(4):
        own = read_result(replica_folder(tmp_path, number) / "spectrum.h5")
        assert own.provenance["frames"] == 60 + number
    assert main(["rebuild", str(tmp_path)]) == 65
    assert "the replicas are not of one temperature" in capsys.readouterr().err


def test_number_of_replicas_may_grow_and_not_shrink(tmp_path, singles):
    assert ensemble(settings_for(tmp_path, 2)).run() == 0
    with pytest.raises(SettingsError, match="has 2 replicas already, but"):
        ensemble(settings_for(tmp_path / ".", 1))
    assert ensemble(settings_for(tmp_path, 3)).run() == 0
    assert journal_of(tmp_path, 2) == journal_alone(singles, 2)
    with pytest.raises(SettingsError, match="holds a run without replicas, but"):
        ensemble(settings_for(singles[0], 2))


# -- fairness -------------------------------------------------------------------------


def test_slow_replica_waits_for_one_batch_of_each_other_at_most(tmp_path):
    """Counted: between two turns of a replica no other one has more than two.

    Seven replicas send all they have at once, the eighth a frame now and then.
    """
    n = 8
    engines = Engines(
        frames=lambda k: frames_of(k, 20 if k == n - 1 else 120),
        pause=lambda k: 0.02 if k == n - 1 else 0.0,
    )
    turns = []
    run = ensemble(
        settings_for(tmp_path, n, models={"canary": 0}),
        engines,
        lambda: InstantEvaluator(delay=0.001),
    )
    pass_on = run._broker._submit

    def submit(job):
        waiting = [f for f in run._broker._facades if f.waiting]
        turns.append((job.facade, waiting))
        pass_on(job)

    run._broker._submit = submit
    assert run.run() == 0
    assert len(turns) == sum(len(engines.frames(k)) for k in range(n))
    passed_over = Counter()
    worst = 0
    for facade, waiting in turns:
        passed_over[facade] = 0
        passed_over.update(other for other in waiting if other is not facade)
        worst = max(worst, *passed_over.values())
    # That it could be passed over at all: several had something to do at one time.
    assert 2 <= worst <= n - 1


# -- the end --------------------------------------------------------------------------


def noisy(replica, n_frames=900):
    """Atoms that stay where they are, with velocities of white noise."""
    (first,) = trajectory(1)
    rng = np.random.default_rng(replica)
    velocities = rng.normal(0.0, 0.004, (n_frames, 6, 3))
    return [
        replace(first, velocities=velocities[index], step=index * STRIDE)
        for index in range(n_frames)
    ]


def test_common_result_decides_when_all_are_good_enough(tmp_path, monkeypatch):
    """Ten of 900 frames; 50 windows of 21 lags are 1050 frames, of all together."""
    # These atoms have no temperature.
    monkeypatch.setattr(Pipeline, "diagnostics", lambda _: (), raising=False)
    sign = tmp_path / "sign"
    settings = settings_for(
        tmp_path / "run",
        10,
        source={"check_velocities": "warn"},  # these are noise
        spectrum={"resolution": 1250.0, "refresh": 0.2},
        convergence={"ir": 0.2, "raman": 0.4, "stop": True, "exit_file": str(sign)},
    )
    # So slow that there is time for many looks before the last frame.
    engines = Engines(noisy, pause=lambda replica: 0.02)
    assert ensemble(settings, engines).run() == 0
    status = read_status(tmp_path / "run")
    assert status["state"] == "ended"
    assert status["message"].startswith("converged after ")
    assert status["errors"]["ir"] <= 0.2
    assert status["durable"] < 9000
    assert sign.exists()
    assert read_status(replica_folder(tmp_path / "run", 4))["state"] == "ended"
    result = read_result(tmp_path / "run" / "spectrum.h5")
    assert result.provenance["convergence"].startswith("converged after ")
    assert result.provenance["frames"] == status["durable"]


def test_each_replica_is_a_block_of_the_errors(together):
    """As many blocks as replicas, with the samples of each."""
    blocks = read_result(together / "spectrum.h5").dipole.blocks
    assert blocks.samples.tolist() == [60 + number for number in range(N)]


def test_command_serves_stored_trajectories_as_replicas(tmp_path, capsys):
    for number in range(3):
        frames = [LabelledFrame(frame, Tensors()) for frame in frames_of(number)]
        write_extxyz(tmp_path / f"md-{number:03d}.xyz", frames)
    (tmp_path / "run.toml").write_text(
        "[source]\n"
        f'kind = "replay"\npath = "md-{{replica}}.xyz"\nreplicas = 3\n'
        f"time_step = {TIME_STEP}\nstride = {STRIDE}\n"
        f'[models]\napt = "python:analytic:make_model"\nsearch = "{HERE}"\n'
        'device = "cpu"\n[spectrum]\nresolution = 200.0\n'
    )
    assert main(["run", str(tmp_path / "run.toml")]) == 0
    folder = tmp_path / "spectrum"
    assert (folder / "ir.png").exists()
    assert main(["status", str(folder)]) == 1  # these atoms have no temperature
    assert "183 frames · 100%" in capsys.readouterr().out
    assert main(["watch", "--once", str(folder)]) == 1
    assert "3 replicas (3 ended)" in " ".join(capsys.readouterr().out.split())
    events = (folder / "events.jsonl").read_text().splitlines()
    ended = [json.loads(line) for line in events if "engine_ended" in line]
    assert sorted(entry["replica"] for entry in ended) == [0, 1, 2]
    (tmp_path / "run.toml").write_text(
        (tmp_path / "run.toml").read_text().replace("replicas = 3", "replicas = 1")
    )
    assert main(["run", str(tmp_path / "run.toml")]) == 78
    assert "has 3 replicas already" in capsys.readouterr().err
