"""Calibration: what the disagreement of a committee says of its errors.

On held-out frames both are known. Their ratio makes expected errors of disagreement in
any other frame; how often the error of an atom is within twice what is expected of it
tells how far that can be trusted.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from ase.data import atomic_masses, chemical_symbols
from numpy.typing import NDArray

from mimyria.data.dataset import TensorDataset
from mimyria.frame import Array
from mimyria.models.model import TensorModel
from mimyria.uncertainty import Calibration, spread

__all__ = ["calibrate"]


def calibrate(
    model: TensorModel, train: TensorDataset, test: TensorDataset
) -> dict[str, Any]:
    """Calibration of a committee for each of its targets.

    Args:
        model: the committee.
        train: the frames that it was trained on.
        test: held-out frames; there may be none.

    Returns:
        For each target by name those of `Calibration`, with the factor None without
        test frames; the number `frames` of these; and of their labelled atoms:
        `elements`, the factor of each element by itself; `within`, the part whose error
        is at most twice the one that is expected.

    Source: docs/theory.md, eq. (96) and docs/theory.md, eq. (97).
    """
    known = [_spreads(model, part) for part in (train, test) if len(part)]
    found = {}
    for index, target in enumerate(model.targets):
        largest: dict[int, float] = {}
        for numbers, sizes in known:
            for z in np.unique(numbers).tolist():
                size = float(sizes[index][numbers == z].max())
                largest[z] = max(size, largest.get(z, 0.0))
        calibration = Calibration(1.0, largest).as_dict()
        errors = _errors(model, test) if len(test) else None
        found[target.name] = {
            **calibration,
            "factor": None,
            "frames": len(test),
            **({} if errors is None else _factors(*known[-1], errors, index)),
        }
    return found


def _spreads(
    model: TensorModel, dataset: TensorDataset
) -> tuple[NDArray[np.int64], list[Array]]:
    """Atomic numbers of the labelled atoms, and the spread of each target there."""
    members = [
        model.predict_members([frame], [charge])[0]
        for frame, charge in zip(dataset.frames, dataset.total_charges, strict=True)
    ]
    sizes = [
        np.concatenate(
            [
                spread(each[:, atoms, columns])
                for each, atoms in zip(members, dataset.labelled, strict=True)
            ]
        )
        for columns in dataset.columns.values()
    ]
    return dataset.labelled_numbers, sizes


def _errors(model: TensorModel, dataset: TensorDataset) -> list[Array]:
    """|ΔP_i| of the labelled atoms, for each target."""
    answers = [
        model.predict([frame], [charge])[0].columns(dataset.targets)
        for frame, charge in zip(dataset.frames, dataset.total_charges, strict=True)
    ]
    wrong = dataset.select(answers) - dataset.select(dataset.labels)
    return [
        np.linalg.norm(wrong[:, columns], axis=1)
        for columns in dataset.columns.values()
    ]


def _factors(
    numbers: NDArray[np.int64], sizes: list[Array], errors: list[Array], index: int
) -> dict[str, Any]:
    spreads, wrong = sizes[index], errors[index]
    inverse = 1 / atomic_masses[numbers]
    factor = math.sqrt(float(wrong**2 @ inverse) / float(spreads**2 @ inverse))
    elements = {
        chemical_symbols[z]: math.sqrt(
            float((wrong[numbers == z] ** 2).sum() / (spreads[numbers == z] ** 2).sum())
        )
        for z in np.unique(numbers).tolist()
    }
    within = float((wrong <= 2 * factor * spreads).mean())
    return {"factor": factor, "elements": elements, "within": within}
