"""Parts of a run with replicas, each alone."""

import io
import json
import logging
import math
import resource
import sys
import threading
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from mimyria.diagnostics import Diagnostic
from mimyria.errors import ResourceError, SettingsError
from mimyria_driver.assembly import engine_endpoint
from mimyria_driver.cli import main
from mimyria_driver.events import EventLog
from mimyria_driver.labels import REPLICA, replica_folder, replica_folders
from mimyria_driver.lammps.access import own_endpoint
from mimyria_driver.lammps.engine import Engine, HookError
from mimyria_driver.lammps.options import parse_options
from mimyria_driver.lines import Lines
from mimyria_driver.monitor import Monitor, describe
from mimyria_driver.replicas import pooling
from mimyria_driver.replicas.board import Board
from mimyria_driver.replicas.descriptors import allow_descriptors
from mimyria_driver.replicas.gathering import Gathering
from mimyria_driver.replicas.settings import settings_of
from mimyria_driver.replicaviews import replica_lines
from mimyria_driver.settings import parse_settings
from mimyria_driver.snapshot import Snapshot
from mimyria_driver.status import read_status
from mimyria_driver.verdict import judge

sys.path.insert(0, str(Path(__file__).parent))
from schemas import STATUS_SCHEMA, broken_rules

REPLAY = {"kind": "replay", "path": "md-{replica}.xyz", "time_step": 0.5}
IPI = {"kind": "ipi", "time_step": 0.5, "elements": ["O", "H", "H"]}


def parsed(n_replicas=3, **source):
    document = {
        "source": {"kind": "lammps", **source, "replicas": n_replicas},
        "models": {"apt": "water-compact-apt"},
        "convergence": {"stop": True, "exit_file": "EXIT"},
    }
    return parse_settings(document, Path("/runs"))


# -- settings -------------------------------------------------------------------------


def test_each_replica_has_a_folder_and_a_socket_of_its_own():
    one = settings_of(parsed(), 2)
    assert one.run.directory == Path("/runs/spectrum/replicas/002")
    assert engine_endpoint(one).endswith("runs/spectrum/replicas/002/engine")
    assert one.source.replicas == 1
    assert not one.convergence.stop
    assert one.convergence.exit_file is None


@pytest.mark.parametrize(
    ("source", "name", "found"),
    [
        ({"endpoint": "ipc://md-{replica}"}, "endpoint", "ipc:///runs/md-002"),
        ({"endpoint": "tcp://127.0.0.1:5000"}, "endpoint", "tcp://127.0.0.1:5002"),
        ({"endpoint": "tcp://127.0.0.1:*"}, "endpoint", "tcp://127.0.0.1:*"),
        ({**IPI, "address": "unix:md{replica}"}, "address", "unix:md002"),
        ({**IPI, "address": "node:31000"}, "address", "node:31002"),
        (REPLAY, "path", Path("/runs/md-002.xyz")),
        ({**REPLAY, "more": ["b{replica}"]}, "more", ("/runs/b002",)),
    ],
)
def test_number_of_the_replica_is_put_into_its_address(source, name, found):
    assert getattr(settings_of(parsed(**source), 2).source, name) == found


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ({"endpoint": "ipc://md"}, "endpoint"),
        ({**IPI, "address": "unix:md"}, "address"),
        ({**REPLAY, "path": "md.xyz"}, "path"),
    ],
)
def test_one_address_for_all_is_refused(source, name):
    text = rf"source\.{name} is '.*md.*' for all 3 replicas. Put {{replica}} where"
    with pytest.raises(SettingsError, match=text):
        parsed(**source)
    assert getattr(parsed(1, **source).source, name)


def test_ports_that_there_are_not_and_numbers_out_of_range_are_refused():
    settings = parsed(endpoint="tcp://127.0.0.1:65534")
    assert settings_of(settings, 1).source.endpoint == "tcp://127.0.0.1:65535"
    with pytest.raises(SettingsError, match="replica 2 would have port 65536, but"):
        settings_of(settings, 2)
    for number in (0, 1000):
        with pytest.raises(SettingsError, match=r"source\.replicas must be from 1 to"):
            parsed(number)


def test_folders_of_replicas_are_found_by_number(tmp_path):
    assert replica_folders(tmp_path) == []
    for number in (10, 2):
        replica_folder(tmp_path, number).mkdir(parents=True)
    (tmp_path / "replicas" / "notes").mkdir()
    assert [path.name for path in replica_folders(tmp_path)] == ["002", "010"]


def test_more_open_files_than_allowed_are_refused_before_anything(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 1024))
    with pytest.raises(ResourceError, match="80 replicas need up to 3300 open files"):
        allow_descriptors(80)
    given = []
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: given.append(limits))
    allow_descriptors(4)
    assert given == [(1024, 1024)]


