"""Experiments: band positions and intensities that ship with the program.

Each is a TOML file of this folder, with a source and a status for every number. Nothing
here is used to fit or to correct anything; it stands beside the result of a run.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib import resources

from mimyria.errors import SettingsError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["Experiment", "ExperimentalBand", "experiment_names", "load_experiment"]

_SUFFIX = ".toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentalBand:
    """One band as an experiment has it.

    Attributes:
        name: such as `bend`.
        spectrum: the spectrum of a result that it belongs to.
        low: lower end of the range that holds the band, cm⁻¹.
        high: upper end of that range, cm⁻¹.
        source: key of `Experiment.sources`.
        status: `table` (computed from a published table) or `memory` (quoted from
            memory; not for tests).
        position: maximum of the absorption or of the scattering, cm⁻¹.
        height: α n there, cm⁻¹.
        integral: of α n over the range, cm⁻².
        absorption: α there, cm⁻¹.
        n: refractive index there.
        k: extinction coefficient there.
        note: what to keep in mind.
    """

    name: str
    spectrum: str
    low: float
    high: float
    source: str
    status: str
    position: float | None = None
    height: float | None = None
    integral: float | None = None
    absorption: float | None = None
    n: float | None = None
    k: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Experiment:
    """What is known of one substance.

    Attributes:
        name: key, such as `water`.
        title: substance and conditions.
        temperature: K.
        volume: Å³ per molecule.
        f_sum: Σ‖P‖²/m in e²/amu per molecule that the total absorption amounts to.
        sources: publications by key.
        bands: all bands, in the order of the file.
    """

    name: str
    title: str
    temperature: float
    volume: float
    f_sum: float
    sources: dict[str, str]
    bands: tuple[ExperimentalBand, ...]


def experiment_names() -> list[str]:
    """Names that `load_experiment` knows."""
    files = (item.name for item in resources.files(__name__).iterdir())
    return sorted(n.removesuffix(_SUFFIX) for n in files if n.endswith(_SUFFIX))


def load_experiment(name: str) -> Experiment:
    """The experiment of a name, such as `water`.

    Raises:
        SettingsError: there is none of this name.
    """
    known = experiment_names()
    if name not in known:
        raise SettingsError(
            f"there is no experiment '{name}'; known are: {', '.join(known)}. "
            "Give a file (.csv, .jdx) for any other."
        )
    text = resources.files(__name__).joinpath(name + _SUFFIX).read_text("utf-8")
    document = tomllib.loads(text)
    bands = tuple(ExperimentalBand(**band) for band in document.pop("bands"))
    return Experiment(name=name, bands=bands, **document)
