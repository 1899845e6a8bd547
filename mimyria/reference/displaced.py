"""Tensors of displaced atoms: what a check found, kept with the frame it belongs to.

They travel with a set, so that whoever reads it can hold the fitted tensors against
them again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mimyria.errors import FormatError
from mimyria.frame import Array
from mimyria.reference.agreement import CheckResult, agreement
from mimyria.reference.finite_field import FieldFit

__all__ = ["DisplacedTensors"]


@dataclass(frozen=True, slots=True, eq=False)
class DisplacedTensors:
    """Tensors of some atoms of a frame, from moving them.

    Attributes:
        atoms: which were moved, counted from 0.
        step: how far, Å.
        tolerance: of the largest difference to the tensors by fields, relative to the
            largest element.
        apt: (n_moved, 3, 3) e; None where not computed.
        pgt: (n_moved, 3, 3, 3) e² a0² Eh⁻¹ Å⁻¹; None where not computed.

    Source: docs/theory.md, eq. (27), (28).
    """

    atoms: tuple[int, ...]
    step: float
    tolerance: float
    apt: Array | None = None
    pgt: Array | None = None

    def compared(self, name: str, fit: FieldFit) -> CheckResult:
        """Both routes held against each other.

        Args:
            name: of the frame.
            fit: its tensors by fields.
        """
        index = list(self.atoms)
        pairs = [("apt", fit.apt, self.apt), ("pgt", fit.pgt, self.pgt)]
        agreements = [
            agreement(tensor, by_fields[index], by_moving, self.tolerance)
            for tensor, by_fields, by_moving in pairs
            if by_fields is not None and by_moving is not None
        ]
        return CheckResult(name, self.atoms, tuple(agreements))

    def as_arrays(self) -> dict[str, Array]:
        """Plain arrays, ready for an npz file."""
        arrays = {
            "displaced_atoms": np.array(self.atoms),
            "displaced_step": np.array(self.step),
            "displaced_tolerance": np.array(self.tolerance),
        }
        if self.apt is not None:
            arrays["displaced_apt"] = self.apt
        if self.pgt is not None:
            arrays["displaced_pgt"] = self.pgt
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> DisplacedTensors | None:
        """Inverse of `as_arrays`; None where there is nothing.

        Raises:
            FormatError: the arrays do not belong together.
        """
        if "displaced_atoms" not in arrays:
            return None
        try:
            found = cls(
                tuple(map(int, arrays["displaced_atoms"])),
                float(arrays["displaced_step"]),
                float(arrays["displaced_tolerance"]),
                arrays.get("displaced_apt"),
                arrays.get("displaced_pgt"),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise FormatError(
                f"tensors of displaced atoms are incomplete ({error})."
            ) from error
        for name, tensors in (("apt", found.apt), ("pgt", found.pgt)):
            if tensors is not None and len(tensors) != len(found.atoms):
                raise FormatError(
                    f"displaced_{name} has {len(tensors)} tensors of "
                    f"{len(found.atoms)} atoms."
                )
        return found
