"""What to type next for a run of i-PI."""

from __future__ import annotations

from pathlib import Path

from mimyria_driver.attach.commands import (
    driver_command,
    entering,
    from_folder,
    quoted,
    watch_command,
)
from mimyria_driver.attach.plan import Attached

__all__ = ["ipi_commands"]


def ipi_commands(attached: Attached, output: Path) -> list[str]:
    """The commands; i-PI is started in the folder of its input."""
    folder = attached.plan.input.parent
    script = from_folder(folder, output, attached.input)
    return [
        *entering(folder),
        quoted("i-pi", script) + " > ipi.log 2>&1 &",
        "# here the force clients of your input, as always",
        driver_command(folder, output),
        watch_command(folder, output),
    ]
