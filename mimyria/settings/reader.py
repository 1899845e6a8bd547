"""From a TOML table to a dataclass: names, types, paths, and errors that help.

It works for every dataclass whose fields carry a sentence in their metadata, and knows
none of them.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import MISSING
from pathlib import Path
from typing import Any, TypeVar

from mimyria.errors import SettingsError

__all__ = [
    "kind_of",
    "read_section",
    "reference_text",
    "suggestion",
    "toml_value",
    "unknown_name",
]

T = TypeVar("T")


def read_section(cls: type[T], name: str, values: Mapping[str, Any], folder: Path) -> T:
    """Build the dataclass of one section.

    Args:
        cls: the dataclass.
        name: of the section, for messages.
        values: what the file says.
        folder: where relative paths start.

    Raises:
        SettingsError: a key is unknown or missing, or a value has the wrong type.
    """
    found = typing.get_type_hints(cls)
    entries = dataclasses.fields(cls)  # type: ignore[arg-type]
    hints = {entry.name: found[entry.name] for entry in entries}
    for key in values:
        if key not in hints:
            raise SettingsError(unknown_name("setting", f"{name}.{key}", hints, name))
    converted: dict[str, Any] = {}
    for entry in entries:
        label = f"{name}.{entry.name}"
        value = values.get(entry.name, entry.default)
        if value is MISSING:
            raise SettingsError(f"{label} is missing: {entry.metadata['sentence']}")
        if entry.name in values:
            value = _convert(label, value, hints[entry.name])
        if isinstance(value, Path):
            value = folder / value.expanduser()
        converted[entry.name] = value
    return cls(**converted)


def _convert(label: str, value: object, wanted: Any) -> Any:  # noqa: ANN401
    options = (
        [hint for hint in typing.get_args(wanted) if hint is not types.NoneType]
        if isinstance(wanted, types.UnionType)
        else [wanted]
    )
    hint = options[0]
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is Path and isinstance(value, str) and value:
        return Path(value)
    if typing.get_origin(hint) is tuple:
        return _convert_list(label, value, typing.get_args(hint)[0])
    if type(value) is hint and (not isinstance(value, float) or math.isfinite(value)):
        return value
    names = {
        str: "a string",
        Path: "a path in quotes",
        int: "a whole number",
        float: "a number",
        bool: "true or false",
    }
    raise SettingsError(f"{label} must be {names[hint]}, but is {kind_of(value)}.")


def _convert_list(label: str, value: object, item: type) -> tuple[Any, ...]:
    """A list of strings, or one of numbers."""
    if isinstance(value, list) and item is float:
        kinds = [type(each) for each in value]
        if all(kind in (int, float) for kind in kinds) and all(
            map(math.isfinite, value)
        ):
            return tuple(float(each) for each in value)
    elif isinstance(value, list) and all(isinstance(each, str) for each in value):
        return tuple(value)
    wanted = "numbers" if item is float else "strings"
    raise SettingsError(f"{label} must be a list of {wanted}, but is {kind_of(value)}.")


def kind_of(value: object) -> str:
    """A value with its type, in words."""
    names = {
        str: "the string",
        bool: "the truth value",
        int: "the whole number",
        float: "the number",
        list: "the list",
        dict: "the section",
    }
    return f"{names.get(type(value), type(value).__name__)} {value!r}"


def toml_value(value: object) -> str:
    """A default as TOML; empty where there is none."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (str, Path)):
        return f'"{value}"'
    if isinstance(value, tuple):
        return f"[{', '.join(map(toml_value, value))}]"
    return str(value)


def reference_text(sections: Iterable[tuple[str, type]]) -> str:
    """Commented TOML with every setting of some sections, its default, its sentence."""
    lines: list[str] = []
    for name, cls in sections:
        lines += [f"[{name}]  # {(cls.__doc__ or '').strip()}"]
        for entry in dataclasses.fields(cls):
            lines.append(f"# {entry.metadata['sentence']}")
            default = "..." if entry.default is MISSING else toml_value(entry.default)
            lines.append(f"# {entry.name} = {default}".rstrip())
        lines.append("")
    return "\n".join(lines)


def unknown_name(
    what: str, name: str, known: Iterable[str], section: str | None = None
) -> str:
    """Message for a name that is not known, with the nearest one that is."""
    prefix = f"{section}." if section else ""
    names = sorted(known)
    hint = suggestion(name.removeprefix(prefix), names, prefix)
    return f"Unknown {what} '{name}'.{hint} Known: {', '.join(names)}."


def suggestion(name: str, known: Iterable[str], prefix: str = "") -> str:
    """` Did you mean ...?`, or nothing."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean '{prefix}{close[0]}'?" if close else ""
