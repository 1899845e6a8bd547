"""How large the noise of labels is beside the labels, as a spectrum would feel it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from ase.data import atomic_masses

from mimyria.errors import FormatError
from mimyria.io.extxyz import read_extxyz
from mimyria.reference.quality import FieldQuality

__all__ = ["label_error"]


def label_error(path: Path, target: str) -> float:
    """ε of the labels of a set, from the noise that their fields show.

    ε² = Σ_i n σ²/m_i / Σ_i |P_i|²/m_i, with the standard error σ of one component. It
    knows nothing of what the electronic-structure method gets wrong.

    Args:
        path: a set, as a campaign has made it.
        target: `apt` or `pgt`.

    Returns:
        NaN where the fields tell nothing of their noise.
    """
    wrong = size = 0.0
    for each in read_extxyz(path):
        tensor = getattr(each.tensors, target)
        try:
            quality = FieldQuality.from_info(each.info)
        except FormatError:
            return math.nan
        if tensor is None:
            return math.nan
        rows = tensor.reshape(len(tensor), -1)[each.labelled(target)]
        weights = 1 / atomic_masses[each.frame.numbers[each.labelled(target)]]
        sigma = float(getattr(quality, f"{target}_error"))
        wrong += rows.shape[1] * sigma**2 * float(weights.sum())
        size += float(weights @ np.square(rows).sum(axis=1))
    return math.sqrt(wrong / size) if size > 0 else math.nan
