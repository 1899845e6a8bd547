"""From the user's CP2K input to that of one point: coordinates, field, start, printing.

The user hands in an input that runs as a single point. Everything that decides about
the physics stays as it is; what is set here is what has to differ from point to point,
and what has to be printed. `check_template` refuses, with the line to write instead,
what would give wrong tensors or fail after an hour.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from ase.data import chemical_symbols

from mimyria.errors import SettingsError
from mimyria.frame import Array, Frame
from mimyria.reference.codes.cp2k.inputfile import Keyword, Section
from mimyria.reference.codes.cp2k.tightbinding import (
    FIELD_SIGN,
    is_tight_binding,
    within_vacuum,
)

__all__ = ["WAVE_FUNCTION", "check_template", "point_input"]

WAVE_FUNCTION: Final = "zero-field.wfn"
"""Name of the wave function in the folder of the point at zero field."""

_LOOSEST_SCF: Final = 1e-7
"""Above this EPS_SCF the noise of forces drowns second derivatives (theory.md, 26)."""

_DIGITS: Final = "10"  # of forces in a fixed-point print: rounding below EPS_SCF
_CELL_KEYS: Final = ("ABC", "A", "B", "C", "ALPHA_BETA_GAMMA", "CELL_FILE_NAME",
                     "CELL_FILE_FORMAT", "PERIODIC")  # fmt: skip
_COORDINATE_KEYS: Final = ("COORD_FILE_NAME", "COORD_FILE_FORMAT", "COORDINATE",
                           "COORDINATE_FORMAT", "NUMBER_OF_ATOMS")  # fmt: skip


def check_template(template: Section, frame: Frame) -> None:
    """Refuse an input whose forces in fields would be wrong, noisy or never come.

    Raises:
        SettingsError: one line: what stands there, why it cannot be, what to write.
    """
    force_evals = template.sections("FORCE_EVAL")
    if len(force_evals) != 1:
        raise SettingsError(
            f"the CP2K input must have one &FORCE_EVAL, but has {len(force_evals)}."
        )
    force_eval = force_evals[0]
    method = (force_eval.get("METHOD") or "QUICKSTEP").upper()
    if method not in ("QS", "QUICKSTEP"):
        raise SettingsError(f"METHOD must be QUICKSTEP, but is {method}.")
    dft = force_eval.find("DFT")
    if dft is None:
        raise SettingsError("the CP2K input has no &FORCE_EVAL/&DFT section.")
    _check_dft(dft)
    _check_scf(dft)
    _check_system(force_eval, frame)


def _check_dft(dft: Section) -> None:
    for name in ("PERIODIC_EFIELD", "EFIELD"):
        if dft.find(name) is not None:
            raise SettingsError(
                f"&DFT/&{name} must not stand in the CP2K input: the fields of the "
                "points are written by mimyria. Take the section out."
            )
    kpoints = dft.find("KPOINTS")
    if kpoints is not None and (kpoints.get("SCHEME") or "GAMMA").upper() != "GAMMA":
        raise SettingsError(
            "&DFT/&KPOINTS: a field by the Berry phase needs the Γ point alone. Take "
            "the section out, and a larger cell where Γ is not enough."
        )
    smear = dft.find("SCF", "SMEAR")
    if smear is not None and _is_on(smear.parameter):
        raise SettingsError(
            "&SCF/&SMEAR must be off: the polarisation of a periodic cell is defined "
            "for insulators with integer occupations."
        )


def _check_scf(dft: Section) -> None:
    scf = dft.find("SCF")
    orbital = scf.find("OT") if scf is not None else None
    if scf is None or orbital is None or not _is_on(orbital.parameter):
        raise SettingsError(
            "&DFT/&SCF must use &OT: the periodic field of CP2K works with orbital "
            "transformation only, diagonalisation ignores it or fails."
        )
    inner = _number(scf.get("EPS_SCF"), "&SCF EPS_SCF", 1e-5)
    if inner > _LOOSEST_SCF:
        raise SettingsError(
            f"&SCF EPS_SCF must be {_LOOSEST_SCF:g} or below, but is {inner:g}: "
            "second differences of the forces would be noise. 2.0E-8 is a good value."
        )
    outer = scf.find("OUTER_SCF")
    if outer is not None and _is_on(outer.parameter):
        limit = _number(outer.get("EPS_SCF"), "&OUTER_SCF EPS_SCF", 1e-5)
        if limit != inner:
            raise SettingsError(
                f"&OUTER_SCF EPS_SCF must equal that of &SCF, but they are {limit:g} "
                f"and {inner:g}: the looser one decides when the SCF ends."
            )
    if (scf.get("IGNORE_CONVERGENCE_FAILURE") or "F").upper() not in ("F", "FALSE"):
        raise SettingsError(
            "&SCF IGNORE_CONVERGENCE_FAILURE must be off: forces that are not "
            "converged make wrong tensors."
        )


def _check_system(force_eval: Section, frame: Frame) -> None:
    if not all(frame.pbc):
        raise SettingsError(
            "CP2K's Berry-phase field needs a frame that is periodic in all three "
            f"directions, but its pbc is {frame.pbc}. For molecules and clusters take "
            'kind = "pyscf" or "tblite", or put them into a large periodic cell.'
        )
    subsys = force_eval.find("SUBSYS") or Section("SUBSYS")
    cell = subsys.find("CELL") or Section("CELL")
    for name, where in (("MULTIPLE_UNIT_CELL", cell),
                        ("MULTIPLE_UNIT_CELL", subsys.find("TOPOLOGY"))):  # fmt: skip
        if where is not None and where.get(name) not in (None, "1 1 1"):
            raise SettingsError(f"{name} must be taken out: a frame is the whole cell.")
    if is_tight_binding(Section("", "", [force_eval])):
        within_vacuum(frame)
        return  # parameters of all elements are built in
    kinds = subsys.sections("KIND")
    known = {kind.parameter.upper() for kind in kinds}
    known |= {(kind.get("ELEMENT") or "").upper() for kind in kinds}
    for number in sorted(set(frame.numbers.tolist())):
        symbol = chemical_symbols[number]
        if symbol.upper() not in known and "DEFAULT" not in known:
            raise SettingsError(
                f"the CP2K input has no &SUBSYS/&KIND {symbol}, but the frame has "
                f"such atoms. Known kinds: {', '.join(sorted(known - {''})) or 'none'}."
            )


def point_input(
    template: Section, frame: Frame, field: Array, guess: str | None
) -> str:
    """Input of one point.

    Args:
        template: the user's input, which has passed `check_template`.
        frame: the configuration.
        field: (3,) a.u. — CP2K is given magnitude and direction apart, since it
            normalises POLARISATION.
        guess: path of the wave function at zero field; None where this is that point,
            which then writes it.
    """
    tree = template.copy()
    tree.remove("MOTION", "EXT_RESTART", "VIBRATIONAL_ANALYSIS")
    control = tree.require("GLOBAL")
    control.set("PROJECT", "point")
    control.remove("PROJECT_NAME", "PRINT_LEVEL", "IOLEVEL")
    control.set("RUN_TYPE", "ENERGY_FORCE")
    control.set("PRINT_LEVEL", "MEDIUM")
    force_eval = tree.require("FORCE_EVAL")
    _set_printing(force_eval)
    dft = force_eval.require("DFT")
    _set_start(dft, guess)
    positions = frame.positions
    if is_tight_binding(template):
        positions, field = within_vacuum(frame), FIELD_SIGN * field
    _set_system(force_eval.require("SUBSYS"), frame, positions)
    magnitude = float(np.linalg.norm(field))
    if magnitude > 0:
        efield = dft.require("PERIODIC_EFIELD")
        efield.set("INTENSITY", f"{magnitude:.16e}")
        direction = field / magnitude
        efield.set("POLARISATION", " ".join(f"{x:.16f}" for x in direction))
    return tree.text()


def _set_system(subsys: Section, frame: Frame, positions: Array) -> None:
    cell = subsys.require("CELL")
    cell.remove(*_CELL_KEYS)
    for name, row in zip("ABC", frame.cell, strict=True):
        cell.set(name, " ".join(f"{x:.12f}" for x in row))
    cell.set("PERIODIC", "XYZ")
    topology = subsys.find("TOPOLOGY")
    if topology is not None:
        topology.remove(*_COORDINATE_KEYS, "CENTER_COORDINATES")
    subsys.remove("COORD", "VELOCITY")
    coordinates = subsys.require("COORD")
    coordinates.entries = [
        Keyword(chemical_symbols[number], " ".join(f"{x:.12f}" for x in position))
        for number, position in zip(frame.numbers, positions, strict=True)
    ]


def _set_printing(force_eval: Section) -> None:
    forces = force_eval.require("PRINT", "FORCES")
    forces.parameter = "ON"
    forces.remove("FILENAME")
    forces.set("NDIGITS", _DIGITS)
    moments = force_eval.require("DFT", "PRINT", "MOMENTS")
    moments.parameter = "ON"
    moments.remove("FILENAME")
    moments.set("PERIODIC", "TRUE")


def _set_start(dft: Section, guess: str | None) -> None:
    scf = dft.require("SCF")
    restart = scf.require("PRINT", "RESTART")
    restart.entries.clear()
    if guess is None:
        restart.parameter = "ON"
        restart.set("FILENAME", f"={WAVE_FUNCTION}")
        restart.set("BACKUP_COPIES", "0")
        return
    restart.parameter = "OFF"
    scf.set("SCF_GUESS", "RESTART")
    dft.set("WFN_RESTART_FILE_NAME", guess)


def _is_on(parameter: str) -> bool:
    return parameter.strip().upper() not in ("OFF", "F", "FALSE", ".FALSE.")


def _number(text: str | None, name: str, default: float) -> float:
    if text is None:
        return default
    try:
        return float(text.upper().replace("D", "E"))
    except ValueError:
        raise SettingsError(f"{name} must be a number, but is '{text}'.") from None
