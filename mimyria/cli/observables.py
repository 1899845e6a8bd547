"""Options of `mimyria spectrum` that ask for quantities, and what they lead to."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from mimyria.errors import SettingsError
from mimyria.spectra import Spectrum
from mimyria.spectra.catalogue import QUANTITIES, Conditions
from mimyria.spectra.compat import (
    DEFAULT_WINDOW,
    MODES,
    compat_spectra,
    stored_correlation,
    window_text,
)
from mimyria.spectra.dielectric import Cell, eps_inf_from_polarizability
from mimyria.spectra.porto import Geometry, parse_geometry, polarisation_scan
from mimyria.spectra.quantities import (
    compute_quantities,
    geometry_spectra,
    missing_for,
)
from mimyria.spectra.quantum import CORRECTIONS, DETECTORS, KINDS

if TYPE_CHECKING:
    from mimyria.storage import Result

__all__ = ["add_options", "asked_spectra", "catalogue", "other_program"]

_OPTIONS: Final = {
    "eps_inf": "--eps-inf",
    "n_molecules": "--molecules",
}
"""Fields of a cell, and the options that give them."""
_WATER: Final = "water: 1.78"


def catalogue() -> str:
    """The table of quantities for the help text."""
    lines = ["quantities (--quantity NAME, as often as you like, or 'all'):"]
    for name, quantity in QUANTITIES.items():
        wanted = ", ".join(_OPTIONS[need] for need in quantity.needs)
        lines.append(
            f"  {name:29s} {quantity.title}; {quantity.unit}"
            + (f"  [{wanted}]" if wanted else "")
        )
    return "\n".join(lines)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this module, in three groups."""
    which = parser.add_argument_group("what to compute, beside α·n and plain Raman")
    which.add_argument(
        "--quantity",
        action="append",
        metavar="NAME",
        help="another quantity, from the list below; 'all' for every one that the "
        "other options allow",
    )
    which.add_argument(
        "--eps-inf",
        type=float,
        metavar="EPS",
        help=f"electronic permittivity, which α, n, κ and ε' need ({_WATER})",
    )
    which.add_argument(
        "--mean-polarizability",
        type=float,
        metavar="A0^3",
        help="in place of --eps-inf: mean polarizability of the whole cell, a third "
        "of its trace, from a periodic calculation",
    )
    which.add_argument(
        "--molecules",
        type=float,
        metavar="N",
        help="molecules in the cell, for molar quantities",
    )
    raman = parser.add_argument_group("Raman experiments")
    raman.add_argument(
        "--raman-kind",
        choices=KINDS,
        default="lineshape",
        help="lineshape: spectrum of dα/dt; reduced: the same on an absolute scale; "
        "stokes, anti-stokes: what a spectrometer sees, with the Bose factor and "
        "(ν0 − ν)⁴ (default: lineshape)",
    )
    raman.add_argument(
        "--laser", type=float, metavar="NM", help="wavelength of the laser, such as 532"
    )
    raman.add_argument(
        "--detector",
        choices=DETECTORS,
        default="power",
        help="photons: ν0 (ν0 − ν)³ for a detector that counts (default: power)",
    )
    raman.add_argument(
        "--min-wavenumber",
        type=float,
        default=10.0,
        metavar="CM-1",
        help="where spectra begin that diverge at zero (default: 10)",
    )
    raman.add_argument(
        "--geometry",
        action="append",
        metavar="PORTO",
        help="experiment on a crystal or a surface, k(e e)k: 'z(xy)z', 'x(zz)-x', "
        "'z(x,x+y)z' without analyser, 'z(x+y,x)z' natural light, 'z([1,1,0],x)z' "
        "any vector; as often as you like",
    )
    raman.add_argument(
        "--turn",
        metavar="FROM:TO:STEP",
        help="turn the polarisations of each geometry about the incident beam, "
        "degrees: a scan, such as 0:180:15",
    )
    raman.add_argument(
        "--fixed-analyser",
        action="store_true",
        help="with --turn: turn only the incident polarisation",
    )
    other = parser.add_argument_group("numbers of another program")
    other.add_argument(
        "--compat",
        choices=MODES,
        help="what that program would print, its mistakes included; docs/theory.md "
        "lists them. Replaces all spectra and takes only --window-length, "
        "--temperature, --output and --plots",
    )
    other.add_argument(
        "--window-length",
        type=int,
        default=DEFAULT_WINDOW,
        metavar="LAGS",
        help=f"length of its Hann window, 0 for all lags (default: {DEFAULT_WINDOW})",
    )
    corrections = parser.add_argument_group("corrections (off by default)")
    corrections.add_argument(
        "--quantum-correction",
        choices=CORRECTIONS,
        default="harmonic",
        help="harmonic is exact for harmonic modes and a factor of 1 in the IR; the "
        "others are for comparison with other programs (default: harmonic)",
    )
    corrections.add_argument(
        "--correct-integrator",
        type=float,
        metavar="FS",
        help="remove the blue shift of velocity Verlet for this time step of the MD "
        "(not the interval of the samples); only the axis changes",
    )


