"""Who may speak to the driver, and to whom the hook speaks."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zmq

from mimyria.errors import AccessError, SettingsError
from mimyria_driver.ipi.client import IpiClient
from mimyria_driver.lammps.access import KEY_NAMES, Door, ForeignError, read_own_file
from mimyria_driver.lammps.listening import listen
from mimyria_driver.lammps.receiver import LammpsReceiver
from mimyria_driver.lammps.security import load_keys
from mimyria_driver.lammps.sender import Sender
from mimyria_driver.runcard import RunCard
from mimyria_driver.sources import Arrived, Started
from mimyria_driver.wire import Kind, Message, decode, encode

ROOT = os.geteuid() == 0
NOBODY = 65534
needs_root = pytest.mark.skipif(not ROOT, reason="only root can become another user")
SECONDS = 10.0
FRUITLESS = 0.7  # s to wait for what must not come

# Drops its rights before it does anything; zmq is loaded before, from a venv that
# others may not read.
FOREIGN = f"""
import os, socket, sys, zmq
os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})
"""


@pytest.fixture
def started(folder: Path) -> Iterator[Callable[..., LammpsReceiver]]:
    made: list[LammpsReceiver] = []

    def start(endpoint: str = "tcp://127.0.0.1:*", **options: bool) -> LammpsReceiver:
        made.append(listen(endpoint, folder, **options))
        return made[-1]

    yield start
    for each in made:
        each.close()


def delivered(
    receiver: LammpsReceiver,
    connect: Callable[[zmq.Socket], None],
    patience: float = SECONDS,
) -> bool:
    """Whether a message of a new client arrives at the receiver."""
    context = zmq.Context()
    client = context.socket(zmq.DEALER)
    client.linger = 0
    doorman = getattr(receiver, "_doorman", None)
    try:
        connect(client)
        client.send_multipart(encode(Message(Kind.BYE, parts=(b"end",))))
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline and not (doorman and doorman.n_refused):
            receiver.receive()
            if client.poll(20):
                return decode(client.recv_multipart()).kind is Kind.BYE_OK
        return False
    finally:
        client.close()
        context.term()


def through(folder: Path) -> Callable[[zmq.Socket], None]:
    def connect(client: zmq.Socket) -> None:
        assert Door(str(folder / "endpoint.json")).open(client) == ""

    return connect


def with_keys(receiver: LammpsReceiver, server: bytes, public: bytes, secret: bytes):
    def connect(client: zmq.Socket) -> None:
        client.curve_serverkey = server
        client.curve_publickey, client.curve_secretkey = public, secret
        client.connect(receiver.endpoint)

    return connect


# -- sockets ---------------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", ["tcp://127.0.0.1:*", "ipc"])
def test_who_has_the_endpoint_file_comes_in(endpoint, started, folder) -> None:
    receiver = started(f"ipc://{folder}/s" if endpoint == "ipc" else endpoint)
    assert delivered(receiver, through(folder))


def test_tcp_without_keys_is_not_heard(started) -> None:
    receiver = started()
    assert not delivered(
        receiver, lambda client: client.connect(receiver.endpoint), FRUITLESS
    )


def test_a_wrong_key_of_the_server_is_not_heard(started, folder) -> None:
    receiver = started()
    keys = load_keys(folder / "curve.json")
    other, _ = zmq.curve_keypair()
    wrong = with_keys(
        receiver, other, keys.client.encode(), keys.client_secret.encode()
    )
    assert not delivered(receiver, wrong, FRUITLESS)


def test_a_wrong_key_of_the_engine_is_refused_and_said(
    started, folder, caplog: pytest.LogCaptureFixture
) -> None:
    receiver = started()
    keys = load_keys(folder / "curve.json")
    wrong = with_keys(receiver, keys.server.encode(), *zmq.curve_keypair())
    assert not delivered(receiver, wrong)
    assert receiver._doorman.n_refused >= 1  # libzmq may try again
    assert "refused a connection from 127.0.0.1" in caplog.text
    assert delivered_again(receiver, folder)


def delivered_again(receiver: LammpsReceiver, folder: Path) -> bool:
    receiver._doorman.n_refused = 0
    return delivered(receiver, through(folder))


@needs_root
@pytest.mark.parametrize("open_folder", [True, False])
def test_another_user_is_refused_at_the_unix_socket(
    open_folder, started, folder, caplog
) -> None:
    """Even where the modes of folder and socket would let it in."""
    receiver = started(f"ipc://{folder}/s")
    if open_folder:
        folder.chmod(0o755)
        (folder / "s").chmod(0o777)
    child = subprocess.Popen(
        [
            sys.executable,
            "-c",
            FOREIGN
            + "client = zmq.Context().socket(zmq.DEALER); client.linger = 0\n"
            + f"client.connect('ipc://{folder}/s'); client.send(b'hello')\n"
            + "client.poll(1500); print('alive')",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    heard = []
    while child.poll() is None:
        if receiver._socket.poll(50):
            heard.append(receiver._socket.recv_multipart())
    assert child.communicate()[0] == "alive\n"
    assert heard == []
    # Once, or more often: libzmq may try again before it has read why.
    assert bool(receiver._doorman.n_refused) == open_folder
    assert (f"localhost:{NOBODY}:" in caplog.text) == open_folder


@needs_root
def test_another_user_cannot_inject_into_tcp(started, folder) -> None:
    receiver = started()
    code = FOREIGN + (
        f"client = zmq.Context().socket(zmq.DEALER); client.linger = 0\n"
        f"client.connect('{receiver.endpoint}'); client.send(b'hello')\n"
        f"client.poll(800)\n"
        f"try: open('{folder}/endpoint.json')\n"
        f"except OSError as error: print(error.strerror)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    )
    heard = False
    while child.poll() is None:
        heard = heard or bool(receiver._socket.poll(50))
    assert child.communicate()[0] == "Permission denied\n"
    assert not heard


def test_other_machines_need_keys_and_a_setting(started) -> None:
    with pytest.raises(SettingsError, match=r"source\.bind_any = true"):
        started("tcp://0.0.0.0:*")
    with pytest.raises(SettingsError, match="is for this machine alone"):
        started("tcp://0.0.0.0:*", insecure_tcp=True, bind_any=True)
    assert started("tcp://0.0.0.0:*", bind_any=True).endpoint.startswith("tcp://0.0")


def test_insecure_tcp_works_and_warns(started, folder, caplog) -> None:
    receiver = started(insecure_tcp=True)
    assert "every user of this machine can send frames" in caplog.text
    assert delivered(receiver, through(folder))
    assert not set(KEY_NAMES).intersection(
        json.loads((folder / "endpoint.json").read_text())
    )


def test_a_socket_without_owner_is_refused(started) -> None:
    with pytest.raises(SettingsError, match="would have no owner"):
        started("ipc://@mimyria")


# -- files -----------------------------------------------------------------------------


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_keys_are_for_the_user_alone_and_stay_for_the_run(folder, umask) -> None:
    before = os.umask(umask)
    try:
        keys = load_keys(folder / "curve.json")
        again = load_keys(folder / "curve.json")
    finally:
        os.umask(before)
    assert stat.S_IMODE((folder / "curve.json").stat().st_mode) == 0o600 & ~umask
    assert keys == again
    assert keys.server_secret not in repr(keys)
    assert len({keys.server, keys.server_secret, keys.client, keys.client_secret}) == 4


def test_the_secret_of_the_driver_is_not_handed_over(started, folder) -> None:
    started()
    keys = load_keys(folder / "curve.json")
    path = folder / "endpoint.json"
    assert keys.server_secret not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "is no endpoint"),
        (b"{}", "is no endpoint"),
        (b"[]", "is no endpoint"),
        (b'{"version": 1, "endpoint": 5}', "is no endpoint"),
        (b'{"version": 1, "version": 1, "endpoint": "ipc://x"}', "twice"),
        (b'{"version": 2, "endpoint": "ipc://x"}', "this hook knows 1"),
        (b'{"version": NaN, "endpoint": "ipc://x"}', "not finite"),
        (b'{"version": 1, "endpoint": "ipc://x", "server_key": "a"}', "is no endpoint"),
        (b"[" * 60_000, "too deep"),
        (b" " * 70_000, "more than 65536 bytes"),
        (b'{"endpoint": "\xff"}', "utf-8"),
    ],
)
def test_an_endpoint_file_that_is_none_is_refused(folder, content, text) -> None:
    path = folder / "endpoint.json"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ForeignError, match=text):
        Door(str(path)).open(None)


def test_an_endpoint_file_that_is_not_there_yet_is_waited_for(folder) -> None:
    said = Door(str(folder / "endpoint.json")).open(None)
    assert said.startswith("waiting for the driver: there is no")


def test_only_own_private_plain_files_are_read(folder) -> None:
    good = folder / "good"
    good.write_bytes(b"x")
    good.chmod(0o600)
    assert read_own_file(str(good)) == b"x"
    (folder / "link").symlink_to(good)
    os.mkfifo(folder / "fifo", 0o600)
    for name, text in (
        ("link", "cannot be read"),
        ("fifo", "is not a file of your own"),
        ("/dev/zero", "is not a file of your own"),
        (".", "is not a file of your own"),
    ):
        with pytest.raises(ForeignError, match=text):
            read_own_file(str(folder / name))
    good.chmod(0o640)
    with pytest.raises(ForeignError, match="others may read or write it"):
        read_own_file(str(good))
    with pytest.raises(AccessError, match="others may read or write it"):
        load_keys(good)


@pytest.mark.parametrize("content", [b"{}", b"no", b'{"server": "a"}'])
def test_damaged_keys_are_an_error(folder, content) -> None:
    path = folder / "curve.json"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(AccessError, match="holds no keys"):
        load_keys(path)


# -- what the hook refuses -------------------------------------------------------------


def test_the_hook_does_not_connect_to_what_is_no_socket(folder) -> None:
    (folder / "s").touch()
    with pytest.raises(ForeignError, match="is not a socket of yours"):
        Door(f"ipc://{folder}/s").open(None)


def test_the_hook_does_not_connect_where_others_may_write(folder) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{folder}/s")
    folder.chmod(0o777)
    with pytest.raises(ForeignError, match="another user can exchange the socket"):
        Door(f"ipc://{folder}/s").open(None)
    listener.close()


@needs_root
def test_the_hook_does_not_connect_to_another_user(folder) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{folder}/s")
    os.chown(folder / "s", NOBODY, NOBODY)
    with pytest.raises(ForeignError, match=f"of user {NOBODY}"):
        Door(f"ipc://{folder}/s").check()
    os.chown(folder / "s", 0, 0)
    Door(f"ipc://{folder}/s").check()
    os.chown(folder, NOBODY, NOBODY)
    with pytest.raises(ForeignError, match="another user can exchange"):
        Door(f"ipc://{folder}/s").check()
    listener.close()


@needs_root
def test_ipi_of_another_user_is_an_error_before_the_first_byte(folder) -> None:
    """The squatter waits for bytes; it must get none."""
    folder.chmod(0o777)
    code = FOREIGN + (
        "listener = socket.socket(socket.AF_UNIX)\n"
        f"listener.bind('{folder}/ipi'); listener.listen()\n"
        "print('there', flush=True); peer, _ = listener.accept()\n"
        "peer.settimeout(5)\n"
        "print(peer.recv(100))\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "there\n"
    client = IpiClient(f"unix:{folder}/ipi", np.array([1]), np.array([1.008]), 0.5, 1)
    with pytest.raises(AccessError, match=f"belongs to the user {NOBODY}") as caught:
        client.receive()
    assert caught.value.exit_code == 77
    client.close()
    assert child.communicate(timeout=20)[0] == "b''\n"


def test_messages_of_many_parts_are_not_kept(started, folder) -> None:
    receiver = started(f"ipc://{folder}/s")
    context = zmq.Context()
    client = context.socket(zmq.DEALER)
    client.linger = 0
    client.connect(receiver.endpoint)
    client.send_multipart([b"x"] * 5000)
    good = replace(Message(Kind.BYE, parts=(b"end",)), incarnation=3)
    client.send_multipart(encode(good))
    deadline = time.monotonic() + SECONDS
    while not client.poll(20) and time.monotonic() < deadline:
        receiver.receive()
    assert decode(client.recv_multipart()).kind is Kind.BYE_OK
    client.close()
    context.term()


class OneAtom:
    """What the sender asks of an engine."""

    rank, n_ranks, n_local, n_atoms, n_beads = 0, 1, 1, 1, 0
    time_step, step = 2.0, 0

    def card(self, elements: tuple[str, ...], stride: int) -> RunCard:
        return RunCard("fake", "real", elements, 2.0, stride, 1.0, 1.0, (1, 1, 1))

    def real(self, name: str) -> float:
        return 1.0

    def box(self) -> tuple[list[float], list[float], tuple[int, int, int]]:
        return [9.0, 0, 0, 0, 9.0, 0, 0, 0, 9.0], [0.0, 0.0, 0.0], (1, 1, 1)

    def ids(self) -> bytes:
        return np.array([1], "<i4").tobytes()

    def types(self) -> bytes:
        return np.array([1], "<i4").tobytes()

    def masses(self) -> bytes:
        return np.array([39.95], "<f8").tobytes()

    def positions(self) -> bytes:
        return np.full(3, float(self.step)).tobytes()

    def velocities(self) -> bytes:
        return np.full(3, 0.5 * self.step).tobytes()


def take(receiver: LammpsReceiver, steps: list[int]) -> None:
    """As the service does it: every frame is safe at once."""
    receiver._socket.poll(20)
    for event in receiver.receive():
        if isinstance(event, Started):
            receiver.accept(steps[-1] if steps else -1)
        elif isinstance(event, Arrived):
            steps.append(event.frame.step)
    if steps and receiver._session is not None:
        receiver.acknowledge(steps[-1])


def test_the_sender_finds_a_driver_that_comes_late_and_comes_back_elsewhere(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over TCP with keys; the second driver has another port, and the same keys."""
    monkeypatch.setattr("mimyria_driver.lammps.window.FIRST_PATIENCE", 0.3)
    lines: list[str] = []
    failures: list[BaseException] = []

    def run_engine() -> None:
        engine = OneAtom()
        sender = Sender(str(folder / "endpoint.json"), ("Ar",), 4, lines.append)
        try:
            for step in range(0, 80, 4):
                engine.step = step
                sender.sample(engine)  # type: ignore[arg-type]
            sender.finish()
        except BaseException as error:
            failures.append(error)
        sender.close()

    thread = threading.Thread(target=run_engine)
    thread.start()
    deadline = time.monotonic() + SECONDS
    while not any("there is no" in line for line in lines):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    steps: list[int] = []
    endpoints = []
    for last in (20, 80):
        receiver = listen("tcp://127.0.0.1:*", folder)
        endpoints.append(receiver.endpoint)
        deadline = time.monotonic() + SECONDS
        while thread.is_alive() and time.monotonic() < deadline:
            take(receiver, steps)
            if steps and steps[-1] >= last:
                break
        receiver.close(coming_back=True)
    thread.join(SECONDS)
    assert not failures
    assert endpoints[0] != endpoints[1]
    assert steps == list(range(0, 80, 4))
    assert any("there is no" in line for line in lines)
