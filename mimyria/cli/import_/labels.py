"""`mimyria import labels`: Born effective charges and PGTs for `mimyria train`."""

from __future__ import annotations

import argparse
from itertools import chain
from pathlib import Path
from typing import Final

from mimyria.cli.parsing import Subparsers, add_command
from mimyria.targets import APT, PGT, TARGETS

__all__ = ["add_parser"]

_DESCRIPTION = """\
Read frames with Born effective charges (APT) or polarizability gradients (PGT) of
another program, by ASE: extended XYZ, vasprun.xml, ASE's own files and so on. Write
them as labels for `mimyria train`. Index order and unit have to be said: no test on the
numbers shows that an APT is transposed. The sum rule is checked and printed, and where
the tensors are least symmetric. Rows of nan are atoms without a label.
"""

_EPILOG = """\
example: mimyria import labels dfpt.xyz --apt born_charge --apt-order dM_a/dr_b
  --apt-unit e --output frames.extxyz
"""

# Those of `mimyria.io.layouts`, which would make every command load ASE.
ORDERS: Final = {
    APT.name: ("dM_a/dr_b", "dM_b/dr_a"),
    PGT.name: ("dalpha_ab/dr_c", "dalpha_bc/dr_a"),
}
UNITS: Final = {
    APT.name: ("e", "Debye/Angstrom"),
    PGT.name: (
        "e^2 a0^2 Eh^-1 Angstrom^-1",
        "e^2 a0^2 Eh^-1 a0^-1",
        "e^2 a0 Eh^-1",
        "a.u./Angstrom",
        "a.u./bohr",
        "Angstrom^2",
        "e Angstrom V^-1",
    ),
}


def add_parser(subparsers: Subparsers) -> None:
    """Describe the command and its arguments."""
    parser = add_command(
        subparsers,
        "labels",
        "Born effective charges and PGTs for training",
        _DESCRIPTION,
        _EPILOG,
    )
    add = parser.add_argument
    add("input", type=Path, help="file that ASE can read")
    add("--output", type=Path, required=True, metavar="FILE", help="extxyz file")
    for target in TARGETS.values():
        add(
            f"--{target.name}",
            metavar="NAME",
            help=f"array with the {target.title} (default: a usual name)",
        )
        add(
            f"--{target.name}-order",
            metavar="ORDER",
            help=f"its index order: {' or '.join(ORDERS[target.name])}",
        )
        add(
            f"--{target.name}-unit",
            metavar="UNIT",
            help="its unit: " + ", ".join(f'"{unit}"' for unit in UNITS[target.name]),
        )
    add(
        "--pgt-pairs",
        metavar="LIST",
        help="order of the components of α if only six of nine are there, as "
        "xx,yy,zz,yz,xz,xy",
    )
    add("--charge", type=float, default=0.0, help="of every frame, e (default: 0)")
    add("--format", help="ASE's name of the format, where it cannot be seen")
    add(
        "--extras",
        type=Path,
        metavar="FILE",
        help="i-PI's extras of the same steps, where the arrays are",
    )
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from mimyria.cli.import_.columns import said_of_columns, until_labels, with_extras
    from mimyria.cli.import_.report import report_lines
    from mimyria.data.importing import import_labels
    from mimyria.io import write_extxyz
    from mimyria.io.foreign import read_foreign

    frames = read_foreign(arguments.input, arguments.format)
    if arguments.extras is not None:
        frames = with_extras(frames, arguments.extras)
    # The first frames are looked at to find the columns; the rest is read later.
    first = list(until_labels(frames, arguments))
    conventions = said_of_columns(first[-1], len(first) - 1, arguments)
    labelled, n_bare = import_labels(chain(first, frames), conventions)
    write_extxyz(arguments.output, labelled)
    print("\n".join(report_lines(labelled, n_bare, conventions, arguments.charge)))
    print(f"wrote {arguments.output}")
    return 0
