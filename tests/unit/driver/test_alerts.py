"""Alerts: once when something begins, once when it is over, and never in the way."""

import http.server
import json
import logging
import stat
import sys
import threading
import time

import pytest

from mimyria.errors import SettingsError
from mimyria_driver import delivery as module
from mimyria_driver.alerts import AlertRules
from mimyria_driver.delivery import Delivery
from mimyria_driver.settings import AlertsSettings

HOUR = 3600.0
WELL = {
    "state": "running",
    "conditions": [],
    "events": {},
    "message": "",
    "durable": 100,
    "step": 400,
    "host": "node1",
    "run_id": "",
    "job": None,
    "time": 1e9,
}
DISK = {"name": "disk", "level": "warning", "text": "the disk will be full in 1.0 h"}
BAD = {**WELL, "conditions": [DISK]}


def told(rules, now, status):
    return [
        (each.name, "over" if each.resolved else each.level)
        for each in rules.judge(now, status)
    ]


def test_condition_is_told_once_and_again_after_an_hour():
    rules = AlertRules(HOUR)
    assert told(rules, 0.0, WELL) == []
    assert told(rules, 1.0, BAD) == [("disk", "warning")]
    for now in (2.0, 100.0, HOUR):
        assert told(rules, now, BAD) == []
    assert told(rules, HOUR + 1.0, BAD) == [("disk", "warning")]


def test_end_of_a_condition_is_told_when_it_lasts():
    rules = AlertRules(HOUR)
    told(rules, 0.0, BAD)
    # It flickers: no end yet.
    assert told(rules, 2.0, WELL) == []
    assert told(rules, 4.0, BAD) == []
    assert told(rules, 6.0, WELL) == []
    assert told(rules, 8.0, WELL) == []
    assert told(rules, 10.0, WELL) == [("disk", "over")]
    assert told(rules, 12.0, WELL) == []


def test_return_within_the_hour_is_neither_told_nor_ended():
    rules = AlertRules(HOUR)
    told(rules, 0.0, BAD)
    for now in (2.0, 4.0, 6.0):
        told(rules, now, WELL)
    assert told(rules, 8.0, BAD) == []
    assert [told(rules, now, WELL) for now in (10.0, 12.0, 14.0)] == [[], [], []]


def test_gap_is_told_as_it_happens():
    rules = AlertRules(HOUR)
    assert told(rules, 0.0, {**WELL, "events": {"gap": 1}}) == [("gap", "warning")]
    assert told(rules, 2.0, {**WELL, "events": {"gap": 1}}) == []
    assert told(rules, 4.0, {**WELL, "events": {"gap": 2}}) == []
    later = {**WELL, "events": {"gap": 3}}
    assert told(rules, 4.0 + HOUR, later) == [("gap", "warning")]


@pytest.mark.parametrize(
    ("state", "expected"),
    [("ended", ("finished", "info")), ("failed", ("failed", "critical"))],
)
def test_end_of_a_run_is_told_once(state, expected):
    rules = AlertRules(HOUR)
    told(rules, 0.0, BAD)
    over = {**BAD, "state": state}
    assert told(rules, 2.0, over) == [("disk", "over"), expected]
    assert told(rules, 4.0, over) == []


def test_stop_by_a_signal_wakes_nobody():
    assert told(AlertRules(HOUR), 0.0, {**WELL, "state": "stopped"}) == []


# -- delivery -------------------------------------------------------------------------


def settings(**values):
    return AlertsSettings(**values)


def test_command_gets_json_once(tmp_path):
    sink = tmp_path / "sink"
    code = f"import sys; open({str(sink)!r}, 'a').write(sys.stdin.read() + '\\n')"
    with Delivery(settings(command=(sys.executable, "-c", code))) as delivery:
        for _ in range(5):
            delivery(BAD)
    (line,) = sink.read_text().splitlines()
    message = json.loads(line)
    assert message["name"] == "disk"
    assert message["text"].startswith("mimyria-driver on node1: warning: the disk")
    assert message["frames"] == 100


def test_mail_is_a_letter_for_sendmail(tmp_path):
    sink = tmp_path / "letter"
    program = tmp_path / "sendmail"
    program.write_text(f'#!/bin/sh\necho "$@" > {sink}\ncat >> {sink}\n')
    program.chmod(0o755)
    with Delivery(
        settings(mail=("me@example.org",), sendmail=str(program))
    ) as delivery:
        delivery(BAD)
    first, *letter = sink.read_text().splitlines()
    assert first == "-i -- me@example.org"
    assert "To: me@example.org" in letter
    assert any(line.startswith("Subject: mimyria-driver on node1") for line in letter)