def asked_spectra(
    result: Result, arguments: argparse.Namespace, *, resolution: float, window: str
) -> tuple[dict[str, Spectrum], list[str]]:
    """The spectra that the options ask for, and notes for the reader.

    Args:
        result: with the temperature to use.
        arguments: of the command.
        resolution: cm⁻¹.
        window: key of `WINDOWS`.
    """
    conditions = _conditions(result, arguments, resolution, window)
    correlations = result.dipole, result.polarizability
    names, notes = _names(result, arguments), []
    if "all" in names:
        lacking = {
            name: missing_for(name, *correlations, conditions) for name in QUANTITIES
        }
        names = [name for name, what in lacking.items() if what is None]
        notes += _left_out(lacking)
    for name in names:
        lacks = missing_for(name, *correlations, conditions)
        if lacks in _OPTIONS:
            raise SettingsError(
                f"'{name}' needs {_option(lacks)}. Give it, or leave this quantity out."
            )
    spectra = compute_quantities(dict.fromkeys(names), *correlations, conditions)
    geometries = _geometries(arguments)
    if geometries:
        if result.polarizability is None:
            raise SettingsError(
                "a geometry of light scattering needs the correlation of the "
                "polarizability, which this result does not have."
            )
        notes += [text for g in geometries for text in g.warnings()]
        spectra |= geometry_spectra(geometries, result.polarizability, conditions)
    if arguments.quantum_correction != "harmonic":
        notes.append(
            f"the {arguments.quantum_correction} quantum correction is in these "
            "quantities; the harmonic one (none in the IR) is the recommendation."
        )
    return spectra, notes


def other_program(
    result: Result, arguments: argparse.Namespace
) -> tuple[dict[str, Spectrum], str, list[str]]:
    """The spectra of `--compat`, their window, and what to know about them.

    Raises:
        SettingsError: another option asks for what that program cannot do.
    """
    unfit = {
        "--resolution": arguments.resolution,
        "--window": arguments.window,
        "--quantity": arguments.quantity,
        "--geometry": arguments.geometry,
        "--correct-integrator": arguments.correct_integrator,
        "--laser": arguments.laser,
        "--parts": arguments.parts or None,
        "--raman-kind": _unless(arguments.raman_kind, "lineshape"),
        "--quantum-correction": _unless(arguments.quantum_correction, "harmonic"),
    }
    for option, value in unfit.items():
        if value is not None:
            raise SettingsError(
                f"{option} has no meaning beside --compat; leave it out."
            )
    notes = [
        f"these are the numbers of {arguments.compat}, not the right ones; see "
        "'Differences from Mimyria 0.9.0' in docs/theory.md."
    ]
    theirs, n_lags = [], 0
    for correlation in (result.dipole, result.polarizability):
        if correlation is not None:
            correlation, more = stored_correlation(correlation, arguments.window_length)
            notes += [note for note in more if note not in notes]
            n_lags = correlation.n_lags
        theirs.append(correlation)
    spectra = compat_spectra(
        *theirs,
        volume=result.volume,
        temperature=result.temperature,
        window_length=arguments.window_length,
    )
    alpha = result.polarizability
    found = None if alpha is None else alpha.trajectories
    if found is not None and found.shortest < found.longest:
        notes.append(
            "trajectories differ in length: Raman spectra that this program prints "
            "then are spoilt by stale memory; these are not."
        )
    window = window_text(arguments.compat, arguments.window_length, n_lags)
    return spectra, window, notes


