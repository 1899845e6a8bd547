"""Settings of autotrain: one TOML file by sections.

The sections [code], [fields], [clusters] and [execution] are those of a campaign of
reference calculations, and [compute] is like [execution] for trainings and evaluations.
A path is relative to the file that names it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

from mimyria.autotrain.learningsettings import LearningSettings
from mimyria.autotrain.sections import (
    AutotrainSettings,
    ChoiceSettings,
    DynamicsSettings,
    SpectraSettings,
)
from mimyria.autotrain.targetsettings import TargetSettings
from mimyria.errors import SettingsError
from mimyria.reference.campaign.document import document_text, read_document
from mimyria.reference.campaign.settings import CampaignSettings, FieldsSettings
from mimyria.reference.campaign.settings import Settings as CampaignFile
from mimyria.reference.clustersettings import ClusterSettings
from mimyria.reference.codes import Code, code_from_table
from mimyria.reference.execution import ExecutionSettings

__all__ = ["Settings", "defaults_of", "load_settings", "settings_text"]


@dataclass(frozen=True, slots=True)
class Settings:
    """All of a settings file.

    Attributes:
        path: the file.
        autotrain: section [autotrain], and so on.
        dynamics: …
        choice: …
        training: …
        spectra: …
        targets: …
        fields: …
        execution: where reference calculations run.
        compute: where trainings and evaluations run.
        clusters: section [clusters]; None: the frames as they are.
        code_table: section [code], not yet read.
    """

    path: Path
    autotrain: AutotrainSettings
    dynamics: DynamicsSettings
    choice: ChoiceSettings
    training: LearningSettings
    spectra: SpectraSettings
    targets: TargetSettings
    fields: FieldsSettings
    execution: ExecutionSettings
    compute: ExecutionSettings
    clusters: ClusterSettings | None
    code_table: Mapping[str, Any]

    def __post_init__(self) -> None:
        """Check what concerns two sections."""
        if "raman" in self.autotrain.observables and self.fields.stencil != "pgt":
            raise SettingsError(
                'Raman spectra need the PGT: set fields.stencil = "pgt", or '
                'autotrain.observables = ["ir"].'
            )

    @property
    def directory(self) -> Path:
        """Folder of the run."""
        return self.autotrain.directory

    def files(self, names: tuple[str, ...]) -> list[Path]:
        """Paths of files that a setting names."""
        return [self.path.parent / Path(name).expanduser() for name in names]

    def code(self) -> Code:
        """The electronic-structure code.

        Raises:
            SettingsError: its section cannot be used.
        """
        return code_from_table(self.code_table, self.path.parent)

    def campaign(self, frames: Path, directory: Path, title: str) -> CampaignFile:
        """The campaign that labels the frames of a file, in a folder of its own."""
        campaign = CampaignSettings(
            frames=(str(frames.resolve()),),
            directory=directory,
            title=title,
            retries=self.autotrain.retries,
        )
        return CampaignFile(
            path=self.path,
            campaign=campaign,
            fields=self.fields,
            execution=self.execution,
            selection=None,
            clusters=self.clusters,
            code_table=self.code_table,
        )

    def section(self, name: str) -> dict[str, Any]:
        """A section as plain values, ready for JSON."""
        values = getattr(self, name)
        if values is None:
            return {}
        return {key: _plain(value) for key, value in asdict(values).items()}


def _plain(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


_SECTIONS: Final[Mapping[str, type]] = {
    "autotrain": AutotrainSettings,
    "dynamics": DynamicsSettings,
    "choice": ChoiceSettings,
    "training": LearningSettings,
    "spectra": SpectraSettings,
    "targets": TargetSettings,
    "fields": FieldsSettings,
    "execution": ExecutionSettings,
    "compute": ExecutionSettings,
    "clusters": ClusterSettings,
}
_OPTIONAL: Final = ("clusters",)


def defaults_of(section: str) -> dict[str, Any]:
    """The defaults of a section as plain values: what older files do not know of."""
    cls: Any = _SECTIONS[section]
    return {
        each.name: _plain(each.default)
        for each in fields(cls)
        if each.default is not MISSING
    }


def settings_text(kind: str) -> str:
    """A commented settings file with every setting, for one kind of code.

    Raises:
        SettingsError: the kind is unknown.
    """
    text = document_text(_SECTIONS, _OPTIONAL, kind, before="fields")
    trained = "Where trainings and evaluations run; as [execution]."
    old = f"[compute]  # {(ExecutionSettings.__doc__ or '').strip()}"
    return text.replace(old, f"[compute]  # {trained}")


def load_settings(path: Path) -> Settings:
    """Read a settings file.

    Raises:
        FormatError: it is no TOML.
        SettingsError: a section or key is unknown, missing or has a wrong value.
        FileNotFoundError: it is not there.
    """
    path = path.absolute()
    return Settings(path=path, **read_document(path, _SECTIONS, _OPTIONAL))
