"""`mimyria import model`: models of the older program of the same name."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from mimyria.cli.import_.labels import ORDERS, UNITS
from mimyria.cli.parsing import Subparsers, add_command

if TYPE_CHECKING:
    from mimyria.models import ModelMetadata
    from mimyria.models.mym import MymFile

__all__ = ["add_parser"]

_DESCRIPTION = """\
Read a .mym file of the older program of the same name and write a model file with the
same predictions. Only numbers are read; nothing in the file is run. Such files say
neither the index order nor the unit of what they were trained on: without --order and
--unit they are taken to be what that program makes of forces in a field, dM_b/dr_a in e
or dalpha_ab/dr_c in e^2 a0^2 Eh^-1 Angstrom^-1.
"""

_EPILOG = """\
example: mimyria import model apt.mym --output apt.mimyria
"""


def add_parser(subparsers: Subparsers) -> None:
    """Describe the command and its arguments."""
    parser = add_command(
        subparsers,
        "model",
        "a .mym file of the older program",
        _DESCRIPTION,
        _EPILOG,
    )
    add = parser.add_argument
    add("input", type=Path, help=".mym file")
    add("--output", type=Path, required=True, metavar="FILE", help="model file")
    add("--name", help="of the model (default: that of the output)")
    add(
        "--order",
        help="index order of its training data: "
        + ", ".join(order for orders in ORDERS.values() for order in orders),
    )
    add(
        "--unit",
        help="unit of its training data: "
        + ", ".join(f'"{unit}"' for units in UNITS.values() for unit in units),
    )
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from mimyria.models.mym import ORDERS as USUAL_ORDERS
    from mimyria.models.mym import UNITS as USUAL_UNITS
    from mimyria.models.mym import import_mym, read_mym

    file = read_mym(arguments.input)
    order = arguments.order or USUAL_ORDERS[file.target.name]
    unit = arguments.unit or USUAL_UNITS[file.target.name]
    metadata = import_mym(file, arguments.output, arguments.name, order, unit)
    print("\n".join(_report(file, metadata)))
    print(f"index order {order}, {_said(arguments.order)}")
    print(f"unit {unit}, {_said(arguments.unit)}")
    print("not in such files: training data, errors, index order, unit")
    print(f"wrote {arguments.output}")
    return 0


def _report(file: MymFile, metadata: ModelMetadata) -> list[str]:
    """What was read."""
    settings = metadata.settings
    channels = ", ".join(str(number) for number in settings.channels)
    return [
        f"{file.name}: {file.target.title} of {', '.join(file.parameters.elements)}",
        f"cutoff {settings.cutoff:g} Å, {settings.n_radial} radial functions, "
        f"{metadata.n_neighbours:g} neighbours counting the atom itself",
        f"{settings.n_layers} convolutions, channels {channels} for l = 0 to "
        f"{settings.lmax}, {settings.parity} parity",
        f"normalisation {file.parameters.normalisation}",
    ]


def _said(option: str | None) -> str:
    return "as you say" if option else "as its program makes it of forces in a field"
