"""From the commands of a script to what is known of its production run.

The commands are taken in order, as LAMMPS would; at each `run` the state of that moment
is kept, and the last `run` of some steps is the production. What is not understood and
may matter becomes a note.
"""

from __future__ import annotations

from typing import Final

from mimyria_driver.attach.lammps.atomcommands import ATOM_COMMANDS
from mimyria_driver.attach.lammps.known import HARMLESS_COMMANDS
from mimyria_driver.attach.lammps.meaning import Meaning
from mimyria_driver.attach.lammps.runcommands import RUN_COMMANDS
from mimyria_driver.attach.lammps.script import Script

__all__ = ["read_meaning"]

_HANDLERS: Final = {**ATOM_COMMANDS, **RUN_COMMANDS}
_SAY_THEMSELVES: Final = ("if", "label", "jump", "unfix", "boundary")


def read_meaning(script: Script) -> Meaning:
    """Take all commands of a script in order."""
    meaning = Meaning(notes=list(script.notes))
    for command in script.commands:
        if command.name == "quit":
            break
        handler = _HANDLERS.get(command.name)
        if handler is not None:
            if command.unknown and command.name not in _SAY_THEMSELVES:
                places = ", ".join(command.unknown)
                text = f"{command.name}: {places} is not to be known here"
                meaning.note(command, text)
            handler(meaning, command, script)
        elif command.name not in HARMLESS_COMMANDS:
            meaning.note(command, f"{command.name} is no command known here")
    return meaning
