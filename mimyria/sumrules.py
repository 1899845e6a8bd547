"""Sum rules: what a sound run must fulfil, whatever it simulates.

Means of squares of currents, of tensors and of kinetic energies are gathered frame by
frame; `SumRules.diagnostics` compares them with what equipartition and translation
demand. None of the rules sees a transposed tensor or frames in a wrong order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mimyria.blockmeans import BlockMeans
from mimyria.contributions import SUMS, TOTALS, VOIGT_WEIGHTS, Layout
from mimyria.diagnostics import Diagnostic
from mimyria.frame import Array
from mimyria.groups import Grouping
from mimyria.units import BOLTZMANN

__all__ = ["SumRules"]

_SQUARES: Final = ("apt", "iso", "pgt")
_TITLES: Final = {"apt": "dipole", "iso": "Raman isotropic", "pgt": "Raman full"}
_TENSORS: Final = {"apt": ("dipole", "e"), "pgt": ("polarizability", "a0^3/Å")}
_LEAST_FRAMES: Final = 400
_FSUM_WRONG: Final = 0.1
_TEMPERATURE_WRONG: Final = 0.2
_SUM_LOOK: Final = 0.02
_SUM_WRONG: Final = 0.2


class SumRules:
    """Running means for the diagnostics of one run."""

    def __init__(self, grouping: Grouping | None) -> None:
        """Begin with no frames.

        Args:
            grouping: of the atoms; None: only mean currents can be checked.
        """
        self._grouping = grouping
        self._layout = Layout.of(grouping)
        n_species = self._layout.n_species
        names = ["J0", "J1", "J2", *(f"A{i}" for i in range(6))]
        if grouping is not None:
            names += [f"total {name}" for name in _SQUARES]
            names += [f"{s} {name}" for s in range(n_species) for name in _SQUARES]
            names += [f"{s} {name}" for s in range(n_species) for name in SUMS]
            names += [f"all {name}" for name in TOTALS]
        self._columns = {name: column for column, name in enumerate(names)}
        self._means = BlockMeans(len(names))

    @property
    def n_frames(self) -> int:
        """Frames so far."""
        return self._means.n_rows

    def push(self, dipole: Array, polarizability: Array, flat: Array | None) -> None:
        """Add frames; the same bits for any cut into calls.

        Args:
            dipole: (n, 3), NaN where absent.
            polarizability: (n, 6), NaN where absent.
            flat: (n, size) contributions, or None without a grouping.
        """
        rows = [dipole, polarizability]
        if self._grouping is not None:
            assert flat is not None
            layout = self._layout
            cells = layout.currents(flat)
            rows.append(_squares(np.concatenate([dipole, polarizability], axis=1)))
            for species in range(layout.n_species):
                rows.append(_squares(self._of_species(cells, species)))
            rows.append(layout.sums(flat).reshape(len(flat), -1))
            rows.append(layout.totals(flat))
        self._means.push(np.concatenate(rows, axis=1))

    def state(self) -> dict[str, NDArray[Any]]:
        """All that is needed to go on; `restore` inverts it."""
        return self._means.state()

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on where `state` was taken, to the bit."""
        self._means.restore(state)

    def diagnostics(self, temperature: float) -> tuple[Diagnostic, ...]:
        """What can be said so far.

        Args:
            temperature: of the ensemble, K.
        """
        if not self.n_frames:
            return ()
        means = dict(zip(self._columns, self._means.mean().tolist(), strict=True))
        found: list[Diagnostic] = []
        if self._grouping is not None:
            sound = False
            for name in _SQUARES:
                if math.isfinite(means[f"total {name}"]):
                    sums = self._f_sums(name, means, temperature, sound)
                    found += sums
                    sound = sound or any(each.verdict == "ok" for each in sums[:1])
            found += self._temperatures(means, temperature)
        for label, name, size in (("dipole", "J", 3), ("polarizability", "A", 6)):
            if math.isfinite(means[f"{name}0"]):
                found.append(self._mean_current(label, name, size, means))
        if self._grouping is not None:
            found += [
                self._translation(name, means)
                for name in _TENSORS
                if math.isfinite(means[f"all {name}_sum"])
            ]
        return tuple(found)

    def _of_species(self, cells: Array, species: int) -> Array:
        """(n, 9) currents of one species, cell after cell."""
        assert self._grouping is not None
        total = np.zeros((len(cells), 9))
        for cell, (_, of_species) in enumerate(self._grouping.cells):
            if of_species == species:
                total += cells[:, cell]
        return total

    def _vector(self, **coefficients: float) -> Array:
        vector = np.zeros(len(self._columns))
        for name, value in coefficients.items():
            vector[self._columns[name]] = value
        return vector

    def _f_sums(
        self, name: str, means: dict[str, float], temperature: float, sound: bool
    ) -> list[Diagnostic]:
        """Ratio of measured and expected mean squares, of all atoms and by species.

        Args:
            name: of the squares.
            means: of all columns.
            temperature: of the ensemble, K.
            sound: the sum of another current of all atoms is as it must be, so that
                velocities and masses are.
        """
        grouping = self._grouping
        assert grouping is not None
        mass = grouping.total_mass
        held = (1.0 - _freedom(means, temperature)) / mass
        thermal = BOLTZMANN * temperature
        everything = {f"{s} {name}_norm": 1.0 for s in range(self._layout.n_species)}
        kinds = [("", f"total {name}", {**everything, f"all {name}_sum": -held})]
        if self._layout.n_species > 1:
            kinds += [
                (
                    f" {label}",
                    f"{s} {name}",
                    {f"{s} {name}_norm": 1.0, f"{s} {name}_sum": -held},
                )
                for s, label in enumerate(grouping.species_names)
            ]
        found = []
        for label, measured, expected in kinds:
            weight = self._vector(**{k: thermal * v for k, v in expected.items()})
            value = self._vector(**{measured: 1.0})
            below = sum(thermal * v * means[k] for k, v in expected.items())
            if not below > 0:
                continue
            ratio = means[measured] / below
            error = self._means.error(value, weight)
            verdict = _judge(ratio - 1.0, error, _FSUM_WRONG, self.n_frames)
            found.append(
                Diagnostic(
                    f"f-sum {_TITLES[name]}{label}",
                    ratio,
                    1.0,
                    error,
                    verdict,
                    _f_sum_sentence(verdict, label.strip() or "the whole", sound),
                )
            )
        return found

    def _temperatures(
        self, means: dict[str, float], temperature: float
    ) -> list[Diagnostic]:
        """Kinetic temperature of each species; all share the loss of the centre."""
        grouping = self._grouping
        assert grouping is not None
        free = _freedom(means, temperature)
        found = []
        for index, label in enumerate(grouping.species_names):
            members = grouping.members[index]
            share = float(grouping.masses[members].sum()) / grouping.total_mass
            degrees = 3.0 * (len(members) - (1.0 - free) * share)
            if not degrees > 0:
                continue
            name = f"{index} kinetic"
            factor = 1.0 / (degrees * BOLTZMANN)
            value = means[name] * factor
            error = self._means.error(self._vector(**{name: factor}))
            verdict = _judge(
                value / temperature - 1.0,
                error / temperature,
                _TEMPERATURE_WRONG,
                self.n_frames,
            )
            sentences = {
                "ok": f"{label} has the temperature of the run.",
                "look": f"{label} is not at the temperature of the run: not yet in "
                "equilibrium, too short to say, or constrained bonds.",
                "wrong": f"{label} has another temperature than the run: look for a "
                "wrong unit of velocities, wrong masses or types, or spectrum."
                "temperature.",
            }
            found.append(
                Diagnostic(
                    f"temperature {label}",
                    value,
                    temperature,
                    error,
                    verdict,
                    sentences[verdict],
                )
            )
        return found

    def _mean_current(
        self, label: str, name: str, size: int, means: dict[str, float]
    ) -> Diagnostic:
        """Largest mean of a component, in units of its own error."""
        ratios = []
        for index in range(size):
            column = f"{name}{index}"
            error = self._means.error(self._vector(**{column: 1.0}))
            ratios.append(abs(means[column]) / error if error > 0 else math.nan)
        value = max(ratios)
        verdict = "ok" if value < 4.0 else "wrong" if value > 12.0 else "look"
        sentence = {
            "ok": "the mean current vanishes, as it must.",
            "look": "the mean current does not vanish within 4 standard errors: too "
            "short, or the system drifts.",
            "wrong": "the mean current does not vanish: the cell drifts, or is charged "
            "and moves as a whole.",
        }[verdict]
        return Diagnostic(f"mean {label} current", value, 0.0, 1.0, verdict, sentence)

    def _translation(self, name: str, means: dict[str, float]) -> Diagnostic:
        """Rms residual of the acoustic sum rule for each atom, and its size."""
        assert self._grouping is not None
        n_atoms = len(self._grouping.masses)
        label, unit = _TENSORS[name]
        components = 9 if name == "apt" else 27
        residual = means[f"all {name}_sum"]
        charge = 0.0
        if name == "apt":
            mean = means["all charge"]
            charge = float(round(mean))
            residual += 3.0 * charge * (charge - 2.0 * mean)
        value = math.sqrt(max(residual, 0.0) / components) / n_atoms
        typical = math.sqrt(means[f"all {name}_square"] / components / n_atoms)
        relative = value / typical if typical > 0 else 0.0
        verdict = (
            "ok"
            if relative < _SUM_LOOK
            else "wrong"
            if relative > _SUM_WRONG
            else "look"
        )
        of_charge = f" for a cell of charge {charge:+.0f}" if name == "apt" else ""
        sentence = (
            f"the model violates translation by {value:.2g} {unit} an atom"
            f"{of_charge}, {relative:.2%} of a typical element"
            + {
                "ok": ".",
                "look": "; its error may be large.",
                "wrong": ": the model does not fit this system, or the units differ.",
            }[verdict]
        )
        return Diagnostic(
            f"translation {label}", value, 0.0, math.nan, verdict, sentence
        )


