"""Domain sums: what the processes of an engine add up, each over its own atoms.

Sums are kept for each kind of atoms (an element and a mass). Those of all processes
added up say all that a sample needs, the acoustic sum rule included, which takes from
each atom what is left over of all; no process has to know the tensors of another.

    one row for each kind, (WIDTH,):
    count                              n
    velocity, velocity_square          Σ v (3), Σ v²
    apt_moved, apt_sum, apt_square     Σ P v (3), Σ P (9), Σ‖P‖²
    pgt_moved, pgt_sum                 Σ Q v (9), Σ Q (27)
    pgt_square, iso_square             Σ‖Q‖², Σ‖Tr Q / 3‖²

What belongs to a tensor that is not there is NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mimyria.contributions import Layout, Sample
from mimyria.currents import Currents, to_voigt
from mimyria.errors import ShapeError
from mimyria.frame import Array
from mimyria.groups import Grouping, Indices
from mimyria.tensors import Tensors

__all__ = ["PARTS", "WIDTH", "DomainSums", "SumRule", "domain_sums"]

_SIZES: Final = {
    "count": 1,
    "velocity": 3,
    "velocity_square": 1,
    "apt_moved": 3,
    "apt_sum": 9,
    "apt_square": 1,
    "pgt_moved": 9,
    "pgt_sum": 27,
    "pgt_square": 1,
    "iso_square": 1,
}
PARTS: Final = tuple(_SIZES)
"""Names of the quantities, in the order of the columns."""

WIDTH: Final = sum(_SIZES.values())
"""Numbers in the row of one kind."""

_ENDS: Final = np.cumsum(list(_SIZES.values()))
_COLUMNS: Final = {
    name: slice(int(end) - size, int(end))
    for (name, size), end in zip(_SIZES.items(), _ENDS, strict=True)
}


_TARGETS: Final = ("apt", "pgt")


@dataclass(frozen=True, slots=True, eq=False)
class SumRule:
    """What must be taken from the tensors of each kind so that their sum is right.

    Attributes:
        apt: (n_kinds,) — share of an atom of each kind in what is left over of the
            APT; None where no rule is kept.
        pgt: (n_kinds,) — the same of the PGT.
        charge: total charge, e.
    """

    apt: Array | None = None
    pgt: Array | None = None
    charge: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class DomainSums:
    """Sums over some atoms, or over all.

    Attributes:
        rows: (n_kinds, WIDTH) — see the head of this module; Å, fs, e, a.u.
    """

    rows: Array

    def __post_init__(self) -> None:
        """Check the shape once."""
        if self.rows.ndim != 2 or self.rows.shape[1] != WIDTH:
            raise ShapeError(
                f"domain sums must have the shape (n_kinds, {WIDTH}), but have "
                f"{self.rows.shape}."
            )

    def part(self, name: str) -> Array:
        """(n_kinds,) or (n_kinds, size) — the columns of one quantity; a view."""
        columns = self.rows[:, _COLUMNS[name]]
        return columns[:, 0] if _SIZES[name] == 1 else columns

    def __add__(self, other: DomainSums) -> DomainSums:
        """Those over the atoms of both."""
        return DomainSums(self.rows + other.rows)

    def with_sum_rule(self, rule: SumRule) -> DomainSums:
        """As if the rule had been kept for each atom; of all atoms of a system alone.

        R = Σ_i T_i − wanted, T_i → T_i − w_i R with w_i = s_i / Σ_j s_j, so that
        Σ T v → Σ T v − w R Σ v and Σ‖T‖² → Σ‖T‖² − 2 w R·Σ T + n w² ‖R‖² of each kind.

        Source: docs/theory.md, eq. (95).
        """
        new = DomainSums(self.rows.copy())
        if rule.apt is not None:
            wanted = rule.charge * np.eye(3).ravel()
            new._keep_sum("apt", rule.apt, wanted)
        if rule.pgt is not None:
            new._keep_sum("pgt", rule.pgt, np.zeros(27))
        return new

    def _keep_sum(self, target: str, shares: Array, wanted: Array) -> None:
        counts, sums = self.part("count"), self.part(f"{target}_sum")
        residual = sums.sum(axis=0) - wanted
        weights = shares / (counts @ shares)
        # Residual as a matrix: rows are what moves, columns are how the atoms move.
        moved = self.part("velocity") @ residual.reshape(-1, 3).T
        if target == "pgt":
            trace, left = _traced(sums), _traced(residual)
            self.part("iso_square")[:] += _changed(trace, left, weights, counts)
        self.part(f"{target}_square")[:] += _changed(sums, residual, weights, counts)
        self.part(f"{target}_moved")[:] -= weights[:, np.newaxis] * moved
        sums -= np.outer(weights * counts, residual)

    def sample(
        self, masses: Array, grouping: Grouping | None, kinds: Indices
    ) -> Sample:
        """The sample of a frame.

        Args:
            masses: (n_kinds,) amu — of an atom of each kind.
            grouping: by species alone, or None.
            kinds: (n_kinds,) — species of each kind, as index of `species_names`.
        """
        has = {name: not np.isnan(self.part(f"{name}_sum")).any() for name in _TARGETS}
        moved = self.part("pgt_moved").reshape(-1, 3, 3)
        currents = Currents(
            self.part("apt_moved").sum(axis=0) if has["apt"] else None,
            to_voigt(moved.sum(axis=0)) if has["pgt"] else None,
        )
        if grouping is None:
            return Sample(currents)
        return Sample(currents, self._contributions(masses, grouping, kinds))

    def _contributions(
        self, masses: Array, grouping: Grouping, kinds: Indices
    ) -> Array:
        """The flat vector of `mimyria.contributions`."""
        layout = Layout.of(grouping)
        flat = np.full(layout.size, np.nan)
        rows = flat[np.newaxis]
        shares, sums = layout.currents(rows)[0], layout.sums(rows)[0]
        of_kind = np.concatenate(
            [
                self.part("apt_moved"),
                to_voigt(self.part("pgt_moved").reshape(-1, 3, 3)),
            ],
            axis=1,
        )
        for cell, (_, species) in enumerate(grouping.cells):
            shares[cell] = of_kind[kinds == species].sum(axis=0)
        for species, row in enumerate(sums):
            row[:] = self._sums(kinds == species, masses)
        layout.totals(rows)[0] = self._totals(masses)
        return flat

    def _sums(self, mine: NDArray[np.bool_], masses: Array) -> list[float]:
        """`SUMS` of one species."""
        mass = masses[mine]
        values = [float(mass @ self.part("velocity_square")[mine])]
        for square, tensor in (
            ("apt_square", self.part("apt_sum")),
            ("iso_square", _traced(self.part("pgt_sum"))),
            ("pgt_square", self.part("pgt_sum")),
        ):
            total = tensor[mine].sum(axis=0)
            values += [float((self.part(square)[mine] / mass).sum()), total @ total]
        return values

    def _totals(self, masses: Array) -> list[float]:
        """`TOTALS` of all atoms."""
        apt = self.part("apt_sum").sum(axis=0)
        pgt = self.part("pgt_sum").sum(axis=0)
        trace = _traced(pgt)
        momentum = masses @ self.part("velocity")
        return [
            float(np.trace(apt.reshape(3, 3))) / 3.0,
            apt @ apt,
            trace @ trace,
            pgt @ pgt,
            momentum @ momentum / float(masses @ self.part("count")),
            float(self.part("apt_square").sum()),
            float(self.part("pgt_square").sum()),
        ]


def domain_sums(
    velocities: Array, kinds: Indices, n_kinds: int, tensors: Tensors
) -> DomainSums:
    """Sums over the atoms of one process.

    Args:
        velocities: (n_atoms, 3) Å/fs.
        kinds: (n_atoms,) — kind of each atom, from 0.
        n_kinds: kinds of the whole system.
        tensors: of these atoms.
    """
    each = np.full((len(kinds), WIDTH), np.nan)
    each[:, _COLUMNS["count"]] = 1.0
    each[:, _COLUMNS["velocity"]] = velocities
    each[:, _COLUMNS["velocity_square"]] = _squares(velocities)
    if tensors.apt is not None:
        apt = tensors.apt.reshape(-1, 9)
        moved = np.einsum("iab,ib->ia", tensors.apt, velocities)
        each[:, _COLUMNS["apt_moved"]] = moved
        each[:, _COLUMNS["apt_sum"]] = apt
        each[:, _COLUMNS["apt_square"]] = _squares(apt)
    if tensors.pgt is not None:
        symmetric = 0.5 * (tensors.pgt + tensors.pgt.swapaxes(1, 2))
        moved = np.einsum("iabc,ic->iab", symmetric, velocities)
        pgt = symmetric.reshape(-1, 27)
        each[:, _COLUMNS["pgt_moved"]] = moved.reshape(-1, 9)
        each[:, _COLUMNS["pgt_sum"]] = pgt
        each[:, _COLUMNS["pgt_square"]] = _squares(pgt)
        each[:, _COLUMNS["iso_square"]] = _squares(_traced(pgt))
    rows = np.stack([each[kinds == kind].sum(axis=0) for kind in range(n_kinds)])
    rows[:, _absent(tensors)] = np.nan  # also where there is no atom
    return DomainSums(rows)


def _absent(tensors: Tensors) -> NDArray[np.bool_]:
    """(WIDTH,) — which columns belong to a tensor that is not there."""
    missing = {"apt": tensors.apt is None, "pgt": tensors.pgt is None}
    missing["iso"] = missing["pgt"]
    flags = [missing.get(name[:3], False) for name in _SIZES]
    return np.repeat(flags, list(_SIZES.values()))


def _squares(values: Array) -> Array:
    """(n, 1) — squares of rows (n, m)."""
    squares: Array = np.square(values).sum(axis=1, keepdims=True)
    return squares


def _traced(pgt: Array) -> Array:
    """(..., 3) — Tr Q / 3 of (..., 27)."""
    shaped = pgt.reshape(*pgt.shape[:-1], 3, 3, 3)
    trace: Array = np.einsum("...aac->...c", shaped) / 3.0
    return trace


def _changed(sums: Array, residual: Array, weights: Array, counts: Array) -> Array:
    """What the sum of squares of each kind gains when w R is taken from each atom."""
    gained: Array = weights**2 * counts * (residual @ residual) - 2.0 * weights * (
        sums @ residual
    )
    return gained
