"""The response tensors a network can learn, as a table: order, symmetry, unit.

A target is defined by its formula in the notation of `e3nn.io.CartesianTensor`; the
index order and the unit are those of the whole program and stand in every file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mimyria.errors import UnitError
from mimyria.units import APT_UNIT, PGT_UNIT

__all__ = ["APT", "PGT", "TARGETS", "Target", "target_by_name"]


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
