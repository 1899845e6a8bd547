"""Committee spectra: what the members of a committee make of the same trajectories.

On the same trajectories spectra of two networks differ by the networks alone, however
short the trajectories are. All comes from the correlations of the currents of all
members with each other, by the correlator, windows and blocks of every other spectrum.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np

from mimyria.autotrain.components import KINDS, current_components
from mimyria.correlation import Correlation
from mimyria.correlators import Correlator
from mimyria.errors import SettingsError, ShapeError
from mimyria.frame import Array
from mimyria.spectra.grid import Grid, grid_for
from mimyria.spectra.replicates import with_errors
from mimyria.spectra.scattering import N_ANISOTROPIC, N_ISOTROPIC
from mimyria.spectra.spectrum import Spectrum
from mimyria.spectra.windows import (
    LagWindow,
    grid_spacing,
    lags_for_resolution,
    window_for_resolution,
)

__all__ = ["CommitteeSpectra", "KindSpectra", "committee_spectra"]

_N_INDEPENDENT: Final = {
    "ir": 3,
    "raman_iso": N_ISOTROPIC,
    "raman_vv": N_ISOTROPIC,
    "raman_aniso": N_ANISOTROPIC,
}
"""Components that the theory of the statistical error counts; VV is mostly isotropic,
and if it is not, its error is less."""


@dataclass(frozen=True, slots=True, eq=False)
class KindSpectra:
    """Spectra of one kind, on one grid; their unit is that of the currents' square, fs.

    Attributes:
        wavenumbers: (n,) cm⁻¹.
        mean: (n,) — S of the mean of the members, which is the model that is used.
        autos: (n,) — mean S_mm of the members.
        cross: (n,) — S_x, mean cross spectrum of two members.
        disagreement: (n,) — S_dd, mean spectrum of half the difference's square of two
            members; autos − cross.
        leaning: (n,) — standard deviation over the members m of Re S[J̄, J_m − J̄]: how
            much a member leans towards more, or less, intensity.
        error: (n,) — statistical error of `mean`, of the set of trajectories.
        error_kind: where it comes from, as `Spectrum.error_kind`.
        resolution: cm⁻¹.
        n_members: members M.
    """

    wavenumbers: Array
    mean: Array
    autos: Array
    cross: Array
    disagreement: Array
    leaning: Array
    error: Array
    error_kind: str
    resolution: float
    n_members: int

    @property
    def coherence(self) -> Array:
        """(n,) — γ = S_x / mean S_mm; 1 where all members agree, NaN without any S.

        Source: docs/theory.md, eq. (103).
        """
        found = np.full(len(self.autos), np.nan)
        np.divide(self.cross, self.autos, out=found, where=self.autos > 0)
        return found

    def spectrum(self, name: str) -> Spectrum:
        """The spectrum of the mean with its statistical error."""
        return Spectrum(
            self.wavenumbers,
            self.mean,
            "a.u.",
            name,
            self.error,
            self.resolution,
            error_kind=self.error_kind,
        )


@dataclass(frozen=True, slots=True, eq=False)
class CommitteeSpectra:
    """Spectra of a committee on a set of trajectories.

    Attributes:
        trajectories: what names the set; spectra of other sets are not compared.
        kinds: by the names of `components.KINDS`.
    """

    trajectories: str
    kinds: Mapping[str, KindSpectra]

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, for JSON; `from_dict` inverts it."""
        return {
            "trajectories": self.trajectories,
            "kinds": {
                name: {
                    field.name: value.tolist()
                    if isinstance(value := getattr(each, field.name), np.ndarray)
                    else value
                    for field in fields(each)
                }
                for name, each in self.kinds.items()
            },
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> CommitteeSpectra:
        """Inverse of `as_dict`."""
        kinds = {}
        for name, each in values["kinds"].items():
            numbers: dict[str, Any] = {
                key: np.array(value) if isinstance(value, list) else value
                for key, value in each.items()
            }
            kinds[name] = KindSpectra(**numbers)
        return cls(values["trajectories"], kinds)


def committee_spectra(
    observable: str,
    trajectories: Sequence[Array],
    interval: float,
    *,
    name: str,
    resolution: float = 10.0,
    window: str = "gaussian",
    low: float = 0.0,
    high: float = 4500.0,
) -> CommitteeSpectra:
    """Spectra of the members, of their mean and of what they disagree about.

    Args:
        observable: `ir` or `raman`.
        trajectories: for each, (n_members, n_samples, 3 or 6): dipole velocity, or
            polarizability velocity in the order of `currents.VOIGT`.
        interval: time between samples, fs.
        name: of the set of trajectories, see `CommitteeSpectra`.
        resolution: full width at half maximum of a sharp line, cm⁻¹.
        window: key of `windows.WINDOWS`.
        low: begin of the range that is judged, cm⁻¹.
        high: its end, cm⁻¹.

    Raises:
        SettingsError: there is no trajectory.
        ShapeError: there are fewer than two members, or not the same everywhere.

    Source: docs/theory.md, eq. (103).
    """
    if not trajectories:
        raise SettingsError("committee spectra need at least one trajectory.")
    n_members = len(trajectories[0])
    for series in trajectories:
        if series.ndim != 3 or len(series) != n_members or n_members < 2:
            raise ShapeError(
                "currents of a committee must have the shape (n_members, n_samples, "
                f"components) with the same two members or more, not {series.shape}."
            )
    n_lags = lags_for_resolution(window, resolution, interval)
    kinds = {}
    for kind in KINDS[observable]:
        correlation = _correlation(kind, trajectories, interval, n_lags)
        chosen = window_for_resolution(window, resolution, n_lags, interval)
        kinds[kind] = _kind_spectra(kind, correlation, chosen, n_members, (low, high))
    return CommitteeSpectra(name, kinds)


def _correlation(
    kind: str, trajectories: Sequence[Array], interval: float, n_lags: int
) -> Correlation:
    """Of every member with every member."""
    correlator: Correlator | None = None
    for series in trajectories:
        parts = current_components(kind, np.asarray(series, dtype=np.float64))
        n_members, n_samples, n_components = parts.shape
        if correlator is None:
            correlator = Correlator(
                n_members, n_lags, interval, "a.u.", components=(1.0,) * n_components
            )
        correlator.push(parts.transpose(1, 0, 2).reshape(n_samples, -1))
        correlator.end_segment()
    assert correlator is not None
    return correlator.result()


def _kind_spectra(
    kind: str,
    correlation: Correlation,
    window: LagWindow,
    n_members: int,
    limits: tuple[float, float],
) -> KindSpectra:
    grid = _grid(correlation, window, limits)
    matrix = np.empty((n_members, n_members, len(grid.wavenumbers)))
    for u, v in correlation.pairs:
        matrix[u, v] = matrix[v, u] = grid.cosine(correlation.column(u, v))
    autos = np.einsum("mmk->k", matrix) / n_members
    whole = matrix.sum(axis=(0, 1))
    mean = whole / n_members**2
    cross = (whole - n_members * autos) / (n_members * (n_members - 1))
    leaning = (matrix.mean(axis=1) - mean).std(axis=0, ddof=1)
    error, source = _statistical_error(kind, correlation, window, limits)
    return KindSpectra(
        grid.wavenumbers,
        mean,
        autos,
        cross,
        autos - cross,
        leaning,
        error,
        source,
        window.resolution,
        n_members,
    )


def _grid(
    correlation: Correlation, window: LagWindow, limits: tuple[float, float]
) -> Grid:
    low, high = limits
    spacing = grid_spacing(window.resolution)
    return grid_for(correlation, window, spacing=spacing, low=low, high=high)


def _statistical_error(
    kind: str,
    correlation: Correlation,
    window: LagWindow,
    limits: tuple[float, float],
) -> tuple[Array, str]:
    """Error of the spectrum of the mean, and where it comes from."""

    def compute(part: Correlation) -> dict[str, Spectrum]:
        grid = _grid(part, window, limits)
        weights = np.array([1.0 if u == v else 2.0 for u, v in part.pairs])
        n_members = sum(u == v for u, v in part.pairs)
        intensity = grid.cosine(part.values @ weights / n_members**2)
        error = grid.theory_error(part, _N_INDEPENDENT[kind], intensity)
        return {
            kind: Spectrum(
                grid.wavenumbers, intensity, "a.u.", kind, error, window.resolution
            )
        }

    found = with_errors(compute, correlation, window)[kind]
    assert found.error is not None
    return found.error, found.error_kind or "unknown"
