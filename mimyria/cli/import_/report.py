"""What `mimyria import labels` prints of the labels that it took over."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mimyria.data.importing import Convention
    from mimyria.data.labelchecks import LabelReport
    from mimyria.io import LabelledFrame

__all__ = ["report_lines"]

_LOOK: Final = 0.02
"""Residual of the sum rule, relative to a typical element, worth a second look."""
_SYMMETRIC: Final = 1e-6
_BETTER: Final = 0.5
"""Of what the given order leaves over: the other one is likely the right one."""


def report_lines(
    frames: Sequence[LabelledFrame],
    n_bare: int,
    conventions: Sequence[Convention],
    charge: float,
) -> list[str]:
    """Lines for people.

    Args:
        frames: what was imported.
        n_bare: frames without labels, which were left out.
        conventions: what the user said of the columns.
        charge: of every frame, e.
    """
    from mimyria.data.labelchecks import label_report

    lines = []
    for convention in conventions:
        report = label_report(frames, convention.target, charge)
        if report is None:
            continue
        name = convention.target.name
        lines += [
            f"{name}: {convention.column}, read as {convention.order} in "
            f"{convention.unit}",
            f"  {report.n_frames} frames, {report.n_labelled} of {report.n_atoms} "
            f"atoms with labels; rms of an element {report.element:.4g} "
            f"{convention.target.unit}",
            f"  {_sum_rule(report, charge)}",
        ]
        if report.least is not None:
            lines.append(f"  {_symmetry(report)}")
        if report.n_isolated and report.least is not None:
            lines.append(f"  {_rotation(report)}")
    if n_bare:
        lines.append(f"{n_bare} frames without labels were left out")
    return lines


def _sum_rule(report: LabelReport, charge: float) -> str:
    if math.isnan(report.residual):
        return "sum rule: no frame has labels of all its atoms"
    relative = report.residual / report.element if report.element else 0.0
    of_charge = f" of charge {charge:g}" if report.target.name == "apt" else ""
    line = (
        f"sum rule: frames{of_charge} leave {report.residual:.2g} an atom (rms), "
        f"{relative:.2%} of an element; largest of a whole frame {report.largest:.3g}"
    )
    if relative > _LOOK:
        line += ". Look: unit, charge (--charge), missing atoms, or a crude calculation"
    return line


def _symmetry(report: LabelReport) -> str:
    assert report.least is not None
    if report.antisymmetric <= _SYMMETRIC * report.symmetric:
        return "all tensors are symmetric: here both orders are the same"
    frame, atom = report.least
    return (
        f"symmetric part {report.symmetric:.4g}, antisymmetric "
        f"{report.antisymmetric:.4g} (rms): a wrong order would exchange rows and "
        f"columns unseen; compare atom {atom} of frame {frame} with the change of a "
        "dipole"
    )


def _rotation(report: LabelReport) -> str:
    line = (
        f"rule of rotation: {report.n_isolated} frames in vacuum leave "
        f"{report.rotation:.2g} e Å (rms), with rows and columns exchanged "
        f"{report.exchanged:.2g}"
    )
    if report.exchanged < _BETTER * report.rotation:
        line += ". Look: the other --apt-order obeys it better"
    return line