# -- the hook of LAMMPS ---------------------------------------------------------------

ENDPOINT = "spectrum/replicas/{replica}/endpoint.json"


def test_engine_takes_its_number_from_the_option_or_the_partition():
    assert own_endpoint(ENDPOINT, 12, 3) == "spectrum/replicas/012/endpoint.json"
    assert own_endpoint(ENDPOINT, -1, 3) == "spectrum/replicas/003/endpoint.json"
    assert own_endpoint("ipc://spectrum/engine", -1, -1) == "ipc://spectrum/engine"
    with pytest.raises(HookError, match="needs the number of this replica: give the"):
        own_endpoint(ENDPOINT, -1, -1)
    assert parse_options("replica=7", {}).replica == 7
    assert parse_options("", {"MIMYRIA_REPLICA": "8"}).replica == 8
    assert parse_options("", {}).replica == -1


@pytest.mark.parametrize(
    ("universe", "world", "partition"),
    [
        ((0, 8), (0, 2), 0),
        ((5, 8), (1, 2), 2),
        ((7, 8), (1, 2), 3),
        ((3, 4), (0, 1), 3),
        ((1, 2), (1, 2), -1),
        ((-1, -1), (0, 1), -1),
    ],
)
def test_partition_follows_from_the_ranks(universe, world, partition):
    names = ("universe_rank", "universe_size", "world_rank", "world_size")
    settings = dict(zip(names, (*universe, *world), strict=True))
    there = Engine.__new__(Engine)
    there.setting = settings.__getitem__
    there.rank, there.n_ranks = world
    assert there.partition == partition


# -- one status of all ----------------------------------------------------------------


def status(**values):
    known = {"engine": "LAMMPS", "state": "running", "temperature": 300.0}
    return {**asdict(Snapshot(**{**known, **values})), "progress_age": 1.0}


def test_board_adds_up_and_names_the_slowest_and_the_silent():
    board = Board(4, silence=60.0)
    board.put(0, status(durable=100, errors={"ir": 0.1}, step=396))
    board.put(1, {**status(durable=40, errors={"ir": 0.2}), "progress_age": 61.0})
    board.put(2, status(durable=300, state="ended", temperature=320.0))
    shown = board.snapshot()
    assert (shown.durable, shown.state, shown.engine) == (440, "running", "LAMMPS")
    assert shown.temperature == pytest.approx((140 * 300 + 300 * 320) / 440)
    assert shown.errors["ir"] == pytest.approx(1 / math.sqrt(1 / 0.1**2 + 1 / 0.2**2))
    found = shown.replicas
    assert found["states"] == {"running": 2, "ended": 1, "loading": 1}
    assert (found["slowest"], found["slowest_frames"], found["most_frames"]) == (
        *(1, 40, 100),
    )
    assert (found["silent"], found["failed"]) == ([1], [])
    line = describe(shown, 1.0)
    assert "4 replicas (2 running, 1 ended, 1 loading), slowest 1 with 40" in line
    assert "silent: 1" in line


def write(directory, snapshot):
    monitor = Monitor(directory, console=Console(file=io.StringIO()))
    monitor.begin()
    monitor.tick(lambda: snapshot, force=True)
    monitor.close()
    return json.loads((directory / "status.json").read_text())


def test_status_of_replicas_obeys_its_schema_and_has_its_verdict(tmp_path):
    board = Board(12, silence=60.0)
    board.put(0, status(durable=10))
    found = write(tmp_path, board.snapshot())
    assert broken_rules(found, STATUS_SCHEMA) == []
    assert judge(read_status(tmp_path))[0] == 0
    board.put(1, {**status(), "progress_age": 61.0})
    write(tmp_path, board.snapshot())
    code, text = judge(read_status(tmp_path))
    assert (code, text.split(" · ")[0]) == (1, "silent: 1 of 12 replicas (1)")
    for number in range(1, 12):
        board.put(number, status(state="failed"))
    found = write(tmp_path, board.snapshot())
    assert broken_rules(found, STATUS_SCHEMA) == []
    code, text = judge(read_status(tmp_path))
    assert code == 2
    assert text.startswith("failed: 11 of 12 replicas (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, ")


