"""Sections of a settings file of autotrain: what is learned, from what, and how."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field
from pathlib import Path
from typing import Final

from mimyria.reference.selection import SelectionSettings
from mimyria.settings.fields import about, choice, require, setting
from mimyria.spectra.windows import WINDOWS
from mimyria.targets import JOINT

__all__ = [
    "OBSERVABLES",
    "AutotrainSettings",
    "ChoiceSettings",
    "DynamicsSettings",
    "SpectraSettings",
]

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
        "", 'Unit of the velocities where the files do not say it, as "Angstrom/ps".'
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
