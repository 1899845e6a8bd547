"""Run id: a name for the run of a folder that no other run has.

It lies in a file of its own: the journals of two runs that are equal to the bit are
equal files, so a random name has no place in them. A folder of an older mimyria gets
one at the next start of a driver.
"""

from __future__ import annotations

import contextlib
import re
import secrets
from pathlib import Path
from typing import Final

from mimyria.errors import OutputError
from mimyria.files import read_plain, replace_file

__all__ = ["RUN_ID_NAME", "take_run_id"]

RUN_ID_NAME: Final = "run_id"

_BYTES: Final = 8
_LARGEST: Final = 64
_FORM: Final = re.compile(rb"[0-9a-f]{16}\n")


def take_run_id(folder: Path) -> str:
    """The id of a folder that is ours; made at the first time.

    Returns:
        16 hexadecimal digits, or "" where it cannot be kept.
    """
    path = folder / RUN_ID_NAME
    with contextlib.suppress(OSError):
        content = read_plain(path, _LARGEST)
        if _FORM.fullmatch(content):
            return content.decode().strip()
    name = secrets.token_hex(_BYTES)
    try:
        replace_file(path, f"{name}\n".encode(), private=True)
    except (OSError, OutputError):
        return ""  # a full disk is no reason to end; the next start makes one
    return name
