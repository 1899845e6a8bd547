"""`mimyria reference`: APT and PGT of a few dozen configurations from first principles.

Each step is a module of this package with `add_parser(subparsers)`.
"""

from __future__ import annotations

import importlib
from typing import Final

from mimyria.cli.parsing import Subparsers, add_command

__all__ = ["add_parser"]

STEPS: Final = ("settings", "plan", "run", "status", "collect", "check", "scan")

_DESCRIPTION = """\
Response tensors from an electronic-structure code: forces in 13 electric fields give
the atomic polar tensor (APT) and the polarizability gradient tensor (PGT) of all atoms.

a typical way through:
  mimyria reference settings > campaign.toml  (every setting with a sentence)
  mimyria reference plan campaign.toml        (chooses configurations, no more)
  mimyria reference run campaign.toml         (stop it any time; again to go on)
  mimyria reference status campaign.toml      (how far, what failed, how long)
  mimyria reference collect campaign.toml --output water.extxyz
  mimyria reference check campaign.toml         (against displaced atoms)
  mimyria train water.extxyz --target apt --output apt.mimyria

ready-made campaigns: inputs/cp2k, inputs/pyscf, inputs/tblite
"""


def add_parser(subparsers: Subparsers) -> None:
    """Describe the command and its steps."""
    parser = add_command(
        subparsers,
        "reference",
        "APT and PGT from an electronic-structure code",
        _DESCRIPTION,
    )
    steps = parser.add_subparsers(dest="step", metavar="STEP", required=True)
    for name in STEPS:
        importlib.import_module(f"mimyria.cli.reference.{name}").add_parser(steps)
