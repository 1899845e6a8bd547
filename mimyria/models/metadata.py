"""ModelMetadata: all that a model file says about its network, as plain values.

Readable without torch and without building the network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from mimyria.data.scaling import Scaling
from mimyria.errors import MimyriaError, ModelError
from mimyria.models.keys import FORMAT_VERSION
from mimyria.models.settings import NetworkSettings
from mimyria.targets import TARGETS, Target

__all__ = ["DTYPES", "UPGRADES", "ModelMetadata"]

DTYPES: Final = ("float32", "float64")

_CONVENTION: Final = ("unit", "order", "formula")

Values = dict[str, Any]


def _one_target_to_several(values: Values) -> Values:
    """Version 1 knew one target, and wrote its errors without the name."""
    named = {key: values[key] for key in ("formula", "unit", "order")}
    target = values["target"]
    errors = {part: {target: errors} for part, errors in values["errors"].items()}
    kept = {key: values[key] for key in values if key not in {"target", *named}}
    return {**kept, "targets": [{"name": target, **named}], "errors": errors}


def _one_network_to_several(values: Values) -> Values:
    """Version 2 knew single networks only."""
    return {**values, "members": 1, "uncertainty": {}}


UPGRADES: Final[dict[int, Callable[[Values], Values]]] = {
    1: _one_target_to_several,
    2: _one_network_to_several,
}
"""For each old format version n the function that makes version n + 1 of its values."""


@dataclass(frozen=True, slots=True, eq=False)
class ModelMetadata:
    """What a model is, what it was trained on, and how good it is.

    Attributes:
        name: short name for people and journals.
        targets: the tensors it predicts, with units and index orders.
        settings: architecture.
        species: sorted atomic numbers that it knows.
        n_neighbours: mean number of neighbours in the training data.
        scaling: shift and scale in irreps, those of all targets side by side.
        dtype: arithmetic of the network, "float32" or "float64".
        description: one paragraph for the model card.
        limitations: what the model is not for, one sentence each.
        training: data file, its digest, frames, settings of the training.
        errors: for each part of the data and each target by name, see
            `mimyria.training.metrics`.
        versions: of the programs that trained it.
        members: networks of a committee; 1 for a single network.
        uncertainty: of a committee, for each target by name, see
            `mimyria.training.calibration`.
        sha256: digest of the model's content; the same for the model file and all
            files deployed from it. Empty until the model is written.
    """

    name: str
    targets: tuple[Target, ...]
    settings: NetworkSettings
    species: tuple[int, ...]
    n_neighbours: float
    scaling: Scaling
    dtype: str = "float32"
    description: str = ""
    limitations: tuple[str, ...] = ()
    training: Values = field(default_factory=dict)
    errors: Values = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    members: int = 1
    uncertainty: Values = field(default_factory=dict)
    sha256: str = ""

    @property
    def cutoff(self) -> float:
        """Radius of the neighbourhood, Å."""
        return self.settings.cutoff

    @property
    def reach(self) -> float:
        """How far away an atom may be that the tensors of an atom depend on, Å."""
        return self.settings.n_layers * self.settings.cutoff

    @property
    def target_names(self) -> tuple[str, ...]:
        """Names of the targets."""
        return tuple(target.name for target in self.targets)

    def as_dict(self) -> Values:
        """Plain values, ready for JSON."""
        return {
            "format_version": FORMAT_VERSION,
            "name": self.name,
            "targets": [
                {key: getattr(target, key) for key in ("name", *_CONVENTION)}
                for target in self.targets
            ],
            "dtype": self.dtype,
            "species": list(self.species),
            "cutoff": self.cutoff,
            "settings": self.settings.as_dict(),
            "n_neighbours": self.n_neighbours,
            "scaling": self.scaling.as_dict(),
            "description": self.description,
            "limitations": list(self.limitations),
            "training": self.training,
            "errors": self.errors,
            "versions": self.versions,
            "members": self.members,
            "uncertainty": self.uncertainty,
            "sha256": self.sha256,
        }

    def with_changes(self, **changes: Any) -> ModelMetadata:  # noqa: ANN401
        """A copy with some fields changed."""
        return replace(self, **changes)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelMetadata:
        """Inverse of `as_dict`; upgrades values of older versions.

        Raises:
            ModelError: the values are incomplete, of an unknown version, or in another
                unit or index order than this program's.
        """
        current = _upgraded(dict(values))
        try:
            targets = tuple(_checked_target(each) for each in current["targets"])
            return cls(
                name=str(current["name"]),
                targets=targets,
                settings=NetworkSettings.from_dict(current["settings"]),
                species=tuple(int(z) for z in current["species"]),
                n_neighbours=float(current["n_neighbours"]),
                scaling=Scaling.from_dict(current["scaling"]),
                dtype=_checked_dtype(str(current["dtype"])),
                description=str(current["description"]),
                limitations=tuple(current["limitations"]),
                training=dict(current["training"]),
                errors=dict(current["errors"]),
                versions=dict(current["versions"]),
                members=int(current["members"]),
                uncertainty=dict(current["uncertainty"]),
                sha256=str(current["sha256"]),
            )
        except ModelError:
            raise
        except KeyError as error:
            raise ModelError(f"The model's metadata lack {error}.") from error
        except (MimyriaError, TypeError, ValueError) as error:
            raise ModelError(f"The model's metadata are not usable: {error}") from error


def _upgraded(values: Values) -> Values:
    version = values.get("format_version")
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise ModelError(
            f"The model has format version {version}; this mimyria reads versions up "
            f"to {FORMAT_VERSION}. Use a newer mimyria."
        )
    while version < FORMAT_VERSION:
        if version not in UPGRADES:
            raise ModelError(f"No way is known to read format version {version}.")
        values = UPGRADES[version](values)
        version += 1
    return values


def _checked_target(values: Values) -> Target:
    name = values["name"]
    if name not in TARGETS:
        raise ModelError(
            f"The model predicts '{name}'; this mimyria knows {sorted(TARGETS)}."
        )
    target = TARGETS[name]
    for key in _CONVENTION:
        wanted, found = getattr(target, key), values[key]
        if found != wanted:
            raise ModelError(
                f"The model gives {name} with {key} '{found}', but mimyria works with "
                f"'{wanted}'. Train it again on labels with that {key}."
            )
    return target


def _checked_dtype(dtype: str) -> str:
    if dtype not in DTYPES:
        raise ModelError(f"The model's dtype is '{dtype}'; known are {list(DTYPES)}.")
    return dtype
