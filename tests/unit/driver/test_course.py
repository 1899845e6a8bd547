"""What the monitor knows because it has watched for a while."""

import itertools
import math
from dataclasses import replace
from types import SimpleNamespace

import pytest

from mimyria_driver import course as module
from mimyria_driver.conditions import Limits, conditions
from mimyria_driver.course import Course, Trend
from mimyria_driver.durations import Durations
from mimyria_driver.snapshot import Snapshot
from mimyria_driver.sources import Arrived
from mimyria_driver.surroundings import Surroundings
from mimyria_driver.timedsource import TimedSource

HERE = Surroundings("host", 1, "boot", None, 0, None)
RUNNING = Snapshot(state="running", engine="e", sampled=2.0, durable=1000)


def make(directory, surroundings=HERE):
    return Course(directory, surroundings)


def test_rate_over_each_window_is_its_own():
    trend = Trend()
    frames = 0.0
    for second in range(3601):
        trend.add(float(second), frames)
        frames += 1.0 if second < 3000 else 10.0
    frames -= 10.0
    now = 3600.0
    assert trend.per_second(now, frames, 15.0) == pytest.approx(10.0)
    assert trend.per_second(now, frames, 600.0) == pytest.approx(10.0)
    assert trend.per_second(now, frames, 3600.0) == pytest.approx(2.5)


def test_trend_is_bounded():
    trend = Trend()
    for tick in range(40_000):
        trend.add(0.25 * tick, tick)
    assert len(trend) <= 62 + 242
    assert trend.span(0.25 * tick) == pytest.approx(3600.0, abs=16.0)


def test_rate_is_that_of_the_run_and_not_of_the_wait(tmp_path):
    course = make(tmp_path)
    course.look(0.0, Snapshot(state="waiting"))
    course.look(100.0, replace(RUNNING, durable=0))
    assert course.look(110.0, replace(RUNNING, durable=50)) == pytest.approx(5.0)
    facts = course.facts(110.0, replace(RUNNING, durable=50))
    assert facts["rates"]["60min"] == pytest.approx(5.0)


def test_facts_say_speed_lag_and_how_long_nothing_moved(tmp_path):
    course = make(tmp_path)
    course.look(0.0, replace(RUNNING, durable=0))
    late = replace(RUNNING, in_flight=20)
    course.look(10.0, late)
    facts = course.facts(14.0, late)
    rate = 1000 / 14
    assert facts["rate"] == pytest.approx(rate)
    assert facts["lag_seconds"] == pytest.approx(20 / rate)
    # 2 ps in 1000 frames.
    assert facts["time_per_day"] == pytest.approx(2e-3 * rate * 86.4)
    assert facts["progress_age"] == pytest.approx(4.0)
    assert facts["time"] - facts["since"] == pytest.approx(14.0)


def test_restarts_are_those_of_the_last_hour(tmp_path):
    course = make(tmp_path)
    for now, restarts in ((0.0, 0), (10.0, 1), (20.0, 3), (3700.0, 4)):
        course.look(now, replace(RUNNING, restarts=restarts))
    assert course.facts(3700.0, RUNNING)["restarts_last_hour"] == 1


def test_disk_that_the_journal_fills_says_when(tmp_path, monkeypatch):
    course = make(tmp_path)
    monkeypatch.setattr(module, "free_bytes", lambda directory: 7_200_000)
    journal = tmp_path / "journal"
    for second in range(0, 101, 10):
        journal.write_bytes(bytes(1000 * second))
        facts = course.facts(float(second), RUNNING)
    # 1000 bytes a second: 7.2 MB last two hours.
    assert facts["journal_bytes"] == 100_000
    assert facts["disk"]["hours_to_full"] == pytest.approx(2.0)


def test_disk_that_others_fill_counts_after_ten_minutes(tmp_path, monkeypatch):
    course = make(tmp_path)
    free = itertools.count(3_600_000, -1000)
    monkeypatch.setattr(module, "free_bytes", lambda directory: next(free))
    hours = [
        course.facts(float(second), RUNNING)["disk"]["hours_to_full"]
        for second in range(701)
    ]
    assert hours[599] is None
    assert hours[700] == pytest.approx(2900 / 3600, rel=1e-3)


