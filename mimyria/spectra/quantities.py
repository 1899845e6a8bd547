"""Quantities: any spectrum of the catalogue with its window, grid and error."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from mimyria.correlation import Correlation
from mimyria.errors import SettingsError
from mimyria.frame import Array
from mimyria.spectra import noise, scattering
from mimyria.spectra.catalogue import (
    QUANTITIES,
    Conditions,
    Quantity,
    geometry_quantity,
)
from mimyria.spectra.grid import Grid, grid_for
from mimyria.spectra.porto import Geometry
from mimyria.spectra.replicates import with_errors
from mimyria.spectra.spectrum import Spectrum
from mimyria.spectra.windows import grid_spacing, window_for_resolution

__all__ = ["compute_quantities", "geometry_spectra", "missing_for"]


def missing_for(
    name: str,
    dipole: Correlation | None,
    polarizability: Correlation | None,
    conditions: Conditions,
) -> str | None:
    """What a quantity lacks, in a few words, or None if it can be computed.

    Raises:
        SettingsError: there is no such quantity.
    """
    quantity = _look_up(name)
    sources = {"dipole": dipole, "polarizability": polarizability}
    if sources[quantity.source] is None:
        return f"a correlation of the {quantity.source}"
    for need in quantity.needs:
        if getattr(conditions.cell, need) is None:
            return need
    if conditions.correction != "harmonic" and _refuses_correction(quantity):
        return "the harmonic quantum correction"
    return None


def compute_quantities(
    names: Iterable[str],
    dipole: Correlation | None,
    polarizability: Correlation | None,
    conditions: Conditions,
) -> dict[str, Spectrum]:
    """Spectra with errors.

    Raman spectra of another kind than `lineshape`, and everything with another quantum
    correction than `harmonic`, carry it in their name.

    Args:
        names: keys of `QUANTITIES`.
        dipole: correlation of the dipole velocity, or None.
        polarizability: correlation of the polarizability velocity, or None.
        conditions: of the experiment.

    Raises:
        SettingsError: a quantity is unknown, or something that it needs is missing.
    """
    chosen: dict[str, list[Quantity]] = {"dipole": [], "polarizability": []}
    for name in names:
        quantity = _look_up(name)
        missing = missing_for(name, dipole, polarizability, conditions)
        if missing is not None:
            raise SettingsError(
                f"'{name}' ({quantity.title}) needs {missing}. Give it, or leave this "
                "quantity out."
            )
        chosen[quantity.source].append(quantity)
    spectra: dict[str, Spectrum] = {}
    if dipole is not None:
        spectra |= _with_errors(chosen["dipole"], dipole, conditions)
    if polarizability is not None:
        spectra |= _with_errors(chosen["polarizability"], polarizability, conditions)
    return spectra


def geometry_spectra(
    geometries: Iterable[Geometry], polarizability: Correlation, conditions: Conditions
) -> dict[str, Spectrum]:
    """Raman spectra of experiments on an oriented sample, as `raman_<geometry>`."""
    quantities = [geometry_quantity(geometry) for geometry in geometries]
    return _with_errors(quantities, polarizability, conditions)


def _refuses_correction(quantity: Quantity) -> bool:
    return not quantity.linear and quantity.denominator is None


def _look_up(name: str) -> Quantity:
    if name not in QUANTITIES:
        raise SettingsError(
            f"unknown quantity '{name}'; known are {', '.join(QUANTITIES)}."
        )
    return QUANTITIES[name]


def _with_errors(
    quantities: Sequence[Quantity], correlation: Correlation, conditions: Conditions
) -> dict[str, Spectrum]:
    """Spectra with errors, see `replicates.with_errors`."""
    denominators = [QUANTITIES[q.denominator] for q in quantities if q.denominator]

    def compute(part: Correlation) -> dict[str, Spectrum]:
        found = {}
        for quantity in quantities:
            spectrum = _compute(quantity, part, conditions)
            found[spectrum.name] = spectrum
        for quantity in denominators:
            spectrum = _compute(quantity, part, _as_lineshape(conditions))
            found[f"below {quantity.name}"] = spectrum
        return found

    if not quantities:
        return {}
    window = _grid(correlation, conditions, 0.0).window
    found = with_errors(compute, correlation, window)
    for quantity in quantities:
        if quantity.denominator is not None:
            below = found[f"below {quantity.denominator}"]
            found[quantity.name] = _masked(found[quantity.name], below)
        elif not quantity.is_band:  # it has two signs, so that it is no χ²
            name = _name(quantity, conditions)
            found[name] = replace(found[name], dof=None)
    return {name: s for name, s in found.items() if not name.startswith("below ")}


def _compute(
    quantity: Quantity, correlation: Correlation, conditions: Conditions
) -> Spectrum:
    """One spectrum, unmasked, with the error of theory where there is one."""
    unit, from_zero = quantity.unit, quantity.from_zero
    kind = conditions.raman_kind
    if _is_of_kind(quantity, conditions):
        unit, from_zero = scattering.KIND_UNITS.get(kind, ""), kind == "reduced"
    grid = _grid(correlation, conditions, 0.0 if from_zero else None)
    intensity = quantity.function(correlation, grid, conditions)
    error = _theory_error(quantity, correlation, grid, conditions)
    return Spectrum(
        grid.wavenumbers,
        intensity,
        unit,
        _name(quantity, conditions),
        error,
        grid.window.resolution,
    )


def _name(quantity: Quantity, conditions: Conditions) -> str:
    """Key of the result: the quantity, with a kind and a correction if there are."""
    name = quantity.name
    if _is_of_kind(quantity, conditions):
        name = f"{name}_{conditions.raman_kind}"
    if quantity.linear and conditions.correction != "harmonic":
        name = f"{name}_{conditions.correction}"
    return name


def _is_of_kind(quantity: Quantity, conditions: Conditions) -> bool:
    scattered = quantity.source == "polarizability" and quantity.linear
    return scattered and conditions.raman_kind != "lineshape"


def _grid(correlation: Correlation, conditions: Conditions, low: float | None) -> Grid:
    window = window_for_resolution(
        conditions.window,
        conditions.resolution,
        correlation.n_lags,
        correlation.interval,
    )
    return grid_for(
        correlation,
        window,
        spacing=grid_spacing(conditions.resolution),
        low=conditions.min_wavenumber if low is None else low,
        high=conditions.max_wavenumber,
    )


def _as_lineshape(conditions: Conditions) -> Conditions:
    return replace(conditions, raman_kind="lineshape", correction="harmonic")


def _theory_error(
    quantity: Quantity, correlation: Correlation, grid: Grid, conditions: Conditions
) -> Array | None:
    """Error of Gaussian noise where it has a formula, else None.

    Source: docs/theory.md, eqs. (8), (87), (88).
    """

    def of(intensity: Array, n_components: int) -> Array:
        return grid.theory_error(correlation, n_components, intensity)

    if quantity.spread is not None:
        return of(quantity.spread(correlation, grid, conditions), 1)
    if quantity.n_components is not None:
        intensity = quantity.function(correlation, grid, conditions)
        return of(intensity, quantity.n_components)
    if quantity.source != "polarizability":
        return None
    if quantity.weights is not None:
        conditions = _as_lineshape(conditions)
    iso, g2 = (
        QUANTITIES[name].function(correlation, grid, conditions)
        for name in ("raman_iso", "raman_aniso")
    )
    errors = of(iso, scattering.N_ISOTROPIC), of(g2, scattering.N_ANISOTROPIC)
    if quantity.weights is not None:
        return noise.ratio_error(*quantity.weights, (iso, g2), errors)
    return noise.combined_error(scattering.WEIGHTS[quantity.name], *errors)


def _masked(ratio: Spectrum, below: Spectrum) -> Spectrum:
    """NaN where the spectrum below is noise or leakage."""
    error = np.zeros(len(below.intensity)) if below.error is None else below.error
    known = scattering.stands_out(below.intensity, error)
    return replace(
        ratio,
        intensity=np.where(known, ratio.intensity, np.nan),
        error=None if ratio.error is None else np.where(known, ratio.error, np.nan),
    )
