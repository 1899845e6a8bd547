"""Settings of the network: the architecture, and nothing about data or training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final

from mimyria.errors import SettingsError
from mimyria.targets import APT, JOINT, PGT, targets_by_name

__all__ = ["PRESETS", "RADIAL_BASES", "SUM_RULES", "NetworkSettings", "preset"]

SUM_RULES: Final = ("report", "project", "built in")
RADIAL_BASES: Final = ("bessel", "bumps")


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """Architecture of a tensor network.

    Attributes:
        channels: number of hidden features for l = 0, 1, …; its length is lmax + 1.
        lmax_sphere: highest l of the spherical harmonics of an edge.
        parity: "both" keeps features of either parity, "natural" only those with
            parity (−1)^l.
        n_layers: number of convolutions; the last one makes the output.
        cutoff: radius of the neighbourhood, Å.
        n_radial: number of radial basis functions.
        radial_width: hidden units of the network that makes radial weights.
        pair_radials: radial weights depend on the species of both atoms.
        sum_rule: what is done about the acoustic sum rules: "report" how far they are
            broken, "project" finished predictions so that they hold, or "built in",
            so that the network already learns with them.
        radial_basis: "bessel" for damped waves, "bumps" for smooth functions around
            equally spaced distances.
        weighed_messages: messages are multiplied by a scalar that an atom makes of
            them, where there is a self-connection beside them.
        embedding_channels: scalars that stand for a species; None for `channels[0]`.
    """

    channels: tuple[int, ...]
    lmax_sphere: int
    parity: str
    n_layers: int
    cutoff: float
    n_radial: int
    radial_width: int
    pair_radials: bool = False
    sum_rule: str = "report"
    radial_basis: str = "bessel"
    weighed_messages: bool = False
    embedding_channels: int | None = None

    def __post_init__(self) -> None:
        """Check values once."""
        _require(
            len(self.channels) > 0 and min(self.channels) > 0,
            f"channels must be positive numbers for each l, but are {self.channels}.",
        )
        _require(
            self.parity in ("both", "natural"),
            f"parity must be 'both' or 'natural', but is '{self.parity}'.",
        )
        _require(
            self.sum_rule in SUM_RULES,
            f"sum_rule must be one of {list(SUM_RULES)}, but is '{self.sum_rule}'.",
        )
        _require(
            self.radial_basis in RADIAL_BASES,
            f"radial_basis must be one of {list(RADIAL_BASES)}, but is "
            f"'{self.radial_basis}'.",
        )
        for name in ("n_layers", "n_radial", "radial_width", "embedding_width"):
            value = getattr(self, name)
            _require(value > 0, f"{name} must be at least 1, but is {value}.")
        _require(self.cutoff > 0, f"cutoff must be positive, but is {self.cutoff} Å.")
        _require(
            self.lmax_sphere >= 0,
            f"lmax_sphere must not be negative: {self.lmax_sphere}.",
        )

    @property
    def lmax(self) -> int:
        """Highest l of the hidden features."""
        return len(self.channels) - 1

    @property
    def embedding_width(self) -> int:
        """Number of scalars that stand for a species."""
        return (
            self.channels[0]
            if self.embedding_channels is None
            else self.embedding_channels
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON.

        What came later is left out where it has its default, so that files, digests and
        checkpoints of such networks are those of before.
        """
        defaults = {field.name: field.default for field in fields(self)}
        values = asdict(self)
        said = {
            key: value
            for key, value in values.items()
            if key not in _LATER or value != defaults[key]
        }
        return {**said, "channels": list(self.channels)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> NetworkSettings:
        """Inverse of `as_dict`.

        Raises:
            SettingsError: a key is unknown or missing.
        """
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(values) - known)
        _require(
            not unknown,
            f"Unknown network settings {unknown}; known are {sorted(known)}.",
        )
        try:
            return cls(**{**values, "channels": tuple(values.get("channels", ()))})
        except TypeError as error:
            raise SettingsError(f"Network settings are incomplete: {error}.") from error


# Settings that older files do not have.
_LATER: Final = ("radial_basis", "weighed_messages", "embedding_channels")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise SettingsError(message)


_REFERENCE: Final = NetworkSettings(
    channels=(20, 10, 6, 5),
    lmax_sphere=3,
    parity="both",
    n_layers=3,
    cutoff=6.0,
    n_radial=10,
    radial_width=100,
)
_COMPACT: Final = NetworkSettings(
    channels=(16, 16, 8, 4),
    lmax_sphere=3,
    parity="natural",
    n_layers=3,
    cutoff=4.0,
    n_radial=8,
    radial_width=32,
    pair_radials=True,
)
PRESETS: Final = {
    ("reference", APT.name): _REFERENCE,
    ("reference", PGT.name): replace(_REFERENCE, channels=(40, 20, 13, 10)),
    # Narrower than that of the PGT: about 0.6 of the cost of the two networks.
    ("reference", JOINT): replace(_REFERENCE, channels=(32, 16, 12, 8)),
    ("compact", APT.name): _COMPACT,
    ("compact", PGT.name): _COMPACT,
    ("compact", JOINT): _COMPACT,
}


def preset(name: str, learns: str) -> NetworkSettings:
    """Look up a preset.

    Args:
        name: `reference` or `compact`.
        learns: `apt`, `pgt` or `joint`.

    Raises:
        SettingsError: there is no such preset.
        UnitError: there is no such target.
    """
    targets_by_name(learns)
    try:
        return PRESETS[name, learns]
    except KeyError:
        known = ", ".join(sorted({key for key, _ in PRESETS}))
        raise SettingsError(
            f"Unknown preset '{name}'; known presets: {known}."
        ) from None
