"""The figure of docs/which-raman.md: one run, and what different experiments see of it.

python docs/pictures/which_raman.py demo-output/lammps/water/spectrum/spectrum.h5
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mimyria.drawing import COLOURS, WAVENUMBER_LABEL, save_figure
from mimyria.frame import Array
from mimyria.spectra import Cell, Conditions, compute_quantities
from mimyria.storage import read_result

LASER = 532.0  # nm
RANGE = (100.0, 4100.0)  # cm⁻¹
STRETCH = (3000.0, 4000.0)  # what curves are scaled to, cm⁻¹
GEOMETRIES = {
    "VV, analyser parallel": "raman_vv",
    "VH, analyser crossed": "raman_vh",
    "no analyser, VV + VH": "raman_unpolarised",
    r"isotropic, VV $-\ \frac{4}{3}$ VH": "raman_iso",
}


def panels(path: Path, resolution: float) -> Figure:
    """Two panels: geometries on one scale, and forms of one geometry, each to 1."""
    run = read_result(path)
    cell = Cell(run.volume, run.temperature)
    plain = Conditions(cell, resolution=resolution)
    counted = Conditions(
        cell,
        resolution=resolution,
        raman_kind="stokes",
        laser_wavelength=LASER,
        detector="photons",
        min_wavenumber=RANGE[0],
    )
    figure = Figure(figsize=(9.0, 3.6), layout="constrained", facecolor="white")
    left, right = figure.subplots(1, 2)

    spectra = compute_quantities(
        GEOMETRIES.values(), None, run.polarizability, conditions=plain
    )
    highest = spectra["raman_vv"].intensity.max()
    for (label, name), colour in zip(GEOMETRIES.items(), COLOURS, strict=False):
        curve = spectra[name]
        left.plot(
            curve.wavenumbers, curve.intensity / highest, color=colour, label=label
        )
    left.set_title("What the polarisers choose", fontsize=10)
    left.set_ylabel("intensity / maximum of VV")

    vv = spectra["raman_vv"]
    (raw,) = compute_quantities(
        ["raman_vv"], None, run.polarizability, counted
    ).values()
    inside = vv.wavenumbers >= RANGE[0]
    forms = {
        f"counts, {LASER:.0f} nm": (raw.wavenumbers, raw.intensity),
        "reduced, R(ν): as stored": (vv.wavenumbers, vv.intensity),
        "susceptibility χ″(ν) = R(ν)/ν": (
            vv.wavenumbers[inside],
            vv.intensity[inside] / vv.wavenumbers[inside],
        ),
    }
    for (label, curve), colour in zip(forms.items(), COLOURS[4:], strict=True):
        right.plot(*scaled(*curve), color=colour, label=label)
    right.set_title("What frequency factors do to VV", fontsize=10)
    right.set_ylabel("intensity / maximum of the OH stretch")
    right.set_yscale("log")
    right.set_ylim(1e-3, 20.0)
    finish(left, STRETCH)
    finish(right, RANGE)
    return figure


def scaled(wavenumbers: Array, intensity: Array) -> tuple[Array, Array]:
    """A curve whose highest point among the stretches is 1."""
    low, high = STRETCH
    inside = (wavenumbers >= low) & (wavenumbers <= high)
    return wavenumbers, intensity / np.max(intensity[inside])


def finish(axes: Axes, limits: tuple[float, float]) -> None:
    """What both panels have in common."""
    axes.set_xlim(*limits)
    axes.set_xlabel(WAVENUMBER_LABEL)
    axes.legend(fontsize=8, frameon=False, loc="upper right")


def main() -> None:
    """Draw the figure of a result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("result", type=Path)
    parser.add_argument(
        "--output", type=Path, default=Path("docs/pictures/which-raman.png")
    )
    parser.add_argument("--resolution", type=float, default=50.0, help="cm^-1")
    arguments = parser.parse_args()
    figure = panels(arguments.result, arguments.resolution)
    save_figure(figure, arguments.output, dots=150)


if __name__ == "__main__":
    main()
