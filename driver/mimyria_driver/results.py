"""Results: pictures beside a file, a sign for the engine, where numbers come from."""

from __future__ import annotations

import logging
from pathlib import Path

import mimyria
from mimyria_driver.identity import Identity

__all__ = ["draw_plots", "journal_provenance", "make_exit_file", "try_plots"]

_log = logging.getLogger(__name__)


def draw_plots(path: Path) -> list[Path]:
    """Draw `ir.png`, `raman.png` and `vdos.png` of what a result file has, beside it.

    matplotlib is imported here, at the end of a run, since it is slow to.

    Args:
        path: the result file.

    Returns:
        What was drawn.
    """
    from mimyria.plots import plot_ir, plot_raman, plot_velocities
    from mimyria.storage import read_result

    result = read_result(path)
    drawn = []
    for wanted, plot, name in (
        (result.dipole, plot_ir, "ir.png"),
        (result.polarizability, plot_raman, "raman.png"),
        (result.velocities, plot_velocities, "vdos.png"),
    ):
        if wanted is not None:
            plot(result, path.with_name(name))
            drawn.append(path.with_name(name))
    return drawn


def try_plots(path: Path) -> None:
    """Draw them if possible; the result has all that they show."""
    try:
        draw_plots(path)
    except Exception as error:  # matplotlib raises what it likes
        _log.warning("the plots beside %s could not be drawn: %s", path, error)


def make_exit_file(path: Path) -> None:
    """Make the file that tells an engine to end; a run is not lost where it fails."""
    try:
        path.touch()
    except OSError as error:
        _log.warning("%s could not be made, so the engine goes on: %s", path, error)


def journal_provenance(identity: Identity, status: str) -> dict[str, str | int | float]:
    """What a result that is made of a journal alone says of where it comes from.

    Args:
        identity: of the journal.
        status: how it was made.
    """
    return {
        "status": status,
        "mimyria": mimyria.__version__,
        "engine": str(identity.notes.get("engine", "")),
        "atoms": len(identity.numbers),
        "time_step": identity.time_step,
        "stride": identity.stride,
        **identity.beads,
        **{f"model_{target}": sha for target, sha in identity.models.items()},
    }
