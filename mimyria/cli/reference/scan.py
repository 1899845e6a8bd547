"""`mimyria reference scan`: which field strength is best for this system and code."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from mimyria.cli.parsing import Subparsers
from mimyria.cli.reference.common import (
    add_campaign_argument,
    finish_campaign,
    open_campaign,
)

if TYPE_CHECKING:
    from mimyria.reference.scan import FieldScan

__all__ = ["add_parser"]

_DEFAULT = (5e-4, 1e-3, 2e-3, 4e-3)


def add_parser(subparsers: Subparsers) -> None:
    """Describe the step and its arguments."""
    parser = subparsers.add_parser(
        "scan",
        help="find the best field strength from one configuration",
        description="Compute one planned configuration in fields of several strengths, "
        "and find the strength at which noise of the forces and truncation of the "
        "series together do least harm.",
        epilog="example: mimyria reference scan campaign.toml --plot scan.png",
    )
    add_campaign_argument(parser)
    parser.add_argument(
        "--steps",
        type=float,
        nargs="+",
        default=_DEFAULT,
        metavar="AU",
        help="components of the fields, a.u. (default: 5e-4 1e-3 2e-3 4e-3)",
    )
    parser.add_argument("--task", metavar="NAME", help="configuration (default: first)")
    parser.add_argument("--gap", type=float, metavar="EV", help="band gap of the cell")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="picture of the scan")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from mimyria.errors import CalculationError, SettingsError
    from mimyria.reference.campaign.scanning import plan_scan, scan_result

    settings, plan = open_campaign(arguments.campaign)
    tasks = {task.name: task for task in plan.tasks()}
    name = arguments.task or next(iter(tasks), None)
    if name not in tasks:
        raise SettingsError(f"--task: there is no task {name}.")
    scan_plan, task = plan_scan(plan, tasks[name], arguments.steps)
    print(f"{len(scan_plan.fields)} single points of {name}")
    finish_campaign(scan_plan, settings, again=True)
    if task.state().state != "done":
        raise CalculationError(f"scan of {name}: {task.state().reason}")
    scan = scan_result(scan_plan, task, sorted(set(arguments.steps)), arguments.gap)
    _print(scan)
    if arguments.plot is not None:
        from mimyria.reference.scanplot import plot_scan

        plot_scan(scan, arguments.plot)
        print(f"wrote {arguments.plot}")
    return 0


def _print(scan: FieldScan) -> None:
    print(f"noise of a force: {scan.force_noise:.1e} Eh/a0")
    print("component, a.u.   error of P, e   error of Q, a.u./Å")
    for step in scan.steps:
        apt, pgt = float(scan.apt_error(step)), float(scan.pgt_error(step))
        print(f"{step:15.1e} {apt:15.1e} {pgt:20.1e}")
    print(
        f"best: {scan.best_for_apt:.1e} for the APT, {scan.best_for_pgt:.1e} for the "
        f"PGT, {scan.best:.1e} for both (fields.step)"
    )
    if scan.limit < scan.steps[-1]:
        print(f"the gap allows fields up to {scan.limit:.1e} a.u.")