def test_job_of_slurm_is_known_from_its_environment(monkeypatch):
    here = Surroundings.look(
        {"SLURM_JOB_ID": "42", "SLURM_RESTART_COUNT": "3", "SLURM_JOB_END_TIME": "junk"}
    )
    assert (here.job, here.job_restarts, here.job_over) == ("42", 3, None)
    clock = SimpleNamespace(time=lambda: 1000.0, monotonic=lambda: 7.0)
    monkeypatch.setattr("mimyria_driver.surroundings.time", clock)
    here = Surroundings.look({"SLURM_JOB_END_TIME": "1600"})
    assert here.job_over == 607.0
    assert Surroundings.look({}).job is None


def test_durations_have_quantiles_and_cumulative_buckets():
    durations = Durations(recent=100)
    for number in range(1, 101):
        durations.append(number / 100)
    summary = durations.summary()
    assert (summary["count"], summary["p50"], summary["p99"]) == (100, 0.5, 0.99)
    assert summary["sum"] == pytest.approx(50.5)
    buckets = dict(map(tuple, summary["buckets"]))
    assert (buckets[0.05], buckets[0.5], buckets[1.0], buckets[60.0]) == (
        5,
        50,
        100,
        100,
    )
    assert Durations().summary()["p50"] is None


def test_acknowledgement_takes_from_arrival_to_disk():
    class Scripted:
        progress = 0.5
        told = ()

        def receive(self):
            return [Arrived(SimpleNamespace(step=step), -1) for step in (0, 4, 8)]

        def acknowledge(self, step):
            self.told = (*self.told, step)

    inner = Scripted()
    source = TimedSource(inner)
    assert len(source.receive()) == 3
    source.acknowledge(4)
    assert source.seconds.count == 2
    source.acknowledge(8)
    assert source.seconds.count == 3
    assert all(0 <= seconds < 5 for seconds in source.seconds)
    assert inner.told == (4, 8)
    assert source.progress == 0.5


# -- conditions -----------------------------------------------------------------------

WELL = {
    "state": "running",
    "engine_alive": None,
    "progress_age": 1.0,
    "disk": {"hours_to_full": None, "free_bytes": 1},
    "restarts_last_hour": 0,
    "job": None,
    "errors": {"ir": 0.04},
    "targets": {"ir": 0.05},
    "checks": "f-sum 1.00 ok",
    "gpu": None,
}
JOB = {"id": "1", "restarts": 0, "seconds_left": 300.0}


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({}, []),
        ({"progress_age": 901.0}, ["no_progress"]),
        ({"progress_age": 901.0, "engine_alive": True}, ["no_progress"]),
        ({"progress_age": 901.0, "engine_alive": False}, ["engine_lost"]),
        ({"progress_age": 899.0, "engine_alive": False}, []),
        ({"progress_age": 901.0, "state": "waiting"}, []),
        ({"progress_age": 901.0, "state": "draining"}, ["no_progress"]),
        ({"disk": {"hours_to_full": 1.9, "free_bytes": 1}}, ["disk"]),
        ({"disk": {"hours_to_full": 2.1, "free_bytes": 1}}, []),
        ({"state": "disk full"}, ["disk_full"]),
        ({"restarts_last_hour": 3}, []),
        ({"restarts_last_hour": 4}, ["restarts"]),
        ({"job": JOB}, []),
        ({"job": JOB, "errors": {"ir": 0.06}}, ["job_end"]),
        ({"job": JOB, "errors": {}}, ["job_end"]),
        ({"job": JOB, "errors": {}, "targets": {}}, []),
        ({"job": {**JOB, "seconds_left": 700.0}, "errors": {}}, []),
        ({"job": {**JOB, "seconds_left": None}, "errors": {}}, []),
        ({"checks": "f-sum 0.50 wrong"}, ["checks"]),
        ({"gpu": {"slowed_by": ["power cap", "power brake"]}}, ["gpu_slow"]),
        ({"gpu": {"slowed_by": ["power cap"]}}, []),
    ],
)
def test_each_condition_holds_where_it_should(changes, names):
    found = conditions({**WELL, **changes}, Limits())
    assert [each["name"] for each in found] == names
    assert all(each["level"] in ("warning", "critical") for each in found)


def test_time_to_a_target_is_not_told_where_nothing_moves():
    snapshot = replace(RUNNING, errors={"ir": 0.1}, targets={"ir": 0.05})
    assert snapshot.seconds_to_target(10.0) == {"ir": pytest.approx(300.0)}
    assert snapshot.seconds_to_target(0.0) == {}
    assert math.isfinite(snapshot.seconds_to_target(1e-9)["ir"])
