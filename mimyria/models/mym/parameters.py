"""The hyper-parameters in a `.mym` file, checked, and the settings they mean to us.

Every key must be there, and no other: one that is not known could change what the
numbers mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ase.data import atomic_numbers

from mimyria.errors import ModelError
from mimyria.models.settings import NetworkSettings

__all__ = ["NORMALISATIONS", "MymParameters"]

NORMALISATIONS: Final = ("NORM_NONE", "NORM_LAST", "NORM_IRREPS")

# Hidden units of the networks of radial weights, which no key says.
_RADIAL_WIDTH: Final = 100
# Smallest number of channels of any l where they become fewer with l.
_FEWEST_CHANNELS: Final = 4

# What each number may be: far more than was ever used, and less than fills a machine.
_BOUNDS: Final = {
    "num_radial_basis": (1, 1000),
    "num_features": (1, 4096),
    "num_layers": (0, 64),
    "lmax": (0, 11),
}
_LARGEST: Final = 1e6
_FLAGS: Final = ("equal_num_features_per_channel", "natural_parities_only")
_KEYS: Final = frozenset(
    ("atom_kinds", "radial_cutoff", "num_neighbors", "normalization")
) | {*_BOUNDS, *_FLAGS}


@dataclass(frozen=True, slots=True)
class MymParameters:
    """Architecture and normalisation.

    Attributes:
        elements: symbols, in the order of the network's inputs.
        settings: the architecture.
        n_neighbours: number by which sums over neighbours are normalised; the atom
            itself counts as one.
        normalisation: one of `NORMALISATIONS`.
    """

    elements: tuple[str, ...]
    settings: NetworkSettings
    n_neighbours: float
    normalisation: str

    @property
    def numbers(self) -> tuple[int, ...]:
        """Atomic numbers of `elements`."""
        return tuple(atomic_numbers[symbol] for symbol in self.elements)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> MymParameters:
        """Check the content of `params.json`.

        Raises:
            ModelError: a key is missing or unknown, or a value makes no sense.
        """
        if set(values) != _KEYS:
            missing, unknown = sorted(_KEYS - set(values)), sorted(set(values) - _KEYS)
            raise ModelError(
                f"the parameters are not those that are known: missing {missing}, "
                f"unknown {unknown}."
            )
        for name, (low, high) in _BOUNDS.items():
            value = values[name]
            if type(value) is not int or not low <= value <= high:
                raise _refused(name, value, f"a whole number from {low} to {high}")
        for name in _FLAGS:
            if type(values[name]) is not bool:
                raise _refused(name, values[name], "true or false")
        if values["normalization"] not in NORMALISATIONS:
            raise _refused(
                "normalization", values["normalization"], f"one of {NORMALISATIONS}"
            )
        elements = _elements(values["atom_kinds"])
        return cls(
            elements,
            _settings(values, len(elements)),
            _positive(values, "num_neighbors"),
            values["normalization"],
        )


def _settings(values: Mapping[str, Any], n_elements: int) -> NetworkSettings:
    """The architecture in our words."""
    n_features, lmax = values["num_features"], values["lmax"]
    channels = [
        n_features
        if values["equal_num_features_per_channel"]
        else max(_FEWEST_CHANNELS, n_features // (ell + 1))
        for ell in range(lmax + 1)
    ]
    return NetworkSettings(
        channels=tuple(channels),
        lmax_sphere=lmax,
        parity="natural" if values["natural_parities_only"] else "both",
        n_layers=values["num_layers"] + 1,  # theirs are those with a gate
        cutoff=_positive(values, "radial_cutoff"),
        n_radial=values["num_radial_basis"],
        radial_width=_RADIAL_WIDTH,
        radial_basis="bumps",
        weighed_messages=True,
        embedding_channels=n_elements,
    )


def _elements(symbols: object) -> tuple[str, ...]:
    """Symbols of elements, each once."""
    if not isinstance(symbols, list) or not symbols:
        raise _refused("atom_kinds", symbols, "a list of elements")
    for symbol in symbols:
        if not isinstance(symbol, str) or not atomic_numbers.get(symbol):
            raise _refused(
                "atom_kinds", symbol, "elements; labels of atoms cannot be taken over"
            )
    if len(set(symbols)) < len(symbols):
        raise _refused("atom_kinds", symbols, "elements, each of them once")
    return tuple(symbols)


def _positive(values: Mapping[str, Any], name: str) -> float:
    value = values[name]
    if type(value) not in (int, float) or not 0 < value < _LARGEST:
        raise _refused(name, value, "a positive number")
    return float(value)


def _refused(name: str, value: object, wanted: str) -> ModelError:
    return ModelError(f"the parameter {name} is {value!r}, but must be {wanted}.")
