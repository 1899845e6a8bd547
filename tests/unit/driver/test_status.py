"""O1: the status in every state, its schema, its verdicts and exit codes, `watch`."""

import io
import json
import math
import os
import subprocess
import sys
import time
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from mimyria.errors import LockedError
from mimyria.spectra.convergence import BandError
from mimyria_driver import cli
from mimyria_driver.events import EventLog
from mimyria_driver.monitor import Monitor
from mimyria_driver.snapshot import Snapshot
from mimyria_driver.status import leave_status, plain, read_status
from mimyria_driver.verdict import judge

sys.path.insert(0, str(Path(__file__).parent))
from schemas import STATUS_SCHEMA, broken_rules

STATES = STATUS_SCHEMA["properties"]["state"]["enum"]
BUSY = Snapshot(
    state="running",
    engine="LAMMPS 1",
    atoms=192,
    received=1200,
    evaluated=1190,
    in_flight=7,
    durable=1000,
    segments=2,
    missing=3,
    step=4000,
    sampled=2.0,
    temperature=298.4,
    errors={"ir": 0.1},
    targets={"ir": 0.05},
    bands=[{"low": 1.0, "error": math.nan, "from_blocks": False}],
    device="cpu",
    models={"apt": "ab" * 32},
)


def write(directory, snapshot, **options):
    monitor = Monitor(directory, console=Console(file=io.StringIO()), **options)
    monitor.begin()
    monitor.tick(lambda: snapshot, force=True)
    monitor.close()
    return json.loads((directory / "status.json").read_text())


def change(directory, **values):
    path = directory / "status.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize("state", STATES)
def test_status_of_every_state_obeys_its_schema(state, tmp_path):
    for snapshot in (Snapshot(state=state), replace(BUSY, state=state)):
        status = write(tmp_path, snapshot)
        assert broken_rules(status, STATUS_SCHEMA) == []


def test_schema_describes_every_value_of_the_status(tmp_path):
    described = STATUS_SCHEMA["properties"]
    assert set(write(tmp_path, BUSY)) <= set(described), "describe it in the schema"
    assert {entry.name for entry in fields(Snapshot)} <= set(described)
    for name, rule in described.items():
        assert rule.get("description", "-")[-1] in ".-", name


def test_checker_of_the_schema_finds_what_is_wrong(tmp_path):
    status = write(tmp_path, BUSY)
    for spoilt in (
        {"state": "asleep"},
        {"durable": -1},
        {"durable": 1.5},
        {"rate": None},
        {"schema_version": 2},
        {"warnings": [{"time": 1.0}]},
        {"disk": {}},
        {"errors": {"ir": "small"}},
    ):
        assert broken_rules({**status, **spoilt}, STATUS_SCHEMA), spoilt
    del status["host"]
    assert broken_rules(status, STATUS_SCHEMA) == ["$.host is missing"]


def test_values_that_json_lacks_become_null():
    odd = {"a": math.nan, "b": [math.inf, 1], "c": np.float64(2), "d": np.arange(2)}
    assert plain(odd) == {"a": None, "b": [None, 1], "c": 2.0, "d": [0, 1]}


def test_status_has_the_last_warnings_and_the_counts_of_events(tmp_path):
    import logging

    with EventLog(tmp_path) as events:
        logging.getLogger("mimyria_driver.x").warning("odd", extra={"code": "gap"})
        status = write(tmp_path, BUSY, events=events)
    assert status["events"] == {"gap": 1}
    assert status["warnings"][0]["text"] == "odd"
    assert broken_rules(status, STATUS_SCHEMA) == []


# -- verdicts -------------------------------------------------------------------------

SILENT = {
    "conditions": [{"name": "no_progress", "level": "critical", "text": "nothing"}]
}
WRONG = {
    "conditions": [{"name": "checks", "level": "warning", "text": "checks: wrong"}]
}
FULL = {"conditions": [{"name": "disk", "level": "warning", "text": "soon full"}]}


@pytest.mark.parametrize(
    ("state", "changes", "code", "word"),
    [
        ("loading", {}, 0, "OK"),
        ("waiting", {}, 0, "OK"),
        ("running", {}, 0, "OK"),
        ("draining", {}, 0, "OK"),
        ("ended", {}, 0, "OK"),
        ("stopped", {}, 0, "OK"),
        ("running", FULL, 1, "WARN: soon full"),
        ("running", SILENT, 2, "CRIT: nothing"),
        ("ended", FULL, 0, "OK"),
        ("ended", WRONG, 1, "WARN: checks: wrong"),
        ("disk full", {}, 2, "CRIT: the disk is full"),
        ("failed", {}, 2, "CRIT"),
        ("failed", FULL, 2, "CRIT"),
        ("running", {"age": 1800.0}, 3, "UNKNOWN: not heard of for 30 min"),
        ("ended", {"age": 1e6}, 0, "OK"),
        ("running", {"schema_version": 99}, 3, "UNKNOWN"),
        ("dreaming", {}, 3, "UNKNOWN"),
    ],
)
def test_exit_code_says_how_it_is(state, changes, code, word, tmp_path, capsys):
    write(tmp_path, replace(BUSY, state=state))
    age = changes.pop("age", 0.0) if changes else 0.0
    if age:
        changes = {"time": time.time() - age, "mono": time.monotonic() - age}
    change(tmp_path, **changes)
    assert cli.main(["status", str(tmp_path)]) == code
    shown = capsys.readouterr().out
    assert shown.startswith(word)
    assert len(shown.splitlines()) == 1
    assert cli.main(["status", "--json", str(tmp_path)]) == code
    document = json.loads(capsys.readouterr().out)
    assert document["exit_code"] == code
    assert document["verdict"] == word.split(":")[0]


