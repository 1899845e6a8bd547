"""The protocol of the service manager, against a socket of the test."""

import socket

import pytest

from mimyria_driver.systemd import Notifier

RUNNING = {
    "state": "running",
    "engine": "LAMMPS 1",
    "durable": 10,
    "step": 40,
    "restarts": 0,
    "evaluated": 10,
    "in_flight": 2,
    "sampled": 0.1,
    "temperature": 300.0,
    "rate": 1.0,
}


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path):
    name = str(tmp_path / "notify")
    if request.param == "abstract":
        name = f"@mimyria-test-{tmp_path.name}-{id(tmp_path)}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(name.replace("@", "\0"))
        listener.settimeout(5)
        yield Notifier({"NOTIFY_SOCKET": name}), listener


def heard(listener):
    return listener.recv(10_000).decode().splitlines()


def test_ready_comes_once_when_the_networks_are_there(manager):
    notify, listener = manager
    notify({**RUNNING, "state": "loading", "engine": ""})
    assert "READY=1" not in heard(listener)
    notify({**RUNNING, "state": "waiting", "engine": ""})
    first = heard(listener)
    assert first[0] == "READY=1"
    assert first[-1].startswith("STATUS=waiting")
    notify(RUNNING)
    assert "READY=1" not in heard(listener)


def test_watchdog_is_fed_by_progress_alone(manager):
    notify, listener = manager
    notify(RUNNING)
    assert "WATCHDOG=1" in heard(listener)
    notify(RUNNING)
    assert "WATCHDOG=1" not in heard(listener)
    for _ in range(2):
        notify({**RUNNING, "state": "draining"})
        fed = "WATCHDOG=1" in heard(listener)
    assert not fed
    notify({**RUNNING, "durable": 11})
    assert "WATCHDOG=1" in heard(listener)
    notify({**RUNNING, "durable": 11, "restarts": 1})
    assert "WATCHDOG=1" in heard(listener)
    # Nothing to do is no hang: the engine takes its time.
    for _ in range(2):
        notify({**RUNNING, "in_flight": 0})
        assert "WATCHDOG=1" in heard(listener)


def test_end_is_told(manager):
    notify, listener = manager
    notify({**RUNNING, "state": "stopped"})
    assert "STOPPING=1" in heard(listener)


def test_without_a_manager_nothing_is_said(tmp_path):
    Notifier({})(RUNNING)
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")})(RUNNING)
