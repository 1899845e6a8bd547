"""Settings of the analysis: spectra, how well they must be known, groups of atoms."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from mimyria.errors import SettingsError
from mimyria.settings.fields import about, check_limits, require, setting

__all__ = ["ConvergenceSettings", "GroupsSettings", "SpectrumSettings"]

GROUPS = (
    "species",
    "molecules",
    "solute",
    "custom",
    "intra",
    "motion",
    "shells",
    "none",
)
_NEEDED = {
    "solute": ("solute",),
    "custom": ("select",),
    "shells": ("around", "borders"),
}
WINDOWS = ("gaussian", "hann", "bohman", "parzen", "blackman-harris")


@dataclass(frozen=True, slots=True)
class SpectrumSettings:
    """What is made of the time series. None of it touches the journal."""

    temperature: float | None = setting(
        None,
        "Temperature of the run in K; without it the mean kinetic one is taken.",
        above=0,
        wanted="above zero",
    )
    resolution: float = setting(
        10.0,
        "Full width at half maximum of a sharp line in the spectrum, in cm^-1.",
        above=0,
        wanted="above zero",
    )
    window: str = setting(
        "gaussian",
        'Window: "gaussian", "hann", "bohman", "parzen" or "blackman-harris".',
        options=WINDOWS,
    )
    max_lag: float | None = setting(
        None,
        "Longest time lag in fs; without it what the resolution needs.",
        above=0,
        wanted="above zero",
    )
    max_wavenumber: float = setting(
        4000.0,
        "Highest wavenumber of interest in cm^-1; a stride too long is refused.",
        above=0,
        wanted="above zero",
    )
    refresh: float = setting(
        30.0,
        "Seconds between two updates of spectrum.h5 during the run.",
        above=0,
        wanted="above zero",
    )
    plots: bool = setting(True, "Draw ir.png and raman.png at the end.")

    def __post_init__(self) -> None:
        """Check limits."""
        check_limits("spectrum", self)


@dataclass(frozen=True, slots=True)
class GroupsSettings:
    """Groups of atoms whose parts of the spectra are kept; fixed by the first frame."""

    kind: str = setting(
        "species",
        'By "species", by formula of the "molecules", "solute" and solvent, "custom", '
        '"intra" (within and between molecules), "motion" (molecules travel, turn and '
        'vibrate), "shells" around a solute or "none" (smallest journal, but no sum '
        "rules).",
        options=GROUPS,
        needs=_NEEDED,
    )
    solute: tuple[str, ...] = setting(
        (), 'solute: formulas of the solute, as ["O4S"], in Hill\'s order.'
    )
    select: tuple[str, ...] = setting(
        (),
        'custom: lines "NAME: element H", "NAME: molecule H2O", "NAME: index 0-5 9" or '
        '"NAME: id 1-6"; the first that fits counts, other atoms are the rest.',
    )
    probes: int = setting(
        4,
        "intra: random-sign probes, 72 bytes each a frame; with a power of two that is "
        "not below the number of molecules the parts are exact.",
        least=1,
        most=4096,
    )
    velocity_probes: int = setting(
        0,
        "Random-sign probes of the velocity spectrum of each element, 24 bytes each "
        "a frame; 4 are usual, 0: no velocity spectra.",
        least=0,
        most=4096,
    )
    around: str | None = setting(
        None,
        'shells: formula of the solute, as "O4S", or "element Na", "index 0-4" or '
        '"id 1-5"; the nearest of these atoms counts.',
    )
    borders: tuple[float, ...] = setting(
        (), "shells: rising distances in Å, as [3.5, 5.5], from centres of mass."
    )
    width: float = setting(
        0.5, "shells: how wide in Å a molecule goes over from one to the next.", above=0
    )
    bond_factor: float = setting(
        1.25,
        "Longest bond in units of the sum of the covalent radii.",
        least=0.5,
        most=3,
    )

    def __post_init__(self) -> None:
        """Check limits."""
        check_limits("groups", self)
        if self.velocity_probes and self.kind == "none":
            raise SettingsError(
                'groups.velocity_probes needs groups, but groups.kind is "none". Take '
                'groups.kind = "species", or groups.velocity_probes = 0.'
            )
        rising = all(a < b for a, b in pairwise((0.0, *self.borders)))
        require(rising, "groups.borders", "above 0 and rising", list(self.borders))
        for kind, names in _NEEDED.items():
            for name in names:
                if bool(getattr(self, name)) != (self.kind == kind):
                    raise SettingsError(
                        f'groups.{name} and groups.kind = "{kind}" belong together: '
                        "give both or neither."
                    )


@dataclass(frozen=True, slots=True)
class ConvergenceSettings:
    """How well the spectra have to be known, and whether that ends the run."""

    ir: float = setting(
        0.03, "Wanted relative error of the IR; 0: it does not count.", least=0, below=1
    )
    raman: float = setting(
        0.05,
        "Wanted relative error of the VV Raman; 0: it does not count.",
        least=0,
        below=1,
    )
    bands: tuple[str, ...] = setting(
        (),
        'Ranges in cm^-1 that each have to reach it, as ["1500-1800", "2800-3900"]; '
        "without them the whole spectrum.",
    )
    stop: bool = setting(
        False, "End the run (code 0) when all are reached at two looks in a row."
    )
    exit_file: Path | None = field(
        default=None,
        metadata=about(
            "File to make then, so that the engine ends, too: EXIT of i-PI, or what a "
            "fix halt of LAMMPS looks for."
        ),
    )

    def __post_init__(self) -> None:
        """Check limits."""
        check_limits("convergence", self)
        if self.stop and not self.targets:
            raise SettingsError(
                "convergence.stop needs something to reach: give convergence.ir, "
                "convergence.raman, or both."
            )
        if self.exit_file is not None and not self.stop:
            raise SettingsError(
                "convergence.exit_file belongs to convergence.stop = true: give both "
                "or neither."
            )
        _ = self.ranges

    @property
    def targets(self) -> dict[str, float]:
        """Wanted errors by the name of the spectrum."""
        targets = {"ir": self.ir, "raman_vv": self.raman}
        return {name: value for name, value in targets.items() if value > 0}

    @property
    def ranges(self) -> tuple[tuple[float, float], ...]:
        """The bands as numbers, cm⁻¹."""
        return tuple(_range(band) for band in self.bands)


def _range(text: str) -> tuple[float, float]:
    """`1500-1800` as two numbers."""
    low, _, high = text.partition("-")
    try:
        band = (float(low), float(high))
    except ValueError:
        band = (0.0, 0.0)
    if not 0 <= band[0] < band[1] < math.inf:
        raise SettingsError(
            "convergence.bands must be ranges in cm^-1 with the lower end first, as "
            f'"1500-1800", but one is "{text}".'
        )
    return band
