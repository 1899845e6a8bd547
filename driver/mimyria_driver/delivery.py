"""Delivery: alerts by a command, a webhook or mail, from a thread of its own.

A way that is broken or hangs costs ten seconds of the thread and a line in the log, and
the run nothing. What a way needs to be secret is read from a private file when the
driver starts, and is in no message, no argument and no environment.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from email.message import EmailMessage
from types import TracebackType
from typing import Any, Final

from mimyria.errors import MimyriaError, SettingsError
from mimyria_driver.alerts import Alert, AlertRules
from mimyria_driver.privatefiles import read_private
from mimyria_driver.settings import AlertsSettings

__all__ = ["Delivery"]

_SECONDS: Final = 10.0
_WAITING: Final = 100
_LAST_SECONDS: Final = 12.0
_LAST_SECONDS_STOPPED: Final = 0.5

_log = logging.getLogger(__name__)

Message = Mapping[str, Any]
Way = Callable[[Message], None]


class Delivery:
    """Takes statuses in, and sends what they cause; use it as a context."""

    def __init__(
        self,
        settings: AlertsSettings,
        *,
        in_a_hurry: Callable[[], bool] = lambda: False,
        ways: Mapping[str, Way] | None = None,
    ) -> None:
        """Nothing is sent yet.

        Args:
            settings: of the alerts.
            in_a_hurry: whether a signal has come, at the end.
            ways: other ways than those of the settings.

        Raises:
            SettingsError: a secret's file is open to others.
        """
        self._rules = AlertRules(60.0 * settings.hold_off)
        self._ways = _ways(settings) if ways is None else ways
        self._in_a_hurry = in_a_hurry
        self._queue: queue.Queue[Message | None] = queue.Queue(_WAITING)
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Delivery:
        """The thread starts with the first alert."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the last alerts a little time."""
        if self._thread is None:
            return
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait(None)
        deadline = time.monotonic() + _LAST_SECONDS
        while self._thread.is_alive() and time.monotonic() < deadline:
            self._thread.join(_LAST_SECONDS_STOPPED)
            if self._in_a_hurry():
                return

    def __call__(self, status: Mapping[str, Any]) -> None:
        """Send what a status causes."""
        if not self._ways:
            return
        for alert in self._rules.judge(time.monotonic(), status):
            self._send(alert, status)

    def _send(self, alert: Alert, status: Mapping[str, Any]) -> None:
        _log.info(
            "alert %s: %s", alert.name, alert.text,
            extra={"code": "alert", "fields": {"resolved": alert.resolved}},
        )  # fmt: skip
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._work, name="alerts", daemon=True
            )
            self._thread.start()
        try:
            self._queue.put_nowait(_message(alert, status))
        except queue.Full:
            _failed("all ways", "too many wait")

    def _work(self) -> None:
        while (message := self._queue.get()) is not None:
            for name, way in self._ways.items():
                try:
                    way(message)
                except Exception as error:
                    # The text of an error may hold the address, which is a secret.
                    _failed(name, type(error).__name__)


def _failed(way: str, why: str) -> None:
    _log.warning(
        "an alert could not be delivered by %s (%s); the run goes on",
        way,
        why,
        extra={"code": "alert_failed"},
    )


def _message(alert: Alert, status: Mapping[str, Any]) -> Message:
    """What every way sends: plain values, and one line in `text`."""
    job = status["job"]
    mark = "over" if alert.resolved else alert.level
    return {
        "name": alert.name,
        "level": alert.level,
        "resolved": alert.resolved,
        "text": f"mimyria-driver on {status['host']}: {mark}: {alert.text}",
        "state": status["state"],
        "frames": status["durable"],
        "step": status["step"],
        "host": status["host"],
        "run": status["run_id"],
        "job": None if job is None else job["id"],
        "time": status["time"],
    }


def _ways(settings: AlertsSettings) -> dict[str, Way]:
    ways: dict[str, Way] = {}
    if settings.command:
        ways["command"] = lambda message: _run(
            settings.command, json.dumps(message).encode()
        )
    if settings.webhook is not None:
        url, headers = _webhook(read_private(settings.webhook), str(settings.webhook))
        ways["webhook"] = lambda message: _post(url, headers, message)
    if settings.mail:
        ways["mail"] = lambda message: _run(
            [settings.sendmail, "-i", "--", *settings.mail],
            _letter(message, settings.mail),
        )
    return ways


def _run(command: Sequence[str], data: bytes) -> None:
    """A program with `data` on its stdin; it and its children get ten seconds."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        process.communicate(data, timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    if process.returncode:
        raise _RefusedError


class _RefusedError(MimyriaError):
    """The other side did not want it."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A secret goes to the address that was written down, and nowhere else."""

    def redirect_request(self, *arguments: Any) -> None:  # noqa: ANN401
        return None


def _webhook(text: str, name: str) -> tuple[str, dict[str, str]]:
    """Address and headers of a webhook's file."""
    url, *lines = [line.strip() for line in text.splitlines() if line.strip()] or [""]
    parts = urllib.parse.urlsplit(url)
    local = parts.hostname in ("127.0.0.1", "localhost", "::1")
    if parts.scheme != "https" and not (parts.scheme == "http" and local):
        raise SettingsError(
            f"{name}: the first line must be an address that begins with https:// "
            "(http:// on this machine only)."
        )
    headers = {}
    for line in lines:
        header, colon, value = line.partition(":")
        if not colon:
            raise SettingsError(
                f"{name}: further lines must be headers, 'NAME: VALUE'."
            )
        headers[header.strip()] = value.strip()
    return url, headers


def _post(url: str, headers: Mapping[str, str], message: Message) -> None:
    # Only https:// gets here, and http:// to this machine.
    request = urllib.request.Request(  # noqa: S310
        url,
        json.dumps(message).encode(),
        {"Content-Type": "application/json", **headers},
        method="POST",
    )
    opener = urllib.request.build_opener(_NoRedirects)
    with opener.open(request, timeout=_SECONDS):
        pass


def _letter(message: Message, addresses: Sequence[str]) -> bytes:
    letter = EmailMessage()
    letter["To"] = ", ".join(addresses)
    letter["Subject"] = " ".join(str(message["text"]).split())[:200]
    lines = [f"{name}: {value}" for name, value in message.items()]
    letter.set_content("\n".join([*lines, "", f"Sent by {socket.gethostname()}."]))
    return letter.as_bytes()
