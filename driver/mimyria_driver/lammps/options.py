"""What the hook does while the driver is away, as its user chose it.

This module knows words and numbers, no socket and no engine. Python 3.8 and the
standard library are enough.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from mimyria_driver.lammps.engine import HookError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["POLICIES", "REPLICA", "Options", "own_endpoint", "parse_options"]

POLICIES = ("block", "spill", "drop", "stop", "abort")
REPLICA = "{replica}"  # stands in an endpoint for the number of one of several runs


@dataclass(frozen=True)
class Options:
    """Choices of the user.

    Attributes:
        policy: what is done when the driver takes no more frames: `block` waits as long
            as it takes; the others act after `wait` seconds. `spill` keeps frames in a
            file and goes on, `drop` loses them and goes on, `stop` ends the run
            cleanly, `abort` ends LAMMPS with an error.
        wait: seconds without any progress of the driver.
        spill: file of `spill`; without it one in the folder for temporary files.
        spill_mb: how large it may get; then the engine waits, as with `block`.
        barrier: MD steps between two restart files of LAMMPS (the N of `restart`); at
            each the hook waits until the driver has all frames on disk. 0: none.
        restart: restart file that `stop` writes; "none" writes none.
        replica: which of several runs of one driver this is, for an endpoint with
            {replica}; −1: the partition of LAMMPS says it.
    """

    policy: str = "block"
    wait: float = 60.0
    spill: str = ""
    spill_mb: int = 1024
    barrier: int = 0
    restart: str = "mimyria.restart"
    replica: int = -1

    @property
    def limit(self) -> float | None:
        """Seconds to wait for the driver, None: as long as it takes."""
        return None if self.policy == "block" else self.wait


def own_endpoint(endpoint: str, replica: int, partition: int = -1) -> str:
    """The endpoint of this replica, where the driver has one for each.

    Args:
        endpoint: perhaps with {replica} in it.
        replica: the number that the user gave, −1: none.
        partition: the one that the engine knows, −1: none.

    Raises:
        HookError: nobody knows the number.
    """
    if REPLICA not in endpoint:
        return endpoint
    number = replica if replica >= 0 else partition
    if number < 0:
        raise HookError(
            f"The endpoint {endpoint} needs the number of this replica: give the "
            "option replica=K or MIMYRIA_REPLICA, or run with -partition."
        )
    return endpoint.replace(REPLICA, f"{number:03d}")


def parse_options(
    text: str = "", environment: Mapping[str, str] = os.environ
) -> Options:
    """Options of `policy=spill wait=30`; what is not there comes from the environment.

    Args:
        text: words NAME=VALUE.
        environment: with MIMYRIA_POLICY, MIMYRIA_WAIT and so on.

    Raises:
        HookError: an unknown name, or a value that cannot be used.
    """
    kinds: dict[str, Any] = {each.name: type(each.default) for each in fields(Options)}
    words = {
        name: environment[f"MIMYRIA_{name.upper()}"]
        for name in kinds
        if environment.get(f"MIMYRIA_{name.upper()}")
    }
    for word in text.split():
        name, sign, value = word.partition("=")
        if name not in kinds or not sign:
            raise HookError(
                f"An option of the hook is one of {', '.join(kinds)} with a value, as "
                f"policy=block, but '{word}' was given."
            )
        words[name] = value
    try:
        options = Options(**{name: kinds[name](words[name]) for name in words})
    except ValueError:
        raise HookError(f"An option of the hook is no number: {words}.") from None
    if options.policy not in POLICIES:
        raise HookError(
            f"The policy of the hook must be one of {', '.join(POLICIES)}, but is "
            f"'{options.policy}'."
        )
    if not (options.wait >= 0 and options.spill_mb > 0 and options.barrier >= 0):
        raise HookError(
            "The options wait and barrier of the hook must not be below zero and "
            f"spill_mb must be above, but they are {options.wait}, {options.barrier} "
            f"and {options.spill_mb}."
        )
    return options
