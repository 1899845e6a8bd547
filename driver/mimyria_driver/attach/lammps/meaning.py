"""What is known of a script while its commands are taken one after the other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from mimyria_driver.attach.lammps.datafile import DataFile
from mimyria_driver.attach.lammps.fixes import Fix
from mimyria_driver.attach.lammps.script import Command
from mimyria_driver.attach.lammps.species import Species
from mimyria_driver.attach.plan import Note

__all__ = ["TIME_UNITS", "Meaning", "Run", "number_of"]

TIME_UNITS: Final = {
    # fs in a unit of time, and the time step where the script gives none
    "real": (1.0, 1.0),
    "metal": (1e3, 1e-3),
    "electron": (1.0, 1e-3),
    "si": (1e15, 1e-8),
    "cgs": (1e15, 1e-8),
    "micro": (1e9, 2.0),
    "nano": (1e6, 4.5e-4),
}


@dataclass(frozen=True, slots=True)
class Run:
    """One `run` command and the state at that moment.

    Attributes:
        command: the command.
        steps: how many; None: not to be known.
        fixes: in force then, in the order of their definition.
        time_step: in units of the run; None: not to be known.
        temperature: text of the last temperature asked for, and its place.
        loop: the label and the jump back to it that it stands between, if it does.
    """

    command: Command
    steps: int | None
    fixes: tuple[Fix, ...]
    time_step: float | None
    temperature: tuple[str, str] | None
    loop: tuple[Command, Command] | None = None


@dataclass(slots=True)
class Meaning:
    """What is known of a script.

    Attributes:
        units: style of units; "lj" where the script gives none.
        units_given: whether it gives one.
        species: of the atom types.
        data: data files by name.
        runs: in order.
        notes: what was not understood.
        warnings: what was understood, and matters.
        attached: where the script calls our hook already.
        atoms_known: whether `data` are all atoms there are.
        copies: by `replicate`.
        restart: the command that has restart files written.
        time_step: in units of the run, at this moment; None: not to be known.
        temperature: text of the last temperature asked for, and its place.
        fixes: in force at this moment, by ID.
        labels: by name.
        atom_style: of the atoms.
    """

    units: str = "lj"
    units_given: bool = False
    species: Species = field(default_factory=Species)
    data: dict[str, DataFile] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    warnings: list[Note] = field(default_factory=list)
    attached: Command | None = None
    atoms_known: bool = True
    copies: int = 1
    restart: Command | None = None
    time_step: float | None = 0.005
    temperature: tuple[str, str] | None = None
    fixes: dict[str, Fix] = field(default_factory=dict)
    labels: dict[str, Command] = field(default_factory=dict)
    atom_style: str = ""

    @property
    def production(self) -> Run | None:
        """The last run of some steps."""
        longer = [run for run in self.runs if run.steps != 0]
        return longer[-1] if longer else None

    def note(self, command: Command, text: str) -> None:
        """Something of a command was not understood."""
        self.notes.append(Note(text, command.file, command.line))

    def warn(self, command: Command, text: str) -> None:
        """Something of a command matters."""
        self.warnings.append(Note(text, command.file, command.line))


def number_of(text: str) -> float | None:
    """A number, or None where the text is none."""
    try:
        return float(text)
    except ValueError:
        return None
