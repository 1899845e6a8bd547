"""JSON schema of a settings file, made from the dataclasses that it is read into.

Names, types, defaults, sentences and limits are those of the fields; there is no second
list. Editors check and complete a file by it. It is of draft 7, which they all know. It
refuses nothing that the program takes; the program refuses more, as what two settings
must have together.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING
from pathlib import Path
from typing import Any, Final

from mimyria.settings.fields import Limits

__all__ = ["document_schema"]

_DRAFT: Final = "http://json-schema.org/draft-07/schema#"
_TYPES: Final[dict[type, dict[str, Any]]] = {
    str: {"type": "string"},
    Path: {"type": "string", "minLength": 1},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
}


def document_schema(
    title: str, description: str, sections: Mapping[str, type]
) -> dict[str, Any]:
    """The schema of a file whose tables are these dataclasses."""
    tables = {name: _section(cls) for name, cls in sections.items()}
    return {
        "$schema": _DRAFT,
        "title": title,
        "description": description,
        "type": "object",
        "properties": tables,
        "required": [name for name, table in tables.items() if _asks(table)],
        "additionalProperties": False,
    }


def _asks(table: Mapping[str, Any]) -> bool:
    """Whether a section cannot be left away."""
    return bool(table["required"]) or "anyOf" in table


def _section(cls: type) -> dict[str, Any]:
    hints = typing.get_type_hints(cls)
    fields = dataclasses.fields(cls)
    schema: dict[str, Any] = {
        "type": "object",
        "description": " ".join((cls.__doc__ or "").split()),
        "properties": {each.name: _field(each, hints[each.name]) for each in fields},
        "required": [each.name for each in fields if each.default is MISSING],
        "additionalProperties": False,
    }
    conditions = [
        {
            "if": {
                "properties": {each.name: {"const": value}},
                "required": [each.name],
            },
            "then": {"required": list(needed)},
        }
        for each in fields
        for value, needed in each.metadata["limits"].needs.items()
        if needed
    ]
    if conditions:
        schema["allOf"] = conditions
    needs_one = getattr(cls, "NEEDS_ONE", ())
    if needs_one:
        schema["anyOf"] = [{"required": [name]} for name in needs_one]
    return schema


def _field(entry: dataclasses.Field[Any], hint: Any) -> dict[str, Any]:  # noqa: ANN401
    """One setting."""
    schema = {"description": entry.metadata["sentence"], **_type(hint)}
    schema.update(_limits(entry.metadata["limits"]))
    if entry.default not in (MISSING, None):
        default = entry.default
        plain = str(default) if isinstance(default, Path) else default
        schema["default"] = list(plain) if isinstance(plain, tuple) else plain
    return schema


def _type(hint: Any) -> dict[str, Any]:  # noqa: ANN401
    if isinstance(hint, types.UnionType):
        (hint,) = (each for each in typing.get_args(hint) if each is not types.NoneType)
    if typing.get_origin(hint) is tuple:
        return {"type": "array", "items": dict(_TYPES[typing.get_args(hint)[0]])}
    return dict(_TYPES[hint])


def _limits(limits: Limits) -> dict[str, Any]:
    """The limits of one setting as keywords."""
    if limits.options:
        return {"enum": list(limits.options)}
    if limits.pattern:
        return {"pattern": limits.pattern}
    words = {
        "minimum": limits.least,
        "exclusiveMinimum": limits.above,
        "maximum": limits.most,
        "exclusiveMaximum": limits.below,
    }
    found = {word: value for word, value in words.items() if value is not None}
    return {"anyOf": [found, {"const": 0}]} if limits.or_zero else found
