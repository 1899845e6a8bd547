"""Where the driver is, and whether it is ours: what the hook asks before it connects.

This module knows files, owners and keys; it runs inside the engine on the standard
library and pyzmq alone (Python 3.8 or later). An endpoint is a ZeroMQ address, or the
path of the file that the driver writes for its engine:

    {"version": 1, "endpoint": "tcp://host:4711",
     "server_key": ..., "client_key": ..., "client_secret": ...}

The three keys are there where the address is one of TCP; everything that then goes over
the wire is encrypted, and both sides know each other. The file is read anew before each
connection, because a driver that comes back may listen somewhere else.
"""

from __future__ import annotations

import os
import stat
from typing import Any

from mimyria_driver.lammps.engine import HookError
from mimyria_driver.ownfile import NotOwnError, read_own
from mimyria_driver.strictjson import unpack_json
from mimyria_driver.wire import WireError

__all__ = [
    "KEY_NAMES",
    "REPLICA",
    "Door",
    "ForeignError",
    "own_endpoint",
    "read_own_file",
]

ENDPOINT_VERSION = 1
REPLICA = "{replica}"  # stands in an endpoint for the number of one of several runs
KEY_NAMES = ("server_key", "client_key", "client_secret")
_MAX_FILE_BYTES = 65_536
_ADVICE = "The driver makes it for you alone; remove it and start the driver again."
_KEY_LENGTH = 40  # 32 bytes in Z85
_IPC = "ipc://"
_MAX_PATH_BYTES = 107  # of a unix socket


class ForeignError(HookError):
    """What stands where the driver should be belongs to somebody else."""


def own_endpoint(endpoint: str, replica: int, partition: int) -> str:
    """The endpoint of this replica, where the driver has one for each.

    Args:
        endpoint: of all, with {replica} in it, or of the only one.
        replica: the number that the user gave; −1: none.
        partition: which of the partitions of LAMMPS this is; −1: there are none.

    Raises:
        HookError: there is one for each, and nobody says which this is.
    """
    if REPLICA not in endpoint:
        return endpoint
    number = replica if replica >= 0 else partition
    if number < 0:
        raise HookError(
            f"The endpoint {endpoint} needs the number of this replica: give the "
            "option replica=K or MIMYRIA_REPLICA, or run with -partition."
        )
    return endpoint.replace(REPLICA, f"{number:03d}")


class Door:
    """The way to one driver."""

    def __init__(self, endpoint: str) -> None:
        """Nothing is looked at yet.

        Args:
            endpoint: ZeroMQ address, or the path of an endpoint file.
        """
        self.endpoint = endpoint

    def open(self, socket: Any) -> str:  # noqa: ANN401 - pyzmq has several versions
        """Connect a new socket to the driver.

        Returns:
            Why it is not possible yet, or "" if the socket is connected.

        Raises:
            ForeignError: somebody else has put something in the driver's place.
        """
        document: dict[str, Any] = {"endpoint": self.endpoint}
        if "://" not in self.endpoint:
            try:
                document = _read_endpoint(self.endpoint)
            except FileNotFoundError:
                return f"waiting for the driver: there is no {self.endpoint} yet"
        address = _short(document["endpoint"])
        _check_length(address)
        _check_socket(address)
        if KEY_NAMES[0] in document:
            server, public, secret = (document[name].encode() for name in KEY_NAMES)
            socket.curve_serverkey = server
            socket.curve_publickey, socket.curve_secretkey = public, secret
        socket.connect(address)
        return ""

    def check(self) -> None:
        """Look again, once somebody has answered.

        Raises:
            ForeignError: it is not our driver that answers.
        """
        if self.endpoint.startswith(_IPC):
            _check_socket(self.endpoint)


def read_own_file(path: str) -> bytes:
    """Content of a small file that nobody but this user may read or write.

    Raises:
        FileNotFoundError: it is not there.
        ForeignError: it is not such a file.
    """
    try:
        return read_own(path, _ADVICE, _MAX_FILE_BYTES)
    except NotOwnError as error:
        raise ForeignError(str(error)) from None


def _read_endpoint(path: str) -> dict[str, Any]:
    """The file that the driver has written for its engine."""
    try:
        document = unpack_json(read_own_file(path))
    except WireError as error:
        raise ForeignError(f"{path}: is no endpoint of a driver: {error}") from None
    names = set(document) if isinstance(document, dict) else set()
    wanted = {"version", "endpoint"}
    if names not in (wanted, wanted.union(KEY_NAMES)) or not all(
        isinstance(document[name], str) for name in names - {"version"}
    ):
        raise ForeignError(f"{path}: is no endpoint of a driver.")
    if document["version"] != ENDPOINT_VERSION:
        raise ForeignError(
            f"{path}: has the version {document['version']}, this hook knows "
            f"{ENDPOINT_VERSION}. Write the hook anew with `mimyria-driver hook`."
        )
    if any(
        len(document[name]) != _KEY_LENGTH for name in names.intersection(KEY_NAMES)
    ):
        raise ForeignError(f"{path}: a key must have {_KEY_LENGTH} characters.")
    found: dict[str, Any] = document
    return found


def _short(address: str) -> str:
    """A unix socket's path may have few bytes; from here it may be shorter."""
    if not address.startswith(_IPC):
        return address
    path = address[len(_IPC) :]
    return _IPC + min(path, os.path.relpath(path), key=len)


def _check_length(address: str) -> None:
    """Refuse the path of a unix socket that the system cannot have."""
    path = os.fsencode(address[len(_IPC) :])
    if address.startswith(_IPC) and len(path) > _MAX_PATH_BYTES:
        raise HookError(
            f"The path of the driver's socket has {len(path)} bytes, but a unix socket "
            f"can have {_MAX_PATH_BYTES}: {address}. Start LAMMPS nearer to it, or "
            "choose a shorter source.endpoint."
        )


def _check_socket(address: str) -> None:
    """Refuse a unix socket that another user made, or could exchange."""
    if not address.startswith(_IPC):
        return
    path = address[len(_IPC) :]
    folder = os.path.dirname(path) or "."
    try:
        around = os.stat(folder)
        found = os.lstat(path)
    except FileNotFoundError:
        return  # nobody listens yet
    except OSError as error:
        raise ForeignError(f"{path}: cannot be looked at ({error.strerror}).") from None
    others_write = around.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if around.st_uid not in (os.geteuid(), 0) or (
        others_write and not around.st_mode & stat.S_ISVTX
    ):
        raise ForeignError(
            f"{folder}: another user can exchange the socket of the driver. Use a "
            "folder of your own, or `chmod go-w` this one."
        )
    if not stat.S_ISSOCK(found.st_mode) or found.st_uid != os.geteuid():
        raise ForeignError(
            f"{path}: is not a socket of yours, but of user {found.st_uid}. Choose "
            "another endpoint for driver and engine."
        )
