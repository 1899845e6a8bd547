"""Electronic-structure codes behind one protocol: forces in a homogeneous field.

What a code needs is loaded when it is used: this package alone needs numpy.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

from mimyria.errors import SettingsError
from mimyria.reference.codes.protocol import Code, SinglePoint
from mimyria.settings.fields import choice
from mimyria.settings.reader import kind_of, read_section

__all__ = ["KINDS", "Code", "SinglePoint", "code_from_table", "settings_class"]

KINDS: Final[dict[str, tuple[str, str, str]]] = {
    "ase": ("mimyria.reference.codes.ase", "AseSettings", "AseCode"),
    "cp2k": ("mimyria.reference.codes.cp2k.code", "Cp2kSettings", "Cp2k"),
    "files": ("mimyria.reference.codes.files", "FilesSettings", "Files"),
    "pyscf": ("mimyria.reference.codes.pyscf", "PyscfSettings", "PyscfCode"),
    "tblite": ("mimyria.reference.codes.tblite", "TbliteSettings", "TbliteCode"),
}
"""kind → its module, the dataclass of its settings, what makes the code of them."""


def settings_class(kind: str) -> type[Any]:
    """The dataclass of the settings of a kind, with a sentence at each field.

    Raises:
        SettingsError: there is no such kind.
    """
    choice("code.kind", kind, tuple(KINDS))
    module, settings, _ = KINDS[kind]
    return cast(type[Any], getattr(importlib.import_module(module), settings))


def code_from_table(table: Mapping[str, Any], folder: Path) -> Code:
    """The code that `[code]` of a campaign asks for.

    Args:
        table: `kind`, and the settings of that kind.
        folder: where relative paths start.

    Raises:
        SettingsError: a kind, a key or a value is wrong or missing.
    """
    kind = table.get("kind")
    if not isinstance(kind, str):
        found = "missing" if kind is None else kind_of(kind)
        raise SettingsError(
            f"code.kind must be one of {', '.join(KINDS)}, but is {found}."
        )
    settings = read_section(
        settings_class(kind),
        "code",
        {key: value for key, value in table.items() if key != "kind"},
        folder,
    )
    module, _, code = KINDS[kind]
    return cast(Code, getattr(importlib.import_module(module), code)(settings))
