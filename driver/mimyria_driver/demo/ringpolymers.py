"""Ring polymers of the demo: water with quantum nuclei beside the classical liquid.

Both are run alike, with i-PI and the same thermostat, potential and networks; only the
number of beads differs. So what differs in the spectra is what the nuclei do.
"""

from __future__ import annotations

import math
import re
import shutil
from pathlib import Path
from typing import Final

from mimyria.comparison import first_moment
from mimyria.spectra import Spectrum
from mimyria.storage import RESULT_NAME, read_result
from mimyria_driver.demo.engines import edit, export_models, prepare, run_ipi
from mimyria_driver.demo.report import table

__all__ = ["compare", "run_ring_polymers"]

TIME_STEP: Final = 0.25  # fs, as in the inputs
STRIDE: Final = 8
BEADS: Final = {"classical": 1, "quantum": 8}
_NAME: Final = "mimyria-trpmd"
_SPECTRA: Final = {"ir": "IR", "raman_vv": "VV"}
_STRETCH: Final = (2900.0, 4000.0)
_PLOTTED: Final = (50.0, 4200.0)


def run_ring_polymers(picoseconds: float, directory: Path) -> Path:
    """Copy the inputs, and run both liquids to their end.

    Args:
        picoseconds: length of each production; a third of it comes before.
        directory: becomes a copy of the inputs, with the results in it.

    Returns:
        The folder that holds a folder for each liquid.

    Raises:
        EngineError: one of the programs failed; all are stopped.
        OutputError: the directory holds something else.
    """
    prepare(directory)
    folder = (directory / "ipi").resolve()
    source = folder / "water-trpmd"
    export_models(source)
    n_frames = max(2, round(picoseconds * 1000 / (TIME_STEP * STRIDE)))
    for name, beads in BEADS.items():
        liquid = folder / f"water-{name}"
        shutil.copytree(source, liquid)
        _adapt(liquid / "equilibrate.xml", beads, n_frames * STRIDE // 3)
        # One more step than sampled: a velocity needs the frame after it.
        _adapt(liquid / "input.xml", beads, n_frames * STRIDE + 1)
        run_ipi(liquid, _NAME, "equilibrate.xml", observed=False)
        shutil.copy(liquid / "RESTART", liquid / "equilibrated.chk")
        run_ipi(liquid, _NAME, "input.xml", observed=True)
    return folder


def compare(folder: Path) -> list[str]:
    """Lines that say how far the bands of the two liquids are apart; draws them, too.

    Args:
        folder: as `run_ring_polymers` returns it.
    """
    from mimyria.plots import plot_overlay

    spectra = {name: _spectra(folder / f"water-{name}") for name in BEADS}
    columns = {
        f"{label} {name}": each[key]
        for key, label in _SPECTRA.items()
        for name, each in spectra.items()
    }
    lines = ["", "Tops of bands in cm⁻¹:", "", *table(columns), ""]
    lines.append("Centre of gravity of the OH stretch in cm⁻¹, classical to quantum:")
    pictures = []
    for key, label in _SPECTRA.items():
        classical, quantum = (spectra[name][key] for name in BEADS)
        lines.append(f"  {label:<4}{_shift(classical, quantum)}")
        pictures.append(folder / f"{key}.png")
        plot_overlay(
            classical.between(*_PLOTTED),
            quantum.between(*_PLOTTED),
            pictures[-1],
            labels=("classical nuclei", "ring polymers, 8 beads"),
        )
    results = [folder / f"water-{name}" / "spectrum" / RESULT_NAME for name in BEADS]
    return [*lines, "", "left behind:", *(f"  {each}" for each in results + pictures)]


def _shift(classical: Spectrum, quantum: Spectrum) -> str:
    """Where the stretch has its centre in both, and the shift with its standard error.

    The top of a band this broad jumps between its shoulders in a short run; its centre
    does not.
    """
    (before, error), (after, other) = (
        first_moment(each.between(*_STRETCH)) for each in (classical, quantum)
    )
    scatter = math.hypot(error, other)
    return f"{before:.0f} to {after:.0f}: {after - before:+.0f} ± {scatter:.0f}"


def _adapt(path: Path, beads: int, steps: int) -> None:
    (old,) = re.findall("<total_steps>.*</total_steps>", path.read_text())
    new = f"<total_steps>{steps}</total_steps>"
    edit(path, {old: new, "<initialize nbeads='8'>": f"<initialize nbeads='{beads}'>"})


def _spectra(liquid: Path) -> dict[str, Spectrum]:
    result = read_result(liquid / "spectrum" / RESULT_NAME)
    return {key: result.spectra[key] for key in _SPECTRA}
