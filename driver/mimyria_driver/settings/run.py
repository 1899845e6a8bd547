"""Section [run]: where a run lives and how it behaves."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mimyria.settings.fields import about as _about
from mimyria.settings.fields import check_limits as _check_limits
from mimyria.settings.fields import setting as _setting

__all__ = ["RunSettings"]


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
        16,
        "Frames taken from the engine before it has to wait for the networks.",
        least=1,
        most=4096,
    )
    patience: float = _setting(
        0.0,
        "Seconds without a frame after which the run ends (code 75); 0: never.",
        least=0,
        wanted="0 or more seconds",
    )
    report: float = _setting(
        10.0,
        "Seconds between two lines of progress where there is no terminal.",
        above=0,
        wanted="a positive time in s",
    )

    snapshot: float = _setting(
        300.0,
        "Seconds between two snapshots of the correlators, which make a start after a "
        "long run quick; 0: none.",
        least=0,
        wanted="0 or more seconds",
    )

    def __post_init__(self) -> None:
        """Check limits."""
        _check_limits("run", self)
