"""Publishing: what people want of a run, in the places where they look.

    RUN/models/     committees (.mimyria), and for production runs TorchScript (.pt)
    RUN/spectra/    spectra of every cycle, like results of any run
    RUN/report.html

All of it are copies, made anew after each cycle; the state of the run does not need it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from mimyria.autotrain.context import Context, cycle_name
from mimyria.autotrain.cyclespectra import SPECTRUM
from mimyria.autotrain.steps import relative
from mimyria.autotrain.tasks import COMMITTEE, TaskFolder, run_tasks
from mimyria.files import make_folder, replace_file

if TYPE_CHECKING:
    from mimyria.autotrain.loop import Ending
    from mimyria.autotrain.report import Bands

__all__ = ["MODELS", "SPECTRA", "publish"]

MODELS: Final = "models"
SPECTRA: Final = "spectra"
_DEPLOYED: Final = "model.pt"


def publish(
    context: Context,
    number: int,
    ending: Ending | None = None,
    *,
    bands: Bands | None = None,
) -> None:
    """Copy models and spectra of a cycle, and write the report.

    Args:
        context: of the run.
        number: of the cycle; 0: there is none yet.
        ending: why the run is over; None: it goes on, and nothing is exported.
        bands: makes the table of bands of the report.
    """
    if number == 0:
        return
    models, spectra = context.path(MODELS), context.path(SPECTRA)
    make_folder(models)
    make_folder(spectra)
    for learned in context.settings.autotrain.learned:
        made = context.path(number, "train", learned, COMMITTEE)
        _copy(made, models / f"{learned}.mimyria")
    made = context.path(number, "spectra", SPECTRUM)
    _copy(made, spectra / f"{cycle_name(number)}.h5")
    if ending is not None:
        _export(context, number, models)
    from mimyria.autotrain.report import write_report  # matplotlib, when needed

    write_report(context, number, ending, bands)


def _export(context: Context, number: int, models: Path) -> None:
    """TorchScript of the last committees, in a process of its own."""
    tasks = {}
    for learned in context.settings.autotrain.learned:
        folder = context.path(number, "export", learned)
        model = context.path(number, "train", learned, COMMITTEE)
        tasks[learned] = TaskFolder.make(
            folder, "export", _DEPLOYED, model=relative(model, folder)
        )
    folder = context.path(number, "export")
    run_tasks([*tasks.values()], context.settings.compute, folder, lambda _: None)
    for learned, task in tasks.items():
        _copy(task.result, models / f"{learned}.pt")


def _copy(path: Path, place: Path) -> None:
    content = path.read_bytes()
    if not place.is_file() or place.read_bytes() != content:
        replace_file(place, content)
