"""What the program asks of an electronic-structure code: forces in a homogeneous field.

A code is anything with the few members of `Code`. It works in a folder of its own, in
which it may leave what it likes; it says what it did by a `SinglePoint`, or raises
`CalculationError` with the reason. It knows no stencil, no tensor and no campaign.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from mimyria.errors import CalculationError, ShapeError
from mimyria.frame import Array, Frame

__all__ = ["Code", "SinglePoint"]


@dataclass(frozen=True, slots=True, eq=False)
class SinglePoint:
    """Result of one converged calculation in one field.

    Attributes:
        field: (3,) a.u. — the field that was really applied.
        forces: (n_atoms, 3) Eh/a0 — of the electric enthalpy, nuclei included.
        energy: electric enthalpy, Eh; None where the code prints none.
        dipole: (3,) e Å — dipole moment of the cell, on the branch the code printed;
            None where it prints none.
        quantum: (3, 3) e Å — rows by which a periodic dipole moment is undetermined;
            None for molecules, whose moment is unique.
    """

    field: Array
    forces: Array
    energy: float | None = None
    dipole: Array | None = None
    quantum: Array | None = None

    def __post_init__(self) -> None:
        """Check shapes and numbers once."""
        if self.field.shape != (3,):
            raise ShapeError(
                f"field must have the shape (3,), but has {self.field.shape}."
            )
        if self.forces.ndim != 2 or self.forces.shape[1] != 3:
            raise ShapeError(
                f"forces must have the shape (n_atoms, 3), but have "
                f"{self.forces.shape}."
            )
        for name in ("field", "forces", "dipole"):
            array = getattr(self, name)
            if array is not None and not np.isfinite(array).all():
                raise CalculationError(f"the code gave a {name} that is not finite.")


class Code(Protocol):
    """Forces, and a dipole moment where there is one, in a homogeneous field."""

    @property
    def name(self) -> str:
        """Name of the code as people write it, `CP2K`."""
        ...

    @property
    def identity(self) -> str:
        """Everything of the settings that changes the numbers, as stable text.

        Its digest goes into the results: two campaigns with the same digest may be
        mixed, others may not. Paths, numbers of threads and the like are left out.
        """
        ...

    @property
    def charge(self) -> int:
        """Total charge of every frame that it computes, e."""
        ...

    def version(self) -> str:
        """Version of the program that will do the work.

        Raises:
            CalculationError: it cannot be found or started.
        """
        ...

    def check(self, frame: Frame) -> None:
        """Refuse, before anything is computed, what cannot work for this frame.

        Raises:
            SettingsError: names the setting, and what to write instead.
        """
        ...

    def single_point(
        self, frame: Frame, field: Array, folder: Path, guess: Path | None
    ) -> SinglePoint:
        """Compute one point.

        Args:
            frame: the configuration.
            field: (3,) a.u. — the wanted field.
            folder: an existing folder for this point alone; what an earlier, broken
                try left there is overwritten.
            guess: folder of the finished point at zero field of the same frame, whose
                wave function is the start of all others; None for that point itself.

        Raises:
            CalculationError: it did not converge, was cut short, or says nonsense. The
                text is one line with the reason, for a person.
        """
        ...
