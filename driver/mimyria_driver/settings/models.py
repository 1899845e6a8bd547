"""Section [models]: the networks, and where they are evaluated."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Final

from mimyria.errors import SettingsError
from mimyria.settings.fields import about as _about
from mimyria.settings.fields import check_limits as _check_limits
from mimyria.settings.fields import choice as _choice
from mimyria.settings.fields import require as _require
from mimyria.settings.fields import setting as _setting
from mimyria.userfunctions import is_user_function

__all__ = ["KEEP_UNCERTAIN", "PYTHON", "ModelsSettings"]

KEEP_UNCERTAIN: Final = 50
"""Most uncertain frames to keep."""

_PLACES: Final = ("driver", "engine")
_DEVICES: Final = ("auto", "cpu", "cuda")
_DIGEST: Final = "^\\s*[0-9a-fA-F]{64}\\s*$"
PYTHON = "python:"
"""Before a model that is a function of the user's and no file."""


@dataclass(frozen=True, slots=True)
class ModelsSettings:
    """The networks. Without one of them its spectra are left out."""

    NEEDS_ONE: ClassVar = ("apt", "pgt", "joint")

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
    apt_sha256: str | None = _setting(
        None,
        "SHA-256 of the file of models.apt, as `mimyria info` and `sha256sum` print "
        "it: another file is refused (code 66).",
        pattern=_DIGEST,
    )
    pgt_sha256: str | None = _setting(None, "That of models.pgt.", pattern=_DIGEST)
    joint_sha256: str | None = _setting(None, "That of models.joint.", pattern=_DIGEST)
    where: str = _setting(
        "driver",
        'Who asks the networks about the frames: the "driver", or the "engine", each '
        "MPI rank of LAMMPS about its own atoms (docs/large.md).",
        options=_PLACES,
    )
    device: str = _setting(
        "auto",
        '"cpu", "cuda", or "auto": CUDA where there is one.',
        pattern=f"^({'|'.join(_DEVICES)})(:.*)?$",
    )
    threads: int = _setting(
        1,
        "CPU threads of the networks, on cores that the engine leaves free: threads "
        "that share a core wait for each other; 0 leaves the choice to torch.",
        least=0,
    )
    batch: int = _setting(
        1,
        "Frames evaluated at once, by step: k B to k B + B - 1 strides; more is faster "
        "on a GPU. A batch is cut short only where nothing more comes.",
        least=1,
        most=4096,
    )
    charge: float = _setting(
        0.0, "Total charge of the system in e, for models that keep the sum rule."
    )
    uncertain_above: float = _setting(
        2.0,
        "Committees: a frame is uncertain in which they disagree about an atom so many "
        "times as much as about any they were trained or tested on.",
        above=0,
        wanted="positive",
    )
    keep_uncertain: int = _setting(
        KEEP_UNCERTAIN,
        "Most uncertain frames to keep in uncertain.extxyz, at least 0.5 ps apart; 0: "
        "none.",
        least=0,
    )
    canary: int = _setting(
        1000,
        "Batches after which the example of each model has to come out as before, to "
        "the bit; 0: never.",
        least=0,
    )
    canary_seconds: float = _setting(
        300.0,
        "Longest time between two such checks, while there are frames.",
        above=0,
        wanted="a positive time in s",
    )
    repeat: int = _setting(
        10000,
        "One of so many frames is evaluated twice, with its batch, and has to come out "
        "the same; 0: none.",
        least=0,
    )
    unusual_above: float = _setting(
        8.0,
        "So is a frame whose dipole or polarizability changes so many times as fast as "
        "in the frames before; 0: none.",
        above=1,
        or_zero=True,
    )
    first_load: float = _setting(
        300.0,
        "Seconds that a deployed file unknown to this machine gets to answer its "
        "example in a sandbox; 0: none is tried there.",
        least=0,
        wanted="0 or more seconds",
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
                if self.joint_sha256 is not None:
                    object.__setattr__(self, f"{name}_sha256", self.joint_sha256)
        self._check_digests()
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
        device = self.device.split(":")[0]
        _choice("models.device", device, _DEVICES)
        _check_limits("models", self)

    def _check_digests(self) -> None:
        """A digest belongs to a file, which is named."""
        for name in ("apt", "pgt", "joint"):
            digest, model = getattr(self, f"{name}_sha256"), getattr(self, name)
            if digest is None:
                continue
            setting = f"models.{name}_sha256"
            digest = digest.strip().lower()
            object.__setattr__(self, f"{name}_sha256", digest)
            plain = re.fullmatch("[0-9a-f]{64}", digest) is not None
            _require(plain, setting, "64 hexadecimal digits", f"'{digest}'")
            file = model is not None and not model.startswith(PYTHON)
            _require(file, setting, f"beside a file in models.{name}", f"with {model}")
