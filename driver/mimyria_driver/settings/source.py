"""Section [source]: where the frames come from."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field
from pathlib import Path

from mimyria.errors import SettingsError
from mimyria.settings.fields import about as _about
from mimyria.settings.fields import choice as _choice
from mimyria.settings.fields import require as _require
from mimyria.settings.fields import setting as _setting

__all__ = ["SourceSettings"]

_KINDS = ("lammps", "lammps-dump", "ipi", "replay")


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """Where the frames come from."""

    kind: str = _setting(
        MISSING, 'What sends frames: "lammps", "lammps-dump", "ipi" or "replay".'
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
    bind_any: bool = _setting(
        False, "lammps: tcp for engines on other machines, with the keys of the run."
    )
    address: str | None = _setting(
        None, 'ipi: the ffsocket, as "unix:NAME" or "HOST:PORT".'
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
        (), "ipi: element symbols of all atoms in order (or give structure)."
    )
    structure: Path | None = field(
        default=None,
        metadata=_about(
            "ipi: a file of the same atoms that ASE can read (or give elements)."
        ),
    )
    time_step: float | None = _setting(
        None,
        "ipi, replay, lammps-dump: MD time step in fs; the hook of LAMMPS says it.",
    )
    stride: int = _setting(
        1,
        "ipi, replay, lammps-dump: MD steps from one frame to the next; the hook of "
        "LAMMPS says it.",
    )

    velocities_unit: str | None = _setting(
        None, "replay: unit of the velocities, where the file does not say it."
    )

    def __post_init__(self) -> None:
        """Check what the kind of source needs."""
        _choice("source.kind", self.kind, _KINDS)
        needed = {
            "lammps": (),
            "lammps-dump": ("path", "time_step"),
            "ipi": ("address", "time_step"),
            "replay": ("path", "time_step"),
        }[self.kind]
        for name in needed:
            if getattr(self, name) is None:
                raise SettingsError(
                    f'source.{name} is missing: a source of kind "{self.kind}" needs '
                    f"{' and '.join(needed)}. Add it under [source]."
                )
        if self.kind == "lammps-dump":
            self._check_dump()
        if self.kind == "ipi" and bool(self.elements) == bool(self.structure):
            raise SettingsError(
                "i-PI does not say which atoms it has: give either source.elements or "
                "source.structure."
            )
        _require(
            self.time_step is None or self.time_step > 0,
            "source.time_step",
            "a positive time in fs",
            self.time_step,
        )
        _require(self.stride >= 1, "source.stride", "1 or more", self.stride)
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
