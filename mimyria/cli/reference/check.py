"""`mimyria reference check`: the tensors of some atoms once more, by moving them."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from mimyria.cli.parsing import Subparsers
from mimyria.cli.reference.common import (
    add_campaign_argument,
    finish_campaign,
    open_campaign,
)

if TYPE_CHECKING:
    from mimyria.reference.agreement import CheckResult
    from mimyria.reference.campaign import Plan

__all__ = ["add_parser"]


def add_parser(subparsers: Subparsers) -> None:
    """Describe the step and its arguments."""
    parser = subparsers.add_parser(
        "check",
        help="compare with tensors from displaced atoms; fails on disagreement",
        description="Compute the tensors of a few atoms once more, from dipole moments "
        "(APT) and polarizabilities (PGT) of displaced atoms, and compare. Ends with "
        "code 65 where the two ways disagree. Stopped, it goes on where it was.",
        epilog="example: mimyria reference check campaign.toml --configurations 2",
    )
    add_campaign_argument(parser)
    parser.add_argument(
        "--configurations",
        type=int,
        default=2,
        metavar="N",
        help="how many finished ones, drawn at random (default: 2)",
    )
    parser.add_argument(
        "--tasks", nargs="+", metavar="NAME", help="these instead of random ones"
    )
    parser.add_argument(
        "--atoms",
        type=int,
        nargs="+",
        metavar="N",
        help="these atoms of each, counted from 0 (default: one of each element)",
    )
    parser.add_argument(
        "--tensor",
        choices=("apt", "both"),
        default="both",
        help="the PGT costs seven times as many calculations (default: both)",
    )
    parser.add_argument(
        "--displacement",
        type=float,
        default=0.01,
        metavar="ANGSTROM",
        help="how far atoms are moved (default: 0.01)",
    )
    parser.add_argument(
        "--tolerance",
        type=float,
        default=0.01,
        metavar="SHARE",
        help="largest difference, in units of the largest element (default: 0.01)",
    )
    parser.add_argument("--seed", type=int, default=1, help="of the random choice")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from mimyria.errors import IncompatibleError
    from mimyria.reference.campaign.checking import (
        CheckSettings,
        check_results,
        plan_check,
    )

    settings, plan = open_campaign(arguments.campaign)
    with_pgt = arguments.tensor == "both" and settings.fields.stencil == "pgt"
    how = CheckSettings(
        arguments.displacement, settings.fields.step, with_pgt, arguments.tolerance
    )
    atoms = _atoms(plan, arguments)
    check = plan_check(plan, atoms, how)
    n_points = sum(6 * len(moved) for moved in atoms.values()) * len(check.fields)
    print(
        f"{n_points} single points of displaced atoms: "
        + ", ".join(f"{name} {list(moved)}" for name, moved in atoms.items())
    )
    finish_campaign(check, settings, again=True)
    results = check_results(plan, check, atoms, how)
    for result in results:
        _print(result)
    wrong = [result.name for result in results if not result.agrees]
    if wrong:
        raise IncompatibleError(
            f"fields and displacements disagree in {', '.join(wrong)}: do not train on "
            "this set. Look at the field strength, the convergence, the displacement."
        )
    return 0


def _atoms(plan: Plan, arguments: argparse.Namespace) -> dict[str, tuple[int, ...]]:
    from mimyria.reference.campaign.checking import sample_atoms, sample_tasks

    tasks = sample_tasks(plan, arguments.configurations, arguments.seed)
    if arguments.tasks:
        from mimyria.errors import SettingsError

        known = {task.name: task for task in plan.tasks()}
        for name in arguments.tasks:
            if name not in known or known[name].state().state != "done":
                raise SettingsError(f"--tasks: {name} is no finished task.")
        tasks = [known[name] for name in arguments.tasks]
    return {
        task.name: tuple(arguments.atoms)
        if arguments.atoms
        else sample_atoms(task.configuration().frame, arguments.seed)
        for task in tasks
    }


def _print(result: CheckResult) -> None:
    for each in result.agreements:
        atom = result.atoms[each.where[0]]
        component = "".join("xyz"[k] for k in each.where[1:])
        print(
            f"{result.name} {each.name.upper()}: {each.verdict}; largest difference "
            f"{each.largest:.2e} (atom {atom}, {component}), {100 * each.relative:.3f} "
            f"% of the largest element {each.scale:.3g}; rms {each.rms:.1e}"
        )
        if not each.sees_order:
            print(
                f"  these atoms have a symmetric {each.name.upper()}: a wrong order of "
                "indices would not be seen; take others",
                file=sys.stderr,
            )
