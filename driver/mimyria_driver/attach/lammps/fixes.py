"""What the fixes of a run do to its velocities, as far as a spectrum minds.

Each style that matters stands in one table; of others that are neither here nor known
to be harmless the user is told.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["Fix", "is_integrator", "remarks", "target_temperature"]

_SUFFIX: Final = re.compile(r"/(omp|kk|kk/device|kk/host|gpu|intel|opt)$")
_BY_KEYWORD: Final = re.compile(
    r"^(nvt|npt|nph|rigid/(nvt|npt)(/small)?|npt/cauchy|nvt/sllod|nvt/uef|npt/uef)"
)
_TARGETS: Final = {
    # style: where its words have the wanted temperature at the end of the run
    "langevin": 1,
    "langevin/spin": 0,
    "temp/berendsen": 1,
    "temp/csvr": 1,
    "temp/csld": 1,
    "temp/rescale": 2,
    "ttm": 0,
    "gle": 2,
    "gld": 1,
}
_INTEGRATORS: Final = re.compile(
    r"^(nve|nvt|npt|nph|rigid|brownian|gld|gle|pimd|ipi|bd|move|poems|lb/rigid|nvk)"
)
_HARMLESS: Final = re.compile(
    r"^(ave/|momentum|recenter|spring|print|halt|property/atom|setforce|addforce|store"
    r"|qeq|qtpie|acks2|colvars|plumed|restrain|wall|reaxff|reax|numdiff|controller|vector"
    r"|balance|enforce2d|efield|electrode|cmap|box/relax|external|lineforce|planeforce"
    r"|dt/reset|tmd|mdi|nonaffine|viscous|drag|orient|python|neigh|temp/|ehex|heat)"
)


@dataclass(frozen=True, slots=True)
class Fix:
    """A fix that is in force.

    Attributes:
        name: its ID.
        style: without the suffix of an accelerator.
        words: what stands after the style.
        file: where it stands.
        line: its number there.
    """

    name: str
    style: str
    words: tuple[str, ...]
    file: str
    line: int

    @classmethod
    def of(cls, words: Sequence[str], file: str, line: int) -> Fix:
        """From the words of a `fix` command: ID, group, style and the rest."""
        return cls(words[0], _SUFFIX.sub("", words[2]), tuple(words[3:]), file, line)


def is_integrator(style: str) -> bool:
    """Whether a style moves atoms."""
    return bool(_INTEGRATORS.match(style))


def target_temperature(fix: Fix) -> str | None:
    """The temperature that a thermostat aims at in the end, as the script has it."""
    place: int | None
    if _BY_KEYWORD.match(fix.style):
        if "temp" not in fix.words:
            return None
        place = fix.words.index("temp") + 2
    else:
        place = _TARGETS.get(fix.style)
    if place is None or place >= len(fix.words):
        return None
    return fix.words[place]


def remarks(fixes: Sequence[Fix]) -> Iterator[tuple[Fix, str]]:
    """What a user should know about the fixes that are in force in the production."""
    for fix in fixes:
        if fix.style == "langevin" and {"gjf", "vhalf"} <= set(fix.words):
            yield fix, _HALF_STEPS
        for pattern, text in _REMARKS.items():
            if re.match(pattern, fix.style):
                yield fix, text
        known = (_HARMLESS, _INTEGRATORS, *map(re.compile, _REMARKS))
        if not any(pattern.match(fix.style) for pattern in known):
            yield fix, _UNKNOWN.format(style=fix.style)


_HALF_STEPS: Final = (
    "keeps velocities of half steps (gjf vhalf), which the driver refuses after twenty "
    "frames: take vfull, or no gjf"
)
_UNKNOWN: Final = (
    "has the style {style}, which is not known here: if it changes velocities after "
    "the step, see that the driver's fix stays the last one"
)
_REMARKS: Final = {
    r"^(langevin|gle|gld|temp/csld|ttm)": (
        "is a thermostat that kicks and damps each atom: it broadens the lines. End it "
        "(unfix) before the production run, and go on with fix nve"
    ),
    r"^temp/(berendsen|rescale|csvr)": (
        "scales velocities during the production run. That does little to a large "
        "system; constant energy (fix nve alone) is the clean way"
    ),
    r"^(shake|rattle|rigid|poems|lincs|ilves)": (
        "holds bonds or bodies rigid: their vibrations (the stretches of O-H, say) are "
        "missing from the spectrum; give spectrum.temperature, since the kinetic one "
        "counts all degrees of freedom"
    ),
    r"^pimd": (
        "moves ring polymers; with method nmpimd, its default, velocities are those of "
        "normal modes, which the driver refuses after twenty frames: take method pimd, "
        "or i-PI"
    ),
    r"^deform": "changes the box by itself: that is no spectrum of an equilibrium",
    r"^dt/reset": (
        "changes the time step, which a spectrum cannot have: take it away before the "
        "production run"
    ),
    r"^(npt|nph|rigid/npt|press/)": (
        "lets the box change, and velocities are without the motion of the box: take "
        "the mean box, and constant volume for the production run"
    ),
}
