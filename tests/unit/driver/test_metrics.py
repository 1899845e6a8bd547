"""Metrics: the text format of Prometheus, the file, the endpoint."""

import contextlib
import http.client
import io
import json
import re
import socket
import threading
import time
from dataclasses import asdict
from pathlib import Path

import pytest
from rich.console import Console

from mimyria.errors import SettingsError
from mimyria_driver.durations import Durations
from mimyria_driver.endpoint import TOKEN_NAME, Endpoint
from mimyria_driver.metrics import STATES, MetricsFile, metrics_text
from mimyria_driver.monitor import Monitor
from mimyria_driver.privatefiles import create_private, read_private
from mimyria_driver.replicas.board import Board
from mimyria_driver.settings import MonitorSettings
from mimyria_driver.snapshot import Snapshot

SAMPLE = re.compile(
    r"(?P<name>[a-z_]+)(?:\{(?P<labels>(?:[a-z_0-9]+=\"(?:[^\"\\\n]|\\[\\\"n])*\",?)*)\})?"
    r" (?P<value>[-+0-9.eE]+|NaN|\+Inf)"
)
UNITS = "seconds|bytes|total|ratio|kelvin|frames|info|step|state|condition|segments"


@pytest.fixture
def status(tmp_path):
    durations = Durations()
    for seconds in (0.0005, 0.02, 0.3, 100.0):
        durations.append(seconds)
    snapshot = Snapshot(
        state="running",
        engine='odd "engine"\\ 1',
        received=12,
        evaluated=11,
        durable=10,
        step=36,
        sampled=0.02,
        errors={"ir": 0.5},
        models={"apt": "ab"},
        timings={"evaluate": durations.summary()},
        restarts=1,
    )
    monitor = Monitor(tmp_path, console=Console(file=io.StringIO()))
    monitor.tick(lambda: snapshot, force=True)
    return json.loads((tmp_path / "status.json").read_text())


