"""`mimyria-driver repair`: a journal that is damaged in the middle."""

from __future__ import annotations

import argparse
from pathlib import Path

from mimyria.cli.parsing import Subparsers, add_command

__all__ = ["add_parser"]

_REPAIR = """\
Make a journal usable again in which a disk or a copy has damaged records that were safe
once; a driver refuses it (exit code 74) and `mimyria-driver verify` says where. First
look for a sound copy of the journal: nothing is as good as that. If there is none,
choose what to keep:

  --keep prefix    what is before the first damaged record. An engine that is started
                   from a restart file of before goes on from there.
  --keep segment   all sound records. The damaged ones are void and count as missing
                   frames; what follows begins a new segment, so that no pair of frames
                   across the hole is correlated. Usually the better one.

The damaged file stays beside the new one, as journal.damaged-1. A journal that is not
damaged is left as it is, and so is one that a driver is writing to (exit code 75). Then
`mimyria-driver rebuild` makes the result. Of a run with replicas give the folder of the
replica, as RUNDIR/replicas/007.
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the parser."""
    parser = add_command(subparsers, "repair", "mend a damaged journal", _REPAIR)
    parser.add_argument("directory", type=Path, metavar="RUNDIR")
    parser.add_argument(
        "--keep", choices=("prefix", "segment"), required=True, help="as said above"
    )
    parser.set_defaults(run=_repair)


def _repair(arguments: argparse.Namespace) -> int:
    from mimyria_driver.mending import repair_journal

    done = repair_journal(arguments.directory, arguments.keep)
    if done is None:
        print(f"{arguments.directory}: the journal is not damaged; nothing was changed")
        return 0
    print(
        f"{arguments.directory}: {done.lost} records are void, {done.kept} are kept; "
        f"the damaged journal is {done.copy}"
    )
    return 0
