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
from scipy.stats import rankdata

from mimyria.data.dataset import TensorDataset
from mimyria.frame import Array
from mimyria.models.model import TensorModel
from mimyria.uncertainty import Calibration, excesses, spread

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
        test frames; the number `frames` of these; `factor_error`, the standard error of
        the factor by leaving out one frame after the other, None for a single one; and
        of their labelled atoms:
        `elements`, the factor of each element by itself; `within`, the part whose error
        is at most twice the one that is expected; `correlation`, see `_correlation`.
        Under `scores`, for `train` and `test`, how the excess of eq. (97) is spread
        over the frames: `median`, `p90` and `largest`.

    Source: docs/theory.md, eq. (96) and docs/theory.md, eq. (97).
    """
    parts = {
        name: part for name, part in (("train", train), ("test", test)) if len(part)
    }
    members = {name: _members(model, part) for name, part in parts.items()}
    found = {}
    for target, columns in train.columns.items():
        spreads = {name: spread(each[..., columns]) for name, each in members.items()}
        largest: dict[int, float] = {}
        for name, part in parts.items():
            for z in np.unique(part.labelled_numbers).tolist():
                size = float(spreads[name][part.labelled_numbers == z].max())
                largest[z] = max(size, largest.get(z, 0.0))
        calibration: dict[str, Any] = {
            **Calibration(1.0, largest).as_dict(),
            "factor": None,
            "frames": len(test),
        }
        if "test" in parts:
            wrong = members["test"].mean(axis=0) - test.select(test.labels)
            errors = np.linalg.norm(wrong[:, columns], axis=1)
            calibration |= _factors(test, spreads["test"], errors)
        calibration["scores"] = {
            name: _scores(part, excesses(spreads[name], part.labelled_numbers, largest))
            for name, part in parts.items()
        }
        found[target] = calibration
    return found


def _scores(dataset: TensorDataset, excess: Array) -> dict[str, float]:
    """Median, 90 % and largest over the frames, of the largest excess in each.

    Args:
        dataset: the frames.
        excess: (n_labelled,) — of the labelled atoms of all frames.
    """
    ends = np.cumsum([len(atoms) for atoms in dataset.labelled])
    largest = [float(part.max()) for part in np.split(excess, ends[:-1])]
    median, ninety, most = np.quantile(largest, (0.5, 0.9, 1.0)).tolist()
    return {"median": median, "p90": ninety, "largest": most}


def _members(model: TensorModel, dataset: TensorDataset) -> Array:
    """(n_members, n_labelled, n_components) — of the labelled atoms of all frames."""
    answers = [
        model.predict_members([frame], [charge])[0]
        for frame, charge in zip(dataset.frames, dataset.total_charges, strict=True)
    ]
    return np.concatenate(
        [each[:, atoms] for each, atoms in zip(answers, dataset.labelled, strict=True)],
        axis=1,
    )


def _factors(test: TensorDataset, spreads: Array, errors: Array) -> dict[str, Any]:
    """What the test frames tell; of one target, for the labelled atoms of all frames.

    Args:
        test: the frames.
        spreads: (n_labelled,) — disagreement.
        errors: (n_labelled,) — |ΔP_i| of the mean.
    """
    numbers = test.labelled_numbers
    inverse = 1 / atomic_masses[numbers]
    factor = _ratio(errors, spreads, inverse)
    elements = {
        chemical_symbols[z]: _ratio(
            errors[numbers == z], spreads[numbers == z], inverse[numbers == z]
        )
        for z in np.unique(numbers).tolist()
    }
    within = float((errors <= 2 * factor * spreads).mean())
    return {
        "factor": factor,
        "factor_error": _factor_error(test, errors, spreads, inverse),
        "elements": elements,
        "within": within,
        "correlation": _correlation(numbers, spreads, errors),
    }


def _factor_error(
    test: TensorDataset, errors: Array, spreads: Array, weights: Array
) -> float | None:
    """Standard error of the factor: delete-one jackknife over frames.

    Over frames, since the errors of atoms of one frame are not independent.
    """
    n_frames = len(test)
    if n_frames < 2:
        return None
    frames = np.repeat(np.arange(n_frames), [len(atoms) for atoms in test.labelled])
    without = [
        _ratio(errors[kept], spreads[kept], weights[kept])
        for kept in (frames != left_out for left_out in range(n_frames))
    ]
    return float(math.sqrt(n_frames - 1) * np.std(without))


def _ratio(errors: Array, spreads: Array, weights: Array) -> float:
    """Root of the ratio of weighted squares; 1 where nobody disagrees."""
    size = float(spreads**2 @ weights)
    return math.sqrt(float(errors**2 @ weights) / size) if size > 0 else 1.0


def _correlation(
    numbers: NDArray[np.int64], spreads: Array, errors: Array
) -> float | None:
    """Rank correlation of disagreement and error (Spearman), within each element.

    Ranks are taken within an element and centred there: that hydrogen differs from
    oxygen in both says nothing about which hydrogen is wrong.

    Returns:
        From −1 to 1; None where all are equal.
    """
    ranks = np.zeros((2, len(numbers)))
    for z in np.unique(numbers).tolist():
        own = numbers == z
        for row, values in zip(ranks, (spreads[own], errors[own]), strict=True):
            places = rankdata(values)
            row[own] = places / len(places) - (places / len(places)).mean()
    sizes = np.linalg.norm(ranks, axis=1)
    return float(ranks[0] @ ranks[1] / sizes.prod()) if sizes.all() else None
