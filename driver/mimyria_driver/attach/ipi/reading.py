"""What an input of i-PI says of its run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mimyria.errors import FormatError
from mimyria.files import read_plain
from mimyria.units import FS_PER_IPI_TIME
from mimyria_driver.attach.ipi.tree import Node, parse

__all__ = ["IpiInput", "number_in", "read_input"]

_LARGEST: Final = 64 << 20  # bytes; checkpoints hold all coordinates
_DEFAULT_STEPS: Final = 1000
_PREFIX: Final = "/tmp/ipi_"
_PREFIXES: Final = {
    "": 1.0, "milli": 1e-3, "micro": 1e-6, "nano": 1e-9, "pico": 1e-12,
    "femto": 1e-15, "atto": 1e-18,
}  # fmt: skip
_FS_PER_SECOND: Final = 1e15


@dataclass(frozen=True, slots=True)
class IpiInput:
    """An input of i-PI.

    Attributes:
        path: the file.
        content: its bytes.
        root: <simulation>.
        system: the only <system>.
        forces: its <forces>.
        dynamics: its <dynamics>.
    """

    path: Path
    content: bytes
    root: Node
    system: Node
    forces: Node
    dynamics: Node

    @property
    def time_step(self) -> float | None:
        """fs; None: not to be known."""
        node = self.dynamics.first("timestep")
        if node is None:
            return FS_PER_IPI_TIME  # i-PI's default is one atomic unit
        value, unit = number_in(node.text), node.attribute("units") or "atomic_unit"
        if value is None or value <= 0:
            return None
        if unit in ("atomic_unit", "automatic"):
            return value * FS_PER_IPI_TIME
        factor = _PREFIXES.get(unit.removesuffix("second"))
        if factor is None or not unit.endswith("second"):
            return None
        # 0.5 femtosecond is 0.5 fs, and not 0.5000000000000001 fs.
        return float(f"{value * factor * _FS_PER_SECOND:.12g}")

    @property
    def steps(self) -> int | None:
        """Steps of the run."""
        node = self.root.first("total_steps")
        if node is None:
            return _DEFAULT_STEPS
        value = number_in(node.text)
        return int(value) if value is not None and 0 <= value < 1e15 else None

    @property
    def beads(self) -> int | None:
        """Beads of the ring polymers; None: not to be known."""
        for tag in ("initialize", "beads"):
            node = self.system.first(tag)
            if node is not None:
                value = number_in(node.attribute("nbeads", "1"))
                return int(value) if value is not None and 1 <= value <= 1e6 else None
        return 1

    @property
    def temperature(self) -> tuple[float | None, str]:
        """K and where it stands; None: not to be known."""
        node = self.system.first("ensemble", "temperature")
        if node is None:
            for each in self.system.within("velocities"):
                if each.attribute("mode") == "thermal":
                    node = each
        if node is None:
            return None, "no temperature was found in the input"
        place = f"{self.path.name}:{node.line}, <{node.tag}>"
        value, unit = number_in(node.text), node.attribute("units")
        if value is None or not 0 < value < 1e5 or unit != "kelvin":
            return (
                None,
                f"{place}: '{node.text.strip()}' {unit} is not to be known here",
            )
        return value, place

    @property
    def levels(self) -> int:
        """Levels of multiple time steps."""
        node = self.dynamics.first("nmts")
        return max(1, len(re.findall(r"\d+", node.text))) if node is not None else 1

    @property
    def prefix(self) -> str:
        """What i-PI puts before the names of unix sockets."""
        return self.root.attribute("sockets_prefix", _PREFIX)


def number_in(text: str) -> float | None:
    """A number with blanks around it, or None."""
    try:
        return float(text)
    except ValueError:
        return None


def read_input(path: Path) -> IpiInput:
    """Read an input, or a checkpoint, which is one, too.

    Raises:
        FormatError: it cannot be read, or has nothing that can be watched.
    """
    try:
        content = read_plain(path, _LARGEST)
    except OSError as error:
        raise FormatError(
            f"{path}: cannot be read ({error.strerror or error}). Give the input.xml "
            "that `i-pi` reads."
        ) from error
    root = parse(content, str(path))
    if root.tag != "simulation":
        raise FormatError(
            f"{path}: must begin with <simulation>, but begins with <{root.tag}>. Give "
            "the input.xml that `i-pi` reads."
        )
    _refuse(path, root)
    systems = list(root.all("system"))
    if len(systems) != 1 or list(root.all("system_template")):
        raise FormatError(
            f"{path}: must have one <system>, but has {len(systems)} and "
            f"{len(list(root.all('system_template')))} <system_template>. For several "
            "see docs/engines.md, several systems."
        )
    forces = systems[0].first("forces")
    if forces is None:
        raise FormatError(f"{path}: its <system> has no <forces>. Give a whole input.")
    dynamics = next(systems[0].within("dynamics"), None)
    if dynamics is None:
        raise FormatError(
            f"{path}: must have <dynamics> in <motion>, but has none: a spectrum needs "
            "atoms that move in time."
        )
    return IpiInput(path, content, root, systems[0], forces, dynamics)


def _refuse(path: Path, root: Node) -> None:
    """Inputs that the socket cannot serve, or serves already."""
    smotion = root.first("smotion")
    if smotion is not None and smotion.attribute("mode", "dummy") != "dummy":
        raise FormatError(
            f"{path}:{smotion.line}: replicas that are exchanged cannot be seen by a "
            "socket. Use the hook inside i-PI: docs/engines.md, exchange of replicas."
        )
    for node in root.all("ffsocket"):
        parameters = node.first("parameters")
        if parameters is not None and "dt_fs" in parameters.text:
            raise FormatError(
                f"{path}:{node.line}: this <ffsocket> is for the driver already. Give "
                "the input without it, or use the run file that belongs to it."
            )
