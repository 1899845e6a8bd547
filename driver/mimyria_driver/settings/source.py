"""Section [source]: where the frames come from."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field
from pathlib import Path

from mimyria.errors import SettingsError
from mimyria.settings.fields import about as _about
from mimyria.settings.fields import check_limits as _check_limits
from mimyria.settings.fields import choice as _choice
from mimyria.settings.fields import setting as _setting
from mimyria_driver.labels import MOST_REPLICAS, PLACEHOLDER

__all__ = ["SourceSettings"]

MOST_BEADS = 4096
_KINDS = ("lammps", "lammps-dump", "ipi", "imd", "replay")
_NEEDED = {
    "lammps": (),
    "lammps-dump": ("path", "time_step"),
    "ipi": ("address", "time_step"),
    "imd": ("address", "time_step", "units"),
    "replay": ("path", "time_step"),
}
_NAMES = {"ipi": "i-PI", "imd": "an engine with IMD"}
_IMD_UNITS = ("lammps-real", "lammps-metal", "gromacs", "namd")


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """Where the frames come from."""

    kind: str = _setting(
        MISSING,
        'What sends frames: "lammps", "lammps-dump", "ipi", "imd" or "replay".',
        options=_KINDS,
        needs=_NEEDED,
    )
    endpoint: str | None = _setting(
        None,
        'lammps: where the hook connects, "ipc://PATH" or "tcp://127.0.0.1:PORT"; '
        "without it the socket engine in run.directory. endpoint.json there leads an "
        "engine to it, with the keys that tcp needs.",
    )
    insecure_tcp: bool = _setting(
        False,
        "lammps: tcp without keys, on this machine alone; every user of it can then "
        "send frames.",
    )
    replicas: int = _setting(
        1,
        "lammps, ipi, replay: engines of one system, each a run of its own in "
        "run.directory/replicas/000, 001, ...; {replica} in endpoint, address and path "
        "is 000, 001, ... for them, and a TCP port is the first of so many.",
        least=1,
        most=MOST_REPLICAS,
    )
    bind_any: bool = _setting(
        False, "lammps: tcp for engines on other machines, with the keys of the run."
    )
    address: str | None = _setting(
        None,
        'ipi: the ffsocket, as "unix:NAME" or "HOST:PORT". imd: where the engine waits '
        'for a client, as "127.0.0.1:8888".',
    )
    path: Path | None = field(
        default=None,
        metadata=_about(
            "replay: trajectory with velocities: extxyz, LAMMPS dump, H5MD; also .gz, "
            ".xz, .zst. lammps-dump: the pipe that LAMMPS dumps into, NAME.bin; made "
            "if absent."
        ),
    )
    more: tuple[str, ...] = _setting(
        (), "replay: further trajectories of the same atoms; no pair crosses over."
    )
    format: str | None = _setting(
        None,
        'replay: "extxyz", "lammps", "lammps-binary" or "h5md", where the ending does '
        "not say it.",
    )
    types: tuple[str, ...] = _setting(
        (),
        'replay, lammps-dump: elements of the types of a dump, as ["1=O", "2=H"].',
    )
    elements: tuple[str, ...] = _setting(
        (), "ipi, imd: element symbols of all atoms in order (or give structure)."
    )
    structure: Path | None = field(
        default=None,
        metadata=_about(
            "ipi, imd: a file of the same atoms that ASE can read (or give elements)."
        ),
    )
    time_step: float | None = _setting(
        None,
        "ipi, imd, replay, lammps-dump: MD time step in fs; the hook of LAMMPS says "
        "it.",
        above=0,
        wanted="a positive time in fs",
    )
    stride: int = _setting(
        1,
        "ipi, imd, replay, lammps-dump: MD steps from one frame to the next; the hook "
        "of LAMMPS says it.",
        least=1,
    )
    units: str | None = _setting(
        None,
        'imd: what the engine sends: "lammps-real" or "lammps-metal" by its units, '
        '"gromacs" or "namd" (Å, ps).',
    )
    beads: int = _setting(
        1,
        "ipi: beads of a ring polymer, whose currents are averaged before anything is "
        "correlated; 1: the one that is there, or the first. The hook inside i-PI says "
        "it itself.",
        least=1,
        most=MOST_BEADS,
    )
    check_velocities: str = _setting(
        "refuse",
        "What to do with velocities that are not those of the positions (half steps, "
        'normal modes, wrong units), by the first twenty frames: "refuse" or "warn".',
        options=("refuse", "warn"),
    )
    velocities_unit: str | None = _setting(
        None, "replay: unit of the velocities, where the file does not say it."
    )

    def __post_init__(self) -> None:
        """Check what the kind of source needs."""
        _choice("source.kind", self.kind, _KINDS)
        needed = _NEEDED[self.kind]
        for name in needed:
            if getattr(self, name) is None:
                raise SettingsError(
                    f'source.{name} is missing: a source of kind "{self.kind}" needs '
                    f"{' and '.join(needed)}. Add it under [source]."
                )
        if self.kind == "lammps-dump":
            self._check_dump()
        if self.kind == "imd":
            _choice("source.units", self.units or "", _IMD_UNITS)
        if self.kind in _NAMES and bool(self.elements) == bool(self.structure):
            raise SettingsError(
                f"{_NAMES[self.kind]} does not say which atoms it has: give either "
                "source.elements or source.structure."
            )
        _check_limits("source", self)
        if self.beads > 1 and self.kind != "ipi":
            raise SettingsError(
                f"source.beads is for i-PI's socket, but the kind is '{self.kind}'. "
                "Leave it away; for the hook inside i-PI give it --beads all."
            )
        if self.replicas > 1:
            self._check_replicas()
        if self.insecure_tcp and self.bind_any:
            raise SettingsError(
                "source.insecure_tcp is for this machine alone, so source.bind_any "
                "cannot go with it. Leave one of them away."
            )

    def _check_dump(self) -> None:
        """Check what a dump needs.

        Raises:
            SettingsError: there are no elements, or LAMMPS would write text.
        """
        if not self.types:
            raise SettingsError(
                "a dump says types and no elements: give source.types, as "
                '["1=O", "2=H"].'
            )
        assert self.path is not None
        if self.path.suffix != ".bin":
            raise SettingsError(
                f"source.path must end in .bin, but is {self.path.name}: LAMMPS writes "
                "text to any other name."
            )

    def _check_replicas(self) -> None:
        """Each of them must have its own address, or its own file."""
        shared = {
            "endpoint": (self.endpoint or "").startswith("ipc:") and self.endpoint,
            "address": (self.address or "").startswith("unix:") and self.address,
            "path": self.path and str(self.path),
        }
        for name, text in shared.items():
            if text and PLACEHOLDER not in text:
                raise SettingsError(
                    f"source.{name} is '{text}' for all {self.replicas} replicas. Put "
                    f"{PLACEHOLDER} where their numbers (000, 001, ...) belong."
                )
