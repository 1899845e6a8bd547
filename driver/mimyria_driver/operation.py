"""Operation: all that lets people and machines watch a run, put together.

Events, status, metrics, alerts and the service manager get what the monitor sees; none
of them can stop the run, and none writes before the run folder is known to be ours.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator
from typing import Any

from mimyria import __version__
from mimyria.errors import LockedError, MimyriaError, one_line
from mimyria_driver.conditions import Limits
from mimyria_driver.delivery import Delivery
from mimyria_driver.events import EventLog
from mimyria_driver.lines import Lines
from mimyria_driver.metrics import MetricsFile
from mimyria_driver.monitor import Monitor
from mimyria_driver.settings import Settings
from mimyria_driver.signals import StopRequest
from mimyria_driver.snapshot import FINAL, Snapshot
from mimyria_driver.systemd import Notifier

__all__ = ["watched"]

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def watched(settings: Settings, stop: StopRequest) -> Iterator[Monitor]:
    """A monitor with all that watches it; closed with the context.

    Args:
        settings: of the run.
        stop: at the end, whether a signal has come.

    Raises:
        SettingsError: a secret of the alerts is open to others.
    """
    directory = settings.run.directory
    with contextlib.ExitStack() as stack:
        events = stack.enter_context(EventLog(directory))
        delivery = Delivery(
            settings.alerts, in_a_hurry=lambda: stop.signal_name is not None
        )
        watchers: list[Callable[[dict[str, Any]], None]] = [
            Notifier(),
            stack.enter_context(delivery),
            _show_held_lines,
        ]
        if settings.monitor.metrics:
            watchers.append(MetricsFile(directory / settings.monitor.metrics))
        if settings.monitor.listen is not None:
            from mimyria_driver.endpoint import Endpoint

            endpoint = Endpoint(directory, *settings.monitor.address)
            watchers.append(stack.enter_context(endpoint))
        if settings.monitor.web:
            from mimyria_driver.webpage import WebPage

            page = WebPage(directory, settings.monitor.web_port)
            watchers.append(stack.enter_context(page))
        monitor = Monitor(
            directory,
            report=settings.run.report,
            events=events,
            limits=_limits(settings),
            watchers=watchers,
        )
        with _told(monitor, events):
            yield monitor


@contextlib.contextmanager
def _told(monitor: Monitor, events: EventLog) -> Iterator[None]:
    """Beginning and end of a driver as events; an end has its status in any case."""
    text = "mimyria-driver %s, process %d"
    _log.info(text, __version__, os.getpid(), extra={"code": "driver_started"})
    try:
        yield
    except Exception as error:
        reason = one_line(error)
        code = error.exit_code if isinstance(error, MimyriaError) else None
        fields = {"exit_code": code, "error": type(error).__name__}
        # The command shows it itself.
        extra = {"code": "driver_failed", "fields": fields, "shown": True}
        _log.error("%s", reason, extra=extra)
        ours = events.started and not isinstance(error, LockedError)
        if ours and monitor.state not in FINAL:
            last = Snapshot(state="failed", message=reason)
            with contextlib.suppress(MimyriaError):  # the folder is not ours any more
                monitor.tick(lambda: last, force=True)
        raise
    text = "the driver leaves; the run has %s"
    _log.info(text, monitor.state, extra={"code": "driver_stopped"})


def _limits(settings: Settings) -> Limits:
    alerts = settings.alerts
    return Limits(
        60.0 * alerts.silence,
        alerts.disk_hours,
        alerts.restarts,
        60.0 * alerts.job_minutes,
    )


def _show_held_lines(status: dict[str, Any]) -> None:
    for handler in logging.getLogger().handlers:
        if isinstance(handler, Lines):
            handler.tick()
