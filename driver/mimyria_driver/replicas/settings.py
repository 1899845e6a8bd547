"""Settings of one replica: those of the run, with its own folder and address."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from mimyria.errors import SettingsError
from mimyria_driver.labels import PLACEHOLDER, fill, replica_folder
from mimyria_driver.settings import Settings

__all__ = ["settings_of"]

_LAST_PORT = 65535


def settings_of(settings: Settings, replica: int) -> Settings:
    """What one replica is served by.

    It writes no result during the run and never decides that it has converged: that is
    done with all of them.

    Raises:
        SettingsError: there is no such port.
    """
    source = settings.source
    return replace(
        settings,
        run=replace(
            settings.run, directory=replica_folder(settings.run.directory, replica)
        ),
        source=replace(
            source,
            replicas=1,
            endpoint=_address(source.endpoint, replica),
            address=_address(source.address, replica),
            path=source.path and Path(fill(str(source.path), replica)),
            more=tuple(fill(path, replica) for path in source.more),
        ),
        spectrum=replace(settings.spectrum, refresh=math.inf, plots=False),
        convergence=replace(settings.convergence, stop=False, exit_file=None),
    )


def _address(text: str | None, replica: int) -> str | None:
    """With the label in its place, or, where there is none, with the next port."""
    if text is None or PLACEHOLDER in text:
        return text and fill(text, replica)
    host, _, port = text.rpartition(":")
    if text.startswith(("ipc:", "unix:")) or not port.isdigit() or not int(port):
        return text
    number = int(port) + replica
    if number > _LAST_PORT:
        raise SettingsError(
            f"replica {replica} would have port {number}, but {_LAST_PORT} is the last "
            f"one. Begin at a lower one than '{text}'."
        )
    return f"{host}:{number}"
