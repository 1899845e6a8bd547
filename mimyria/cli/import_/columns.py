"""The arrays that `mimyria import labels` takes, and what the user says of them."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from mimyria.data.importing import Convention
from mimyria.errors import FormatError, IncompatibleError, SettingsError, UnitError
from mimyria.io.foreign import ForeignFrame, find_column
from mimyria.io.ipiextras import read_extras
from mimyria.io.layouts import atom_rows, layout_of
from mimyria.targets import APT, PGT, TARGETS, Target

__all__ = ["said_of_columns", "until_labels", "with_extras"]

_FIND_OUT: Final = {
    APT: "To find out, displace {where} by 0.01 Å along x: what the dipole changes by, "
    "per Å, is its first column {column} for dM_a/dr_b, its first row {row} for "
    "dM_b/dr_a.",
    PGT: "To find out, look in which two indices it is symmetric, those of α: the "
    "first two for dalpha_ab/dr_c, the last two for dalpha_bc/dr_a.",
}


_SYMMETRIC: Final = 1e-6


def until_labels(
    frames: Iterable[ForeignFrame], arguments: argparse.Namespace
) -> Iterator[ForeignFrame]:
    """Frames up to the first one with an array that is wanted.

    Args:
        frames: of the file.
        arguments: of the command.
    """
    for foreign in frames:
        yield foreign
        if any(_column(target, foreign, arguments) for target in _wanted(arguments)):
            return


def with_extras(frames: Iterable[ForeignFrame], path: Path) -> Iterator[ForeignFrame]:
    """Frames with what i-PI's driver sent at the same step.

    Raises:
        IncompatibleError: the steps are others, or there are more or fewer.
    """
    extras = read_extras(path)
    for number, foreign in enumerate(frames):
        sent = next(extras, None)
        if sent is None:
            raise IncompatibleError(
                f"{path} ends after {number} steps, but there are more frames. Give "
                "the extras of all frames, written with the same stride."
            )
        if foreign.step is not None and foreign.step != sent.step:
            raise IncompatibleError(
                f"{path}: step {sent.step} stands beside a frame of step "
                f"{foreign.step}. Give extras and frames of the same steps."
            )
        yield replace(foreign, arrays={**foreign.arrays, **sent.arrays})
    if next(extras, None) is not None:
        raise IncompatibleError(
            f"{path} has more steps than there are frames. Give extras and frames of "
            "the same steps."
        )


def said_of_columns(
    foreign: ForeignFrame, number: int, arguments: argparse.Namespace
) -> list[Convention]:
    """What the user says of each array that is wanted.

    Args:
        foreign: a frame that has them.
        number: its number in the file.
        arguments: of the command.

    Raises:
        FormatError: there is no such array.
        SettingsError: there are several, and none was chosen.
        UnitError: order or unit is not said.
    """
    conventions = [
        convention
        for target in _wanted(arguments)
        if (convention := _convention(target, foreign, number, arguments))
    ]
    if not conventions:
        raise FormatError(_nothing_found(arguments.input, foreign))
    return conventions


def _wanted(arguments: argparse.Namespace) -> list[Target]:
    """The targets of which the user says something; all if nothing is said."""
    said = [
        target
        for name, target in TARGETS.items()
        if any(
            getattr(arguments, option) is not None
            for option in (name, f"{name}_order", f"{name}_unit")
        )
    ]
    return said or list(TARGETS.values())


def _column(
    target: Target, foreign: ForeignFrame, arguments: argparse.Namespace
) -> str | None:
    """The array of a target: the one that was named, or the one with a usual name."""
    named: str | None = getattr(arguments, target.name)
    if named is not None:
        return named if named in foreign.arrays else None
    found = find_column(target.name, list(foreign.arrays))
    if len(found) > 1:
        raise SettingsError(
            f"the {target.title} may be any of {', '.join(found)}. Choose one with "
            f"--{target.name} NAME."
        )
    return found[0] if found else None


def _convention(
    target: Target, foreign: ForeignFrame, number: int, arguments: argparse.Namespace
) -> Convention | None:
    """What the user says of a target; None if the file has none of it.

    Raises:
        UnitError: order or unit is not said.
    """
    name = target.name
    given = {key: getattr(arguments, f"{name}_{key}") for key in ("order", "unit")}
    column = _column(target, foreign, arguments)
    if column is None:
        if getattr(arguments, name) is not None or any(given.values()):
            raise FormatError(_nothing_found(arguments.input, foreign, name))
        return None
    orders = " or ".join(layout_of(target).orders)
    if given["order"] is None:
        raise UnitError(
            f"the index order of {column} must be said: give --{name}-order {orders}. "
            f"{_how_to_find_out(target, column, foreign, number)}"
        )
    layout_of(target).require(
        given["order"], given["unit"], f"Give --{name}-order and --{name}-unit."
    )
    pairs = (arguments.pgt_pairs or "") if target is PGT else ""
    return Convention(
        target,
        column,
        given["order"],
        given["unit"],
        tuple(pairs.replace(",", " ").split()),
    )


def _how_to_find_out(
    target: Target, column: str, foreign: ForeignFrame, number: int
) -> str:
    if target is PGT:
        return _FIND_OUT[target]
    n_atoms = foreign.frame.n_atoms
    stored = atom_rows(foreign.arrays[column], n_atoms, target).reshape(-1, 3, 3)
    skew = np.abs(stored - stored.swapaxes(1, 2)).max(axis=(1, 2))
    atom = int(np.nan_to_num(skew, nan=-1.0).argmax())
    if not skew[atom] > _SYMMETRIC * np.abs(stored[atom]).max():
        return (
            f"All tensors of frame {number} are symmetric, so it tells nothing: find "
            "out with a distorted structure (docs/models.md)."
        )
    return _FIND_OUT[target].format(
        where=f"atom {atom} of frame {number}, the least symmetric,",
        column=_numbers(stored[atom, :, 0]),
        row=_numbers(stored[atom, 0, :]),
    )


def _numbers(values: Iterable[float]) -> str:
    return "(" + ", ".join(f"{value:.4f}" for value in values) + ")"


def _nothing_found(path: Path, foreign: ForeignFrame, name: str | None = None) -> str:
    arrays = [
        f"{key} {array.shape}" for key, array in foreign.arrays.items() if array.ndim
    ]
    wanted = f"array of the {name}" if name else "array of an APT or a PGT"
    return (
        f"{path} has no {wanted} under the usual or the given name; its arrays are "
        f"{', '.join(arrays) or 'none'}. Name one with --{name or 'apt'} NAME."
    )
