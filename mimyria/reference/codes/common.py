"""What several codes need: checks of molecules, packages that may be missing."""

from __future__ import annotations

import dataclasses
import importlib
import json
from types import ModuleType
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from mimyria.errors import CalculationError, SettingsError
from mimyria.frame import Frame

__all__ = [
    "WithSettings",
    "identity_text",
    "imported",
    "require_electrons",
    "require_molecule",
]


class _Charged(Protocol):
    @property
    def charge(self) -> int: ...


S = TypeVar("S", bound=_Charged)


class WithSettings(Generic[S]):
    """A code whose settings say the charge; its package is loaded when it is needed."""

    def __init__(self, settings: S) -> None:
        """Take note of the settings."""
        self._settings = settings

    @property
    def charge(self) -> int:
        """See `Code.charge`."""
        return self._settings.charge


def identity_text(kind: str, settings: Any, *without: str) -> str:  # noqa: ANN401
    """Settings as one line of JSON that does not depend on the order of fields.

    Args:
        kind: of the code.
        settings: a dataclass.
        without: fields that do not change the numbers.
    """
    values = {
        field.name: getattr(settings, field.name)
        for field in dataclasses.fields(settings)
        if field.name not in without
    }
    return json.dumps({"kind": kind, **values}, sort_keys=True)


def imported(module: str, package: str) -> ModuleType:
    """A module of a package that is installed only where it is wanted.

    Args:
        module: such as `pyscf.dft`.
        package: the extra of mimyria that brings it.

    Raises:
        CalculationError: it is not installed, or does not load.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise CalculationError(
            f"the package {package} cannot be loaded ({error}). Install it with: "
            f"pip install 'mimyria[{package}]'"
        ) from error


def require_molecule(frame: Frame, name: str) -> None:
    """Refuse a frame that repeats along any direction.

    Raises:
        SettingsError: says what else can be done.
    """
    if any(frame.pbc):
        axes = ", ".join(axis for axis, on in zip("abc", frame.pbc, strict=True) if on)
        raise SettingsError(
            f"{name} computes molecules and clusters here, but the frame repeats along "
            f'{axes}. Write pbc="F F F" into the file if it is a molecule in a box; '
            'take code.kind = "cp2k" for a periodic cell.'
        )


def require_electrons(numbers: NDArray[np.int64], charge: int, spin: int) -> None:
    """Refuse a charge and a spin that do not fit the number of electrons.

    Args:
        numbers: (n_atoms,) atomic numbers.
        charge: of the whole, e.
        spin: number of unpaired electrons.

    Raises:
        SettingsError: says which spins are possible.
    """
    n_electrons = int(numbers.sum()) - charge
    if n_electrons < max(spin, 1):
        raise SettingsError(
            f"code.charge = {charge} and code.spin = {spin} leave {n_electrons} "
            f"electrons to nuclei of charge {int(numbers.sum())}."
        )
    if (n_electrons - spin) % 2:
        wanted = "odd" if n_electrons % 2 else "even"
        raise SettingsError(
            f"code.spin counts unpaired electrons and must be {wanted} for "
            f"{n_electrons} electrons (charge {charge}), but is {spin}."
        )