def samples(text):
    """A strict reader: every line has its family, every name its unit."""
    assert text.endswith("\n")
    kinds, found = {}, {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in kinds, f"{name} comes twice"
            kinds[name] = kind
        elif line.startswith("# HELP "):
            assert line.endswith(".")
        else:
            match = SAMPLE.fullmatch(line)
            assert match, line
            name = match["name"]
            family = re.sub(r"_(bucket|sum|count)$", "", name)
            assert kinds.get(name, kinds.get(family)), line
            key = (name, match["labels"] or "")
            assert key not in found, line
            found[key] = float(match["value"])
    for name, kind in kinds.items():
        assert name.startswith("mimyria_")
        assert (kind == "counter") == name.endswith("_total"), name
    return found


def test_metrics_are_well_formed_and_say_what_the_status_says(status):
    found = samples(metrics_text(status))
    assert found["mimyria_frames_received_total", ""] == 12
    assert found["mimyria_frames_durable", ""] == 10
    assert found["mimyria_durable_step", ""] == 36
    assert found["mimyria_eval_restarts_total", ""] == 1
    assert found["mimyria_relative_error_ratio", 'spectrum="ir"'] == 0.5
    assert found["mimyria_last_durable_timestamp_seconds", ""] == pytest.approx(
        status["time"], abs=5
    )
    states = {s: found["mimyria_state", f'state="{s}"'] for s in STATES}
    assert [s for s, value in states.items() if value] == ["running"]


def test_histogram_is_cumulative_and_ends_with_all(status):
    found = samples(metrics_text(status))
    name = "mimyria_eval_seconds"
    buckets = [v for (n, _), v in found.items() if n == f"{name}_bucket"]
    assert buckets == sorted(buckets)
    assert buckets[-1] == found[f"{name}_count", ""] == 4
    assert found[f"{name}_bucket", 'le="60.0"'] == 3
    assert found[f"{name}_sum", ""] == pytest.approx(100.3205)


def test_what_is_not_known_is_left_out(status):
    text = metrics_text({**status, "temperature": None, "result_age": None})
    assert "kelvin" not in text
    assert "last_snapshot" not in text
    assert "None" not in text


def test_prometheus_own_parser_reads_them(status):
    parser = pytest.importorskip("prometheus_client.parser")
    families = list(parser.text_string_to_metric_families(metrics_text(status)))
    by_name = {family.name: family for family in families}
    assert by_name["mimyria_frames_received"].type == "counter"
    assert by_name["mimyria_eval_seconds"].type == "histogram"
    (info,) = by_name["mimyria_info"].samples
    assert info.labels["engine"] == 'odd "engine"\\ 1'
    assert info.labels["apt_sha256"] == "ab"
    n_samples = sum(len(family.samples) for family in families)
    assert n_samples == len(samples(metrics_text(status)))


@pytest.fixture
def replicas(status):
    """What the status of two replicas says, one of which has gone."""
    board = Board(2, silence=60.0)
    row = {**asdict(Snapshot(engine="LAMMPS", state="running")), "progress_age": 2.0}
    board.put(0, {**row, "durable": 10, "step": 36, "in_flight": 3, "segments": 2})
    board.put(1, {**row, "state": "failed"})
    return {**status, "replicas": board.snapshot().replicas}


def test_replicas_have_metrics_of_their_own_with_their_number(replicas):
    found = samples(metrics_text(replicas))
    for name, value in (
        ("frames_durable", 10),
        ("durable_step", 36),
        ("lag_frames", 3),
        ("segments", 2),
        ("gap_frames", 0),
        ("last_durable_timestamp_seconds", replicas["time"] - 2.0),
    ):
        assert found[f"mimyria_replica_{name}", 'replica="000"'] == value
    state = "mimyria_replica_state"
    states = [labels for name, labels in found if name == state]
    assert states == [
        'replica="000",state="running"',
        'replica="001",state="failed"',
    ]
    # The sums of all have no such label, so that nothing is counted twice.
    assert found["mimyria_frames_durable", ""] == 10


def test_a_run_without_replicas_has_no_metrics_of_them(status):
    assert "replica" not in metrics_text(status)


def test_every_metric_of_the_manual_is_there(replicas):
    manual = (Path(__file__).parents[3] / "docs" / "operation.md").read_text()
    section = manual.partition("### Prometheus")[2].partition("\n##")[0]
    status = replicas
    full = {
        **status,
        "result_age": 1.0,
        "temperature": 300.0,
        "job": {"id": "1", "restarts": 0, "seconds_left": 60.0},
        "disk": {"free_bytes": 1, "hours_to_full": 1.0},
        "conditions": [{"name": "disk", "level": "warning", "text": "."}],
        "events": {"gap": 1},
        "gpu": {
            "memory_used_bytes": 1,
            "memory_total_bytes": 2,
            "utilisation": 0.5,
            "temperature": 60,
            "slowed_by": ["power brake"],
            "ecc_uncorrected": 0,
        },
        "timings": dict.fromkeys(
            ("evaluate", "acknowledge", "sync"), status["timings"]["evaluate"]
        ),
    }
    families = set(re.findall(r"# TYPE (\w+)", metrics_text(full)))
    named = set(re.findall(r"`(mimyria_[a-z_]+)[`{]", section))
    assert len(named) > 20
    assert named <= families
    assert {each for each in families if "_replica_" in each} <= named


def test_file_is_whole_for_every_reader_and_private(status, tmp_path):
    path = tmp_path / "metrics.prom"
    write = MetricsFile(path)
    write(status)
    stop = threading.Event()

    def keep_writing():
        while not stop.is_set():
            write(status)

    thread = threading.Thread(target=keep_writing)
    thread.start()
    try:
        texts = {path.read_text()[-20:] for _ in range(300)}
    finally:
        stop.set()
        thread.join()
    assert texts == {metrics_text(status)[-20:]}
    assert path.stat().st_mode & 0o777 == 0o600
    assert {each.name for each in tmp_path.iterdir()} == {"metrics.prom", "status.json"}


# -- endpoint -------------------------------------------------------------------------


@pytest.fixture
def endpoint(status, tmp_path):
    with Endpoint(tmp_path, "127.0.0.1", 0) as served:
        served(status)
        yield served


def ask(endpoint, path="/metrics", method="GET", token=None, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", endpoint.port, timeout=10)
    if token:
        headers["Authorization"] = f"Bearer {token}"
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body.decode()


def token_of(directory):
    return (directory / TOKEN_NAME).read_text().strip()


def test_endpoint_gives_the_metrics_to_who_has_the_token(endpoint, tmp_path, status):
    token = token_of(tmp_path)
    assert len(token) == 64
    assert (tmp_path / TOKEN_NAME).stat().st_mode & 0o777 == 0o600
    assert ask(endpoint, token=token) == (200, metrics_text(status))
    endpoint({**status, "durable": 11})
    assert "mimyria_frames_durable 11" in ask(endpoint, token=token)[1]


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"token": None}, 401),
        ({"token": "0" * 64}, 401),
        ({"Host": "evil.example:80"}, 421),
        ({"Host": "127.0.0.1"}, 421),
        ({"Origin": "https://evil.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"path": "/"}, 404),
        ({"path": "/../journal"}, 404),
        ({"method": "POST"}, 501),
        ({"method": "DELETE"}, 501),
    ],
)
def test_endpoint_refuses_all_else(request_, code, endpoint, tmp_path):
    request_ = {"token": token_of(tmp_path), **request_}
    found, body = ask(endpoint, **request_)
    assert found == code
    assert "mimyria_frames" not in body


