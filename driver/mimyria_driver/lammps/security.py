"""Who may speak to the driver: endpoints, keys, and the doorman of the sockets.

Unix sockets admit the user of the driver alone, by the credentials that the kernel
attests. TCP admits who has the key of the run, also on this machine, because any user
of it can connect there. The doorman is a thread that answers libzmq's questions (ZAP,
https://rfc.zeromq.org/spec/27): it shares nothing with the service, and ends with the
context of the socket.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import logging
import os
import stat
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import zmq
from zmq.utils import z85

from mimyria.errors import AccessError, SettingsError
from mimyria.files import replace_file
from mimyria_driver.lammps.access import ENDPOINT_VERSION, ForeignError, read_own_file
from mimyria_driver.wire import WireError, unpack_json

__all__ = [
    "ENDPOINT_NAME",
    "KEYS_NAME",
    "Doorman",
    "Keys",
    "check_endpoint",
    "hand_over",
    "is_tcp",
    "load_keys",
    "receive_bounded",
]

ENDPOINT_NAME: Final = "endpoint.json"
"""Address and key for the engine, in the run folder."""

KEYS_NAME: Final = "curve.json"
"""The keys of the run, in the run folder; the driver's own secret is among them."""

_ZAP_ENDPOINT: Final = "inproc://zeromq.zap.01"
_HANDSHAKE_MS: Final = 5000
_MAX_PATH_BYTES: Final = 107  # of a unix socket
_NOTICE_SECONDS: Final = 60.0
_MAX_PARTS: Final = 8  # of a message, far above any of the protocol

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, repr=False)
class Keys:
    """CURVE key pairs of a run, in Z85."""

    server: str
    server_secret: str
    client: str
    client_secret: str


def load_keys(path: Path) -> Keys:
    """The keys of a run; made at its first start.

    Raises:
        AccessError: the file is not ours alone, or damaged.
        OutputError: it cannot be written.
    """
    try:
        document = unpack_json(read_own_file(str(path)))
        keys = Keys(**document)
        if any(len(z85.decode(each)) != 32 for each in asdict(keys).values()):
            raise ValueError("a key has not 32 bytes")
    except FileNotFoundError:
        pairs = (*zmq.curve_keypair(), *zmq.curve_keypair())
        keys = Keys(*(each.decode() for each in pairs))
        replace_file(path, json.dumps(asdict(keys)).encode(), private=True)
    except ForeignError as error:
        raise AccessError(str(error)) from None
    except (WireError, TypeError, ValueError) as error:
        raise AccessError(
            f"{path}: holds no keys ({error}). Remove it; the driver makes new ones."
        ) from None
    return keys


def hand_over(folder: Path, endpoint: str, keys: Keys | None) -> Path:
    """Write the file that tells the engine where the driver listens, and the key."""
    document: dict[str, str | int] = {"version": ENDPOINT_VERSION, "endpoint": endpoint}
    if keys is not None:
        document |= {
            "server_key": keys.server,
            "client_key": keys.client,
            "client_secret": keys.client_secret,
        }
    path = folder / ENDPOINT_NAME
    replace_file(path, json.dumps(document, indent=1).encode(), private=True)
    return path


