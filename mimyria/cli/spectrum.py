"""`mimyria spectrum`: other windows and temperatures from a stored result."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mimyria import __version__
from mimyria.cli.observables import (
    add_options,
    asked_spectra,
    catalogue,
    other_program,
)
from mimyria.cli.parsing import Subparsers, add_command
from mimyria.cli.precision import add_precision_options, precision_report
from mimyria.diagnostics import report
from mimyria.errors import FormatError, SettingsError
from mimyria.files import make_folder
from mimyria.spectra import WINDOWS, Spectrum, compute_spectra, find_bands
from mimyria.spectra.catalogue import QUANTITIES, Quantity
from mimyria.spectra.elements import element_spectra
from mimyria.spectra.integrator import correct_axis

if TYPE_CHECKING:
    from mimyria.storage import Result

__all__ = ["add_parser"]

_RESOLUTION = 10.0
_MOST_BANDS = 8
_EXAMPLES = """\
examples:
  mimyria spectrum run/spectrum.h5 --resolution 20 --plots .
  mimyria spectrum run/spectrum.h5 --quantity all --eps-inf 1.78 --molecules 64
  mimyria spectrum run/spectrum.h5 --raman-kind stokes --laser 532 --plots .
  mimyria spectrum run/spectrum.h5 --geometry 'z(xy)z' --geometry 'z(x,x+y)z'"""
_ROUND = (200.0, 700.0, 1000.0, 1650.0, 2500.0, 3400.0)
_NEAR = 20.0
_TITLES = {"ir": "IR, α·n / cm⁻¹", "raman_vv": "Raman, VV", "raman_vh": "Raman, VH"}
_VELOCITIES = "vdos_"


def add_parser(subparsers: Subparsers) -> None:
    """Describe the command and its arguments."""
    parser = add_command(
        subparsers,
        "spectrum",
        "spectra from a stored result, with other windows",
        "Compute IR and Raman spectra again from the correlations that a "
        "run has stored. Nothing is simulated and no network is evaluated.",
        f"{_EXAMPLES}\n\n{catalogue()}",
    )
    parser.add_argument("result", type=Path, help="result file of a run")
    parser.add_argument(
        "--resolution",
        type=float,
        metavar="CM-1",
        help="full width at half maximum of a sharp line (default: as stored)",
    )
    parser.add_argument(
        "--window", choices=list(WINDOWS), help="lag window (default: as stored)"
    )
    parser.add_argument(
        "--temperature",
        type=float,
        metavar="K",
        help="temperature of the prefactor (default: as stored)",
    )
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="write a new result file"
    )
    parser.add_argument(
        "--plots",
        type=Path,
        metavar="DIR",
        help="write ir.png, raman.png, vdos.png if the run kept velocities, and a "
        "picture of each further quantity there",
    )
    parser.add_argument(
        "--parts",
        action="store_true",
        help="what each group of atoms, and each pair of groups, contributes",
    )
    add_options(parser)
    add_precision_options(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    # h5py is loaded here, so that `mimyria --help` stays quick.
    from mimyria.storage import read_result, write_result

    stored = read_result(arguments.result)
    result, asked, notes = _recompute(stored, arguments)
    precision = precision_report(result, arguments)  # first of all, refuses options
    print("\n".join([*_report(result, str(arguments.result), asked), *precision]))
    if arguments.parts:
        print("\n".join(_parts_report(result)))
    if result.diagnostics:
        print("\n" + "\n".join(report(result.diagnostics)))
    for note in notes:
        print(f"note: {note}")
    if arguments.output is not None:
        write_result(arguments.output, result)
        print(f"wrote {arguments.output}")
    if arguments.plots is not None:
        for path in _plot(result, arguments.plots, asked):
            print(f"wrote {path}")
    return 0


def _recompute(
    stored: Result, arguments: argparse.Namespace
) -> tuple[Result, list[str], list[str]]:
    """The new result, the names of what was asked for beside, and notes."""
    if stored.dipole is None and stored.polarizability is None:
        raise FormatError(
            f"{arguments.result} holds no correlation to compute spectra from. "
            "Give the result file of a run."
        )
    temperature = arguments.temperature
    if temperature is None:
        temperature = stored.temperature
    if arguments.compat is not None:
        return _imitated(replace(stored, temperature=temperature), arguments)
    resolution = arguments.resolution
    if resolution is None:
        resolution = _stored_resolution(stored)
    window = arguments.window or str(stored.provenance.get("window", "gaussian"))
    spectra = compute_spectra(
        stored.dipole,
        stored.polarizability,
        volume=stored.volume,
        temperature=temperature,
        resolution=resolution,
        window=window,
    )
    if stored.velocities is not None:
        spectra |= element_spectra(
            stored.velocities, window=window, resolution=resolution
        )
    here = replace(stored, temperature=temperature)
    asked, notes = asked_spectra(here, arguments, resolution=resolution, window=window)
    spectra |= asked
    provenance = (
        stored.provenance
        | {
            "window": window,
            "spectra_by": f"mimyria {__version__}",
        }
        | _settings(arguments)
    )
    time_step = arguments.correct_integrator
    if time_step is not None:
        spectra = {name: correct_axis(s, time_step) for name, s in spectra.items()}
        notes.append(
            f"all wavenumbers are corrected for an integrator step of {time_step:g} fs."
        )
    return replace(here, spectra=spectra, provenance=provenance), list(asked), notes


def _imitated(
    here: Result, arguments: argparse.Namespace
) -> tuple[Result, list[str], list[str]]:
    """The spectra that another program would give, in place of ours."""
    spectra, window, notes = other_program(here, arguments)
    provenance = here.provenance | {
        "window": window,
        "spectra_by": f"mimyria {__version__} --compat {arguments.compat}",
    }
    result = replace(here, spectra=spectra, provenance=provenance)
    return result, list(spectra), notes


def _settings(arguments: argparse.Namespace) -> dict[str, str | int | float]:
    """Options that change what the numbers mean, for the output file."""
    names = (
        "eps_inf",
        "mean_polarizability",
        "molecules",
        "raman_kind",
        "laser",
        "detector",
        "quantum_correction",
        "correct_integrator",
    )
    given = ((name, getattr(arguments, name)) for name in names)
    return {f"spectrum_{name}": value for name, value in given if value is not None}


def _stored_resolution(stored: Result) -> float:
    for spectrum in stored.spectra.values():
        return spectrum.resolution
    return _RESOLUTION


def _report(result: Result, title: str, asked: Sequence[str]) -> list[str]:
    """What a person wants to know, line by line."""
    correlation = result.dipole or result.polarizability
    assert correlation is not None  # checked in _recompute
    resolution = _stored_resolution(result)
    length = correlation.n_samples * correlation.interval / 1000
    lines = [
        f"{title}: {correlation.n_samples} samples, {length:.1f} ps",
        f"volume {result.volume:.1f} Å³, temperature {result.temperature:.1f} K, "
        f"window {result.provenance['window']}, resolution {resolution:g} cm⁻¹",
    ]
    for name, heading in _TITLES.items():
        if name in result.spectra:
            lines += _band_table(result.spectra[name], heading)
    for name, spectrum in result.spectra.items():
        if name.startswith(_VELOCITIES):
            element = name.removeprefix(_VELOCITIES)
            lines += _band_table(spectrum, f"Velocities of {element}, modes per cm⁻¹")
    for name in asked:
        if name not in _TITLES:
            spectrum = result.spectra[name]
            title = _title(name)
            named = title if title == name else f"{title} ({name})"
            heading = f"{named} / {spectrum.unit}"
            describe = _band_table if _has_bands(spectrum) else _value_table
            lines += describe(spectrum, heading)
    return lines


def _parts_report(result: Result) -> list[str]:
    """Shares of the integrated spectra, by group and pair, and assigned to groups."""
    from mimyria.partspectra import PART_KINDS, part_spectra

    if result.parts is None:
        raise SettingsError(
            "the result has no parts: the run knew one group of atoms only. Set "
            "[groups] in the run.toml of a new run."
        )
    lines = ["", "Parts, by who moves (not where the charge is): share of the integral"]
    if result.parts.reliable_from:
        lines.append(
            f"  single parts are unreliable below {result.parts.reliable_from:.0f} "
            "cm⁻¹, where molecules that change the shell show; their sum is not"
        )
    for kind in PART_KINDS:
        # Self and distinct terms have no pairs to be assigned.
        for assigned in (False,) if result.parts.n_self else (False, True):
            found = part_spectra(
                result.parts,
                kind,
                volume=result.volume,
                temperature=result.temperature,
                resolution=_stored_resolution(result),
                window=str(result.provenance["window"]),
                assigned=assigned,
            )
            whole = sum(float(part.intensity.sum()) for part in found.values())
            if not found or not whole:
                continue
            lines.append(f"  {kind}, assigned to groups" if assigned else f"  {kind}")
            width = max(20, *(len(label) for label in found))
            lines += [
                f"    {label:{width}} {float(part.intensity.sum()) / whole:8.1%}"
                f"   largest at {_largest(part):.0f} cm⁻¹; "
                f"{_error_text(part)} ({part.error_source})"
                for label, part in found.items()
            ]
    return lines


def _largest(spectrum: Spectrum) -> float:
    return float(spectrum.wavenumbers[np.argmax(np.abs(spectrum.intensity))])


def _quantity(name: str) -> Quantity | None:
    """The quantity of a spectrum; a kind or a correction may follow its name."""
    known = [q for q in QUANTITIES if name == q or name.startswith(f"{q}_")]
    return QUANTITIES[max(known, key=len)] if known else None


def _title(name: str) -> str:
    quantity = _quantity(name)
    return quantity.title if quantity is not None else name


def _has_bands(spectrum: Spectrum) -> bool:
    """Whether maxima mean bands, and not a dispersion, a ratio or a sign."""
    quantity = _quantity(spectrum.name)
    return quantity is None or quantity.is_band


def _value_table(spectrum: Spectrum, heading: str) -> list[str]:
    """Values at round wavenumbers, and the range."""
    known = np.isfinite(spectrum.intensity)
    lines = ["", f"{heading}  ({_error_text(spectrum)})", "      at / cm⁻¹   value"]
    for wavenumber in _ROUND:
        at = int(np.argmin(np.abs(spectrum.wavenumbers - wavenumber)))
        if known[at] and abs(spectrum.wavenumbers[at] - wavenumber) < _NEAR:
            lines.append(f"  {wavenumber:11.0f}   {spectrum.intensity[at]:.4g}")
    return lines


def _band_table(spectrum: Spectrum, heading: str) -> list[str]:
    strongest = sorted(find_bands(spectrum), key=lambda band: -band.height)
    lines = [
        "",
        f"{heading}  ({_error_text(spectrum)})",
        "  band / cm⁻¹   centroid   height",
    ]
    for band in sorted(strongest[:_MOST_BANDS], key=lambda band: band.position):
        lines.append(
            f"  {band.position:11.1f} {band.centroid:10.1f}   {band.height:.4g}"
        )
    if not strongest:
        lines.append("  none stands out from the noise")
    return lines


def _error_text(spectrum: Spectrum) -> str:
    error = _relative_error(spectrum)
    return "no error known" if np.isnan(error) else f"error {error:.1%}"


def _relative_error(spectrum: Spectrum) -> float:
    """Σ error / Σ intensity: one number for the whole spectrum."""
    if spectrum.error is None:
        return float("nan")
    known = np.isfinite(spectrum.error) & np.isfinite(spectrum.intensity)
    if not known.any():
        return float("nan")
    return float(spectrum.error[known].sum() / np.abs(spectrum.intensity[known]).sum())


def _plot(result: Result, folder: Path, asked: Sequence[str]) -> list[Path]:
    from mimyria.plots import plot_ir, plot_raman, plot_spectrum, plot_velocities

    make_folder(folder)
    written = []
    if "ir" in result.spectra:
        written.append(folder / "ir.png")
        plot_ir(result, written[-1])
    if "raman_vv" in result.spectra:
        written.append(folder / "raman.png")
        plot_raman(result, written[-1])
    if result.velocities is not None:
        written.append(folder / "vdos.png")
        plot_velocities(result, written[-1])
    for name in asked:
        if name == "ir":
            continue  # has its picture
        written.append(folder / f"{name}.png")
        plot_spectrum(result.spectra[name], written[-1], title=_title(name))
    return written
