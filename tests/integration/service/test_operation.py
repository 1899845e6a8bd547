"""A whole run as people and machines see it: events, status, metrics, alerts."""

import json
import logging
import os
import socket
import sys
import time
from pathlib import Path

import pytest
from analytic import ScriptedSource, arrivals, description, make_settings, trajectory
from instant import InstantEvaluator, fold_of, serve_here

from mimyria.errors import JournalError, LockedError, SettingsError
from mimyria_driver import service
from mimyria_driver.journal import lock_folder
from mimyria_driver.sources import Ended, Started
from mimyria_driver.status import read_status

sys.path.insert(0, str(Path(__file__).parents[2] / "unit" / "driver"))
from schemas import STATUS_SCHEMA, broken_rules

N_FRAMES = 40


def script(frames=None):
    frames = trajectory(N_FRAMES) if frames is None else frames
    return [Started(description()), *arrivals(frames), Ended("the end")]


@pytest.fixture
def run(monkeypatch):
    """The service as the command runs it, without a child."""
    monkeypatch.setattr(service, "Evaluator", lambda *given: InstantEvaluator())

    def serve(directory, events=None, pause=0.0, **sections):
        source = ScriptedSource(script() if events is None else events, pause)
        return service.run(make_settings(directory, **sections), source=source)

    return serve


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    directory = tmp_path_factory.mktemp("reference")
    assert serve_here(make_settings(directory), ScriptedSource(script())) == 0
    return fold_of(directory)


