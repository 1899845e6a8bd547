"""Sections [monitor] and [alerts]: who is told how the run is."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from mimyria.settings.fields import about as _about
from mimyria.settings.fields import check_limits as _check_limits
from mimyria.settings.fields import require as _require
from mimyria.settings.fields import setting as _setting

__all__ = ["AlertsSettings", "MonitorSettings"]


@dataclass(frozen=True, slots=True)
class MonitorSettings:
    """What programs and browsers can read of a run."""

    metrics: str = _setting(
        "metrics.prom",
        "File for Prometheus, in run.directory where it is no whole path; empty: none.",
    )
    listen: str | None = _setting(
        None,
        'The same by HTTP at this loopback address, as "127.0.0.1:9464", for who has '
        "the token in metrics.token.",
    )
    web: bool = _setting(
        False,
        "Show the run in a browser on this machine (docs/live.md); web.url in "
        "run.directory has the link.",
    )
    web_port: int = _setting(
        8680, "Its port; another one where it is taken, and with 0."
    )

    def __post_init__(self) -> None:
        """Check the address."""
        if self.listen is not None:
            wanted = 'a loopback address, as "127.0.0.1:9464"'
            _require(self._is_loopback(), "monitor.listen", wanted, self.listen)
        possible = 0 <= self.web_port < 65536
        _require(possible, "monitor.web_port", "0 to 65535", self.web_port)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of `listen`."""
        host, _, port = (self.listen or "").rpartition(":")
        return host, int(port)

    def _is_loopback(self) -> bool:
        try:
            host, port = self.address
            return ipaddress.IPv4Address(host).is_loopback and 0 <= port < 65536
        except ValueError:
            return False


@dataclass(frozen=True, slots=True)
class AlertsSettings:
    """Who is woken, and by what."""

    command: tuple[str, ...] = _setting(
        (), "Program and arguments that get each alert, as JSON on stdin."
    )
    webhook: Path | None = field(
        default=None,
        metadata=_about(
            "File of mode 0600: the https address that gets each alert as JSON by "
            "POST, and below it a line for each header."
        ),
    )
    mail: tuple[str, ...] = _setting((), "Addresses that get each alert by sendmail.")
    sendmail: str = _setting("/usr/sbin/sendmail", "The program that sends mail.")
    hold_off: float = _setting(
        60.0, "Least minutes between two alerts of a kind.", least=0
    )
    silence: float = _setting(
        15.0,
        "Minutes without a durable frame, with an engine there, that are too many.",
        least=0,
    )
    disk_hours: float = _setting(2.0, "Hours to a full disk that are too few.", least=0)
    restarts: int = _setting(
        3, "Replaced evaluators in an hour that are just not too many.", least=0
    )
    job_minutes: float = _setting(
        10.0,
        "Minutes to the end of the job, without the wanted error, that are too few.",
        least=0,
    )

    def __post_init__(self) -> None:
        """Check limits."""
        _check_limits("alerts", self)
        for address in self.mail:
            plain = "@" in address and not set(address) & set(" \t\r\n,<>")
            _require(plain, "alerts.mail", "plain addresses", address)
