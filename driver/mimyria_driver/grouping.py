"""Grouping: from the settings and the first frame to the groups of a run."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from mimyria.frame import Array, Frame
from mimyria.groups import Grouping, group_atoms
from mimyria.molecules import find_molecules
from mimyria.probes import Probes
from mimyria.selections import (
    molecule_labels,
    motion_grouping,
    selection_labels,
    shell_grouping,
    solute_labels,
    species_labels,
)
from mimyria_driver.settings import GroupsSettings

__all__ = ["build_grouping", "describe_groups"]

_FOR_EVER: Final = 2**62  # MD steps


def build_grouping(
    settings: GroupsSettings,
    frame: Frame,
    masses: Array,
    probe_steps: int,
    velocity_steps: int,
) -> Grouping | None:
    """The groups of the atoms; None if the settings want none.

    Args:
        settings: of the groups.
        frame: the first one of the run, which bonds are taken from.
        masses: (n_atoms,) amu.
        probe_steps: MD steps for which random signs stay, unless the probes are so
            many that signs make no difference; then they stay for ever.
        velocity_steps: those for which signs of single atoms stay.

    Raises:
        SettingsError: an atom, an element or a molecule is not there.
    """
    if settings.kind == "none":
        return None
    grouping = _without_velocities(settings, frame, masses, probe_steps)
    if not settings.velocity_probes:
        return grouping
    place = np.zeros(frame.n_atoms, np.int64)
    for atoms in grouping.members:
        place[atoms] = np.arange(len(atoms))
    probes = Probes(place, settings.velocity_probes, velocity_steps)
    return replace(grouping, velocity_probes=probes)


def _without_velocities(
    settings: GroupsSettings, frame: Frame, masses: Array, probe_steps: int
) -> Grouping:
    if settings.kind == "shells":
        return shell_grouping(
            frame,
            masses,
            settings.around or "",
            settings.borders,
            settings.width,
            settings.bond_factor,
        )
    if settings.kind == "motion":
        return motion_grouping(frame, masses, settings.bond_factor)
    symbols = species_labels(frame)
    if settings.kind == "molecules":
        labels = molecule_labels(frame, settings.bond_factor)
    elif settings.kind == "solute":
        labels = solute_labels(frame, settings.solute, settings.bond_factor)
    elif settings.kind == "custom":
        labels = selection_labels(frame, settings.select, settings.bond_factor)
    else:
        labels = symbols
    grouping = group_atoms(labels, symbols, masses)
    if settings.kind != "intra":
        return grouping
    molecules = find_molecules(frame, settings.bond_factor)
    probes = Probes(molecules, settings.probes, probe_steps)
    if probes.complete:
        # Pairs of frames with different signs would be lost for nothing.
        probes = replace(probes, steps=_FOR_EVER)
    return replace(grouping, probes=probes)


def describe_groups(settings: GroupsSettings) -> str:
    """The settings in one line, to tell whether a run was begun with others."""
    shells = (settings.around or "", *map(str, settings.borders), str(settings.width))
    details = {"solute": settings.solute, "custom": settings.select, "shells": shells}
    words = [settings.kind, *details.get(settings.kind, ())]
    if settings.velocity_probes:
        words.append(f"{settings.velocity_probes} velocity probes")
    return " · ".join(words)