class Doorman:
    """Answers for a socket who may come in.

    Attributes:
        n_refused: connections that were refused.
    """

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], keys: Keys | None
    ) -> None:
        """Begin to answer, before any socket of the context is bound.

        Args:
            context: of the socket.
            keys: of TCP; None for a unix socket.
        """
        self.n_refused = 0
        self._keys = keys
        self._user = str(os.geteuid())
        self._notice_at = -float("inf")
        self._socket = context.socket(zmq.REP)
        self._socket.linger = 0
        self._socket.bind(_ZAP_ENDPOINT)
        threading.Thread(target=self._serve, name="doorman", daemon=True).start()

    def guard(self, socket: zmq.Socket[bytes]) -> None:
        """Put a socket that is not yet bound under this doorman."""
        socket.zap_domain = b"mimyria"
        socket.setsockopt(zmq.HANDSHAKE_IVL, _HANDSHAKE_MS)
        if self._keys is not None:
            socket.curve_server = True
            socket.curve_secretkey = self._keys.server_secret.encode()

    def _serve(self) -> None:
        try:
            while True:
                self._socket.send_multipart(self._answer(self._socket.recv_multipart()))
        except zmq.ContextTerminated:
            self._socket.close()

    def _answer(self, request: list[bytes]) -> list[bytes]:
        """The reply to one question of libzmq."""
        version, number, _, address, _, mechanism = request[:6]
        if self._admits(address.decode(errors="replace"), mechanism, request[6:]):
            verdict = [b"200", b"OK", self._user.encode()]
        else:
            verdict = [b"400", b"not your driver", b""]
            self._notice(address.decode(errors="replace"))
        return [version, number, *verdict, b""]

    def _admits(self, address: str, mechanism: bytes, credentials: list[bytes]) -> bool:
        if self._keys is not None:
            return mechanism == b"CURVE" and hmac.compare_digest(
                z85.encode(credentials[0]), self._keys.client.encode()
            )
        # localhost:UID:GID:PID, as the kernel tells libzmq
        fields = address.split(":")
        return mechanism == b"NULL" and len(fields) == 4 and fields[1] == self._user

    def _notice(self, address: str) -> None:
        self.n_refused += 1
        now = time.monotonic()
        if now >= self._notice_at:
            self._notice_at = now + _NOTICE_SECONDS
            _log.warning(
                "refused a connection from %s: another user, or a wrong key (%d so "
                "far)",
                "".join(each if each.isprintable() else "?" for each in address[:80]),
                self.n_refused,
            )


def receive_bounded(socket: zmq.Socket[bytes]) -> list[bytes]:
    """One message that is there; parts beyond any of ours are not kept.

    Raises:
        zmq.Again: there is none.
    """
    parts = [socket.recv(zmq.NOBLOCK)]
    while socket.rcvmore:
        part = socket.recv(zmq.NOBLOCK)
        if len(parts) <= _MAX_PARTS:
            parts.append(part)
    return parts


def is_tcp(endpoint: str) -> bool:
    """Whether an endpoint is one of TCP."""
    return endpoint.startswith("tcp://")


def check_endpoint(endpoint: str, *, encrypted: bool, anywhere: bool) -> None:
    """Refuse an endpoint that others could reach or exchange.

    Args:
        endpoint: where to listen.
        encrypted: whether TCP is encrypted.
        anywhere: whether other machines may connect.

    Raises:
        SettingsError: says what is wrong.
    """
    scheme, _, address = endpoint.partition("://")
    if scheme == "tcp":
        _check_host(endpoint, address, encrypted=encrypted, anywhere=anywhere)
    elif scheme == "ipc":
        _check_socket_path(Path(address))
    else:
        raise SettingsError(
            f"The endpoint must be ipc://PATH or tcp://127.0.0.1:PORT, but is "
            f"'{endpoint}'."
        )


def _check_host(
    endpoint: str, address: str, *, encrypted: bool, anywhere: bool
) -> None:
    host = address.rpartition(":")[0].strip("[]")
    try:
        local = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = False
    if local or (encrypted and anywhere):
        return
    advice = (
        "source.insecure_tcp is for this machine alone; without it the connection is "
        "encrypted, and source.bind_any lets other machines in."
        if anywhere
        else "Use ipc://PATH or tcp://127.0.0.1:PORT, or, for an engine on another "
        "machine, source.bind_any = true."
    )
    raise SettingsError(
        f"The driver listens on this machine only, but the endpoint is '{endpoint}'. "
        f"{advice}"
    )


def _check_socket_path(path: Path) -> None:
    if str(path).startswith("@"):
        raise SettingsError(
            f"The socket '{path}' would have no owner. Use ipc://PATH, with a path in "
            "a directory of your own."
        )
    if len(os.fsencode(path)) > _MAX_PATH_BYTES:
        raise SettingsError(
            f"The path of a socket may have {_MAX_PATH_BYTES} bytes, but '{path}' has "
            f"{len(os.fsencode(path))}. Use a shorter directory."
        )
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = path.parent.stat()
    if folder.st_uid not in (os.geteuid(), 0):
        raise SettingsError(
            f"'{path.parent}', where the socket should be, belongs to user "
            f"{folder.st_uid}. Use a directory of your own."
        )
    others_write = folder.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if others_write and not folder.st_mode & stat.S_ISVTX:
        raise SettingsError(
            f"Others may write in '{path.parent}', where the socket should be. "
            "Use a directory of your own, or `chmod go-w` this one."
        )
