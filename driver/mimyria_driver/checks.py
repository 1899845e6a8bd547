"""Checks: what the service demands of a run and of each frame.

Pure functions over descriptions, frames and settings; each raises the error that the
user reads.
"""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from mimyria.errors import FrameError, IncompatibleError, ModelError
from mimyria.frame import Frame
from mimyria.ringpolymer import bead_frames
from mimyria.units import SPEED_OF_LIGHT, nyquist_wavenumber
from mimyria_driver.identity import Identity
from mimyria_driver.sources import RunDescription

__all__ = [
    "LONG_INTERVAL",
    "check_description",
    "check_elements",
    "check_frame",
    "check_identity",
    "check_masses",
    "check_temperature",
    "frame_digest",
    "longest_interval",
]

_MARGIN: Final = 150.0
"""Wavenumbers in cm⁻¹ between the highest band and the Nyquist limit."""
LONG_INTERVAL: Final = 3.0
"""fs between two frames, above which there is a warning."""
_FOLDING_INTERVAL: Final = 4.0
"""fs from which on stretches of hydrogen are folded back: 4170 cm⁻¹."""
_HYDROGEN: Final = 1
_ROUNDED: Final = 1e-3
"""Largest relative difference of two tables of masses; isotopes differ by more."""
_USUAL: Final = (0.2, 5.0)
_MAX_LENGTH: Final = 1e7
"""Å; a millimetre."""
_MAX_VELOCITY: Final = 3000.0
"""Å/fs; that of light."""
_POSSIBLE: Final = (1e-3, 1e2)
_WITHOUT_SETTING: Final = 300.0

_log = logging.getLogger(__name__)


def check_description(description: RunDescription, max_wavenumber: float) -> None:
    """Refuse a run that cannot give the spectrum asked for.

    Raises:
        FrameError: no atoms, impossible masses, or too long between two frames.
    """
    numbers, masses = description.numbers, description.masses
    interval = description.interval
    if not len(numbers) or numbers.min() < 1 or numbers.max() > 118:
        raise FrameError(
            f"{description.engine} must name the element of every atom, but sent "
            f"{len(numbers)} atoms with atomic numbers {sorted(set(numbers.tolist()))}."
        )
    if len(masses) != len(numbers) or not np.all(np.isfinite(masses) & (masses > 0)):
        raise FrameError(
            f"{description.engine} must send a positive mass for each of its "
            f"{len(numbers)} atoms, but did not."
        )
    if not (np.isfinite(interval) and description.time_step > 0 < description.stride):
        raise FrameError(
            f"time step {description.time_step} fs and stride {description.stride} "
            "must both be above zero."
        )
    limit = nyquist_wavenumber(interval)
    if limit < max_wavenumber + _MARGIN:
        longest = longest_interval(max_wavenumber)
        stride = int(longest / description.time_step)
        advice = (
            f"Sample at least every {stride} steps"
            if stride
            else f"Use a time step below {longest:.2f} fs"
        )
        raise FrameError(
            f"a frame every {interval:g} fs shows vibrations up to {limit:.0f} cm^-1 "
            f"only, and faster ones at wrong places; {max_wavenumber:g} cm^-1 needs "
            f"one every {longest:.2f} fs. {advice}, or lower spectrum.max_wavenumber "
            "if nothing in the system is faster."
        )
    if interval > _FOLDING_INTERVAL and _HYDROGEN in numbers:
        _log.warning(
            "a frame every %g fs is too few for hydrogen: its stretches lie above "
            "%.0f cm^-1, where the spectrum ends, and appear at wrong places below. "
            "Sample every 4 fs or more often",
            interval,
            limit,
        )
    elif interval > LONG_INTERVAL:
        _log.warning(
            "a frame every %g fs is enough, but not by much: the spectrum ends at "
            "%.0f cm^-1",
            interval,
            limit,
        )


def longest_interval(max_wavenumber: float) -> float:
    """The longest time between two frames that is taken for this wavenumber, fs."""
    return 1.0 / (2 * SPEED_OF_LIGHT * (max_wavenumber + _MARGIN))


def check_elements(
    description: RunDescription, models: Mapping[str, Mapping[str, Any]]
) -> None:
    """Refuse elements that a model was not trained for.

    Raises:
        ModelError: names model and elements.
    """
    present = set(description.numbers.tolist())
    for target, document in models.items():
        if document["species"] is None:
            continue  # a source that says itself what it does not know
        known = {int(number) for number in document["species"]}
        unknown = sorted(present - known)
        if unknown:
            raise ModelError(
                f"the {target} model '{document.get('name', '?')}' knows the elements "
                f"{sorted(known)} (atomic numbers), but the run also has {unknown}. "
                "Train a model with them, or check the types of the engine."
            )


