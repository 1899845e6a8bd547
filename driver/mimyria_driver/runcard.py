"""Run card: what an engine says about its run, as the JSON text in its HELLO.

`unpack_card` accepts what `pack_card` writes and refuses everything else by
`WireError`. The standard library is all that this module imports, since it runs inside
the engine's own Python (3.8 or later).
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import Any

from mimyria_driver.strictjson import unpack_json
from mimyria_driver.wire import WireError

__all__ = ["RunCard", "pack_card", "unpack_card"]

MAX_BEADS = 4096
_OPTIONAL = {"models", "beads"}  # of a run card
_MAX_NAME = 200  # characters


@dataclass(frozen=True)
class RunCard:
    """What an engine says about its run, the same on all ranks.

    Attributes:
        engine: name and version.
        units: the engine's name for its units.
        elements: chemical symbol of each atom type, in order.
        time_step: fs.
        stride: MD steps from one frame to the next.
        angstrom: one Å in the engine's unit of length.
        femtosecond: one fs in the engine's unit of time.
        periodic: for each box direction, 1 where it repeats.
        models: what the ranks' own networks are, for each target `sha256` and
            `shares`, a number for each element or null; nothing where the driver has
            the networks.
        beads: beads of each atom in a message BEADS; 0: messages FRAME or SUMS.
    """

    engine: str
    units: str
    elements: tuple[str, ...]
    time_step: float
    stride: int
    angstrom: float
    femtosecond: float
    periodic: tuple[int, int, int]
    models: dict[str, dict[str, Any]] | None = None
    beads: int = 0


def pack_card(card: RunCard) -> bytes:
    """A run card as JSON; without networks or beads as before there were any."""
    document = asdict(card)
    for name in _OPTIONAL:
        if not document[name]:
            del document[name]
    return json.dumps(document, allow_nan=False, sort_keys=True).encode()


def unpack_card(raw: bytes) -> RunCard:
    """The run card that `pack_card` wrote.

    Raises:
        WireError: not JSON, a key missing or unknown, or a value that makes no sense.
    """
    try:
        document = unpack_json(raw)
    except WireError as error:
        raise WireError(f"The run card is not valid JSON: {error}") from None
    names = set(RunCard.__dataclass_fields__) - _OPTIONAL
    if not isinstance(document, dict) or set(document) - _OPTIONAL != names:
        raise WireError(f"A run card must have exactly the keys {sorted(names)}.")
    for name in ("time_step", "angstrom", "femtosecond"):
        value = _number(document, name, (float, int))
        if not (math.isfinite(value) and value > 0):
            raise WireError(f"'{name}' of the run card must be above zero.")
    if not 0 < _number(document, "stride", (int,)) < 2**31:
        raise WireError("'stride' of the run card must be above zero.")
    for name in ("engine", "units"):
        if not isinstance(document[name], str) or not _is_name(document[name]):
            raise WireError(f"'{name}' of the run card must be a short text.")
    elements = _texts(document["elements"])
    return RunCard(
        document["engine"],
        document["units"],
        elements,
        float(document["time_step"]),
        document["stride"],
        float(document["angstrom"]),
        float(document["femtosecond"]),
        _flags(document["periodic"]),
        _models(document["models"], len(elements)) if "models" in document else None,
        _beads(document["beads"]) if "beads" in document else 0,
    )


def _is_name(text: str) -> bool:
    """Whether a text may stand in a line for people."""
    return 0 < len(text) <= _MAX_NAME and text.isprintable()


def _number(document: dict[str, Any], name: str, kinds: tuple[type, ...]) -> float:
    value = document[name]
    if isinstance(value, bool) or not isinstance(value, kinds):
        raise WireError(f"'{name}' of the run card must be a number.")
    try:
        return float(value)  # type: ignore[arg-type]
    except OverflowError:
        raise WireError(f"'{name}' of the run card is too large.") from None


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(
        isinstance(each, str) and _is_name(each) for each in value
    ):
        raise WireError("'elements' of the run card must be a list of symbols.")
    return tuple(value)


def _models(value: object, n_elements: int) -> dict[str, dict[str, Any]]:
    """What a card says of the ranks' networks."""
    if not isinstance(value, dict) or not value or not set(value) <= {"apt", "pgt"}:
        raise WireError("'models' of the run card must be of apt, pgt or both.")
    for model in value.values():
        if not isinstance(model, dict) or set(model) != {"sha256", "shares"}:
            raise WireError("A model of the run card must have sha256 and shares.")
        digest, shares = model["sha256"], model["shares"]
        if not isinstance(digest, str) or not _is_name(digest):
            raise WireError("'sha256' of the run card must be a short text.")
        good = shares is None or (
            isinstance(shares, list)
            and len(shares) == n_elements
            and all(type(each) is float and each >= 0 for each in shares)
        )
        if not good:
            raise WireError(
                "'shares' of the run card must be a number for each element."
            )
    return value


def _beads(value: object) -> int:
    if type(value) is not int or not 0 < value <= MAX_BEADS:
        raise WireError(f"'beads' of the run card must be from 1 to {MAX_BEADS}.")
    return value


def _flags(value: object) -> tuple[int, int, int]:
    if (
        not isinstance(value, list)
        or len(value) != 3
        or not all(type(each) is int and each in (0, 1) for each in value)
    ):
        raise WireError("'periodic' of the run card must be three times 0 or 1.")
    return (value[0], value[1], value[2])
