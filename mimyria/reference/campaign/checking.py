"""Checking a campaign: the tensors of some atoms once more, from displaced atoms.

The displaced configurations are a campaign of their own below that of the fields, so
they are run, stopped and resumed like it. Every calculation starts from the wave
function of the atoms at rest.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from mimyria.errors import CalculationError, FormatError, SettingsError
from mimyria.files import replace_file
from mimyria.frame import Array, Frame
from mimyria.io.labelled import LabelledFrame
from mimyria.reference.agreement import CheckResult
from mimyria.reference.campaign.plan import Plan
from mimyria.reference.campaign.tasks import Task
from mimyria.reference.displaced import DisplacedTensors
from mimyria.reference.displacement import (
    apt_from_dipoles,
    displaced_positions,
    pgt_from_polarizabilities,
    polarizability_from_dipoles,
)
from mimyria.reference.finite_field import fit_tensors
from mimyria.reference.npz import packed, unpacked
from mimyria.reference.stencils import apt_stencil, with_zero_field
from mimyria.settings.fields import require
from mimyria.tensors import Tensors

__all__ = [
    "CheckSettings",
    "check_results",
    "plan_check",
    "read_checks",
    "sample_atoms",
    "sample_tasks",
]

_FOLDER: Final = "check"
_AXES: Final = "xyz"
_SIGNS: Final = "pm"


@dataclass(frozen=True, slots=True)
class CheckSettings:
    """How the check is made.

    Attributes:
        step: displacement, Å.
        field_step: component of the fields for polarizabilities, a.u.
        with_pgt: whether the PGT is checked, too: seven times as many calculations.
        tolerance: of the largest difference, relative to the largest element.
    """

    step: float
    field_step: float
    with_pgt: bool
    tolerance: float

    def __post_init__(self) -> None:
        """Check limits, before anything is computed."""
        require(
            0 < self.step <= 0.2, "--displacement", "above 0 and up to 0.2 Å", self.step
        )
        require(self.tolerance > 0, "--tolerance", "above 0", self.tolerance)


def sample_tasks(plan: Plan, count: int, seed: int) -> list[Task]:
    """Finished tasks drawn at random.

    Raises:
        SettingsError: the count is below one, or the seed below zero.
        FormatError: none is finished.
    """
    require(count >= 1, "--configurations", "1 or more", count)
    require(seed >= 0, "--seed", "0 or more", seed)
    done = [task for task in plan.tasks() if task.state().state == "done"]
    if not done:
        raise FormatError("no task is finished yet, so there is nothing to check.")
    chosen = np.random.default_rng(seed).permutation(len(done))[:count]
    return [done[k] for k in sorted(chosen.tolist())]


def sample_atoms(frame: Frame, seed: int) -> tuple[int, ...]:
    """One atom of each element, drawn at random."""
    rng = np.random.default_rng(seed)
    elements = sorted(set(frame.numbers.tolist()))
    return tuple(
        int(rng.choice(np.flatnonzero(frame.numbers == element)))
        for element in elements
    )


def plan_check(
    plan: Plan, atoms: Mapping[str, Sequence[int]], settings: CheckSettings
) -> Plan:
    """Plan the displaced calculations.

    Args:
        plan: of the campaign.
        atoms: which are displaced, by the name of the task.
        settings: how far.

    Returns:
        A campaign of its own, in the folder `check` of the first; of what other checks
        have left there it sees nothing.
    """
    fields = np.zeros((1, 3))
    if settings.with_pgt:
        fields = with_zero_field(apt_stencil(settings.field_step))
    folder = plan.folder / _FOLDER / _tag(settings)
    check = replace(plan, folder=folder, fields=fields)
    known = {task.name for task in check.tasks()}
    wanted: set[str] = set()
    new: dict[Path, LabelledFrame] = {}
    for name, moved in atoms.items():
        task = plan.task(name)
        configuration = task.configuration()
        for key, positions in _displaced(configuration.frame, moved, settings.step):
            own = f"{name}-{key}"
            wanted.add(own)
            if own in known:
                continue
            target = check.task(own).folder
            info = {"guess": os.path.relpath(task.point_folder(0), target)}
            frame = replace(configuration.frame, positions=positions)
            new[target] = LabelledFrame(frame, Tensors(), info)
    check.save()
    for target, displaced in new.items():
        Task.create(target, displaced)
    return replace(check, names=frozenset(wanted))


def _tag(settings: CheckSettings) -> str:
    """One folder for each way to check, so that none takes the points of another."""
    tensors = f"pgt-{settings.field_step:g}" if settings.with_pgt else "apt"
    return f"{tensors}-{settings.step:g}"


def _displaced(
    frame: Frame, atoms: Sequence[int], step: float
) -> list[tuple[str, Array]]:
    moved = displaced_positions(frame.positions, atoms, step)
    return [
        (f"{atom:03d}-{_AXES[axis]}{_SIGNS[sign]}", moved[sample, axis, sign])
        for sample, atom in enumerate(atoms)
        for axis in range(3)
        for sign in range(2)
    ]


def check_results(
    plan: Plan,
    check: Plan,
    atoms: Mapping[str, Sequence[int]],
    settings: CheckSettings,
) -> list[CheckResult]:
    """Compare both routes; what was found is kept beside the calculations.

    Raises:
        CalculationError: a displaced calculation failed or is missing, or printed no
            dipole moment.
        SettingsError: the campaign has no PGT to be checked.
    """
    results = []
    for name, moved in atoms.items():
        points = plan.task(name).all_points(len(plan.fields))
        fit = fit_tensors(
            np.stack([each.point.field for each in points]),
            np.stack([each.point.forces for each in points]),
        )
        if settings.with_pgt and fit.pgt is None:
            raise SettingsError("the campaign has no PGT (stencil apt) to be checked.")
        found = _displaced_tensors(check, name, moved, settings)
        replace_file(check.folder / f"{name}.npz", packed(found.as_arrays()))
        results.append(found.compared(name, fit))
    return results


def _displaced_tensors(
    check: Plan, name: str, atoms: Sequence[int], settings: CheckSettings
) -> DisplacedTensors:
    moments, quantum = _moments(check, name, atoms)
    found = DisplacedTensors(
        tuple(atoms),
        settings.step,
        settings.tolerance,
        apt_from_dipoles(moments[..., 0, :], settings.step, quantum),
    )
    if not settings.with_pgt:
        return found
    shape = moments.shape[:3]
    alpha = np.empty((*shape, 3, 3))
    for place in np.ndindex(*shape):
        alpha[place] = polarizability_from_dipoles(
            check.fields, moments[place], quantum
        )
    return replace(found, pgt=pgt_from_polarizabilities(alpha, settings.step))


def _moments(
    check: Plan, name: str, atoms: Sequence[int]
) -> tuple[Array, Array | None]:
    """(n_atoms, 3, 2, n_fields, 3) e Å, and the quantum."""
    moments = np.empty((len(atoms), 3, 2, len(check.fields), 3))
    quantum = None
    for sample, atom in enumerate(atoms):
        for axis, sign in np.ndindex(3, 2):
            own = f"{name}-{atom:03d}-{_AXES[axis]}{_SIGNS[sign]}"
            task = check.task(own)
            for index, stored in enumerate(task.stored_points(len(check.fields))):
                if stored is None:
                    reason = task.state().reason or "it is not finished"
                    raise CalculationError(f"check {own}: {reason}")
                if stored.point.dipole is None:
                    raise CalculationError(
                        f"check {own}: the code printed no dipole moment."
                    )
                moments[sample, axis, sign, index] = stored.point.dipole
                quantum = stored.point.quantum
    return moments, quantum


def read_checks(folder: Path) -> dict[str, DisplacedTensors]:
    """What all checks of a campaign found, by the name of the task.

    A task that was checked in several ways stands with the one of most tensors.
    """
    found: dict[str, DisplacedTensors] = {}
    for path in sorted((folder / _FOLDER).glob("*/*.npz")):
        tensors = DisplacedTensors.from_arrays(unpacked(path))
        known = found.get(path.stem)
        if tensors is not None and (known is None or known.pgt is None):
            found[path.stem] = tensors
    return found