@pytest.mark.parametrize("state", ["waiting", "running", "failed"])
def test_status_for_programs_is_described_in_full(state, tmp_path, capsys):
    write(tmp_path, replace(BUSY, state=state))
    cli.main(["status", "--json", str(tmp_path)])
    document = json.loads(capsys.readouterr().out)
    assert broken_rules(document, STATUS_SCHEMA) == []
    assert set(document) - {"replicas"} == set(STATUS_SCHEMA["properties"]) - {
        "replicas"
    }
    bands = STATUS_SCHEMA["properties"]["bands"]["items"]["properties"]
    assert set(bands) == {entry.name for entry in fields(BandError)} | {"needed"}


def test_folder_without_a_status_is_unknown(tmp_path, capsys):
    assert cli.main(["status", str(tmp_path)]) == 3
    assert capsys.readouterr().out.startswith("UNKNOWN: ")
    assert cli.main(["status", "--json", str(tmp_path)]) == 3
    assert json.loads(capsys.readouterr().out)["verdict"] == "UNKNOWN"
    (tmp_path / "status.json").write_text("{torn")
    assert cli.main(["status", str(tmp_path)]) == 3


def test_driver_that_was_killed_is_critical_at_once(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    write(tmp_path, BUSY)
    change(tmp_path, process=process.pid)
    code, reason = judge(read_status(tmp_path))
    assert code == 2
    assert "gone without a word" in reason
    # On another machine nobody can know that.
    change(tmp_path, host="elsewhere")
    assert judge(read_status(tmp_path))[0] == 0


def test_status_of_an_older_driver_is_still_read(tmp_path, capsys):
    document = write(tmp_path, BUSY)
    old = {"state", "engine", "durable", "in_flight", "sampled", "temperature", "rate"}
    old |= {"errors", "checks", "missing", "uncertain", "message", "time", "process"}
    path = tmp_path / "status.json"
    path.write_text(json.dumps({name: document[name] for name in old}))
    assert cli.main(["status", str(tmp_path)]) == 0
    assert "1000 frames" in capsys.readouterr().out


def test_clock_that_is_set_makes_no_status_stale(tmp_path, monkeypatch):
    write(tmp_path, BUSY)
    now = time.time()
    for offset in (3600.0, -3600.0, 2_147_483_648.0 - now):
        monkeypatch.setattr(time, "time", lambda offset=offset: now + offset)
        status = read_status(tmp_path)
        assert not status["stale"]
        assert 0 <= status["age"] < 30


def test_process_that_leaves_says_so_in_its_status(tmp_path):
    write(tmp_path, BUSY)
    leave_status(tmp_path, "stopped", "left", lambda: None)
    status = read_status(tmp_path)
    assert (status["state"], status["message"]) == ("stopped", "left")
    assert os.listdir(tmp_path) == ["status.json"]


def test_process_that_was_overtaken_leaves_the_status_of_the_other(tmp_path):
    write(tmp_path, BUSY)
    before = (tmp_path / "status.json").read_bytes()

    def overtaken():
        raise LockedError("another driver has taken over")

    with pytest.raises(LockedError):
        leave_status(tmp_path, "stopped", "left", overtaken)
    assert (tmp_path / "status.json").read_bytes() == before
    assert os.listdir(tmp_path) == ["status.json"]


# -- watch ----------------------------------------------------------------------------


def test_watch_once_shows_the_view(tmp_path, capsys):
    write(tmp_path, replace(BUSY, message="a note"))
    assert cli.main(["watch", "--once", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    for text in ("LAMMPS 1, 192 atoms", "lag 7", "298 K", "a note", "ago"):
        assert text in shown


def test_watch_follows_a_run_to_its_end(tmp_path, capsys, monkeypatch):
    write(tmp_path, BUSY)
    naps = []

    def nap(seconds):
        naps.append(seconds)
        if len(naps) == 3:
            write(tmp_path, replace(BUSY, state="failed", message="broken"))

    monkeypatch.setattr(time, "sleep", nap)
    assert cli.main(["watch", str(tmp_path)]) == 2
    assert len(naps) == 3
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("running")
    assert lines[1].startswith("failed")


def test_watch_without_a_status_is_unknown(tmp_path, capsys):
    assert cli.main(["watch", str(tmp_path)]) == 3
    assert "there is no status" in capsys.readouterr().out


def test_terminal_is_left_alone_by_a_watcher_that_fails(tmp_path, caplog):
    def broken(status):
        raise RuntimeError("a bug")

    seen = []
    write(tmp_path, BUSY, watchers=[broken, seen.append])
    assert "a bug" in caplog.text
    assert len(seen) == 1
