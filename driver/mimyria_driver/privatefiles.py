"""Private files: secrets, in files that nobody else can read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from mimyria.errors import SettingsError
from mimyria_driver.ownfile import NotOwnError, read_own

__all__ = ["create_private", "read_private"]

_MOST_BYTES: Final = 10_000


def create_private(path: Path, text: str) -> None:
    """Make a file for its owner alone; it must not be there."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(path, flags, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def read_private(path: Path) -> str:
    """What stands in a secret's file.

    Raises:
        SettingsError: others could read or exchange it, or it cannot be read.
    """
    advice = f"It holds a secret. Say: chmod 600 {path}"
    try:
        content = read_own(str(path), advice, _MOST_BYTES)
    except FileNotFoundError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror}).") from None
    except NotOwnError as error:
        raise SettingsError(str(error)) from None
    return content.decode("utf-8", "replace")
