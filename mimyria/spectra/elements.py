"""Velocity spectra of the elements of a trajectory, accumulated frame by frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from mimyria.correlation import Correlation
from mimyria.frame import Array
from mimyria.spectra.replicates import with_errors
from mimyria.spectra.spectrum import Spectrum
from mimyria.spectra.vdos import mass_weighted, velocity_correlator, velocity_spectrum
from mimyria.spectra.windows import (
    LagWindow,
    grid_spacing,
    window_for_resolution,
)

__all__ = ["VelocitySpectra"]


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
            whole = correlator.result()
            lags = window_for_resolution(
                window, resolution, whole.n_lags, whole.interval
            )
            compute = partial(
                _density,
                n_atoms=len(self._members[name]),
                window=lags,
                max_wavenumber=max_wavenumber,
            )
            spectrum = with_errors(compute, whole, lags)["vdos"]
            found.append(replace(spectrum, name=f"vdos_{name}"))
        return found


def _density(
    correlation: Correlation, *, n_atoms: int, window: LagWindow, max_wavenumber: float
) -> dict[str, Spectrum]:
    spacing = grid_spacing(window.resolution)
    spectrum = velocity_spectrum(
        correlation, n_atoms=n_atoms, window=window, spacing=spacing
    )
    return {"vdos": spectrum.between(0.0, max_wavenumber)}