def _freedom(means: dict[str, float], temperature: float) -> float:
    """How freely the centre of mass moves: 0 where the engine removes its motion."""
    return min(means["all centre"] / (3.0 * BOLTZMANN * temperature), 1.0)


def _squares(currents: Array) -> Array:
    """(n, 3) of (n, 9): J·J, (Tr A/3)², A:A, component after component."""
    squares = np.zeros((len(currents), 3))
    for axis in range(3):
        squares[:, 0] += currents[:, axis] * currents[:, axis]
    trace = (currents[:, 3] + currents[:, 4] + currents[:, 5]) / 3.0
    squares[:, 1] = trace * trace
    for axis, weight in enumerate(VOIGT_WEIGHTS):
        squares[:, 2] += weight * (currents[:, 3 + axis] * currents[:, 3 + axis])
    return squares


def _judge(deviation: float, error: float, wrong: float, n_frames: int) -> str:
    """Verdict on a relative deviation from what is expected."""
    if not math.isfinite(error):
        return "look"
    if abs(deviation) <= 3.0 * error:
        return "ok"
    # In the first frames blocks are too short to know their scatter.
    known = n_frames >= _LEAST_FRAMES or not -0.9 < deviation < 9.0
    if known and abs(deviation) > max(5.0 * error, wrong):
        return "wrong"
    return "look"


def _f_sum_sentence(verdict: str, whose: str, sound: bool) -> str:
    if sound and verdict == "look":
        return (
            f"the current of {whose} is not yet what masses and temperature demand, "
            "while another f-sum is right: too short to say, or motions that do not "
            "yet hold kT."
        )
    if sound and verdict == "wrong":
        return (
            f"the motions that this current of {whose} sees hold more or less than "
            "kT; units and masses are right, since another f-sum is. The heights of "
            "the bands are off by as much: equilibrate longer, or average several "
            "trajectories."
        )
    return {
        "ok": f"currents, masses and temperature of {whose} fit together.",
        "look": f"the currents of {whose} are not yet what masses and temperature "
        "demand: too short, not in equilibrium, or half-step velocities.",
        "wrong": f"the currents of {whose} do not fit masses and temperature: look for "
        "a wrong unit of velocities, wrong masses, exchanged types or half-step "
        "velocities.",
    }[verdict]
