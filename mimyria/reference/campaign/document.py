"""A TOML file with a section [code] and others: reading it, and printing all of it."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

from mimyria.errors import FormatError, SettingsError
from mimyria.files import read_plain
from mimyria.reference.codes import settings_class
from mimyria.settings.reader import read_section, reference_text, unknown_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["document_text", "read_code_table", "read_document"]

_LARGEST: Final = 1 << 20  # bytes


def read_document(
    path: Path, classes: Mapping[str, type], optional: Collection[str]
) -> dict[str, Any]:
    """All sections by name, and `code_table`: [code], which depends on its kind.

    Args:
        path: the file.
        classes: of the sections, without [code].
        optional: sections that are None where they are absent.

    Raises:
        FormatError: it is no TOML.
        SettingsError: a section or key is unknown, missing or has a wrong value.
        FileNotFoundError: it is not there.
    """
    table = _read_table(path)
    known = (*classes, "code")
    for name, section in table.items():
        if name not in known:
            raise SettingsError(f"{path}: {unknown_name('section', name, known)}")
        if not isinstance(section, dict):
            raise SettingsError(
                f"{path}: '{name}' must be a section [{name}], but is {section!r}."
            )
    read: dict[str, Any] = {"code_table": _code_of(table, path)}
    for name, cls in classes.items():
        absent = name in optional and name not in table
        read[name] = (
            None
            if absent
            else read_section(cls, name, table.get(name, {}), path.parent)
        )
    return read


def read_code_table(path: Path) -> dict[str, Any]:
    """The section [code] of a file, whatever else is in it.

    Raises:
        FormatError: the file is no TOML.
        SettingsError: the section is missing.
        FileNotFoundError: the file is not there.
    """
    return _code_of(_read_table(path), path)


def document_text(
    classes: Mapping[str, type], optional: Collection[str], kind: str, before: str
) -> str:
    """A commented file with every setting, for one kind of code.

    Args:
        classes: of the sections, without [code].
        optional: sections that an empty one would switch on.
        kind: of the code.
        before: the section that [code] stands in front of.

    Raises:
        SettingsError: the kind is unknown.
    """
    sections = [*classes.items()]
    place = [*classes].index(before)
    sections.insert(place, ("code", settings_class(kind)))
    text = reference_text(sections)
    heading = next(line for line in text.splitlines() if line.startswith("[code]"))
    text = text.replace(heading, f'{heading}\nkind = "{kind}"', 1)
    for name in optional:
        # At the begin of a line: a sentence may speak of the section as well.
        text = text.replace(f"\n[{name}]", f"\n# [{name}]", 1)
    return text


def _code_of(table: Mapping[str, Any], path: Path) -> dict[str, Any]:
    section = table.get("code")
    if not isinstance(section, dict):
        raise SettingsError(
            f'{path}: the section [code] is missing; begin it with kind = "cp2k".'
        )
    return section


def _read_table(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(read_plain(path, _LARGEST).decode())
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path} is not readable as TOML: {error}.") from error