def test_each_replica_is_in_the_status_and_the_ten_worst_are_shown(tmp_path, capsys):
    """Of eighty: what failed, what is silent, what is behind, then one line for all."""
    board = Board(80, silence=60.0)
    for number in range(78):
        board.put(number, status(durable=1000 + number, step=4 * number, segments=1))
    board.put(41, status(state="failed", message="a frame without velocities"))
    board.put(17, {**status(durable=2000, step=8), "progress_age": 1300.0})
    board.put(5, status(durable=3000, state="ended", step=8))
    board.put(63, status(durable=7, in_flight=3, segments=2, missing=1))
    board.put(64, status(durable=8, engine_alive=False))
    found = write(tmp_path, board.snapshot())["replicas"]["each"]
    assert [row["replica"] for row in found] == list(range(80))
    assert (found[9]["durable"], found[9]["step"], found[79]["durable"]) == (
        1009,
        36,
        0,
    )
    assert [row["replica"] for row in found if row["silent"]] == [17]
    assert main(["status", str(tmp_path)]) == 2
    first, *lines = capsys.readouterr().out.splitlines()
    assert "80 replicas (76 running, 1 ended, 1 failed, 2 loading)" in first
    assert lines[:6] == [
        "  replica 041 failed · 0 frames · a frame without velocities",
        "  replica 017 running · 2000 frames · step 8 · silent for 22 min",
        "  replica 078 loading · 0 frames",
        "  replica 079 loading · 0 frames",
        "  replica 063 running · 7 frames · lag 3 · 2 segments, 1 frames missing",
        "  replica 064 running · 8 frames · the engine is gone",
    ]
    assert lines[6].startswith("  replica 000 running · 1000 frames")
    assert lines[10:] == ["  70 others with 1004 to 3000 frames"]
    assert main(["watch", "--once", str(tmp_path)]) == 2
    said = capsys.readouterr().out
    assert "replica 041 failed" in said
    assert "70 others with 1004 to 3000 frames" in said


def test_few_replicas_have_a_line_each_and_old_statuses_none(tmp_path):
    board = Board(2, silence=60.0)
    board.put(0, status(durable=10, step=36))
    board.put(1, status(durable=9, step=32))
    replicas = dict(board.snapshot().replicas)
    assert replica_lines(replicas, 10) == [
        "replica 001 running · 9 frames · step 32",
        "replica 000 running · 10 frames · step 36",
    ]
    assert replica_lines(replicas, 1)[1] == "1 other with 10 frames"
    del replicas["each"]
    assert replica_lines(replicas, 10) == replica_lines(None, 10) == []


def test_status_of_a_run_without_replicas_does_not_speak_of_them(tmp_path):
    assert "replicas" not in write(tmp_path, Snapshot(state="running"))


def test_lines_of_a_replica_have_its_number(tmp_path, capsys):
    log = logging.getLogger("mimyria_driver.session")
    lines = Lines()
    logging.getLogger().addHandler(lines)

    def speak(replica):
        REPLICA.set(replica)
        log.warning("frames are missing %d", replica, extra={"code": f"gap{replica}"})

    try:
        with EventLog(tmp_path) as events:
            events.start()
            for replica in (3, 70):
                thread = threading.Thread(target=speak, args=(replica,))
                thread.start()
                thread.join()
            log.warning("all of them")
    finally:
        logging.getLogger().removeHandler(lines)
    written = [
        json.loads(line)
        for line in (tmp_path / "events.jsonl").read_text().splitlines()
    ]
    assert [entry.get("replica") for entry in written] == [3, 70, None]
    said = capsys.readouterr().err
    assert "mimyria-driver: replica 3: frames are missing 3\n" in said
    assert "mimyria-driver: all of them\n" in said


# -- one result of all ----------------------------------------------------------------


def test_round_of_results_is_over_when_all_have_answered():
    gathering = Gathering(3)
    shares = [gathering.share_of(number) for number in range(3)]
    made = []
    make = lambda: made.append(1)  # noqa: E731 - a result that is too little yet
    shares[0](make)
    assert made == []  # nobody has asked
    gathering.ask({0, 1, 2})
    shares[0](make)
    shares[0](make)
    assert made == [1]
    assert gathering.open == {1, 2}
    gathering.skip(1)
    shares[2](make)
    assert not gathering.open
    assert gathering.take() == {}


def test_checks_of_all_are_means_with_the_worst_verdict():
    one = Diagnostic("f-sum", 0.9, 1.0, 0.1, "ok", "fine")
    other = replace(one, value=1.4, error=0.2, verdict="wrong", sentence="units?")
    results = [
        SimpleNamespace(provenance={"frames": frames}, diagnostics=(diagnostic,))
        for frames, diagnostic in ((300, one), (100, other))
    ]
    (found,) = pooling._diagnostics(results, [4, 7])
    assert found.value == pytest.approx(0.75 * 0.9 + 0.25 * 1.4)
    assert found.error == pytest.approx(math.hypot(0.75 * 0.1, 0.25 * 0.2))
    assert (found.name, found.verdict) == ("f-sum", "wrong")
    assert found.sentence == "replica 007 (1.4): units?"