def events_of(directory):
    lines = (directory / "events.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def codes_of(directory):
    return [each["code"] for each in events_of(directory)]


def test_run_tells_its_life_in_events(run, tmp_path, reference):
    assert run(tmp_path, pause=0.01) == 0  # longer than to the first result
    codes = codes_of(tmp_path)
    life = [
        "driver_started",
        "networks_ready",
        "engine_connected",
        "result_written",
        "engine_ended",
        "result_written",
        "driver_stopped",
    ]
    assert [code for code in codes if code in life] == life
    monotonic = [each["mono"] for each in events_of(tmp_path)]
    assert monotonic == sorted(monotonic)
    assert fold_of(tmp_path) == reference
    logger = logging.getLogger("mimyria_driver")
    assert not logger.handlers


def test_driver_that_was_overtaken_writes_neither_event_nor_status(
    monkeypatch, tmp_path
):
    monkeypatch.setattr(service, "Evaluator", lambda *given: InstantEvaluator())
    source, left = ScriptedSource(script()), {}
    receive = source.receive

    def overtaken():
        if len(source.events) == 10 and not left:
            (tmp_path / "epoch").write_text("7\n")
            names = ("events.jsonl", "status.json", "metrics.prom", "spectrum.h5")
            paths = [tmp_path / name for name in names]
            left.update({p: p.read_bytes() if p.exists() else None for p in paths})
        return receive()

    source.receive = overtaken
    settings = make_settings(tmp_path, spectrum={"refresh": 1000.0})
    with pytest.raises(LockedError, match="has taken over"):
        service.run(settings, source=source)
    now = {path: path.read_bytes() if path.exists() else None for path in left}
    assert now == left
    assert b"engine_connected" in left[tmp_path / "events.jsonl"]


def test_status_and_metrics_of_a_run_are_complete(run, tmp_path):
    assert run(tmp_path) == 0
    status = json.loads((tmp_path / "status.json").read_text())
    assert broken_rules(status, STATUS_SCHEMA) == []
    assert (status["state"], status["durable"]) == ("ended", N_FRAMES)
    assert status["received"] == status["evaluated"] == N_FRAMES
    assert status["timings"]["acknowledge"]["count"] == N_FRAMES
    assert status["timings"]["evaluate"]["count"] == N_FRAMES
    assert status["timings"]["sync"]["count"] > 0
    assert status["journal_bytes"] >= (tmp_path / "journal").stat().st_size
    assert status["disk"]["free_bytes"] > 0
    assert status["result_age"] < 60
    assert status["host"] == socket.gethostname()
    assert set(status["models"]) == {"apt", "pgt"}
    assert status["events"]["engine_connected"] == 1
    assert status["run_id"] == (tmp_path / "run_id").read_text().strip() != ""
    text = (tmp_path / "metrics.prom").read_text()
    assert f"mimyria_frames_durable {N_FRAMES}\n" in text
    assert 'mimyria_state{state="ended"} 1\n' in text
    assert f'run="{status["run_id"]}"' in text


def test_private_files_of_a_run_are_private(run, tmp_path):
    assert run(tmp_path, monitor={"listen": "127.0.0.1:0"}) == 0
    for name in ("events.jsonl", "metrics.prom", "metrics.token"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600, name


def test_gap_and_way_back_are_events_and_the_gap_is_an_alert_once(run, tmp_path):
    frames = trajectory(60)
    other = trajectory(60, shift=1e-9)
    sink = tmp_path / "sink"
    code = f"import sys; open({str(sink)!r}, 'a').write(sys.stdin.read() + '\\n')"
    events = [
        Started(description()),
        *arrivals(frames[:20] + other[23:40]),
        Started(description()),
        *arrivals(frames[35:], previous=frames[34].step),
        Ended("the end"),
    ]
    directory = tmp_path / "run"
    source = ScriptedSource(events, resumes=False)
    settings = make_settings(
        directory, alerts={"command": [sys.executable, "-c", code]}
    )
    assert service.run(settings, source=source) == 0
    codes = codes_of(directory)
    assert codes.count("gap") == 1
    assert codes.count("engine_back") == 1
    (gap,) = [each for each in events_of(directory) if each["code"] == "gap"]
    assert gap["fields"] == {"before": 76, "step": 92}
    assert gap["level"] == "warning"
    alerts = [json.loads(line)["name"] for line in sink.read_text().splitlines()]
    assert alerts == ["gap", "finished"]
    assert codes.count("alert") == 2


def test_dead_sinks_cost_the_run_nothing(run, tmp_path, reference):
    """The same bits with every way broken, and a warning that says so."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        secret = tmp_path / "webhook"
        secret.write_text("http://127.0.0.1:1/\n")
        secret.chmod(0o600)
        directory = tmp_path / "run"
        port = taken.getsockname()[1]
        code = run(
            directory,
            monitor={
                "listen": f"127.0.0.1:{port}",
                "metrics": "/no/such/folder/metrics.prom",
            },
            alerts={
                "command": ["/no/such/program"],
                "webhook": str(secret),
                "mail": ["me@example.org"],
                "sendmail": "/no/such/sendmail",
            },
        )
    assert code == 0
    assert fold_of(directory) == reference
    failed = [e["msg"] for e in events_of(directory) if e["code"] == "alert_failed"]
    assert {text.split(" by ")[1].split()[0] for text in failed} == {
        "command",
        "webhook",
        "mail",
    }
    texts = " ".join(each["msg"] for each in events_of(directory))
    assert "no metrics at 127.0.0.1" in texts
    assert "MetricsFile: " in texts


def test_alerts_whose_secret_is_open_are_refused_before_the_run(run, tmp_path):
    secret = tmp_path / "webhook"
    secret.write_text("https://example.org/x\n")
    secret.chmod(0o644)
    with pytest.raises(SettingsError, match="chmod 600"):
        run(tmp_path / "run", alerts={"webhook": str(secret)})
    assert not (tmp_path / "run").exists()


def test_failure_at_the_start_is_in_status_and_events(run, tmp_path):
    assert run(tmp_path) == 0
    journal = tmp_path / "journal"
    data = bytearray(journal.read_bytes())
    data[len(data) // 2] ^= 4
    journal.write_bytes(data)
    with pytest.raises(JournalError):
        run(tmp_path)
    status = read_status(tmp_path)
    assert status["state"] == "failed"
    assert "damaged" in status["message"]
    last = events_of(tmp_path)[-1]
    assert (last["code"], last["level"]) == ("driver_failed", "error")
    assert last["fields"] == {"exit_code": 74, "error": "JournalError"}


def test_driver_that_is_refused_writes_nothing_of_its_own(run, tmp_path):
    assert run(tmp_path) == 0
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    lock = lock_folder(tmp_path)
    with pytest.raises(JournalError, match="is writing here"):
        run(tmp_path)
    os.close(lock)
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(after) == set(before)
    assert {name for name in after if after[name] != before[name]} <= {"lock"}


def test_manager_hears_ready_and_the_end(run, tmp_path, monkeypatch):
    name = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(name)
        listener.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        assert run(tmp_path / "run") == 0
        heard = []
        listener.setblocking(False)
        while True:
            try:
                heard += listener.recv(10_000).decode().splitlines()
            except BlockingIOError:
                break
    assert heard.count("READY=1") == 1
    assert heard.index("READY=1") < heard.index("STOPPING=1")
    assert heard[-1].startswith("STATUS=ended")


# -- R18: clocks ----------------------------------------------------------------------


@pytest.mark.parametrize("offset", [3600.0, -3600.0, "2038"])
def test_clock_that_jumps_in_the_middle_changes_nothing(
    offset, run, tmp_path, reference, monkeypatch
):
    true_time = time.time
    if offset == "2038":
        offset = 2_147_483_648.0 + 10.0 - true_time()
    asked = []

    def jumped():
        asked.append(None)
        return true_time() + offset

    events = script()

    class Source(ScriptedSource):
        def receive(self):
            if self._sent == N_FRAMES // 2:
                monkeypatch.setattr(time, "time", jumped)
            return super().receive()

    settings = make_settings(
        tmp_path,
        run={"patience": 30.0},
        alerts={"command": [sys.executable, "-c", ""]},
        monitor={"listen": "127.0.0.1:0"},
    )
    assert service.run(settings, source=Source(events)) == 0
    assert asked, "the clock was never looked at after its jump"
    assert fold_of(tmp_path) == reference
    status = read_status(tmp_path)
    assert status["state"] == "ended"
    assert status["restarts"] == 0
    assert status["time"] == pytest.approx(true_time() + offset, abs=60)
    assert 0 <= status["age"] < 60
    assert {each["name"] for each in status["conditions"]} <= {"checks"}
    assert broken_rules(status, STATUS_SCHEMA) == []
    if offset > 1e8:
        assert events_of(tmp_path)[-1]["ts"].startswith("2038-01-19")
