"""ASE and response tensors: a calculator made of models, a source made of a calculator.

    from mimyria.ase import TensorCalculator

    atoms.calc = TensorCalculator("water-compact-apt", "water-compact-pgt")
    atoms.calc.get_born_effective_charges(atoms)    # (n_atoms, 3, 3) e
    atoms.calc.get_polarizability_gradient(atoms)   # (n_atoms, 3, 3, 3)

ASE has a property `born_effective_charges` and says nothing of its index order. Here it
is ours, `[i, a, b] = ∂M_a/∂r_ib`: the direction of the dipole comes first.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from numpy.typing import NDArray

from mimyria.errors import EvaluatorError, MimyriaError, SettingsError, one_line
from mimyria.frame import Array, Frame
from mimyria.io.atoms import atoms_from_frame, frame_from_atoms
from mimyria.io.layouts import layout_of_order
from mimyria.targets import APT, PGT, Target
from mimyria.tensorsources import (
    ConvertedSource,
    Predictor,
    SourceMetadata,
    TensorSource,
)

__all__ = ["AseTensorSource", "TensorCalculator"]

_PROPERTIES: Final = {
    APT.name: "born_effective_charges",
    PGT.name: "polarizability_gradient",
}


class TensorCalculator(Calculator):
    """APT and PGT as properties of ASE, from one or two models.

    `born_effective_charges` is the APT, (n_atoms, 3, 3) e, [i, a, b] = ∂M_a/∂r_ib;
    `polarizability_gradient` is the PGT, (n_atoms, 3, 3, 3) e² a0² Eh⁻¹ Å⁻¹,
    [i, a, b, c] = ∂α_ab/∂r_ic, which is no property that ASE itself knows. Each is
    computed when it is asked for and kept until positions, cell, elements or
    periodicity change. It gives no energy and no forces.
    """

    def __init__(
        self,
        *models: str | Path | TensorSource,
        device: str = "cpu",
        **options: Any,  # noqa: ANN401 - ASE's own
    ) -> None:
        """Load the models.

        Args:
            *models: at most one a target: files or names of models of ours, or any
                other source of tensors.
            device: for files and names, "cpu", "cuda" or "auto".
            **options: of `ase.calculators.calculator.Calculator`.

        Raises:
            SettingsError: there is no model, or there are two of one target.
            ModelError: a model cannot be used.
        """
        super().__init__(**options)  # type: ignore[no-untyped-call]
        self._sources: dict[str, Predictor] = {}
        for model in models:
            source = _loaded(model, device)
            for target in source.metadata.targets:
                name = _PROPERTIES[target.name]
                if name in self._sources:
                    raise SettingsError(
                        f"Give one model for each target, not two of {name}."
                    )
                self._sources[name] = source
        if not self._sources:
            raise SettingsError(
                "A TensorCalculator needs a model of the APT, of the PGT, or both."
            )
        self.implemented_properties = list(self._sources)
        self.ignored_changes = {"initial_charges", "initial_magmoms"}

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] | None = None,
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """See `Calculator.calculate`; all properties if none is named.

        Raises:
            ModelError: the atoms have elements that a model does not know.
        """
        wanted = self.implemented_properties if properties is None else properties
        super().calculate(  # type: ignore[no-untyped-call]
            atoms, wanted, system_changes
        )
        assert self.atoms is not None
        frame = frame_from_atoms(self.atoms)
        for source in {id(s): s for s in map(self._sources.get, wanted) if s}.values():
            (tensors,) = source.predict([frame])
            # A joint model gives both from one pass.
            for target in source.metadata.targets:
                name = _PROPERTIES[target.name]
                self.results[name] = getattr(tensors, target.name)

    def get_born_effective_charges(self, atoms: Atoms | None = None) -> Array:
        """(n_atoms, 3, 3) e — [i, a, b] = ∂M_a/∂r_ib."""
        return self._get(APT, atoms)

    def get_polarizability_gradient(self, atoms: Atoms | None = None) -> Array:
        """(n_atoms, 3, 3, 3) e² a0² Eh⁻¹ Å⁻¹ — [i, a, b, c] = ∂α_ab/∂r_ic."""
        return self._get(PGT, atoms)

    def _get(self, target: Target, atoms: Atoms | None) -> Array:
        found: Array = self.get_property(  # type: ignore[no-untyped-call]
            _PROPERTIES[target.name], atoms
        )
        return found


class AseTensorSource:
    """A `TensorSource` by a calculator of ASE that gives a tensor as a property.

    Attributes:
        metadata: what it gives.
    """

    def __init__(
        self,
        calculator: Any,  # noqa: ANN401 - whatever ASE takes for one
        property: str,
        order: str,
        unit: str,
        *,
        name: str | None = None,
        species: Sequence[int] | None = None,
        sha256: str = "",
    ) -> None:
        """Take note of what the calculator gives.

        Args:
            calculator: of ASE.
            property: such as `born_effective_charges`; (n_atoms, …), see
                `TensorSource.predict`.
            order: index order of the property; says, too, whether it is APT or PGT.
            unit: unit of the property.
            name: for people; the calculator's own if left out.
            species: atomic numbers that it knows; None: it says itself what it does
                not know.
            sha256: see `SourceMetadata`.

        Raises:
            UnitError: the order is unknown.
        """
        self._calculator = calculator
        self._property = property
        self.metadata = SourceMetadata(
            name or str(getattr(calculator, "name", None) or "calculator of ASE"),
            layout_of_order(order).target,
            order,
            unit,
            None if species is None else tuple(species),
            sha256,
        )

    def predict(self, frames: Sequence[Frame]) -> list[NDArray[Any]]:
        """The property of each frame, as the calculator gives it.

        Raises:
            EvaluatorError: the calculator stopped, or gave nothing.
        """
        return [self._property_of(frame) for frame in frames]

    def _property_of(self, frame: Frame) -> NDArray[Any]:
        atoms = atoms_from_frame(frame)
        try:
            found = self._calculator.get_property(self._property, atoms)
        except MimyriaError:
            raise
        except Exception as error:  # foreign code may raise anything
            raise EvaluatorError(
                f"step {frame.step}: '{self.metadata.name}' stopped at "
                f"{self._property}: {type(error).__name__}: {one_line(error)}."
            ) from error
        if found is None:
            raise EvaluatorError(
                f"step {frame.step}: '{self.metadata.name}' gave no {self._property}."
            )
        return np.asarray(found)


def _loaded(model: str | Path | TensorSource, device: str) -> Predictor:
    """A source in our order and unit."""
    if isinstance(model, (str, Path)):
        from mimyria.models import load_model

        return load_model(model, device)
    return ConvertedSource(model, type(model).__name__)
