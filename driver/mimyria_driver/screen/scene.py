"""Scene: everything that one picture shows, at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mimyria_driver.screen.findings import KINDS, Findings
from mimyria_driver.screen.history import History

__all__ = ["Choice", "Scene"]


@dataclass(frozen=True, slots=True)
class Choice:
    """What the keys have chosen.

    Attributes:
        kind: the one spectrum that is drawn, of `KINDS`; None: all there is room for.
        root: draw the square root of the intensity, in which weak bands show.
    """

    kind: str | None = None
    root: bool = False

    def next_kind(self) -> Choice:
        """The next spectrum; after the last one, all."""
        order = [None, *KINDS]
        following = order[(order.index(self.kind) + 1) % len(order)]
        return Choice(following, self.root)

    def other_scale(self) -> Choice:
        """The other scale of the intensity."""
        return Choice(self.kind, not self.root)


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """One picture.

    Attributes:
        name: of the run folder.
        status: as `read_status` gives it.
        word: the verdict, as `mimyria-driver status` has it.
        gone: whether no driver is there any more, so that nothing will change.
        history: of the statuses so far.
        findings: of the result; None: there is none yet.
        trouble: why the result cannot be read, or empty.
        now: s since 1970.
        choice: what the keys have chosen.
        keys: whether there is a keyboard to say so.
        coloured: whether the terminal has colours.
    """

    name: str
    status: Mapping[str, Any]
    word: str
    gone: bool
    history: History
    findings: Findings | None
    trouble: str
    now: float
    choice: Choice = field(default_factory=Choice)
    keys: bool = False
    coloured: bool = True
