"""Settings: `run.toml` as frozen dataclasses, one module for each section.

The package knows names, types and limits; it opens no file that a setting names. Every
setting has a default (or is required) and one sentence, and `reference()` prints them.
"""

from mimyria_driver.settings.analysis import (
    ConvergenceSettings,
    GroupsSettings,
    SpectrumSettings,
)
from mimyria_driver.settings.document import (
    SCHEMA_FILE,
    SECTIONS,
    Settings,
    load_settings,
    parse_settings,
    reference,
    schema,
)
from mimyria_driver.settings.models import KEEP_UNCERTAIN, PYTHON, ModelsSettings
from mimyria_driver.settings.run import RunSettings
from mimyria_driver.settings.source import SourceSettings
from mimyria_driver.settings.watching import AlertsSettings, MonitorSettings

__all__ = [
    "KEEP_UNCERTAIN",
    "PYTHON",
    "SCHEMA_FILE",
    "SECTIONS",
    "AlertsSettings",
    "ConvergenceSettings",
    "GroupsSettings",
    "ModelsSettings",
    "MonitorSettings",
    "RunSettings",
    "Settings",
    "SourceSettings",
    "SpectrumSettings",
    "load_settings",
    "parse_settings",
    "reference",
    "schema",
]
