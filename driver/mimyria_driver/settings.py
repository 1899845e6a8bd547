"""Settings: `run.toml` as frozen dataclasses, one per concern.

This module knows names, types and limits; it opens no file that a setting names. Every
setting has a default (or is required) and one sentence, and `reference()` prints them.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field
from pathlib import Path
from typing import Any

from mimyria.errors import SettingsError
from mimyria.settings.fields import about as _about
from mimyria.settings.fields import choice as _choice
from mimyria.settings.fields import require as _require
from mimyria.settings.fields import setting as _setting
from mimyria.settings.reader import (
    kind_of,
    read_section,
    reference_text,
    unknown_name,
)
from mimyria.userfunctions import is_user_function
from mimyria_driver.settings_analysis import (
    ConvergenceSettings,
    GroupsSettings,
    SpectrumSettings,
)

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = [
    "PYTHON",
    "ConvergenceSettings",
    "GroupsSettings",
    "ModelsSettings",
    "RunSettings",
    "Settings",
    "SourceSettings",
    "SpectrumSettings",
    "load_settings",
    "parse_settings",
    "reference",
]

KINDS = ("lammps", "ipi", "replay")
DEVICES = ("auto", "cpu", "cuda")
PYTHON = "python:"
"""Before a model that is a function of the user's and no file."""


@dataclass(frozen=True, slots=True)
class RunSettings:
    """Where the run lives and how it behaves."""

    directory: Path = field(
        default=Path("spectrum"),
        metadata=_about(
            "Folder of journal and results; made if absent, continued if not."
        ),
    )
    credit: int = _setting(
        16, "Frames taken from the engine before it has to wait for the networks."
    )
    patience: float = _setting(
        0.0, "Seconds without a frame after which the run ends (code 75); 0: never."
    )
    report: float = _setting(
        10.0, "Seconds between two lines of progress where there is no terminal."
    )

    def __post_init__(self) -> None:
        """Check limits."""
        _require(1 <= self.credit <= 4096, "run.credit", "from 1 to 4096", self.credit)
        _require(self.patience >= 0, "run.patience", "0 or more seconds", self.patience)
        _require(self.report > 0, "run.report", "a positive time in s", self.report)


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """Where the frames come from."""

    kind: str = _setting(MISSING, 'What sends frames: "lammps", "ipi" or "replay".')
    endpoint: str | None = _setting(
        None,
        'lammps: where the hook connects, "ipc://PATH" or "tcp://127.0.0.1:PORT"; '
        "without it the socket engine in run.directory.",
    )
    address: str | None = _setting(
        None, 'ipi: the ffsocket, as "unix:NAME" or "HOST:PORT".'
    )
    path: Path | None = field(
        default=None,
        metadata=_about(
            "replay: trajectory with velocities: extxyz, LAMMPS dump, H5MD; also .gz, "
            ".xz, .zst."
        ),
    )
    more: tuple[str, ...] = _setting(
        (), "replay: further trajectories of the same atoms; no pair crosses over."
    )
    format: str | None = _setting(
        None, 'replay: "extxyz", "lammps" or "h5md", where the ending does not say it.'
    )
    types: tuple[str, ...] = _setting(
        (), 'replay: elements of the types of a dump, as ["1=O", "2=H"].'
    )
    elements: tuple[str, ...] = _setting(
        (), "ipi: element symbols of all atoms in order (or give structure)."
    )
    structure: Path | None = field(
        default=None,
        metadata=_about(
            "ipi: a file of the same atoms that ASE can read (or give elements)."
        ),
    )
    time_step: float | None = _setting(
        None, "ipi, replay: MD time step in fs; LAMMPS says it itself."
    )
    stride: int = _setting(
        1, "ipi, replay: MD steps from one frame to the next; LAMMPS says it itself."
    )

    velocities_unit: str | None = _setting(
        None, "replay: unit of the velocities, where the file does not say it."
    )

    def __post_init__(self) -> None:
        """Check what the kind of source needs."""
        _choice("source.kind", self.kind, KINDS)
        needed = {
            "lammps": (),
            "ipi": ("address", "time_step"),
            "replay": ("path", "time_step"),
        }[self.kind]
        for name in needed:
            if getattr(self, name) is None:
                raise SettingsError(
                    f'source.{name} is missing: a source of kind "{self.kind}" needs '
                    f"{' and '.join(needed)}. Add it under [source]."
                )
        if self.kind == "ipi" and bool(self.elements) == bool(self.structure):
            raise SettingsError(
                "i-PI does not say which atoms it has: give either source.elements or "
                "source.structure."
            )
        _require(
            self.time_step is None or self.time_step > 0,
            "source.time_step",
            "a positive time in fs",
            self.time_step,
        )
        _require(self.stride >= 1, "source.stride", "1 or more", self.stride)


