"""tblite: molecules by the tight-binding methods GFN1-xTB and GFN2-xTB.

Its homogeneous field is E·r of atomic charges and dipoles at the positions as they are,
without any Berry phase: periodic frames are refused, because no such field belongs to
them. Field and dipole moment have the same origin, that of the positions; the dipole
moment of a charged molecule depends on it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from mimyria.errors import CalculationError, SettingsError, one_line
from mimyria.frame import Array, Frame
from mimyria.reference.codes.common import (
    WithSettings,
    identity_text,
    imported,
    require_electrons,
    require_molecule,
)
from mimyria.reference.codes.protocol import SinglePoint
from mimyria.settings.fields import choice, require, setting
from mimyria.units import (
    ANGSTROM_PER_BOHR,
    BOHR_PER_ANGSTROM,
    HARTREE_PER_KELVIN,
)

__all__ = ["TbliteCode", "TbliteSettings"]

_METHODS: Final = ("GFN1-xTB", "GFN2-xTB")
_HEAVIEST: Final = 86
_WAVE_FUNCTION: Final = "wavefunction.npz"
_LOG: Final = "tblite.log"


@dataclass(frozen=True, slots=True)
class TbliteSettings:
    """Tight binding of molecules, by tblite."""

    method: str = setting(MISSING, '"GFN1-xTB" or "GFN2-xTB".')
    charge: int = setting(0, "Charge of every frame, e.")
    spin: int = setting(0, "Unpaired electrons of every frame.")
    accuracy: float = setting(
        1e-4, "Thresholds in tblite's unit; 1 is its default, too loose for a PGT."
    )
    temperature: float = setting(300.0, "Temperature of the electrons, K.")
    max_iterations: int = setting(
        250, "Iterations after which a calculation has failed."
    )

    def __post_init__(self) -> None:
        """Check what needs no frame."""
        choice("code.method", self.method, _METHODS)
        require(self.spin >= 0, "code.spin", "0 or more", self.spin)
        require(self.accuracy > 0, "code.accuracy", "above 0", self.accuracy)
        require(self.temperature > 0, "code.temperature", "above 0", self.temperature)
        require(
            self.max_iterations > 0,
            "code.max_iterations",
            "above 0",
            self.max_iterations,
        )


class TbliteCode(WithSettings[TbliteSettings]):
    """`Code` by tblite, in this process; its threads are those of OMP_NUM_THREADS."""

    name = "tblite"

    @property
    def identity(self) -> str:
        """See `Code.identity`."""
        return identity_text("tblite", self._settings)

    def version(self) -> str:
        """See `Code.version`."""
        return ".".join(map(str, imported("tblite.library", "tblite").get_version()))

    def check(self, frame: Frame) -> None:
        """See `Code.check`."""
        require_molecule(frame, self.name)
        if int(frame.numbers.max()) > _HEAVIEST:
            raise SettingsError(
                f"{self._settings.method} ends with element {_HEAVIEST}, but the frame "
                f"has element {int(frame.numbers.max())}."
            )
        require_electrons(frame.numbers, self._settings.charge, self._settings.spin)

    def single_point(
        self, frame: Frame, field: Array, folder: Path, guess: Path | None
    ) -> SinglePoint:
        """See `Code.single_point`."""
        with (folder / _LOG).open("w", encoding="utf-8") as log:
            try:
                result = self._solve(
                    frame, field, guess, lambda text: print(text, file=log)
                )
                result.save(str(folder / _WAVE_FUNCTION))
                return SinglePoint(
                    field=np.array(field, dtype=np.float64),
                    forces=-np.array(result.get("gradient"), dtype=np.float64),
                    energy=float(result.get("energy")),
                    dipole=ANGSTROM_PER_BOHR * np.array(result.get("dipole")),
                )
            except (RuntimeError, ValueError) as error:
                if isinstance(error, CalculationError):
                    raise
                raise CalculationError(f"tblite stopped: {one_line(error)}.") from error

    def _solve(
        self,
        frame: Frame,
        field: Array,
        guess: Path | None,
        logger: Callable[[str], None],
    ) -> Any:  # noqa: ANN401
        settings = self._settings
        interface = imported("tblite.interface", "tblite")
        calculator = interface.Calculator(
            settings.method,
            frame.numbers,
            BOHR_PER_ANGSTROM * frame.positions,
            charge=float(settings.charge),
            uhf=settings.spin,
            color=False,
            logger=logger,
        )
        calculator.set("accuracy", settings.accuracy)
        calculator.set("temperature", HARTREE_PER_KELVIN * settings.temperature)
        calculator.set("max-iter", settings.max_iterations)
        # A list: tblite 0.8 takes no array here.
        calculator.add("electric-field", [float(value) for value in field])
        start = None
        if guess is not None:
            start = interface.Result()
            start.load(str(guess / _WAVE_FUNCTION))
            n_atoms = len(start.get("charges"))
            if n_atoms != frame.n_atoms:
                raise CalculationError(
                    f"the wave function at zero field has {n_atoms} atoms, but this "
                    f"frame has {frame.n_atoms}: it belongs to another frame."
                )
        return calculator.singlepoint(start)
