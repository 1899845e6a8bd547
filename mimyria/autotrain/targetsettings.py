"""Settings of what is wanted: how small errors must be, and of which spectra."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from mimyria.autotrain.components import KINDS
from mimyria.autotrain.judging import Band, Targets
from mimyria.errors import SettingsError
from mimyria.settings.fields import choice, require, setting

__all__ = ["TargetSettings"]

_BAND: Final = re.compile(r"(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)")


@dataclass(frozen=True, slots=True)
class TargetSettings:
    """When the spectra are good enough; may be changed at any time."""

    ir: float = setting(0.05, "Error of the APT, as the spectrum feels it.")
    raman: float = setting(0.07, "Error of the PGT, as the spectrum feels it.")
    change: float = setting(
        0.25, "Change of a spectrum from cycle to cycle, as a part of the error above."
    )
    statistical_share: float = setting(
        0.5, "Error of the model, as a part of the statistical error of the spectrum."
    )
    level: float = setting(0.95, "Part of the claimed errors that should hold.")
    raman_kind: str = setting(
        "raman_iso", "The Raman spectrum that is judged: raman_iso, _vv or _aniso."
    )
    bands: tuple[str, ...] = setting(
        (), 'Ranges of wavenumbers for the table, as ["1500-1800", "3000-3800"].'
    )

    def __post_init__(self) -> None:
        """Check values once."""
        for name in ("ir", "raman", "change", "statistical_share"):
            value = getattr(self, name)
            require(value > 0, f"targets.{name}", "above 0", value)
        require(0.5 < self.level < 1, "targets.level", "between 0.5 and 1", self.level)
        choice("targets.raman_kind", self.raman_kind, KINDS["raman"])
        self._ranges()

    def targets(self) -> Targets:
        """As the judge takes them."""
        return Targets(
            {"ir": self.ir, "raman": self.raman},
            self.change,
            self.statistical_share,
            self.level,
            self._ranges(),
            {"raman": self.raman_kind},
        )

    def _ranges(self) -> tuple[Band, ...]:
        found = []
        for text in self.bands:
            match = _BAND.fullmatch(text.strip())
            low, high = (float(x) for x in match.groups()) if match else (1.0, 0.0)
            if not low < high:
                raise SettingsError(
                    "targets.bands must hold ranges of wavenumbers such as "
                    f"'3000-3800', but one is '{text}'."
                )
            found.append((low, high))
        return tuple(found)
