"""What the LAMMPS input script calls where each rank asks the networks itself.

    comm_modify cutoff 14.0        # layers x cutoff of the networks + skin, Angstrom
    python mimyria_start input 3 ENDPOINT "O H" 4 format ssi here \"\"\"
    from mimyria_driver.domain.hook import *
    \"\"\"
    python mimyria_start invoke
    python mimyria_domain input 3 SELF "MODEL [MODEL]" 2.0 format psf exists
    python mimyria_domain invoke
    fix    mimyria all python/invoke 4 end_of_step mimyria_frame     # the LAST fix

docs/large.md has it complete. `mimyria_start`, `mimyria_frame` and `mimyria_finish` are
those of `lammps.hook`, and all they say holds here; frames go to the driver as always,
with what the networks of the rank add up. It needs mimyria and torch in LAMMPS' Python.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch

from mimyria.errors import MimyriaError
from mimyria_driver.domain.evaluation import LocalNetworks
from mimyria_driver.domain.ghosts import (
    Ghosts,
    neighbourhood,
    require_known_box,
    require_new_ghosts,
    require_reach,
    require_skin,
)
from mimyria_driver.lammps import hook
from mimyria_driver.lammps.engine import HookError
from mimyria_driver.lammps.hook import (
    mimyria_finish,
    mimyria_frame,
    mimyria_newest,
    mimyria_start,
)
from mimyria_driver.lammps.messages import Networks

__all__ = [
    "mimyria_domain",
    "mimyria_finish",
    "mimyria_frame",
    "mimyria_newest",
    "mimyria_start",
]


class RankNetworks(Networks):
    """The networks of one rank, asked about the present step of its LAMMPS."""

    def __init__(
        self, networks: LocalNetworks, skin: float, fixes: Sequence[str] | None
    ) -> None:
        """Take the networks.

        Args:
            networks: of this rank.
            skin: that the ghosts were made for, Å.
            fixes: styles of all fixes, which the first rank knows.
        """
        self._networks = networks
        self._skin = skin
        self._fixes = fixes
        self.models = networks.models()

    def sums(self) -> bytes:
        """What the networks add up over the atoms of this rank."""
        engine = _ghosts()
        length, time = engine.real("angstrom"), engine.real("femtosecond")
        if engine.lacks_ghosts(self._networks.reach * length):
            raise HookError(
                "LAMMPS has made no ghosts yet, so that ranks cannot ask networks. Put "
                "`run 0 post no` before this call of mimyria_frame."
            )
        outside = engine.outside() / length
        require_skin(outside, self._skin, box_changes=engine.box_changes)
        if engine.box_changes and self._fixes is not None:
            require_known_box(self._fixes)
        return self._networks.sums(
            engine.all_types() - 1,
            engine.all_positions() / length,
            engine.own_velocities() * (time / length),
        )


def mimyria_domain(handle: object, names: str, skin: float = 2.0) -> None:
    """Let this rank ask the networks; between `mimyria_start` and the run.

    Args:
        handle: SELF.
        names: files or names of the models, those that the driver has.
        skin: of `neighbor`, engine's unit.
    """
    try:
        if "sender" not in hook._STATE:
            raise HookError("mimyria_domain needs mimyria_start before it.")
        hook._meet(handle, hook._address(handle))
        _join(names.split(), skin)
    except (HookError, MimyriaError) as error:
        hook._end_lammps(HookError(str(error)))


def _join(names: Sequence[str], skin: float) -> None:
    """Load the networks, look at the ghosts, and give both to the sender."""
    sender = hook._STATE["sender"]
    # Ranks share the cores of a node: one thread each, unless the user says otherwise.
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or 1))
    networks = LocalNetworks(names, sender.elements)
    engine = _ghosts()
    found = neighbourhood(hook._library(), hook._STATE["address"])
    skin /= engine.real("angstrom")
    if found is not None:
        require_reach(found.cutoff / engine.real("angstrom"), networks.reach, skin)
        require_new_ghosts(found.fixes)
    fixes = None if found is None else found.fixes
    sender.networks = RankNetworks(networks, skin, fixes)


def _ghosts() -> Ghosts:
    """The LAMMPS of this moment: `clear` makes another one."""
    return Ghosts(hook._library(), hook._STATE["address"])
