"""Evaluation of one subdomain: what the networks of a rank say of its own atoms.

It knows models and arrays, no engine and no socket. A sum rule is not kept here, since
it speaks of all atoms: shares go to the driver, which keeps it when it has all sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from mimyria.data.subdomain import Subdomain
from mimyria.domainsums import domain_sums
from mimyria.errors import ModelError
from mimyria.frame import Array
from mimyria.models import TensorModel, load_model
from mimyria.targets import columns_of
from mimyria.tensors import Tensors, joined
from mimyria.uncertainty import Calibration, excesses, spread
from mimyria_driver.lammps.summing import pack_sums

__all__ = ["LocalNetworks"]


class LocalNetworks:
    """The models of a run, asked about the atoms of one process.

    Attributes:
        reach: how far from its own atoms a process has to know the others, Å.
    """

    def __init__(self, names: Sequence[str], elements: Sequence[str]) -> None:
        """Load the models.

        Args:
            names: files or names, together with at most one model for each target.
            elements: symbol of each kind of atoms.

        Raises:
            ModelError: a model cannot be used here, or elements are unknown to it.
        """
        if not names:
            raise ModelError("mimyria_domain needs the file or name of a model.")
        self._models = [load_model(name) for name in names]
        self._numbers = np.array([atomic_numbers[_common(each)] for each in elements])
        for model in self._models:
            _require_usable(model)
        targets = [name for each in self._models for name in each.metadata.target_names]
        if len(set(targets)) < len(targets):
            raise ModelError(
                f"Each target may have one model, but {', '.join(names)} give "
                f"{', '.join(targets)}."
            )
        self.reach = max(model.metadata.reach for model in self._models)

    def models(self) -> dict[str, dict[str, Any]]:
        """What the card of the run says of them."""
        return {
            target: {
                "sha256": model.metadata.sha256,
                "shares": self._shares(model, target),
            }
            for model in self._models
            for target in model.metadata.target_names
        }

    def sums(
        self, kinds: NDArray[np.int64], positions: Array, velocities: Array
    ) -> bytes:
        """What the atoms of this process add up to.

        Args:
            kinds: (n_atoms,) — from 0; ghosts behind the owned atoms.
            positions: (n_atoms, 3) Å.
            velocities: (n_owned, 3) Å/fs.
        """
        n_owned = len(velocities)
        subdomain = Subdomain(self._numbers[kinds], positions, n_owned)
        tensors, excess = [], 0.0
        for model in self._models:
            members = model.predict_owned(subdomain)
            tensors.append(Tensors.from_columns(members.mean(axis=0), model.targets))
            excess = max(excess, _excess(model, members, subdomain.numbers[:n_owned]))
        n_kinds = len(self._numbers)
        sums = domain_sums(velocities, kinds[:n_owned], n_kinds, joined(tensors))
        return pack_sums(sums, excess)

    def _shares(self, model: TensorModel, target: str) -> list[float] | None:
        """Of each kind; all components of a target have the same."""
        if model.shares is None:
            return None
        column = columns_of(model.targets)[target].start
        species = np.array(model.metadata.species)
        places = np.searchsorted(species, self._numbers).clip(max=len(species) - 1)
        of_kind = np.where(
            species[places] == self._numbers, model.shares[places, column], 0.0
        )
        return [float(share) for share in of_kind]


def _common(symbol: str) -> str:
    """Deuterium is an element to nobody but the hook."""
    return "H" if symbol == "D" else symbol


def _require_usable(model: TensorModel) -> None:
    """Refuse what one process cannot answer alone."""
    metadata = model.metadata
    if metadata.members > 1 and model.shares is not None:
        raise ModelError(
            f"'{metadata.name}' is a committee that keeps the sum rule: how far its "
            "members disagree depends on all atoms, and a rank knows its own. Use "
            "models.where = \"driver\", or a model with sum_rule = 'report'."
        )


def _excess(model: TensorModel, members: Array, numbers: NDArray[np.int64]) -> float:
    """Largest disagreement about an own atom, as `mimyria.uncertainty` has it."""
    largest = 0.0
    columns = columns_of(model.targets)
    for name, values in model.metadata.uncertainty.items():
        known = Calibration.from_dict(values).largest
        sizes = spread(members[:, :, columns[name]])
        largest = max(largest, float(excesses(sizes, numbers, known).max(initial=0.0)))
    return largest
