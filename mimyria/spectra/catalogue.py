"""Catalogue: every spectrum that can be had from the two correlations, by name.

A `Quantity` is a function (correlation, grid, conditions) → values, with a unit and a
sentence. It knows no window and no error; `quantities.compute_quantities` adds them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from mimyria.correlation import Correlation
from mimyria.frame import Array
from mimyria.spectra import dielectric, noise, scattering
from mimyria.spectra.dielectric import Cell
from mimyria.spectra.grid import Grid
from mimyria.spectra.porto import Geometry
from mimyria.spectra.quantum import correction_factor

__all__ = ["QUANTITIES", "Conditions", "Quantity", "geometry_quantity"]


@dataclass(frozen=True, slots=True)
class Conditions:
    """The experiment that a spectrum is to be compared with.

    Attributes:
        cell: volume, temperature and what else belongs to the sample.
        resolution: full width at half maximum of a sharp line, cm⁻¹.
        window: key of `windows.WINDOWS`.
        raman_kind: one of `quantum.KINDS`.
        laser_wavelength: nm, or None.
        detector: one of `quantum.DETECTORS`.
        correction: one of `quantum.CORRECTIONS`.
        min_wavenumber: where spectra begin that diverge at zero, cm⁻¹.
        max_wavenumber: where all end, cm⁻¹.
    """

    cell: Cell
    resolution: float = 10.0
    window: str = "gaussian"
    raman_kind: str = "lineshape"
    laser_wavelength: float | None = None
    detector: str = "power"
    correction: str = "harmonic"
    min_wavenumber: float = 10.0
    max_wavenumber: float = 4500.0


_NO_BANDS: Final = frozenset(
    {
        "permittivity_real",
        "refractive_index",
        "permittivity_imag_xy",
        "permittivity_imag_xz",
        "permittivity_imag_yz",
    }
)

Function = Callable[[Correlation, Grid, Conditions], Array]


@dataclass(frozen=True, slots=True)
class Quantity:
    """One spectrum that can be asked for.

    Attributes:
        name: key of results.
        source: correlation that it needs, `dipole` or `polarizability`.
        unit: unit of the values.
        title: what it is, in a few words.
        function: values of one correlation on a grid.
        needs: fields of the cell that must be known.
        from_zero: whether it has a value at 0 cm⁻¹.
        linear: whether it is proportional to the correlation, so that a quantum
            correction is a factor.
        denominator: for a ratio, the spectrum below which it is masked.
        n_components: equivalent directions, if it is proportional to the power
            spectrum of so many; gives the error of theory.
        spread: what the error of theory is relative to, where it is another linear
            function of the correlation.
        weights: of a² and γ² above and below the line, for a ratio of these.
    """

    name: str
    source: str
    unit: str
    title: str
    function: Function
    needs: tuple[str, ...] = ()
    from_zero: bool = True
    linear: bool = True
    denominator: str | None = None
    n_components: int | None = None
    spread: Function | None = None
    weights: tuple[tuple[float, float], tuple[float, float]] | None = None

    @property
    def is_band(self) -> bool:
        """Whether its maxima are bands; not for dispersions, ratios and crosses."""
        return self.name not in _NO_BANDS and self.denominator is None


def _optical(function: Callable[[Correlation, Grid, Cell], Array]) -> Function:
    """A function of the dipole correlation, with the quantum correction if wanted."""

    def values(correlation: Correlation, grid: Grid, conditions: Conditions) -> Array:
        cell = conditions.cell
        factor = correction_factor(
            conditions.correction, grid.wavenumbers, cell.temperature
        )
        corrected: Array = factor * function(correlation, grid, cell)
        return corrected

    return values


def _form(form: Array) -> Function:
    """The spectrum of a quadratic form of dα/dt, as the wanted kind."""

    def values(correlation: Correlation, grid: Grid, conditions: Conditions) -> Array:
        return scattering.form_spectrum(
            correlation, grid, form, _raman_factor(grid, conditions)
        )

    return values


def _form_spread(form: Array) -> Function:
    """What the error of `_form` is relative to."""

    def values(correlation: Correlation, grid: Grid, conditions: Conditions) -> Array:
        return noise.form_spread(
            correlation, grid, form, _raman_factor(grid, conditions)
        )

    return values


def _raman_factor(grid: Grid, conditions: Conditions) -> Array:
    return scattering.raman_factor(
        conditions.raman_kind,
        grid.wavenumbers,
        conditions.cell.temperature,
        laser_wavelength=conditions.laser_wavelength,
        detector=conditions.detector,
        correction=conditions.correction,
    )


def _ratio(function: Callable[[Correlation, Grid], Array]) -> Function:
    return lambda correlation, grid, _: function(correlation, grid)


def _direction(axes: str) -> Function:
    return _optical(
        lambda c, g, cell: dielectric.directional_imaginary(c, g, cell, axes)
    )


def _crossed(axes: str) -> Function:
    """What the error of ε''_ab is relative to."""
    a, b = axes[0], axes[1]

    def values(correlation: Correlation, grid: Grid, conditions: Conditions) -> Array:
        one, other, both = (
            _direction(pair)(correlation, grid, conditions)
            for pair in (a + a, b + b, axes)
        )
        return noise.crossed(one, other, both)

    return values


_EPS: Final = ("eps_inf",)
_MOLAR: Final = ("eps_inf", "n_molecules")


def _listed() -> Iterable[Quantity]:
    d, optical, vector = dielectric, _optical, dielectric.N_COMPONENTS
    yield Quantity("ir", "dipole", "cm^-1", "absorption times index, α·n",
                   optical(d.absorption_times_index), n_components=vector)  # fmt: skip
    for name, unit, title, function, needs, linear in (
        ("absorption", "cm^-1", "Naperian absorption, α", d.absorption, _EPS, False),
        ("permittivity_real", "1", "permittivity, real part ε'",
         lambda *a: d.permittivity(*a).real, _EPS, False),
        ("permittivity_imag", "1", "permittivity, imaginary part ε''",
         d.imaginary_permittivity, (), True),
        ("refractive_index", "1", "refractive index, n",
         lambda *a: d.refractive_index(*a).real, _EPS, False),
        ("extinction", "1", "extinction coefficient, κ",
         lambda *a: d.refractive_index(*a).imag, _EPS, False),
        ("molar_absorption", "L mol^-1 cm^-1", "molar decadic absorption",
         d.molar_absorption, _MOLAR, False),
    ):  # fmt: skip
        yield Quantity(
            name, "dipole", unit, title, optical(function), needs, False, linear,
            n_components=vector if linear else None,
        )  # fmt: skip
    yield Quantity("naperian_molar", "dipole", "km mol^-1 cm",
                   "molar absorption; its integral is in km/mol",
                   optical(d.naperian_molar), ("n_molecules",),
                   n_components=vector)  # fmt: skip
    yield Quantity("conductivity", "dipole", "S m^-1", "conductivity, real part",
                   optical(d.conductivity), n_components=vector)  # fmt: skip
    for axes in ("xx", "yy", "zz", "xy", "xz", "yz"):
        yield Quantity(f"permittivity_imag_{axes}", "dipole", "1",
                       f"ε'' of the directions {axes}", _direction(axes), (), False,
                       n_components=1 if axes[0] == axes[1] else None,
                       spread=None if axes[0] == axes[1] else _crossed(axes)
                       )  # fmt: skip
    for name, title in (
        ("raman_iso", "isotropic Raman"),
        ("raman_aniso", "anisotropic Raman, γ²"),
        ("raman_vv", "Raman, VV"),
        ("raman_vh", "Raman, VH"),
        ("raman_unpolarised", "Raman without analyser"),
        ("raman_natural_90", "Raman, natural light at 90°"),
    ):
        unit = scattering.KIND_UNITS["lineshape"]
        function = _form(scattering.FORMS[name])
        yield Quantity(name, "polarizability", unit, title, function)
    for name, title, function, above, below in (
        ("depolarisation_ratio", "depolarisation ratio VH/VV",
         scattering.depolarisation_linear, scattering.WEIGHTS["raman_vh"], "raman_vv"),
        ("depolarisation_ratio_natural", "depolarisation ratio of natural light",
         scattering.depolarisation_natural, scattering.NATURAL, "raman_unpolarised"),
    ):  # fmt: skip
        yield Quantity(name, "polarizability", "1", title, _ratio(function),
                       linear=False, denominator=below,
                       weights=(above, scattering.WEIGHTS[below]))  # fmt: skip


QUANTITIES: Final = MappingProxyType({q.name: q for q in _listed()})
"""Every quantity by name."""


def geometry_quantity(geometry: Geometry) -> Quantity:
    """The quantity `raman_<geometry>` of one experiment on an oriented sample."""
    form = geometry.form()
    return Quantity(
        f"raman_{geometry.name}",
        "polarizability",
        scattering.KIND_UNITS["lineshape"],
        f"Raman, {geometry.name}",
        _form(form),
        spread=_form_spread(form),
    )
