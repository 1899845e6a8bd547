"""`mimyria-driver init`: a run file for an input that exists."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from mimyria.cli.parsing import Subparsers, add_command
from mimyria.errors import SettingsError
from mimyria.files import read_plain

if TYPE_CHECKING:
    from mimyria_driver.attach.plan import Attached, Plan

__all__ = ["add_parser"]

_LARGEST = 1 << 27  # bytes of an input; a checkpoint of i-PI holds coordinates

_INIT = """\
Read an input of LAMMPS or i-PI, as text, and write what it takes to watch its run:

  run.toml            every line explained, with values for this system
  in.mimyria.lammps   (input.mimyria.xml) a copy of the input with the driver's lines
  mimyria_hook.py     what LAMMPS calls, if it has the PYTHON package

The input itself is not changed, and no file that is there is written over. What was
not understood is said with its line, here and in run.toml. Then the next commands are
shown.

Of LAMMPS the last run is taken for the production. A LAMMPS without the PYTHON package
gets a dump into a pipe instead of the hook; --through chooses.
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the parser."""
    parser = add_command(
        subparsers, "init", "write a run file for an input of LAMMPS or i-PI", _INIT
    )
    add = parser.add_argument
    add("input", type=Path, metavar="INPUT", help="in.lammps or input.xml")
    add(
        "--engine",
        choices=("auto", "lammps", "ipi"),
        default="auto",
        help="whose input it is (default: i-PI if it is XML)",
    )
    add(
        "--output", type=Path, metavar="DIR", help="for the new files (default: beside)"
    )
    add("--force", action="store_true", help="write over files, never over the input")
    add("--dry-run", action="store_true", help="print run.toml and write nothing")
    lammps = parser.add_argument_group("LAMMPS")
    lammps.add_argument(
        "--through",
        choices=("auto", "hook", "pipe"),
        default="auto",
        help="how frames come (default: the hook where LAMMPS can call it)",
    )
    lammps.add_argument(
        "--lmp", metavar="PROGRAM", help="LAMMPS (default: on the PATH)"
    )
    lammps.add_argument(
        "--var",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="a variable, as for `lmp -var`",
    )
    parser.set_defaults(run=_init)


def _init(arguments: argparse.Namespace) -> int:
    from mimyria_driver.attach.runfile import run_file
    from mimyria_driver.attach.writing import write_files

    path: Path = arguments.input
    output: Path = arguments.output or path.parent
    if _is_ipi(path, arguments.engine):
        from mimyria_driver.attach.ipi.attaching import attach_ipi
        from mimyria_driver.attach.ipi.commands import ipi_commands

        attached = attach_ipi(path, output)
        commands = ipi_commands(attached, output)
    else:
        attached, commands = _lammps(arguments, path, output)
    text = run_file(attached.plan)
    if arguments.dry_run:
        print(text, end="")
        return 0
    files = {"run.toml": text, **attached.files}
    written = write_files(
        output, files, path, force=arguments.force, pipe=attached.pipe
    )
    _report(attached.plan, written, commands)
    return 0


def _is_ipi(path: Path, engine: str) -> bool:
    """Whether it is an input of i-PI: by its first letter, or as the user says."""
    if engine != "auto":
        return engine == "ipi"
    try:
        content = read_plain(path, _LARGEST)
    except OSError as error:
        raise SettingsError(
            f"{path}: cannot be read ({error.strerror or error}). Give the input of "
            "LAMMPS or i-PI."
        ) from error
    return content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")


def _lammps(
    arguments: argparse.Namespace, path: Path, output: Path
) -> tuple[Attached, list[str]]:
    """All for LAMMPS; which way frames come depends on what there is."""
    from mimyria_driver.attach.lammps.attaching import attach_lammps
    from mimyria_driver.attach.lammps.commands import lammps_commands
    from mimyria_driver.attach.lammps.programs import choose_program

    program = choose_program(arguments.lmp, arguments.through)
    hook = arguments.through == "hook" or program.hooks
    given = dict(arguments.var)
    attached = attach_lammps(path, output, given, hook=hook)
    if program.why_not and arguments.through != "pipe":
        pipe = (
            "; it dumps into a pipe instead (a third way: docs/attach-lammps.md, "
            "`python -m mimyria_driver.lammps.library`)"
        )
        way = "" if hook else pipe
        attached.plan.warn(f"{program.command} {program.why_not}{way}")
    return attached, lammps_commands(attached, output, program.command, given)


def _report(plan: Plan, written: Iterable[Path], commands: list[str]) -> None:
    """What was found, written, and is to be done."""
    for title, sentences in (
        ("found", plan.said),
        ("to be thought of", [str(each) for each in plan.warnings]),
        ("not understood, and passed over", [str(each) for each in plan.unread]),
        ("wrote", [os.path.relpath(path) for path in written]),
        ("fill in first", plan.asked),
    ):
        if sentences:
            print(f"{title}:")
            for each in sentences:
                print(f"  {each}")
    print("next:")
    for command in commands:
        print(f"  {command}")
