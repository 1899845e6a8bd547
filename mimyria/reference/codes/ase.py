"""Any ASE calculator that takes a homogeneous field, by a function of the user.

The function stands in a module of the user's, `factory = "mycalc:make"`:

    def make(field):
        return SomeCalculator(electric_field=field)

* `field` is an array of three numbers in V/Å, zero for the point at zero field.
* What it returns is an ASE calculator whose forces (eV/Å) are −∂F/∂R at fixed field of
  the electric enthalpy F(R, E) = E0 − M·E − …: a field along +x pushes a positive
  charge along +x. The push on the nuclei is part of them.
* Its dipole moment (e Å), if it has one, belongs to the same origin as the field. In a
  periodic cell it may lie on any branch.
* It is asked for one configuration only; each point gets a new calculator. Its
  `directory` is set to the folder of the point.

The module is looked for in `search`, then where Python looks.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from mimyria.errors import CalculationError, SettingsError, one_line
from mimyria.frame import Array, Frame
from mimyria.reference.codes.common import (
    WithSettings,
    identity_text,
    imported,
)
from mimyria.reference.codes.protocol import SinglePoint
from mimyria.settings.fields import about, require, setting
from mimyria.units import (
    ANGSTROM_PER_BOHR,
    EV_PER_HARTREE,
    VOLT_PER_ANGSTROM_PER_ATOMIC_FIELD,
)
from mimyria.userfunctions import UserFunction, is_user_function

__all__ = ["AseCode", "AseSettings"]

_HARTREE_PER_BOHR: Final = ANGSTROM_PER_BOHR / EV_PER_HARTREE  # of 1 eV/Å


@dataclass(frozen=True, slots=True)
class AseSettings:
    """Any ASE calculator that takes a field, made by a function of yours."""

    factory: str = setting(
        MISSING, '"module:function", called with the field in V/Å; gives a calculator.'
    )
    charge: int = setting(0, "Charge of every frame, e, as the calculator has it.")
    search: Path = field(
        default=Path("."), metadata=about("Folder where the module is looked for.")
    )

    def __post_init__(self) -> None:
        """Check the form of the name."""
        require(
            is_user_function(self.factory),
            "code.factory",
            'of the form "module:function"',
            repr(self.factory),
        )


class AseCode(WithSettings[AseSettings]):
    """`Code` by a calculator of ASE, in this process."""

    name = "ASE"

    @property
    def identity(self) -> str:
        """See `Code.identity`; the text of the module counts, its place does not."""
        text = identity_text("ase", self._settings, "search")
        digest = self._function.sha256()
        return text if digest is None else f"{text} sha256:{digest}"

    def version(self) -> str:
        """See `Code.version`: of ASE, and of the module if it says one."""
        found = f"ase {imported('ase', 'ase').__version__}"
        try:
            module = self._function.module()
        except SettingsError as error:
            raise CalculationError(str(error)) from error
        own = getattr(module, "__version__", None)
        return f"{found}, {module.__name__} {own}" if own else found

    def check(self, frame: Frame) -> None:
        """See `Code.check`."""
        calculator = self._calculator(np.zeros(3))
        known = getattr(calculator, "implemented_properties", ["forces"])
        if "forces" not in known:
            raise SettingsError(
                f"code.factory = '{self._settings.factory}' gives a calculator without "
                f"forces; it has {', '.join(known)}."
            )

    def single_point(
        self, frame: Frame, field: Array, folder: Path, guess: Path | None
    ) -> SinglePoint:
        """See `Code.single_point`; the calculator starts as it likes."""
        calculator = self._calculator(VOLT_PER_ANGSTROM_PER_ATOMIC_FIELD * field)
        if hasattr(calculator, "directory"):
            calculator.directory = str(folder)
        atoms = imported("ase", "ase").Atoms(
            frame.numbers,
            frame.positions,
            cell=frame.cell,
            pbc=frame.pbc,
            calculator=calculator,
        )
        has_dipole = "dipole" in getattr(calculator, "implemented_properties", ())
        # Foreign code may raise anything; one bad point must not end the others.
        try:
            forces = np.array(atoms.get_forces(), dtype=np.float64)
            energy = float(atoms.get_potential_energy())
            dipole = np.array(atoms.get_dipole_moment()) if has_dipole else None
        except Exception as error:
            raise CalculationError(
                f"the calculator of '{self._settings.factory}' stopped: "
                f"{type(error).__name__}: {one_line(error)}."
            ) from error
        return SinglePoint(
            field=np.array(field, dtype=np.float64),
            forces=_HARTREE_PER_BOHR * forces,
            energy=energy / EV_PER_HARTREE,
            dipole=dipole,
            quantum=_quantum(frame) if has_dipole else None,
        )

    @property
    def _function(self) -> UserFunction:
        return UserFunction(
            self._settings.factory, self._settings.search, "code.factory", "code.search"
        )

    def _calculator(self, field: Array) -> Any:  # noqa: ANN401
        """A new calculator; `field` in V/Å."""
        calculator = self._function.call(field, given="a field in V/Å")
        if not hasattr(calculator, "get_forces"):
            raise SettingsError(
                f"code.factory = '{self._settings.factory}' must return a calculator "
                f"of ASE, but gave {type(calculator).__name__}."
            )
        return calculator


def _quantum(frame: Frame) -> Array | None:
    """Rows by which a dipole moment is undetermined; zero where nothing repeats."""
    if not any(frame.pbc):
        return None
    rows: Array = np.where(np.array(frame.pbc)[:, None], frame.cell, 0.0)
    return rows