def test_endpoint_outlives_peers_that_misbehave(endpoint, tmp_path, status):
    address = ("127.0.0.1", endpoint.port)
    idle = [socket.create_connection(address) for _ in range(20)]
    for raw in (b"\0" * 1000, b"GET " + b"a" * 100_000, b"GET /metrics HTTP/1.1\r\n"):
        with socket.create_connection(address) as peer, contextlib.suppress(OSError):
            peer.sendall(raw)
    for peer in idle:
        peer.close()
    # Those who hang on are let go after a few seconds; then there is room again.
    assert until_answered(endpoint, token_of(tmp_path)) == 200


def until_answered(endpoint, token):
    deadline = time.monotonic() + 20
    while True:
        try:
            return ask(endpoint, token=token)[0]
        except (OSError, http.client.HTTPException):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_token_is_kept_over_a_restart_and_must_be_private(status, tmp_path, caplog):
    with Endpoint(tmp_path, "127.0.0.1", 0) as served:
        served(status)
    token = token_of(tmp_path)
    with Endpoint(tmp_path, "127.0.0.1", 0) as served:
        served(status)
        assert ask(served, token=token)[0] == 200
    (tmp_path / TOKEN_NAME).chmod(0o644)
    with Endpoint(tmp_path, "127.0.0.1", 0) as served:
        served(status)
        assert served.port == 0
    assert "others may read or write it" in caplog.text


def test_port_that_is_taken_is_a_warning(endpoint, status, tmp_path, caplog):
    with Endpoint(tmp_path, "127.0.0.1", endpoint.port) as other:
        other(status)
        other(status)
        assert other.port == 0
    assert caplog.text.count("no metrics at") == 1


@pytest.mark.parametrize("address", ["0.0.0.0:9464", "9464", "localhost:x", "::1:9464"])
def test_only_loopback_addresses_are_taken(address):
    with pytest.raises(SettingsError, match=r"monitor.listen must be a loopback"):
        MonitorSettings(listen=address)
    assert MonitorSettings(listen="127.0.0.1:9464").address == ("127.0.0.1", 9464)


def test_secret_must_be_an_ordinary_private_file(tmp_path):
    path = tmp_path / "secret"
    create_private(path, "s3cret\n")
    assert read_private(path) == "s3cret\n"
    link = tmp_path / "link"
    link.symlink_to(path)
    with pytest.raises(SettingsError, match="cannot be read"):
        read_private(link)
    with pytest.raises(SettingsError, match="not a file of your own"):
        read_private(tmp_path)
    with pytest.raises(SettingsError, match="No such file"):
        read_private(tmp_path / "absent")
    long = tmp_path / "long"
    create_private(long, "x" * 10_001)
    with pytest.raises(SettingsError, match="has more than 10000 bytes"):
        read_private(long)
    path.chmod(0o640)
    with pytest.raises(
        SettingsError, match=r"others may read or write it\. .* Say: chmod 600"
    ):
        read_private(path)
