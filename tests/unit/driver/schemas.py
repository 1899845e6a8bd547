"""A check of JSON documents against the part of JSON Schema that status.json uses."""

from __future__ import annotations

import json
from importlib import resources

__all__ = ["STATUS_SCHEMA", "broken_rules"]

STATUS_SCHEMA = json.loads(
    resources.files("mimyria_driver").joinpath("status.schema.json").read_text()
)
_KNOWN = {
    "$schema", "title", "description", "type", "required", "properties", "items",
    "enum", "const", "minimum", "maximum", "maxItems", "additionalProperties",
}  # fmt: skip


def broken_rules(value, schema, place="$"):
    """Sentences about all that does not obey; empty where all does."""
    assert not set(schema) - _KNOWN, f"a rule that is not checked at {place}"
    broken = []
    if "enum" in schema and value not in schema["enum"]:
        broken.append(f"{place}: {value!r} is none of {schema['enum']}")
    if "const" in schema and value != schema["const"]:
        broken.append(f"{place}: {value!r} is not {schema['const']}")
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(_is_of(value, kind) for kind in kinds):
        return [*broken, f"{place}: {value!r} is no {' or '.join(kinds)}"]
    if isinstance(value, dict):
        broken += _in_object(value, schema, place)
    if isinstance(value, list):
        broken += _in_array(value, schema, place)
    if _is_of(value, "number"):
        if value < schema.get("minimum", value):
            broken.append(f"{place}: {value} is too small")
        if value > schema.get("maximum", value):
            broken.append(f"{place}: {value} is too large")
    return broken


def _in_object(value, schema, place):
    broken = [
        f"{place}.{name} is missing"
        for name in schema.get("required", [])
        if name not in value
    ]
    properties = schema.get("properties", {})
    for name, each in value.items():
        rule = properties.get(name, schema.get("additionalProperties", {}))
        broken += broken_rules(each, rule, f"{place}.{name}")
    return broken


def _in_array(value, schema, place):
    most = schema.get("maxItems", len(value))
    broken = [f"{place}: has {len(value)} items"] if len(value) > most else []
    for index, each in enumerate(value):
        broken += broken_rules(each, schema.get("items", {}), f"{place}[{index}]")
    return broken


def _is_of(value, kind):
    if kind == "number":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    kinds = {"string": str, "object": dict, "array": list, "boolean": bool}
    return value is None if kind == "null" else isinstance(value, kinds[kind])
