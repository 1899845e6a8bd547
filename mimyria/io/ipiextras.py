"""The file in which i-PI writes what a driver sends beside the forces.

    #EXTRAS(BEC)# Step:           1
    0.4 0.0 0.1
    …

For `extra_type="raw"` what follows is the driver's own text, JSON. Index orders are not
interpreted: i-PI itself wants the `BEC` of a driver as (3 n_atoms, 3), with a row for
each coordinate, but not all drivers send that.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mimyria.errors import FormatError

__all__ = ["Extras", "read_extras"]

_HEADER: Final = re.compile(r"\s*#EXTRAS\w*\((.+)\)#\s+Step:\s*(\d+)")


@dataclass(frozen=True, slots=True, eq=False)
class Extras:
    """What a driver sent at one step.

    Attributes:
        step: of i-PI.
        arrays: by name.
    """

    step: int
    arrays: dict[str, NDArray[Any]]


def read_extras(path: Path) -> Iterator[Extras]:
    """Step after step.

    Raises:
        FormatError: the file is damaged, or none of i-PI's extras.
    """
    name, step, body = "", 0, list[str]()
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            header = _HEADER.match(line)
            if header is None and not name and line.strip():
                raise FormatError(
                    f"{path}, line {number}: must be a header of i-PI such as "
                    f"'#EXTRAS(BEC)# Step: 1', but is {line.strip()[:60]!r}."
                )
            if header is None:
                body.append(line)
                continue
            if name:
                yield _extras(path, name, step, body)
            name, step, body = header.group(1), int(header.group(2)), []
    if not name:
        raise FormatError(f"{path} holds no step. Is it the right file?")
    yield _extras(path, name, step, body)


def _extras(path: Path, name: str, step: int, body: list[str]) -> Extras:
    text = "".join(body).strip()
    try:
        if name == "raw":
            sent = json.loads(text)
            arrays = {key: np.array(value) for key, value in sent.items()}
        else:
            arrays = {name: np.array([row.split() for row in text.split("\n")], float)}
    except (ValueError, AttributeError) as error:
        raise FormatError(
            f"{path}, step {step}: must be rows of numbers, or a JSON object, but is "
            f"{text[:60]!r}… ({error}). Is the file complete?"
        ) from error
    return Extras(step, arrays)