def _unless(value: str, default: str) -> str | None:
    return None if value == default else value


def _names(result: Result, arguments: argparse.Namespace) -> list[str]:
    """The quantities that were named, or that other options imply."""
    names = list(arguments.quantity or [])
    if names or arguments.geometry:
        return names
    corrected = arguments.quantum_correction != "harmonic"
    if corrected and result.dipole is not None:
        names.append("ir")
    scattered = corrected or arguments.raman_kind != "lineshape"
    if scattered and result.polarizability is not None:
        names += ["raman_vv", "raman_vh", "raman_unpolarised"]
    return names


def _conditions(
    result: Result, arguments: argparse.Namespace, resolution: float, window: str
) -> Conditions:
    eps_inf = arguments.eps_inf
    needless = {
        "--laser": arguments.laser,
        "--detector": _unless(arguments.detector, "power"),
    }
    if arguments.raman_kind not in ("stokes", "anti-stokes"):
        for option, value in needless.items():
            if value is not None:
                raise SettingsError(
                    f"{option} belongs to --raman-kind stokes or anti-stokes: give "
                    "that too, or leave it out."
                )
    if arguments.mean_polarizability is not None:
        if eps_inf is not None:
            raise SettingsError("give --eps-inf or --mean-polarizability, not both.")
        eps_inf = eps_inf_from_polarizability(
            arguments.mean_polarizability * np.eye(3), result.volume
        )
    cell = Cell(result.volume, result.temperature, eps_inf, arguments.molecules)
    return Conditions(
        cell,
        resolution,
        window,
        arguments.raman_kind,
        arguments.laser,
        arguments.detector,
        arguments.quantum_correction,
        arguments.min_wavenumber,
    )


def _option(need: str) -> str:
    """What is needed, with the options that give it."""
    options = f" ({_OPTIONS[need]})" if need in _OPTIONS else ""
    return f"{need}{options}"


def _left_out(lacking: Mapping[str, str | None]) -> list[str]:
    """One sentence for each thing that is missing."""
    by_reason: dict[str, list[str]] = {}
    for name, what in lacking.items():
        if what is not None:
            by_reason.setdefault(what, []).append(name)
    return [f"left out, for want of {_option(what)}: {', '.join(names)}"
            for what, names in by_reason.items()]  # fmt: skip


def _geometries(arguments: argparse.Namespace) -> list[Geometry]:
    geometries = [parse_geometry(text) for text in arguments.geometry or []]
    if arguments.turn is None:
        return geometries
    if not geometries:
        raise SettingsError("--turn needs a --geometry to turn, such as 'z(xx)z'.")
    angles = _angles(arguments.turn)
    analyser = not arguments.fixed_analyser
    return [
        turned
        for geometry in geometries
        for turned in polarisation_scan(geometry, angles, analyser=analyser)
    ]


def _angles(text: str) -> list[float]:
    """Angles from FROM:TO:STEP, both ends included."""
    try:
        first, last, step = (float(part) for part in text.split(":"))
        count = (last - first) / step
        if not 0 <= count <= 360:
            raise ValueError
    except (ValueError, ZeroDivisionError):
        raise SettingsError(
            f"--turn must be FROM:TO:STEP in degrees, such as 0:180:15, not '{text}'."
        ) from None
    return [first + step * k for k in range(int(count + 1e-9) + 1)]
