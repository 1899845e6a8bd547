"""Settings of a campaign of reference calculations: `campaign.toml` by sections.

The sections [code], [execution], [selection] and [clusters] belong to the modules that
use them; here they are only gathered. A path is relative to the file that names it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field
from pathlib import Path
from typing import Any, Final

from mimyria.frame import Array
from mimyria.reference.campaign.document import (
    document_text,
    read_code_table,
    read_document,
)
from mimyria.reference.clustersettings import ClusterSettings
from mimyria.reference.codes import Code, code_from_table
from mimyria.reference.execution import ExecutionSettings
from mimyria.reference.selection import SelectionSettings
from mimyria.reference.stencils import apt_stencil, pgt_stencil, with_zero_field
from mimyria.settings.fields import about, choice, require, setting

__all__ = [
    "CampaignSettings",
    "FieldsSettings",
    "Settings",
    "load_campaign_settings",
    "load_code",
    "settings_text",
]

STENCILS: Final = ("apt", "pgt")


@dataclass(frozen=True, slots=True)
class CampaignSettings:
    """What is computed, and where it is kept."""

    frames: tuple[str, ...] = setting(
        MISSING,
        "Files of configurations to choose from: extended XYZ, LAMMPS dump, H5MD.",
    )
    known: tuple[str, ...] = setting(
        (), "Sets of earlier campaigns; their configurations are not computed again."
    )
    directory: Path = field(
        default=Path("reference"),
        metadata=about("Folder of the tasks; made by plan, one folder in it a task."),
    )
    title: str = setting("", "One line about the set, for its data sheet.")
    retries: int = setting(1, "How often a failed task is tried again by itself.")
    types: tuple[str, ...] = setting(
        (), 'Elements of the types of a LAMMPS dump, as ["1=O", "2=H"].'
    )

    def __post_init__(self) -> None:
        """Check limits."""
        require(bool(self.frames), "campaign.frames", "at least one file", self.frames)
        require(self.retries >= 0, "campaign.retries", "0 or more", self.retries)


@dataclass(frozen=True, slots=True)
class FieldsSettings:
    """The fields of each configuration."""

    stencil: str = setting(
        "pgt", '"pgt": 13 fields, both tensors; "apt": 7 fields, the APT alone.'
    )
    step: float = setting(2e-3, "Component of the fields, a.u. (1 is 51.422 V/Å).")

    def __post_init__(self) -> None:
        """Check limits."""
        choice("fields.stencil", self.stencil, STENCILS)
        require(
            0 < self.step <= 0.05, "fields.step", "above 0 and up to 0.05", self.step
        )

    def vectors(self) -> Array:
        """(n_fields, 3) a.u.; the first is zero, the start of all others."""
        make = pgt_stencil if self.stencil == "pgt" else apt_stencil
        return with_zero_field(make(self.step))


@dataclass(frozen=True, slots=True)
class Settings:
    """All of a campaign file.

    Attributes:
        path: the file.
        campaign: section [campaign].
        fields: section [fields].
        execution: section [execution].
        selection: section [selection]; None: every frame.
        clusters: section [clusters]; None: the frames as they are.
        code_table: section [code], not yet read.
    """

    path: Path
    campaign: CampaignSettings
    fields: FieldsSettings
    execution: ExecutionSettings
    selection: SelectionSettings | None
    clusters: ClusterSettings | None
    code_table: Mapping[str, Any]

    @property
    def directory(self) -> Path:
        """Folder of the campaign."""
        return self.campaign.directory

    @property
    def files(self) -> list[Path]:
        """The files of configurations."""
        return [self.path.parent / Path(n).expanduser() for n in self.campaign.frames]

    @property
    def known_files(self) -> list[Path]:
        """The sets of earlier campaigns."""
        return [self.path.parent / Path(n).expanduser() for n in self.campaign.known]

    def code(self) -> Code:
        """The code, made from its section.

        Raises:
            SettingsError: the section cannot be used.
        """
        return code_from_table(self.code_table, self.path.parent)


_SECTIONS: Final[Mapping[str, type]] = {
    "campaign": CampaignSettings,
    "fields": FieldsSettings,
    "execution": ExecutionSettings,
    "selection": SelectionSettings,
    "clusters": ClusterSettings,
}
_OPTIONAL: Final = ("selection", "clusters")


def settings_text(kind: str) -> str:
    """A commented campaign file with every setting, for one kind of code.

    Raises:
        SettingsError: the kind is unknown.
    """
    return document_text(_SECTIONS, _OPTIONAL, kind, before="fields")


def load_campaign_settings(path: Path) -> Settings:
    """Read a campaign file.

    Raises:
        FormatError: it is no TOML.
        SettingsError: a section or key is unknown, missing or has a wrong value.
        FileNotFoundError: it is not there.
    """
    return Settings(path=path, **read_document(path, _SECTIONS, _OPTIONAL))


def load_code(path: Path) -> Code:
    """The code that the section [code] of a file asks for, whatever else is in it.

    Raises:
        FormatError: the file is no TOML.
        SettingsError: the section is missing or cannot be used.
        FileNotFoundError: the file is not there.
    """
    return code_from_table(read_code_table(path), path.parent)