@dataclass(frozen=True, slots=True)
class ModelsSettings:
    """The networks. Without one of them its spectra are left out."""

    apt: str | None = _setting(
        None,
        "Model of the atomic polar tensors (IR): a file, a shipped name, or "
        '"python:module:function", which gives another source of them.',
    )
    pgt: str | None = _setting(
        None, "Model of the polarizability gradients (Raman), likewise."
    )
    search: Path = field(
        default=Path("."),
        metadata=_about('Folder where the module of "python:..." is looked for.'),
    )
    joint: str | None = _setting(
        None, "A model of both, evaluated once for the two; instead of apt and pgt."
    )
    device: str = _setting("auto", '"cpu", "cuda", or "auto": CUDA where there is one.')
    threads: int = _setting(
        1,
        "CPU threads of the networks, on cores that the engine leaves free: threads "
        "that share a core wait for each other; 0 leaves the choice to torch.",
    )
    batch: int = _setting(
        1,
        "Most frames evaluated at once; more is faster on a GPU, but then the last "
        "digits depend on how frames arrive.",
    )
    charge: float = _setting(
        0.0, "Total charge of the system in e, for models that keep the sum rule."
    )
    uncertain_above: float = _setting(
        2.0,
        "Committees: a frame is uncertain in which they disagree about an atom so many "
        "times as much as about any they were trained or tested on.",
    )
    keep_uncertain: int = _setting(
        50,
        "Most uncertain frames to keep in uncertain.extxyz, at least 0.5 ps apart; 0: "
        "none.",
    )

    def __post_init__(self) -> None:
        """Check limits."""
        if self.joint is not None:
            _require(
                {self.apt, self.pgt} <= {None, self.joint},
                "models.joint",
                "alone, without models.apt and models.pgt",
                self.joint,
            )
            for name in ("apt", "pgt"):
                object.__setattr__(self, name, self.joint)
        if self.apt is None and self.pgt is None:
            raise SettingsError(
                "There is nothing to calculate: give models.apt (IR), models.pgt "
                "(Raman), or both."
            )
        for name, model in (("apt", self.apt), ("pgt", self.pgt)):
            if model is not None and model.startswith(PYTHON):
                _require(
                    is_user_function(model.removeprefix(PYTHON)),
                    f"models.{name}",
                    'of the form "python:module:function"',
                    repr(model),
                )
        device = self.device.split(":")[0]
        _choice("models.device", device, DEVICES)
        _require(self.threads >= 0, "models.threads", "0 or more", self.threads)
        _require(1 <= self.batch <= 4096, "models.batch", "from 1 to 4096", self.batch)
        above, most = self.uncertain_above, self.keep_uncertain
        _require(above > 0, "models.uncertain_above", "positive", above)
        _require(most >= 0, "models.keep_uncertain", "0 or more", most)


@dataclass(frozen=True, slots=True)
class Settings:
    """All sections of a `run.toml`."""

    source: SourceSettings
    models: ModelsSettings
    run: RunSettings = field(default_factory=RunSettings)
    spectrum: SpectrumSettings = field(default_factory=SpectrumSettings)
    convergence: ConvergenceSettings = field(default_factory=ConvergenceSettings)
    groups: GroupsSettings = field(default_factory=GroupsSettings)


_SECTIONS: dict[str, type[Any]] = {
    "run": RunSettings,
    "source": SourceSettings,
    "models": ModelsSettings,
    "spectrum": SpectrumSettings,
    "convergence": ConvergenceSettings,
    "groups": GroupsSettings,
}


def load_settings(path: Path) -> Settings:
    """Read a `run.toml`; relative paths in it start from its own folder.

    Raises:
        SettingsError: names the file, and the setting where it is one.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(
            f"{path}: cannot be read ({error.strerror or error})."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
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
        if name not in _SECTIONS:
            raise SettingsError(unknown_name("section", name, _SECTIONS))
        if not isinstance(section, Mapping):
            raise SettingsError(
                f"[{name}] must be a section, but is {kind_of(section)}. "
                f"Write [{name}] on a line of its own."
            )
    sections: dict[str, Any] = {
        name: read_section(cls, name, document.get(name, {}), folder)
        for name, cls in _SECTIONS.items()
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
    return reference_text(_SECTIONS.items())


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