class Sink(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.heard.append((self.headers.get("X-Token"), json.loads(body)))
        self.send_response(self.server.answer)
        self.send_header("Location", "http://127.0.0.1:1/")
        self.end_headers()

    def log_message(self, *arguments):
        pass


@pytest.fixture
def webhook(tmp_path):
    server = http.server.HTTPServer(("127.0.0.1", 0), Sink)
    server.heard, server.answer = [], 200
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    secret = tmp_path / "webhook"
    port = server.server_address[1]
    secret.write_text(f"http://127.0.0.1:{port}/SECRET\nX-Token: SECRET\n")
    secret.chmod(0o600)
    yield server, secret
    server.shutdown()
    thread.join()
    server.server_close()


def test_webhook_gets_json_and_its_headers(webhook):
    server, secret = webhook
    with Delivery(settings(webhook=secret)) as delivery:
        delivery(BAD)
        delivery({**WELL, "state": "failed", "message": "broken"})
    names = [message["name"] for _, message in server.heard]
    assert names == ["disk", "disk", "failed"]
    assert {token for token, _ in server.heard} == {"SECRET"}


def test_webhook_follows_no_redirection_and_no_message_has_the_secret(webhook, caplog):
    server, secret = webhook
    server.answer = 302
    caplog.set_level(logging.INFO, "mimyria_driver")
    with Delivery(settings(webhook=secret)) as delivery:
        delivery(BAD)
    assert len(server.heard) == 1
    assert "could not be delivered by webhook (HTTPError)" in caplog.text
    assert "SECRET" not in caplog.text


def test_sink_that_hangs_holds_nothing_up(caplog, monkeypatch):
    monkeypatch.setattr(module, "_SECONDS", 3.0)
    command = (sys.executable, "-c", "import time; time.sleep(60)")
    begun = time.monotonic()
    with Delivery(settings(command=command)) as delivery:
        delivery(BAD)
        assert time.monotonic() - begun < 2.0  # the loop goes on at once
    assert time.monotonic() - begun < 50.0
    assert "could not be delivered by command (TimeoutExpired)" in caplog.text


def test_sink_that_is_dead_or_refuses_is_one_warning_each(caplog):
    for command in (("/no/such/program",), (sys.executable, "-c", "exit(1)")):
        with Delivery(settings(command=command)) as delivery:
            delivery(BAD)
    assert caplog.text.count("could not be delivered by command") == 2


def test_signal_does_not_wait_for_a_dead_sink(monkeypatch):
    hold = threading.Event()
    begun = time.monotonic()
    with Delivery(
        settings(),
        in_a_hurry=lambda: True,
        ways={"slow": lambda message: hold.wait(30)},
    ) as delivery:
        delivery(BAD)
    assert time.monotonic() - begun < 20.0
    hold.set()


def test_too_many_alerts_are_dropped_and_not_kept(monkeypatch, caplog):
    monkeypatch.setattr(module, "_WAITING", 2)
    hold = threading.Event()
    with Delivery(
        settings(hold_off=0.0),
        in_a_hurry=lambda: True,
        ways={"slow": lambda message: hold.wait(30)},
    ) as delivery:
        for _ in range(10):
            delivery(BAD)
    hold.set()
    assert "too many wait" in caplog.text


def test_without_a_way_there_is_no_thread():
    before = set(threading.enumerate())
    with Delivery(settings()) as delivery:
        delivery(BAD)
        assert set(threading.enumerate()) <= before


@pytest.mark.parametrize(
    ("mode", "text", "error"),
    [
        (0o644, "https://example.org/x", "chmod 600"),
        (0o600, "http://example.org/x", "begins with https://"),
        (0o600, "", "begins with https://"),
        (0o600, "file:///etc/passwd", "begins with https://"),
        (0o600, "https://example.org/x\nnonsense", "must be headers"),
    ],
)
def test_webhook_that_is_open_or_odd_is_refused_at_once(mode, text, error, tmp_path):
    secret = tmp_path / "webhook"
    secret.write_text(text)
    secret.chmod(mode)
    assert stat.S_IMODE(secret.stat().st_mode) == mode
    with pytest.raises(SettingsError, match=error):
        Delivery(settings(webhook=secret))


def test_mail_addresses_are_plain():
    with pytest.raises(SettingsError, match=r"alerts.mail must be plain addresses"):
        settings(mail=("me@example.org -oQ/tmp",))
    with pytest.raises(SettingsError, match=r"alerts.silence must be 0 or more"):
        settings(silence=-1.0)
