"""Screening: the text of a TorchScript program, read before torch runs any of it.

Such an archive is a program: it can read and write files, and code of `__setstate__`
runs while it is loaded. What a network needs is arithmetic and mimyria's operator;
whatever else the text calls is refused. It knows a zip archive, and no torch.
"""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path
from typing import Final

from mimyria.errors import ModelError

__all__ = ["require_arithmetic"]

_OPERATORS: Final = ("aten", "mimyria", "prim")
"""Libraries of operators that a network may call; what of `aten` is below."""

_FORBIDDEN: Final = (
    "from_file",  # maps any file of the user into memory, or makes one
    "save",
    "load",
    "import_ir",
    "manual_seed",
    "seed",
    "get_device_properties",
)
_METHODS: Final = ("__setstate__", "__getstate__", "__reduce__")

_OPERATOR: Final = re.compile(r"\bops\s*\.\s*(\w+)\s*\.\s*(\w+)")
_FUNCTION: Final = re.compile(r"\b(?:torch|aten)(?:\s*\.\s*|::)(\w+)")
_METHOD: Final = re.compile(r"\bdef\s+(__\w+__)\s*\(")
_PYTHON: Final = re.compile(r"\^\s*\w+\s*\(|\bPythonOp\b")
_CLASS: Final = re.compile(r"__torch__\s*\.\s*torch\s*\.\s*classes\s*\.\s*(\w+)")


def require_arithmetic(content: bytes, path: Path) -> None:
    """Refuse an archive whose program does more than calculate.

    Args:
        content: of the archive.
        path: for the message.

    Raises:
        ModelError: it calls something else; the message says what and where.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        names = file.namelist()
        if len(set(names)) < len(names):
            raise ModelError(
                f"{path} has two members of one name, so what is checked need not be "
                "what torch runs. Export the model again with `mimyria export`."
            )
        for name in (name for name in names if name.endswith(".py")):
            # Whatever looks like a comment is read, too: it may stand in a string.
            found = _found(file.read(name).decode("utf-8", errors="replace"))
            if found:
                raise ModelError(
                    f"{path} is a program that wants more than to calculate: {found} "
                    f"in {name}. It was not run. Export the model again with `mimyria "
                    "export` from a file that you trust."
                )


def _found(text: str) -> str:
    """The first thing in a text that no network needs; empty: nothing."""
    for library, operator in _OPERATOR.findall(text):
        if library not in _OPERATORS:
            return f"the operator {library}::{operator}"
        if library == "aten" and operator in _FORBIDDEN:
            return f"the operator aten::{operator}"
    for function in _FUNCTION.findall(text):
        if function in _FORBIDDEN:
            return f"the operator aten::{function}"
    for method in _METHOD.findall(text):
        if method in _METHODS:
            return f"the method {method}, which runs while it is loaded"
    if _PYTHON.search(text):
        return "a function of Python (prim::PythonOp)"
    for name in _CLASS.findall(text):
        return f"the class torch.classes.{name}"
    return ""
