"""Following: which correlators follow the groups of atoms of a run."""

from __future__ import annotations

from mimyria.partcorrelators import PartCorrelators
from mimyria.selfcorrelators import SelfCorrelators
from mimyria.velocityprobes import VelocityProbes
from mimyria_driver.identity import Identity

__all__ = ["part_correlators", "velocity_probes"]


def part_correlators(
    identity: Identity, n_lags: int
) -> PartCorrelators | SelfCorrelators | None:
    """What follows the groups of a run: pairs of groups, or molecules by themselves."""
    grouping = identity.grouping
    if grouping is None:
        return None
    if grouping.probes is not None:
        return SelfCorrelators(grouping, identity.models, n_lags, identity.interval)
    if len(grouping.names) > 1:
        return PartCorrelators(grouping, identity.models, n_lags, identity.interval)
    return None


def velocity_probes(identity: Identity, n_lags: int) -> VelocityProbes | None:
    """What follows the velocities of the elements, if the run keeps them."""
    grouping = identity.grouping
    if grouping is None or grouping.velocity_probes is None:
        return None
    return VelocityProbes(grouping, n_lags, identity.interval)
