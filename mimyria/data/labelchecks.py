"""What can be said of imported labels: sum rules, and how far an APT is from symmetric.

A transposed APT fulfils the same rule of translation. Of molecules in vacuum the rule
of rotation tells which order is right. Else it shows only against the change of a
dipole; so the atom is named where the tensor is least symmetric.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mimyria.frame import Array
from mimyria.io.labelled import LabelledFrame
from mimyria.rotationrule import rotation_rule
from mimyria.targets import APT, Target
from mimyria.tensors import Tensors

__all__ = ["LabelReport", "label_report"]


@dataclass(frozen=True, slots=True)
class LabelReport:
    """Numbers about the labels of one target, in its unit.

    Attributes:
        target: what the labels are.
        n_frames: frames with labels.
        n_atoms: their atoms.
        n_labelled: those with a label.
        n_complete: frames in which all atoms have labels.
        element: rms of an element of a label.
        residual: rms of an element of what the sum rule leaves over for each atom, in
            complete frames; NaN without any.
        largest: largest such element of a whole frame, not divided by atoms.
        symmetric: APT: rms of an element of the symmetric part.
        antisymmetric: APT: likewise of the antisymmetric one; NaN for a PGT.
        least: (frame, atom) — where the APT is least symmetric; None for a PGT.
        n_isolated: complete frames that repeat along no axis.
        rotation: APT: rms of what the rule of rotation leaves over in these, e Å; NaN
            without any, and for a PGT.
        exchanged: likewise, with the indices exchanged.
    """

    target: Target
    n_frames: int
    n_atoms: int
    n_labelled: int
    n_complete: int
    element: float
    residual: float
    largest: float
    symmetric: float
    antisymmetric: float
    least: tuple[int, int] | None
    n_isolated: int
    rotation: float
    exchanged: float


def label_report(
    frames: Sequence[LabelledFrame], target: Target, charge: float = 0.0
) -> LabelReport | None:
    """Look at the labels of one target; None if no frame has any.

    Args:
        frames: in our order and unit.
        target: which of their tensors.
        charge: of every frame, e; for the sum rule of the APT.
    """
    own = [
        (number, getattr(frame.tensors, target.name), frame.labelled(target.name))
        for number, frame in enumerate(frames)
        if getattr(frame.tensors, target.name) is not None
    ]
    if not own:
        return None
    labels = np.concatenate([tensor[mask] for _, tensor, mask in own])
    complete = [frames[number] for number, _, mask in own if mask.all()]
    left = [_left_over(frame, target, charge) for frame in complete]
    sizes = [frame.frame.n_atoms for frame in complete]
    symmetric = antisymmetric = math.nan
    least = None
    isolated = [each for each in complete if not any(each.frame.pbc)]
    rotation = exchanged = math.nan
    if target is APT:
        other = labels.swapaxes(1, 2)
        symmetric, antisymmetric = _rms(labels + other) / 2, _rms(labels - other) / 2
        atoms = [(n, int(i)) for n, _, mask in own for i in np.flatnonzero(mask)]
        least = atoms[int(np.abs(labels - other).max(axis=(1, 2)).argmax())]
        rotation = _rms(np.array([_turned(each) for each in isolated]))
        exchanged = _rms(np.array([_turned(each, swap=True) for each in isolated]))
    return LabelReport(
        target,
        len(own),
        sum(len(mask) for _, _, mask in own),
        len(labels),
        len(complete),
        _rms(labels),
        _rms(np.array([a / n for a, n in zip(left, sizes, strict=True)])),
        max((float(np.abs(a).max()) for a in left), default=math.nan),
        symmetric,
        antisymmetric,
        least,
        len(isolated),
        rotation,
        exchanged,
    )


def _left_over(frame: LabelledFrame, target: Target, charge: float) -> Array:
    residual: Array = getattr(frame.tensors.sum_rule_residual(charge), target.name)
    return residual


def _turned(frame: LabelledFrame, *, swap: bool = False) -> float:
    """What the rule of rotation leaves over of the APT, e Å."""
    apt = frame.tensors.apt
    assert apt is not None
    tensors = Tensors(apt.swapaxes(1, 2) if swap else apt)
    left = rotation_rule(frame.frame, tensors).dipole_residual
    assert left is not None
    return left


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(np.square(values)))) if values.size else math.nan
