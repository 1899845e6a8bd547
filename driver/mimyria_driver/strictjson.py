"""Strict JSON: text from outside, without what Python's reader lets through.

This module reads bytes and nothing else; the standard library is all it imports, since
it runs inside the engine's own Python (3.8 or later).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mimyria_driver.wire import MAX_TEXT_BYTES, WireError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["unpack_json"]

_MAX_DIGITS = 400  # of a number in JSON


def unpack_json(raw: bytes) -> Any:  # noqa: ANN401 - whatever JSON can hold
    """JSON from outside, without what Python's reader lets through.

    Raises:
        WireError: it is too long or too deep, or has a key twice, a number that is not
            finite or has more than 400 digits, or text that is not UTF-8.
    """
    if len(raw) > MAX_TEXT_BYTES:
        raise WireError(f"it has more than {MAX_TEXT_BYTES} bytes.")
    try:
        document = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_without_repeats,
            parse_constant=_short_number,
            parse_float=lambda text: float(_short_number(text)),
            parse_int=lambda text: int(_short_number(text)),
        )
        json.dumps(document, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except RecursionError:
        raise WireError("it is too deep.") from None
    except ValueError as error:
        raise WireError(f"{str(error)[:200]}.") from None
    return document


def _without_repeats(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a key stands there twice")
    return document


def _short_number(text: str) -> str:
    if text.lstrip("-")[:1] not in tuple("0123456789") or len(text) > _MAX_DIGITS:
        raise ValueError("a number is not finite, or has too many digits")
    return text
