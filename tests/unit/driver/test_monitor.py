import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from mimyria.errors import OutputError
from mimyria_driver.monitor import (
    Monitor,
    Snapshot,
    describe,
    describe_status,
    read_status,
)

RUNNING = Snapshot(
    state="running",
    engine="LAMMPS 1",
    atoms=192,
    received=1200,
    in_flight=7,
    engine_waits=True,
    durable=1000,
    segments=1,
    step=4000,
    sampled=2.0,
    temperature=298.4,
    errors={"ir": 0.1, "raman": 0.17},
    device="cpu",
)


def console(terminal=False):
    return Console(file=io.StringIO(), force_terminal=terminal, width=100)


def test_line_says_frames_rate_lag_temperature_error_and_time_left():
    line = describe(RUNNING, rate=10.0)
    for part in ("1000 frames", "10.0/s", "2.00 ps", "lag 7 (engine waits)", "298 K"):
        assert part in line
    # 10 % with 1000 frames: 5 % needs 3000 more, 300 s at 10/s.
    assert "ir ±10 % (5 % in 5 min)" in line
    assert "raman ±17 %" in line


def test_line_without_an_engine_says_so():
    assert describe(Snapshot(state="waiting"), 0.0) == "waiting · for the engine"


def test_one_line_per_report_without_a_terminal(tmp_path):
    view = console()
    monitor = Monitor(tmp_path, report=1000.0, console=view)
    for _ in range(5):
        monitor.tick(lambda: RUNNING)
    monitor.tick(lambda: RUNNING, force=True)
    monitor.close()
    assert len(view.file.getvalue().splitlines()) == 2


def test_terminal_shows_a_table(tmp_path):
    view = console(terminal=True)
    monitor = Monitor(tmp_path, console=view)
    monitor.tick(lambda: RUNNING, force=True)
    monitor.close()
    shown = view.file.getvalue()
    for text in ("LAMMPS 1, 192 atoms", "lag 7", "298 K", "ir ±10 %"):
        assert text in shown


def test_status_file_is_complete_and_finite(tmp_path):
    monitor = Monitor(tmp_path, console=console())
    monitor.tick(lambda: Snapshot(state="waiting"))
    status = read_status(tmp_path)
    assert status["state"] == "waiting"
    assert status["temperature"] is None
    assert status["stale"] is False
    assert describe_status(status).startswith("waiting")
    assert [path.name for path in tmp_path.iterdir()] == ["status.json"]


def test_old_status_of_a_running_driver_is_stale(tmp_path):
    monitor = Monitor(tmp_path, console=console())
    monitor.tick(lambda: RUNNING)
    path = tmp_path / "status.json"
    document = json.loads(path.read_text())
    document["time"] -= 3600
    document["mono"] -= 3600
    path.write_text(json.dumps(document))
    status = read_status(tmp_path)
    assert status["stale"]
    assert "not heard of for 60 min" in describe_status(status)
    document["state"] = "ended"
    path.write_text(json.dumps(document))
    assert not read_status(tmp_path)["stale"]


def test_status_that_cannot_be_written_does_not_end_the_run(tmp_path, caplog):
    monitor = Monitor(tmp_path / "gone", console=console())
    monitor.tick(lambda: RUNNING)
    assert "could not be written" in caplog.text


def test_folder_without_status_is_an_error(tmp_path):
    with pytest.raises(OutputError, match="there is no status to read"):
        read_status(tmp_path)


def test_what_was_read_of_a_file_is_shown(tmp_path):
    snapshot = Snapshot(state="running", engine="replay", durable=5, progress=0.25)
    assert "25%" in describe(snapshot, 1.0)
    assert "%" not in describe(replace(snapshot, progress=None), 1.0).split("±")[0]
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100)
    monitor = Monitor(tmp_path, console=console)
    monitor.tick(lambda: snapshot, force=True)
    monitor.close()
    assert "read" in screen.getvalue()
    assert "━" in screen.getvalue()
