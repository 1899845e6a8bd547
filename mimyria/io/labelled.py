"""LabelledFrame: a frame with tensors of all its atoms, or of those that a mask names.

A cluster cut from a liquid has labels of its central molecule only. Which atoms those
are is said by a mask and by nothing else: a number that is not finite is an error, and
never a way to say "no label".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimyria.errors import FormatError, ShapeError
from mimyria.frame import Array, Frame
from mimyria.targets import TARGETS
from mimyria.tensors import Tensors

__all__ = ["LabelledFrame", "Mask", "require_finite_labels", "require_mask"]

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class LabelledFrame:
    """A frame, the tensors that belong to it, and what else its comment line says.

    Attributes:
        frame: positions, cell, velocities.
        tensors: apt and pgt, each None where the file has none. Rows of atoms without
            labels have no meaning; a reader fills them with NaN, so that a sum which
            forgets the mask cannot pass unnoticed.
        info: further `key=value` entries of the comment line.
        masks: by name of the target, (n_atoms,) — which atoms have labels; a target
            that is not named has labels of all atoms.
    """

    frame: Frame
    tensors: Tensors
    info: dict[str, Any] = field(default_factory=dict)
    masks: Mapping[str, Mask] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check once that masks fit the tensors, and that every label is a number."""
        for name in self.masks:
            if name not in TARGETS or getattr(self.tensors, name) is None:
                raise ShapeError(f"there is a mask of {name}, but there is no {name}.")
        for name in TARGETS:
            tensor: Array | None = getattr(self.tensors, name)
            if tensor is None:
                continue
            if len(tensor) != self.frame.n_atoms:
                raise ShapeError(
                    f"{name} must have a row for each of the {self.frame.n_atoms} "
                    f"atoms, but has {len(tensor)}."
                )
            mask = self.labelled(name)
            require_mask(name, mask, self.frame.n_atoms)
            require_finite_labels(name, tensor, mask)

    def labelled(self, name: str) -> Mask:
        """(n_atoms,) — which atoms have labels of this target."""
        mask = self.masks.get(name)
        return np.ones(self.frame.n_atoms, np.bool_) if mask is None else mask


def require_mask(name: str, mask: Mask, n_atoms: int) -> None:
    """Refuse a mask that is not one truth value for each atom.

    Raises:
        ShapeError: its shape or type is another.
    """
    if mask.shape != (n_atoms,) or mask.dtype != np.bool_:
        raise ShapeError(
            f"the mask of {name} must have one truth value for each of the {n_atoms} "
            f"atoms, but is of shape {mask.shape} and type {mask.dtype}."
        )


def require_finite_labels(name: str, labels: Array, mask: Mask) -> None:
    """Refuse labels that are not finite where the mask says that there are labels.

    Raises:
        FormatError: names the first such atom.
    """
    finite = np.isfinite(labels).reshape(len(labels), -1).all(axis=1)
    if (mask & ~finite).any():
        raise FormatError(
            f"{name} of atom {int(np.argmax(mask & ~finite))} is not finite. If the "
            f"atom has no label, say so by a mask (column REF_{name}_mask:L:1)."
        )
