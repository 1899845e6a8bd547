"""What to type next for a run of LAMMPS."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mimyria_driver.attach.commands import (
    driver_command,
    entering,
    from_folder,
    quoted,
    watch_command,
)
from mimyria_driver.attach.plan import Attached

__all__ = ["lammps_commands"]


def lammps_commands(
    attached: Attached, output: Path, lmp: str, given: Mapping[str, str]
) -> list[str]:
    """The commands; LAMMPS is started in the folder of its input.

    Args:
        attached: what was written.
        output: where.
        lmp: what starts LAMMPS.
        given: variables of its command line.
    """
    folder = attached.plan.input.parent
    variables = [word for pair in given.items() for word in ("-var", *pair)]
    return [
        *entering(folder),
        driver_command(folder, output),
        quoted(lmp, "-in", from_folder(folder, output, attached.input), *variables),
        watch_command(folder, output),
    ]
