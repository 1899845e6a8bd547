"""Settings of autotrain: one TOML file by sections.

The sections [code], [fields], [clusters] and [execution] are those of a campaign of
reference calculations, and [compute] is like [execution] for trainings and evaluations.
A path is relative to the file that names it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from mimyria.autotrain.learningsettings import LearningSettings
from mimyria.autotrain.targetsettings import TargetSettings
from mimyria.errors import FormatError, SettingsError
from mimyria.files import read_plain
from mimyria.reference.campaign.settings import CampaignSettings, FieldsSettings
from mimyria.reference.campaign.settings import Settings as CampaignFile
from mimyria.reference.clustersettings import ClusterSettings
from mimyria.reference.codes import Code, code_from_table, settings_class
from mimyria.reference.execution import ExecutionSettings
from mimyria.reference.selection import SelectionSettings
from mimyria.settings.fields import about, choice, require, setting
from mimyria.settings.reader import read_section, reference_text, unknown_name
from mimyria.spectra.windows import WINDOWS
from mimyria.targets import JOINT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = [
    "AutotrainSettings",
    "ChoiceSettings",
    "DynamicsSettings",
    "Settings",
    "SpectraSettings",
    "load_settings",
    "settings_text",
]

_LARGEST: Final = 1 << 20  # bytes of a settings file

OBSERVABLES: Final = {"ir": "apt", "raman": "pgt"}
"""What can be asked for, and the tensor that it comes from."""


@dataclass(frozen=True, slots=True)
class AutotrainSettings:
    """What is learned from what, and when it ends at the latest."""

    trajectories: tuple[str, ...] = setting(
        MISSING,
        "Files with velocities, whatever potential made them: extended XYZ, LAMMPS "
        "dump, H5MD.",
    )
    directory: Path = field(
        default=Path("autotrain"),
        metadata=about("Folder of the run: its state, models, spectra and report."),
    )
    title: str = setting("", "One line about the system, for the report.")
    types: tuple[str, ...] = setting(
        (), 'Elements of the types of a LAMMPS dump, as ["1=O", "2=H"].'
    )
    observables: tuple[str, ...] = setting(
        ("ir", "raman"), '"ir" (needs the APT), "raman" (needs the PGT), or both.'
    )
    model: str = setting(
        "joint", "joint: one network for both tensors; separate: one for each."
    )
    test_frames: int = setting(
        20, "Configurations drawn at random that are labelled and never trained on."
    )
    first_frames: int = setting(8, "Configurations of the first cycle.")
    frames_per_cycle: int = setting(4, "Configurations that each later cycle adds.")
    known: tuple[str, ...] = setting(
        (), "Sets with labels that are there already; all of them are trained on."
    )
    pool: tuple[str, ...] = setting(
        (),
        "Further frames to choose from, as uncertain.extxyz of a run; read again in "
        "each cycle.",
    )
    max_cycles: int = setting(10, "Cycles after which it ends in any case.")
    hours: float = setting(
        0.0, "Hours of work after which no new cycle begins; 0: no limit."
    )
    local_field: bool = setting(
        False,
        "With [clusters]: tensors by the field in the liquid, as collect "
        "--local-field.",
    )
    retries: int = setting(1, "How often a failed reference calculation is repeated.")
    seed: int = setting(1, "Of everything random.")

    def __post_init__(self) -> None:
        """Check values once."""
        require(
            bool(self.trajectories),
            "autotrain.trajectories",
            "at least one file",
            list(self.trajectories),
        )
        for name in self.observables:
            choice("autotrain.observables", name, tuple(OBSERVABLES))
        distinct = len(set(self.observables)) == len(self.observables) > 0
        require(distinct, "autotrain.observables", "one or two", list(self.observables))
        choice("autotrain.model", self.model, ("joint", "separate"))
        for name in ("test_frames", "first_frames", "frames_per_cycle", "max_cycles"):
            value = getattr(self, name)
            least = 2 if name == "test_frames" else 1
            require(value >= least, f"autotrain.{name}", f"{least} or more", value)
        for name in ("hours", "retries", "seed"):
            value = getattr(self, name)
            require(value >= 0, f"autotrain.{name}", "0 or more", value)

    @property
    def learned(self) -> tuple[str, ...]:
        """What is learned, a network each: `joint`, or `apt` and `pgt`."""
        tensors = [
            OBSERVABLES[name] for name in OBSERVABLES if name in self.observables
        ]
        if self.model == "joint" and len(tensors) == len(OBSERVABLES):
            return (JOINT,)
        return tuple(tensors)


@dataclass(frozen=True, slots=True)
class DynamicsSettings:
    """Time, temperature and units of the trajectories."""

    timestep: float = setting(
        0.0, "Time step of the MD, fs: the unit of the step numbers in the files."
    )
    interval: float = setting(
        0.0, "Or time between two stored frames, fs, where files count frames."
    )
    temperature: float = setting(
        0.0, "Temperature of the ensemble, K; 0: that of the velocities."
    )
    velocities_unit: str = setting(
        "", "Unit of the velocities where the files do not say it, as for driver.md."
    )

    def __post_init__(self) -> None:
        """Check that time is known."""
        require(
            (self.timestep > 0) != (self.interval > 0)
            and min(self.timestep, self.interval) >= 0,
            "dynamics",
            "either timestep or interval, in fs",
            f"timestep = {self.timestep:g} and interval = {self.interval:g}",
        )
        require(
            self.temperature >= 0, "dynamics.temperature", "0 or more", self.temperature
        )


@dataclass(frozen=True, slots=True)
class ChoiceSettings:
    """How configurations are chosen."""

    first: str = setting(
        "farthest",
        "Of the first cycle: farthest, as different from each other as possible; "
        "random.",
    )
    later: str = setting(
        "uncertain",
        "Of later cycles: uncertain, where the committee disagrees most; farthest; "
        "random.",
    )
    candidates: int = setting(2000, "Frames held in memory while choosing.")
    cutoff: float = setting(6.0, "Å, reach of the comparison of two frames.")
    separation: float = setting(
        0.5, "Least distance of two chosen frames, in units of the median distance."
    )
    apart: float = setting(
        20.0, "Least time between a chosen frame and any test frame or other one, fs."
    )

    def __post_init__(self) -> None:
        """Check values once."""
        choice("choice.first", self.first, ("farthest", "random"))
        choice("choice.later", self.later, ("uncertain", "farthest", "random"))
        require(self.candidates >= 2, "choice.candidates", "2 or more", self.candidates)
        require(self.cutoff > 0, "choice.cutoff", "above 0 Å", self.cutoff)
        require(
            0 <= self.separation < 2, "choice.separation", "0 to 2", self.separation
        )
        require(self.apart >= 0, "choice.apart", "0 or more", self.apart)

    def selection(self, method: str, count: int, seed: int) -> SelectionSettings:
        """As the selection of a campaign takes it."""
        return SelectionSettings(
            method, count, seed, max(self.candidates, count), self.cutoff,
            self.separation,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class SpectraSettings:
    """How spectra are made of what the networks say."""

    resolution: float = setting(20.0, "Width at half maximum of a sharp line, cm^-1.")
    window: str = setting("gaussian", "Lag window.")
    min_wavenumber: float = setting(
        50.0, "Begin of the range that is judged, cm^-1; the spectra begin at 0."
    )
    max_wavenumber: float = setting(4500.0, "End of the spectra, cm^-1.")
    experiment: str = setting(
        "", "Experiment whose bands stand in the report, as water; empty: none."
    )

    def __post_init__(self) -> None:
        """Check values once."""
        choice("spectra.window", self.window, tuple(WINDOWS))
        require(self.resolution > 0, "spectra.resolution", "above 0", self.resolution)
        require(
            0 <= self.min_wavenumber < self.max_wavenumber,
            "spectra.min_wavenumber",
            "from 0 to less than max_wavenumber",
            self.min_wavenumber,
        )


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


def settings_text(kind: str) -> str:
    """A commented settings file with every setting, for one kind of code.

    Raises:
        SettingsError: the kind is unknown.
    """
    sections = [*_SECTIONS.items()]
    names = [name for name, _ in sections]
    sections.insert(names.index("fields"), ("code", settings_class(kind)))
    text = reference_text(sections)
    heading = next(line for line in text.splitlines() if line.startswith("[code]"))
    text = text.replace(heading, f'{heading}\nkind = "{kind}"', 1)
    text = text.replace("[clusters]", "# [clusters]", 1)  # empty, it would cut them
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
    try:
        table = tomllib.loads(read_plain(path, _LARGEST).decode())
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path} is not readable as TOML: {error}.") from error
    known = (*_SECTIONS, "code")
    for name, section in table.items():
        if name not in known:
            raise SettingsError(f"{path}: {unknown_name('section', name, known)}")
        if not isinstance(section, dict):
            raise SettingsError(
                f"{path}: '{name}' must be a section [{name}], but is {section!r}."
            )
    if "code" not in table:
        raise SettingsError(
            f'{path}: the section [code] is missing; begin it with kind = "cp2k".'
        )
    read: dict[str, Any] = {
        name: read_section(cls, name, table.get(name, {}), path.parent)
        for name, cls in _SECTIONS.items()
        if name != "clusters" or name in table
    }
    return Settings(path=path, code_table=table["code"], **{"clusters": None, **read})
