"""The response tensors a network can learn, as a table: order, symmetry, unit.

A target is defined by its formula in the notation of `e3nn.io.CartesianTensor`; the
index order and the unit are those of the whole program and stand in every file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mimyria.errors import UnitError
from mimyria.units import APT_UNIT, PGT_UNIT

__all__ = [
    "APT",
    "JOINT",
    "PGT",
    "TARGETS",
    "TARGET_SETS",
    "Target",
    "columns_of",
    "target_by_name",
    "targets_by_name",
]


@dataclass(frozen=True, slots=True)
class Target:
    """One kind of response tensor.

    Attributes:
        name: column name in files, `apt` or `pgt`.
        formula: index symmetry, as e3nn writes it.
        order: index order of the stored array.
        unit: unit of the stored array.
        shape: shape for one atom.
        title: what people call it.
    """

    name: str
    formula: str
    order: str
    unit: str
    shape: tuple[int, ...]
    title: str

    @property
    def n_components(self) -> int:
        """Number of components for one atom, symmetric ones counted twice."""
        return int(3 ** len(self.shape))

    @property
    def n_independent(self) -> int:
        """Number of components for one atom, symmetric ones counted once."""
        return self.n_components if self.formula == "ij" else 18


APT: Final = Target("apt", "ij", "dM_a/dr_b", APT_UNIT, (3, 3), "atomic polar tensor")
PGT: Final = Target(
    "pgt",
    "ijk=jik",
    "dalpha_ab/dr_c",
    PGT_UNIT,
    (3, 3, 3),
    "polarizability gradient tensor",
)
TARGETS: Final = {target.name: target for target in (APT, PGT)}

JOINT: Final = "joint"
TARGET_SETS: Final = {
    **{name: (each,) for name, each in TARGETS.items()},
    JOINT: (APT, PGT),
}
"""What one network may learn, by the name that people give it."""


def target_by_name(name: str) -> Target:
    """Look up a target.

    Raises:
        UnitError: there is no such target.
    """
    try:
        return TARGETS[name]
    except KeyError:
        known = ", ".join(sorted(TARGETS))
        raise UnitError(f"Unknown target '{name}'; known targets: {known}.") from None


def targets_by_name(name: str) -> tuple[Target, ...]:
    """Look up what a network learns: one target, or both as `joint`.

    Raises:
        UnitError: there is no such name.
    """
    try:
        return TARGET_SETS[name]
    except KeyError:
        known = ", ".join(sorted(TARGET_SETS))
        raise UnitError(f"Unknown target '{name}'; known are: {known}.") from None


def columns_of(targets: Sequence[Target]) -> dict[str, slice]:
    """Where each target stands when the components of all stand side by side."""
    columns, start = {}, 0
    for target in targets:
        columns[target.name] = slice(start, start + target.n_components)
        start += target.n_components
    return columns
