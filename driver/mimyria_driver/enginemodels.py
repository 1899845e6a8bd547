"""Engine models: runs whose networks the engine asks itself, and their samples.

The driver has the same networks, and compares their digests; what the engine adds up
becomes the sample that the driver's own evaluator would have made.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from mimyria.contributions import Sample
from mimyria.domainsums import SumRule
from mimyria.errors import FrameError, IncompatibleError, SettingsError
from mimyria.groups import Grouping
from mimyria_driver.settings import Settings
from mimyria_driver.sources import Arrived, EngineModels, RunDescription

__all__ = ["check_engine_models", "sample_of"]

_GROUPS: Final = ("species", "none")


def check_engine_models(
    description: RunDescription,
    settings: Settings,
    models: Mapping[str, Mapping[str, Any]],
) -> None:
    """Refuse an engine whose networks are not those of the settings.

    Args:
        description: what the engine says.
        settings: of the driver.
        models: metadata of the model of each target.

    Raises:
        SettingsError: the settings want the networks elsewhere, or groups that the sums
            of an engine do not tell apart.
        IncompatibleError: the engine has other models.
    """
    where = "driver" if description.models is None else "engine"
    wanted = settings.models.where
    if where != wanted:
        raise SettingsError(
            f"models.where is '{wanted}', but this engine leaves the networks to the "
            f'{where}. Set models.where = "{where}", or change the engine\'s input '
            "(mimyria_domain)."
        )
    if description.models is None:
        return
    groups = settings.groups
    if groups.kind not in _GROUPS or groups.velocity_probes:
        raise SettingsError(
            "an engine that asks the networks itself adds up by element: "
            f"groups.kind must be one of {', '.join(_GROUPS)} without velocity_probes, "
            f"but is '{groups.kind}' with {groups.velocity_probes}."
        )
    found = dict(description.models.digests)
    expected = {target: str(doc["sha256"]) for target, doc in models.items()}
    for target in sorted(set(found) | set(expected)):
        if found.get(target) != expected.get(target):
            raise IncompatibleError(
                f"the {target} model of the driver is "
                f"{expected.get(target, 'absent')[:12]}, but that of the engine is "
                f"{found.get(target, 'absent')[:12]}. Give both the same files."
            )


def sample_of(
    arrived: Arrived,
    models: EngineModels | None,
    grouping: Grouping | None,
    charge: float,
) -> Sample | None:
    """The sample of a frame whose sums the engine sent; None where it sent none.

    Args:
        arrived: the frame.
        models: of the engine.
        grouping: of the run.
        charge: total charge, e.

    Raises:
        FrameError: a sum is not finite.
    """
    if arrived.summed is None or models is None:
        return None
    shares = models.shares
    rule = SumRule(shares.get("apt"), shares.get("pgt"), charge)
    sums = arrived.summed.sums.with_sum_rule(rule)
    for target in models.digests:
        if not np.isfinite(sums.part(f"{target}_moved")).all():
            raise FrameError(
                f"step {arrived.frame.step}: the {target} model of the engine gave "
                "numbers that are not finite. Look at the engine's log."
            )
    kinds = np.array([_place(grouping, symbol) for symbol in models.symbols])
    sample = sums.sample(models.masses, grouping, kinds)
    return Sample(sample.currents, sample.contributions, arrived.summed.excess)


def _place(grouping: Grouping | None, symbol: str) -> int:
    """Index of an element among the species; −1 where no atom is of it."""
    names = () if grouping is None else grouping.species_names
    return names.index(symbol) if symbol in names else -1
