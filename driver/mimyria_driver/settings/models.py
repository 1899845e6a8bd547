"""Section [models]: the networks, and where they are evaluated."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mimyria.errors import SettingsError
from mimyria.settings.fields import about as _about
from mimyria.settings.fields import choice as _choice
from mimyria.settings.fields import require as _require
from mimyria.settings.fields import setting as _setting
from mimyria.userfunctions import is_user_function

__all__ = ["PYTHON", "ModelsSettings"]

_PLACES = ("driver", "engine")
_DEVICES = ("auto", "cpu", "cuda")
PYTHON = "python:"
"""Before a model that is a function of the user's and no file."""


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
    where: str = _setting(
        "driver",
        'Who asks the networks about the frames: the "driver", or the "engine", each '
        "MPI rank of LAMMPS about its own atoms (docs/large.md).",
    )
    device: str = _setting("auto", '"cpu", "cuda", or "auto": CUDA where there is one.')
    threads: int = _setting(
        1,
        "CPU threads of the networks, on cores that the engine leaves free: threads "
        "that share a core wait for each other; 0 leaves the choice to torch.",
    )
    batch: int = _setting(
        1,
        "Frames evaluated at once, by step: k B to k B + B - 1 strides; more is faster "
        "on a GPU. A batch is cut short only where nothing more comes.",
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
    canary: int = _setting(
        1000,
        "Batches after which the example of each model has to come out as before, to "
        "the bit; 0: never.",
    )
    canary_seconds: float = _setting(
        300.0, "Longest time between two such checks, while there are frames."
    )
    first_load: float = _setting(
        300.0,
        "Seconds that a deployed file unknown to this machine gets to answer its "
        "example in a sandbox; 0: none is tried there.",
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
        if self.where == "engine":
            # A canary speaks of samples of the driver's own device.
            object.__setattr__(self, "canary", 0)
        for name, model in (("apt", self.apt), ("pgt", self.pgt)):
            if model is not None and model.startswith(PYTHON):
                _require(
                    is_user_function(model.removeprefix(PYTHON)),
                    f"models.{name}",
                    'of the form "python:module:function"',
                    repr(model),
                )
        _choice("models.where", self.where, _PLACES)
        device = self.device.split(":")[0]
        _choice("models.device", device, _DEVICES)
        _require(self.threads >= 0, "models.threads", "0 or more", self.threads)
        _require(1 <= self.batch <= 4096, "models.batch", "from 1 to 4096", self.batch)
        seconds, first = self.canary_seconds, self.first_load
        _require(self.canary >= 0, "models.canary", "0 or more", self.canary)
        _require(seconds > 0, "models.canary_seconds", "a positive time in s", seconds)
        _require(first >= 0, "models.first_load", "0 or more seconds", first)
        above, most = self.uncertain_above, self.keep_uncertain
        _require(above > 0, "models.uncertain_above", "positive", above)
        _require(most >= 0, "models.keep_uncertain", "0 or more", most)
