"""Which shipped models know the elements of a run.

Their cards are read from the model files, without torch.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

from mimyria.molecules import symbols_of

__all__ = ["Shipped", "fitting_models"]


@dataclass(frozen=True, slots=True)
class Shipped:
    """A shipped model.

    Attributes:
        name: as run.toml has it.
        target: "apt" or "pgt"; models of both are not among these.
        elements: that it knows.
        purpose: the first sentence of its description.
    """

    name: str
    target: str
    elements: frozenset[str]
    purpose: str


def fitting_models(elements: Collection[str]) -> dict[str, Shipped]:
    """Of "apt" and "pgt" the first model that knows all elements.

    Deuterium has the tensors of hydrogen.
    """
    wanted = {"H" if symbol == "D" else symbol for symbol in elements}
    found: dict[str, Shipped] = {}
    for model in _shipped():
        if wanted and wanted <= model.elements:
            found.setdefault(model.target, model)
    return found


@cache
def _shipped() -> tuple[Shipped, ...]:
    return tuple(_read_cards())


def _read_cards() -> Iterator[Shipped]:
    folder = Path(str(resources.files("mimyria"))) / "models" / "shipped"
    for path in sorted(folder.glob("*.mimyria")):
        with zipfile.ZipFile(path) as archive:
            if "model.json" not in archive.namelist():
                continue
            card = json.loads(archive.read("model.json"))
        targets = card.get("targets", [])
        if len(targets) != 1:
            continue
        yield Shipped(
            path.stem,
            str(targets[0]["name"]),
            frozenset(symbols_of(card["species"])),
            str(card.get("description", "")).partition(". ")[0],
        )
