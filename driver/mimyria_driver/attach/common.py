"""What a run file says whatever the engine: models, spectra, groups, convergence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from mimyria.errors import FrameError
from mimyria.frame import Array, Frame
from mimyria.molecules import find_molecules, molecule_formulas
from mimyria_driver.attach.elements import UNKNOWN
from mimyria_driver.attach.plan import Plan, Written
from mimyria_driver.attach.sampling import (
    LONGEST_STEP,
    SHORTEST_RUN,
    fastest_vibration,
    resolution_for,
    stride_for,
)
from mimyria_driver.attach.shipped import fitting_models
from mimyria_driver.checks import longest_interval

__all__ = ["Timing", "formulas_of", "plan_analysis", "plan_models", "plan_run"]

_MOST_FORMULAS = 12


@dataclass(frozen=True, slots=True)
class Timing:
    """Times of a run.

    Attributes:
        time_step: fs; None: not known.
        steps: of the production run; None: not known.
        stride: steps from one frame to the next.
        max_wavenumber: cm⁻¹.
        why: of the stride, for people.
    """

    time_step: float | None
    steps: int | None
    stride: int
    max_wavenumber: float
    why: str

    @classmethod
    def of(
        cls, time_step: float | None, steps: int | None, elements: Collection[str]
    ) -> Timing:
        """Choose the stride."""
        fastest, reason = fastest_vibration(elements)
        if time_step is None:
            why = (
                "the time step is not known, so each step is looked at: right, but "
                "slow. A frame every 2 fs is enough with hydrogen"
            )
            return cls(None, steps, 1, fastest, why)
        stride = stride_for(time_step, fastest)
        why = (
            f"{stride} x {time_step:g} fs = {stride * time_step:g} fs between two "
            f"frames, the longest taken is {longest_interval(fastest):.2f} fs; {reason}"
        )
        return cls(time_step, steps, stride, fastest, why)

    @property
    def length(self) -> float | None:
        """Of the production run, fs."""
        if self.steps is None or self.time_step is None:
            return None
        return self.steps * self.time_step


def plan_run(plan: Plan) -> None:
    """Section [run]."""
    plan.set("run", directory=Written("spectrum", "beside this file"))


def plan_models(plan: Plan, elements: Collection[str], charge: float | None) -> None:
    """Section [models]: shipped ones that know the elements, or places for others."""
    models = fitting_models(elements)
    if len(models) == 2:
        purpose = models["apt"].purpose
        for target, model in models.items():
            plan.set("models", **{target: Written(model.name, purpose)})
        plan.warn(
            "the shipped models know liquid water at ambient density alone: for ice, "
            "vapour, surfaces or solutions train your own (docs/autotrain.md)"
        )
    else:
        why = _why_no_model(elements)
        for target in ("apt", "pgt"):
            plan.set("models", **{target: Written(f"my-{target}.mimyria", why)})
        plan.asked.append(f"models.apt and models.pgt: {why}")
    if charge is not None and abs(charge) > 0.5:
        value = float(round(charge))
        plan.set("models", charge=Written(value, "the sum of the charges in the input"))


def _why_no_model(elements: Collection[str]) -> str:
    """Why there is none, and what to do."""
    if UNKNOWN in elements or not elements:
        return (
            "which model fits is not known before the elements are; `mimyria info "
            "NAME` prints those of a model"
        )
    names = ", ".join(sorted(set(elements)))
    return (
        f"no shipped model knows {names}. Train one: `mimyria autotrain` "
        "(docs/autotrain.md) takes a stored trajectory of some ps, and ends with model "
        "files; put their paths here"
    )


def plan_analysis(
    plan: Plan,
    timing: Timing,
    temperature: tuple[float | None, str],
    formulas: Sequence[str],
) -> None:
    """Sections [spectrum], [groups] and [convergence], and warnings about times."""
    value, why = temperature
    plan.set("spectrum", temperature=Written(value, why))
    if timing.length is None:
        resolution, reason = 10.0, "the length of the run is not known"
    else:
        resolution = resolution_for(timing.length)
        reason = f"for a run of {timing.length / 1000:g} ps; finer would be noise"
    plan.set(
        "spectrum",
        resolution=Written(
            resolution, f"{reason}. `mimyria spectrum` makes others later"
        ),
        max_wavenumber=Written(timing.max_wavenumber, timing.why),
    )
    _plan_groups(plan, formulas)
    plan.set(
        "convergence",
        ir=Written(0.03, "is shown while the run goes on"),
        raman=Written(0.05, "likewise"),
        stop=Written(False, "true ends the driver when both are reached"),
    )
    _warn_of_times(plan, timing)


def _plan_groups(plan: Plan, formulas: Sequence[str]) -> None:
    counts = Counter(formulas)
    listed = ", ".join(f"{n} {name}" for name, n in counts.most_common(_MOST_FORMULAS))
    if 1 < len(counts) <= _MOST_FORMULAS:
        why = f"by the bonds in the input there are {listed}"
        plan.set("groups", kind=Written("molecules", why))
    else:
        kinds = f"the input has {listed}, so " if len(counts) == 1 else ""
        why = f'{kinds}parts are by element; "molecules" makes them by formula'
        plan.set("groups", kind=Written("species", why))
    if len(counts) <= _MOST_FORMULAS and listed:
        plan.said.append(listed)


def _warn_of_times(plan: Plan, timing: Timing) -> None:
    step = timing.time_step
    if step is not None and step > longest_interval(timing.max_wavenumber):
        plan.warn(
            f"the time step of {step:g} fs is too long for what moves here: the driver "
            f"refuses it. Take {LONGEST_STEP / 2:g} fs"
        )
    elif step is not None and step > LONGEST_STEP and timing.max_wavenumber > 2600:
        plan.warn(
            f"a time step of {step:g} fs shifts the fast bands; 0.5 fs is usual where "
            "bonds to hydrogen may stretch"
        )
    if timing.length is not None and timing.length < SHORTEST_RUN:
        plan.warn(
            f"the production run has {timing.length / 1000:g} ps; a spectrum takes "
            "10 ps and more"
        )


def formulas_of(
    symbols: Sequence[str], positions: Array, cell: Array
) -> tuple[str, ...]:
    """Formulas of all molecules by their bonds; none where they cannot be known.

    Args:
        symbols: of all atoms.
        positions: (n_atoms, 3) Å.
        cell: (3, 3) Å, rows are lattice vectors.
    """
    from ase.data import atomic_numbers

    plain = ["H" if symbol == "D" else symbol for symbol in symbols]
    if not plain or any(symbol not in atomic_numbers for symbol in plain):
        return ()
    numbers = np.array([atomic_numbers[symbol] for symbol in plain])
    try:
        frame = Frame(
            numbers, np.array(positions, float), np.array(cell, float), None, 0
        )
        frame.require_finite()
        if not 0 < frame.volume < 1e12:
            return ()
        return molecule_formulas(numbers, find_molecules(frame))
    except (FrameError, ValueError, MemoryError):
        return ()
