"""Velocity spectra of elements, from all atoms of a trajectory or probes of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from mimyria.correlation import Correlation
from mimyria.elementvelocities import ElementVelocities
from mimyria.frame import Array
from mimyria.spectra.replicates import with_errors
from mimyria.spectra.spectrum import Spectrum
from mimyria.spectra.vdos import mass_weighted, velocity_correlator, velocity_spectrum
from mimyria.spectra.windows import (
    LagWindow,
    grid_spacing,
    window_for_resolution,
)

__all__ = ["VelocitySpectra", "element_spectra"]


class VelocitySpectra:
    """Accumulates velocities and gives one density of states for each label."""

    def __init__(
        self, labels: Sequence[str], masses: Array, n_lags: int, interval: float
    ) -> None:
        """Begin with no frame.

        Args:
            labels: (n_atoms,) — what each atom belongs to, such as its element.
            masses: (n_atoms,) amu.
            n_lags: lags to keep.
            interval: time between frames, fs.
        """
        names = np.array(labels)
        self._masses = masses
        self._members = {
            str(name): np.flatnonzero(names == name) for name in np.unique(names)
        }
        self._correlators = {
            name: velocity_correlator(len(members), n_lags, interval)
            for name, members in self._members.items()
        }

    def push(self, velocities: Array) -> None:
        """Add one frame or several.

        Args:
            velocities: (n_atoms, 3) or (n_frames, n_atoms, 3) Å/fs.
        """
        for name, members in self._members.items():
            sample = mass_weighted(velocities[..., members, :], self._masses[members])
            self._correlators[name].push(sample)

    def end_segment(self) -> None:
        """What follows is not correlated with what was."""
        for correlator in self._correlators.values():
            correlator.end_segment()

    def spectra(
        self, window: str, resolution: float, max_wavenumber: float
    ) -> list[Spectrum]:
        """Density of states of each label; changes nothing.

        Args:
            window: key of `WINDOWS`.
            resolution: full width at half maximum of a sharp line, cm⁻¹.
            max_wavenumber: end of the spectra, cm⁻¹.

        Returns:
            Spectra `vdos_<label>` in modes per cm⁻¹; the area of each is three times
            its number of atoms.
        """
        found: list[Spectrum] = []
        for name, correlator in self._correlators.items():
            n_atoms = len(self._members[name])
            compute = partial(
                _density,
                n_atoms=n_atoms,
                n_components=3 * n_atoms,
                max_wavenumber=max_wavenumber,
            )
            found.append(
                _spectrum(name, compute, correlator.result(), window, resolution)
            )
        return found


def element_spectra(
    velocities: ElementVelocities,
    *,
    window: str,
    resolution: float,
    max_wavenumber: float = 4500.0,
) -> dict[str, Spectrum]:
    """Density of states of each element of a run, with errors.

    Args:
        velocities: of the run.
        window: key of `WINDOWS`.
        resolution: full width at half maximum of a sharp line, cm⁻¹.
        max_wavenumber: end of the spectra, cm⁻¹.

    Returns:
        `vdos_<element>` in modes per cm⁻¹, with an area of three times its number of
        atoms; none where the atoms are held in place. Errors hold what the probes add.

    Source: docs/theory.md, eq. (91).
    """
    found = {}
    for element, name in enumerate(velocities.names):
        if not velocities.correlation.values[0, element] > 0:
            continue  # held in place
        compute = partial(
            _density,
            n_atoms=velocities.n_atoms[element],
            n_components=velocities.n_components[element],
            max_wavenumber=max_wavenumber,
        )
        alone = _channel(velocities.correlation, element)
        spectrum = _spectrum(name, compute, alone, window, resolution)
        found[spectrum.name] = spectrum
    return found


def _channel(correlation: Correlation, channel: int) -> Correlation:
    """One of the channels, as a correlation of its own."""
    part = slice(channel, channel + 1)
    blocks = correlation.blocks
    return replace(
        correlation,
        values=correlation.values[:, part],
        pairs=((0, 0),),
        blocks=None
        if blocks is None
        else replace(blocks, values=blocks.values[..., part]),
    )


def _spectrum(
    name: str,
    compute: Callable[..., dict[str, Spectrum]],
    correlation: Correlation,
    window: str,
    resolution: float,
) -> Spectrum:
    lags = window_for_resolution(
        window, resolution, correlation.n_lags, correlation.interval
    )
    compute = partial(compute, window=lags)
    spectrum = with_errors(compute, correlation, lags)["vdos"]
    return replace(spectrum, name=f"vdos_{name}")


def _density(
    correlation: Correlation,
    *,
    n_atoms: int,
    n_components: int,
    window: LagWindow,
    max_wavenumber: float,
) -> dict[str, Spectrum]:
    spacing = grid_spacing(window.resolution)
    spectrum = velocity_spectrum(
        correlation,
        n_atoms=n_atoms,
        window=window,
        spacing=spacing,
        n_components=n_components,
    )
    return {"vdos": spectrum.between(0.0, max_wavenumber)}
