"""Listening for LAMMPS: from an endpoint and a run folder to a receiver for it."""

from __future__ import annotations

import ipaddress
import logging
import os
import socket
from pathlib import Path

from mimyria_driver.lammps.receiver import LammpsReceiver
from mimyria_driver.lammps.security import KEYS_NAME, hand_over, is_tcp, load_keys

__all__ = ["listen"]

_IPC = "ipc://"
_log = logging.getLogger(__name__)


def listen(
    endpoint: str, folder: Path, *, insecure_tcp: bool = False, bind_any: bool = False
) -> LammpsReceiver:
    """A receiver, and in the run folder the file that leads the engine to it.

    Args:
        endpoint: ipc://PATH, or tcp://HOST:PORT.
        folder: the run folder, which exists.
        insecure_tcp: TCP on this machine without keys.
        bind_any: let other machines in.

    Raises:
        SettingsError: the endpoint is unsafe or cannot be used.
        AccessError: the keys in the folder are not ours alone.
    """
    keys = None
    if is_tcp(endpoint) and not insecure_tcp:
        keys = load_keys(folder / KEYS_NAME)
    receiver = LammpsReceiver(
        endpoint, keys=keys, insecure_tcp=insecure_tcp, bind_any=bind_any
    )
    if is_tcp(endpoint) and insecure_tcp:
        _log.warning(
            "%s is not encrypted: every user of this machine can send frames to the "
            "driver (source.insecure_tcp)",
            receiver.endpoint,
        )
    hand_over(folder, _from_outside(receiver.endpoint), keys)
    return receiver


def _from_outside(endpoint: str) -> str:
    """The address as an engine has to write it, wherever it runs."""
    if endpoint.startswith(_IPC):
        path = os.path.abspath(endpoint[len(_IPC) :])
        return _IPC + path
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    if not ipaddress.ip_address(host.strip("[]")).is_unspecified:
        return endpoint
    return f"tcp://{socket.getfqdn()}:{port}"
