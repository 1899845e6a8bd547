"""Bands of a run beside those of an experiment, for `mimyria compare`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from mimyria.errors import SettingsError

if TYPE_CHECKING:
    from mimyria.experiments import Experiment, ExperimentalBand
    from mimyria.spectra import Spectrum

__all__ = ["beside_experiment"]


def beside_experiment(
    spectra: Mapping[str, Spectrum], experiment: Experiment
) -> list[str]:
    """Bands of a run beside those of the experiment.

    Args:
        spectra: by name; that of a table has the name ''.
        experiment: with its bands.

    Raises:
        SettingsError: it knows none of these spectra.
    """
    lines = [
        f"{experiment.title}",
        "",
        f"{'':10s} {'':16s} {'position / cm^-1':>19s}  {'height / cm^-1':>17s}  "
        f"{'integral / cm^-2':>30s}",
        f"{'spectrum':10s} {'band':16s} {'run':>9s} {'exp.':>9s}  {'run':>8s} "
        f"{'exp.':>8s}  {'run':>21s} {'exp.':>8s}  source",
    ]
    marked = False
    for band in experiment.bands:
        spectrum = spectra.get(band.spectrum)
        if spectrum is None and "" in spectra and band.spectrum == "ir":
            spectrum = spectra[""]
        if spectrum is None:
            continue
        lines.append(_band_line(spectrum, band))
        marked = marked or band.status == "memory"
    if len(lines) == 4:
        raise SettingsError(
            f"the file has no spectrum that the experiment '{experiment.name}' knows."
        )
    if marked:
        lines.append("* quoted from memory of the literature: orientation, not a test")
    lines += [
        f"{key}: {text}" for key, text in experiment.sources.items() if key != "common"
    ]
    return lines


def _band_line(spectrum: Spectrum, band: ExperimentalBand) -> str:
    from mimyria.comparison import integral
    from mimyria.spectra import find_band

    position, height, total = "-", "-", "-"
    absolute = spectrum.unit == "cm^-1"
    try:
        part = spectrum.between(band.low, band.high)
        if band.position is not None:
            found = find_band(part, band.low, band.high)
            position = f"{found.position:.0f}"
            height = f"{found.height:.0f}" if absolute else "-"
        if absolute and band.integral is not None:
            value, error = integral(part)
            total = f"{value:.3g}"
            if not math.isnan(error):
                total += f" ± {error:.2g}"
    except SettingsError:
        pass  # the spectrum does not reach there: dashes say so
    wanted = [
        "-" if number is None else form.format(number)
        for number, form in (
            (band.position, "{:.0f}"),
            (band.height, "{:.0f}"),
            (band.integral, "{:.3g}"),
        )
    ]
    mark = "*" if band.status == "memory" else ""
    return (
        f"{band.spectrum:10s} {band.name:16s} {position:>9s} {wanted[0]:>9s}  "
        f"{height:>8s} {wanted[1]:>8s}  {total:>21s} {wanted[2]:>8s}  "
        f"{band.source}{mark}{'  (' + band.note + ')' if band.note else ''}"
    )
