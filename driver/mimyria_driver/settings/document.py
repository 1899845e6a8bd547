"""A whole `run.toml`: its sections, reading it, printing all that may stand there."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from mimyria.errors import SettingsError
from mimyria.files import read_plain
from mimyria.settings.reader import (
    kind_of,
    read_section,
    reference_text,
    unknown_name,
)
from mimyria.settings.schema import document_schema
from mimyria_driver.settings.analysis import (
    ConvergenceSettings,
    GroupsSettings,
    SpectrumSettings,
)
from mimyria_driver.settings.models import PYTHON, ModelsSettings
from mimyria_driver.settings.run import RunSettings
from mimyria_driver.settings.source import SourceSettings
from mimyria_driver.settings.watching import AlertsSettings, MonitorSettings

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = [
    "SCHEMA_FILE",
    "SECTIONS",
    "Settings",
    "load_settings",
    "parse_settings",
    "reference",
    "schema",
]

SCHEMA_FILE: Final = Path(__file__).parents[1] / "run.schema.json"
"""What `schema` gives, as a file for editors."""

_LARGEST = 1 << 20  # bytes of a run.toml


@dataclass(frozen=True, slots=True)
class Settings:
    """All sections of a `run.toml`."""

    source: SourceSettings
    models: ModelsSettings
    run: RunSettings = field(default_factory=RunSettings)
    spectrum: SpectrumSettings = field(default_factory=SpectrumSettings)
    convergence: ConvergenceSettings = field(default_factory=ConvergenceSettings)
    groups: GroupsSettings = field(default_factory=GroupsSettings)
    monitor: MonitorSettings = field(default_factory=MonitorSettings)
    alerts: AlertsSettings = field(default_factory=AlertsSettings)


SECTIONS: Final[dict[str, type[Any]]] = {
    "run": RunSettings,
    "source": SourceSettings,
    "models": ModelsSettings,
    "spectrum": SpectrumSettings,
    "convergence": ConvergenceSettings,
    "groups": GroupsSettings,
    "monitor": MonitorSettings,
    "alerts": AlertsSettings,
}
"""Of each section of the file: what it is read into."""


def load_settings(path: Path) -> Settings:
    """Read a `run.toml`; relative paths in it start from its own folder.

    Raises:
        SettingsError: names the file, and the setting where it is one.
    """
    try:
        document = tomllib.loads(read_plain(path, _LARGEST).decode())
    except OSError as error:
        raise SettingsError(
            f"{path}: cannot be read ({error.strerror or error})."
        ) from error
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{path}: is not valid TOML: {error}.") from error
    try:
        return parse_settings(document, path.resolve().parent)
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from None


def parse_settings(document: Mapping[str, Any], folder: Path) -> Settings:
    """Settings of a parsed document.

    Args:
        document: sections by name, as `tomllib` gives them.
        folder: where relative paths start.

    Raises:
        SettingsError: a section or key is unknown, or a value cannot be used.
    """
    for name, section in document.items():
        if name not in SECTIONS:
            raise SettingsError(unknown_name("section", name, SECTIONS))
        if not isinstance(section, Mapping):
            raise SettingsError(
                f"[{name}] must be a section, but is {kind_of(section)}. "
                f"Write [{name}] on a line of its own."
            )
    sections: dict[str, Any] = {
        name: read_section(cls, name, document.get(name, {}), folder)
        for name, cls in SECTIONS.items()
    }
    models = sections["models"]
    sections["models"] = dataclasses.replace(
        models,
        apt=_model_path(models.apt, folder),
        pgt=_model_path(models.pgt, folder),
        joint=_model_path(models.joint, folder),
    )
    source = sections["source"]
    sections["source"] = dataclasses.replace(
        source,
        endpoint=_socket_path(source.endpoint, folder),
        more=tuple(str(folder / Path(name).expanduser()) for name in source.more),
    )
    return Settings(**sections)


def reference() -> str:
    """A commented `run.toml` with every setting, its default and its sentence."""
    return reference_text(SECTIONS.items())


def schema() -> dict[str, Any]:
    """The JSON schema of a `run.toml`."""
    return document_schema(
        "run.toml of mimyria-driver", "What `mimyria-driver run` reads.", SECTIONS
    )


def _socket_path(endpoint: str | None, folder: Path) -> str | None:
    """A relative socket path starts from the folder, too."""
    if endpoint is None or not endpoint.startswith("ipc://"):
        return endpoint
    return f"ipc://{folder / Path(endpoint.removeprefix('ipc://')).expanduser()}"


def _model_path(value: str | None, folder: Path) -> str | None:
    """Shipped names and functions stay; what looks like a file is taken as a path."""
    if value is None or value.startswith(PYTHON):
        return value
    if "/" not in value and not Path(value).suffix:
        return value
    return str(folder / Path(value).expanduser())
