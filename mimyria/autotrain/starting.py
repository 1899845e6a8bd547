"""Where a training begins: the committee that `training.start` names.

It is held against the settings before anything is computed: labels may take days, and
`training.start` cannot be changed once they are there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mimyria.autotrain.settings import Settings
from mimyria.errors import IncompatibleError
from mimyria.targets import targets_by_name

if TYPE_CHECKING:  # the process that leads a run needs no torch without a start
    from mimyria.models.modelfile import ModelFile
    from mimyria.models.settings import NetworkSettings

__all__ = ["first_start", "network_of", "read_start", "require_start"]


def first_start(settings: Settings, learned: str) -> Path | None:
    """The committee that the first cycle begins with; None: random weights.

    Args:
        settings: of the run.
        learned: `joint`, `apt` or `pgt`.
    """
    start = settings.training.start
    if not start:
        return None
    (path,) = settings.files((start,))
    # One file for what is learned, or one for each: NAME-apt.mimyria and NAME-pgt.…
    own = path.with_name(f"{path.stem}-{learned}{path.suffix}")
    if own.is_file():
        return own
    if path.exists():
        return path
    from mimyria.models import shipped_models

    return shipped_models().get(start, path)


def network_of(training: Mapping[str, Any], learned: str) -> NetworkSettings:
    """The network that the section [training] asks for."""
    from mimyria.models import preset

    network = preset(training["preset"], learned)
    network = replace(network, sum_rule=training["sum_rule"])
    if training["cutoff"]:
        network = replace(network, cutoff=training["cutoff"])
    return network


def read_start(
    path: Path, learned: str, species: tuple[int, ...], network: NetworkSettings
) -> ModelFile:
    """A committee that another training can go on from.

    Args:
        path: of its file.
        learned: what the training learns.
        species: atomic numbers of the system, rising.
        network: of the training.

    Raises:
        ModelError: there is no such file, or it is no model.
        IncompatibleError: that committee is another kind of network.
    """
    from mimyria.models import read_model

    file = read_model(path)
    found = file.metadata
    targets = tuple(target.name for target in targets_by_name(learned))
    for name, there, here in (
        ("targets", found.target_names, targets),
        ("elements", found.species, species),
        ("network settings", found.settings.as_dict(), network.as_dict()),
    ):
        if there != here:
            raise IncompatibleError(
                f"{path} cannot be trained further here: its {name} are {there}, not "
                f"{here}. Leave training.start out, or set them alike."
            )
    return file


def require_start(settings: Settings, numbers: Iterable[int]) -> None:
    """Refuse a `training.start` that the first training could not begin with.

    Args:
        settings: of the run.
        numbers: atomic numbers of the system.

    Raises:
        ModelError: there is no such file, or it is no model.
        IncompatibleError: it is another kind of network.
    """
    if settings.training.anew:
        return
    species = tuple(sorted(set(numbers)))
    for learned in settings.autotrain.learned:
        path = first_start(settings, learned)
        if path is not None:
            network = network_of(settings.section("training"), learned)
            read_start(path, learned, species, network)