def check_identity(found: Identity, wanted: Identity, path: str) -> None:
    """Refuse to continue a journal with something else than it was begun with.

    Raises:
        IncompatibleError: models, sampling, charge or beads differ.
        FrameError: the atoms differ.
    """
    advice = "Give this run another run.directory."
    if found.numbers != wanted.numbers:
        raise FrameError(
            f"{path} was written for {len(found.numbers)} atoms, but the engine has "
            f"{len(wanted.numbers)}, or others, or in another order. {advice}"
        )
    if (found.time_step, found.stride) != (wanted.time_step, wanted.stride):
        raise IncompatibleError(
            f"{path} has a frame every {found.stride} x {found.time_step:g} fs, but "
            f"the engine sends one every {wanted.stride} x {wanted.time_step:g} fs. "
            f"{advice}"
        )
    if found.charge != wanted.charge:
        raise IncompatibleError(
            f"{path} was written for a total charge of {found.charge:g} e, but "
            f"models.charge is {wanted.charge:g} e now. {advice}"
        )
    if found.n_beads != wanted.n_beads:
        raise IncompatibleError(
            f"{path} was written with {_beads(found.n_beads)}, but the frames come "
            f"with {_beads(wanted.n_beads)} now. {advice}"
        )
    if dict(found.models) != dict(wanted.models):
        differing = sorted(
            target
            for target in {*found.models, *wanted.models}
            if found.models.get(target) != wanted.models.get(target)
        )
        raise IncompatibleError(
            f"{path} was written with other models ({' and '.join(differing)}). Use "
            f"the same ones to continue it. {advice}"
        )


def _beads(n_beads: int) -> str:
    """What each frame of a run has, for people."""
    return f"all {n_beads} beads of a ring polymer" if n_beads else "one system a frame"


def check_masses(found: Identity, description: RunDescription, path: str) -> None:
    """Refuse other isotopes than a journal was begun with, if it knows its own.

    Raises:
        IncompatibleError: a mass differs by more than engines round it.
    """
    if found.grouping is None:
        return
    begun, now = found.grouping.masses, description.masses
    differing = np.flatnonzero(np.abs(now - begun) > _ROUNDED * begun)
    if len(differing):
        atom = int(differing[0])
        raise IncompatibleError(
            f"{path} was written with a mass of {begun[atom]:g} amu for atom {atom}, "
            f"but the engine has {now[atom]:g} amu ({len(differing)} atoms differ): "
            "other isotopes, another order of atoms, or other units. Give this run "
            "another run.directory."
        )


def check_frame(frame: Frame, description: RunDescription) -> None:
    """Refuse a frame that is not one of this run.

    Raises:
        FrameError: says what is wrong with it.
    """
    if frame.n_atoms != len(description.numbers):
        raise FrameError(
            f"step {frame.step}: the run began with {len(description.numbers)} atoms, "
            f"but this frame has {frame.n_atoms}. The number must stay the same."
        )
    differing = np.flatnonzero(frame.numbers != description.numbers)
    if len(differing):
        atom = int(differing[0])
        raise FrameError(
            f"step {frame.step}: atom {atom} must be element "
            f"{description.numbers[atom]}, but is {frame.numbers[atom]}. The engine "
            "must send atoms in one order."
        )
    if frame.velocities is None:
        raise FrameError(
            f"step {frame.step}: the frame has no velocities. A stored trajectory "
            "needs the column velocities:R:3; see `mimyria-driver replay --help`."
        )
    if (0 if frame.beads is None else len(frame.beads)) != description.n_beads:
        raise FrameError(
            f"step {frame.step}: the frame has {frame.n_beads} beads, but the run "
            f"began with {max(1, description.n_beads)}. The number must stay the same."
        )
    beads = () if frame.beads is None else bead_frames(frame)
    for each in (frame, *beads):
        each.require_finite()
        _check_sizes(each)
    if not 0 < frame.volume < math.inf:
        raise FrameError(
            f"step {frame.step}: the cell {frame.cell.tolist()} has no volume. Give "
            "the engine a periodic box; the absorption is one per volume."
        )


def _check_sizes(frame: Frame) -> None:
    """Refuse numbers that no system has: they would overflow further on."""
    for name, array, limit, unit in (
        ("positions", frame.positions, _MAX_LENGTH, "Angstrom"),
        ("cell", frame.cell, _MAX_LENGTH, "Angstrom"),
        ("velocities", frame.velocities, _MAX_VELOCITY, "Angstrom/fs"),
    ):
        largest = 0.0 if array is None else float(np.abs(array).max(initial=0.0))
        if largest > limit:
            raise FrameError(
                f"step {frame.step}: {name} must be below {limit:g} {unit}, but reach "
                f"{largest:.3g}. Check the units of the source, and the engine's log."
            )


def check_temperature(mean: float, temperature: float | None) -> str | None:
    """Compare the mean kinetic temperature with the one of the settings.

    Returns:
        A warning, or None.

    Raises:
        FrameError: it is so far off that the units of the velocities are wrong.
    """
    expected = temperature or _WITHOUT_SETTING
    low, high = (factor * expected for factor in _POSSIBLE)
    if not low <= mean <= high:
        raise FrameError(
            f"the velocities amount to {mean:.3g} K where about {expected:g} K are "
            "expected, so they are probably missing or in a wrong unit. Velocities "
            "must arrive in Angstrom/fs; check the source."
        )
    if temperature and not _USUAL[0] <= mean / temperature <= _USUAL[1]:
        return (
            f"the mean kinetic temperature is {mean:.0f} K, but spectrum.temperature "
            f"is {temperature:g} K"
        )
    return None


def frame_digest(frame: Frame) -> bytes:
    """8 bytes that tell two frames apart: a hash of positions, cell and velocities."""
    digest = hashlib.blake2b(digest_size=8)
    moving = frame if frame.beads is None else frame.beads
    for array in (moving.positions, frame.cell, moving.velocities):
        if array is not None:
            digest.update(np.ascontiguousarray(array, dtype="<f8").tobytes())
    return digest.digest()
