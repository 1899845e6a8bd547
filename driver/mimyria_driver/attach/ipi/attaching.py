"""From an input of i-PI to a plan, and to the copy of the input that carries it out."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Final

from mimyria_driver.attach.common import (
    Timing,
    formulas_of,
    plan_analysis,
    plan_models,
    plan_run,
)
from mimyria_driver.attach.ipi.patch import patched
from mimyria_driver.attach.ipi.reading import IpiInput, read_input
from mimyria_driver.attach.ipi.structure import Structure, read_structure
from mimyria_driver.attach.plan import Attached, Plan, Written

__all__ = ["attach_ipi"]

_LOCAL: Final = ("langevin", "pile_l", "gle", "nm_gle", "nm_gle_g", "ffl")
_CHANGING: Final = ("npt", "nst", "sc-npt", "scnpt")


def attach_ipi(path: Path, output: Path) -> Attached:
    """Read an input and make what is needed to watch it.

    Args:
        path: of the input; i-PI is started in its folder.
        output: folder of the new files.

    Raises:
        FormatError: it is no input of i-PI, or has nothing that can be watched.
    """
    document = read_input(path)
    structure = read_structure(document)
    elements = sorted(set(structure.symbols))
    timing = Timing.of(document.time_step, document.steps, elements)
    # i-PI's sockets share one folder, so the name must be that of this run alone.
    digest = hashlib.sha256(str(output.resolve()).encode(errors="replace")).hexdigest()
    address = f"mimyria-{digest[:8]}"
    plan = Plan("i-PI", path)
    _say(plan, document, timing, structure)
    _plan_source(plan, document, timing, structure, address, output)
    plan_run(plan)
    plan_models(plan, elements, None)
    plan_analysis(plan, timing, document.temperature, _formulas(structure))
    _warn(plan, document)
    taken = {node.attribute("name") for node in document.root.children}
    name = next(
        n for k in range(len(taken) + 1) if (n := f"mimyria{k or ''}") not in taken
    )
    copy = f"{path.stem}.mimyria{path.suffix}"
    content = patched(document, name, address)
    return Attached(plan, {copy: content.decode("utf-8", "surrogateescape")}, copy)


def _formulas(structure: Structure) -> tuple[str, ...]:
    if structure.positions is None or structure.cell is None:
        return ()
    return formulas_of(structure.symbols, structure.positions, structure.cell)


def _say(plan: Plan, document: IpiInput, timing: Timing, structure: Structure) -> None:
    """What was found, for people."""
    n_atoms, kinds = len(structure.symbols), " ".join(sorted(set(structure.symbols)))
    plan.said.append(
        f"{n_atoms} atoms of {kinds or 'unknown elements'}: {structure.why}"
    )
    known = timing.time_step is not None
    step = f"{timing.time_step:g} fs" if known else "not to be known here"
    mode = document.dynamics.attribute("mode", "nve")
    plan.said.append(f"time step {step}, {document.steps} steps, {mode}")
    plan.said.append(f"a frame every {timing.stride} steps: {timing.why}")


def _plan_source(
    plan: Plan,
    document: IpiInput,
    timing: Timing,
    structure: Structure,
    address: str,
    output: Path,
) -> None:
    prefix = document.prefix
    usual = prefix == "/tmp/ipi_"
    place = document.path.resolve().parent / f"{prefix}{address}"
    plan.set(
        "source",
        kind=Written("ipi", "one more ffsocket in the copy of the input"),
        address=Written(f"unix:{address if usual else place}", "its <address>"),
    )
    if structure.file is not None:
        away = os.path.relpath(structure.file, output)
        plan.set("source", structure=Written(away, structure.why))
    elif structure.symbols:
        plan.set("source", elements=Written(structure.symbols, structure.why))
    else:
        plan.set("source", structure=Written(None, structure.why))
        plan.asked.append(f"source.structure or source.elements: {structure.why}")
    plan.set(
        "source",
        time_step=Written(timing.time_step, "<timestep>, on the outer level"),
        stride=Written(timing.stride, timing.why),
    )
    if timing.time_step is None:
        plan.asked.append("source.time_step: the time step in fs")


def _warn(plan: Plan, document: IpiInput) -> None:
    """What a user should know about dynamics and beads."""
    dynamics, name = document.dynamics, document.path.name
    mode = dynamics.attribute("mode", "nve")
    bath = dynamics.first("thermostat")
    kind = bath.attribute("mode") if bath is not None else ""
    if mode != "nve" and kind in _LOCAL and document.beads == 1:
        plan.warn(
            f"the thermostat {kind} kicks and damps each atom: it broadens the lines. "
            "Take nve, or svr with a long tau, for the production run",
            name,
            dynamics.line,
        )
    if mode != "nve":
        plan.warn(
            "i-PI's socket sends positions alone, and with a thermostat their "
            "differences are off by 1 to 5 % (white noise); a hook inside i-PI has the "
            "exact velocities (docs/driver.md, i-PI with a hook inside)",
            name,
            dynamics.line,
        )
    if mode in _CHANGING:
        plan.warn(
            "the cell changes: velocities are without its motion",
            name,
            dynamics.line,
        )
    if document.beads != 1:
        plan.warn(
            "the driver follows the centroids of the ring polymers; for the mean over "
            "all beads see docs/engines.md, all beads of a ring polymer"
        )
