"""Who may speak to the driver: endpoints and keys, and what is safe of them.

Unix sockets admit the user of the driver alone, by the credentials that the kernel
attests. TCP admits who has the key of the run, also on this machine, because any user
of it can connect there. Who asks at the door is the `doorman`'s.
"""

from __future__ import annotations

import ipaddress
import json
import os
import stat
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import zmq
from zmq.utils import z85

from mimyria.errors import AccessError, SettingsError
from mimyria.files import replace_file
from mimyria_driver.lammps.access import ENDPOINT_VERSION, ForeignError, read_own_file
from mimyria_driver.strictjson import unpack_json
from mimyria_driver.wire import WireError

__all__ = [
    "ENDPOINT_NAME",
    "KEYS_NAME",
    "Keys",
    "check_endpoint",
    "hand_over",
    "is_tcp",
    "load_keys",
]

ENDPOINT_NAME: Final = "endpoint.json"
"""Address and key for the engine, in the run folder."""

KEYS_NAME: Final = "curve.json"
"""The keys of the run, in the run folder; the driver's own secret is among them."""

_MAX_PATH_BYTES: Final = 107  # of a unix socket


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
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"Cannot make '{path.parent}', where the socket should be: "
            f"{error.strerror}. Choose another endpoint."
        ) from None
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
