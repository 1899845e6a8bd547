"""Private files: secrets, in files that nobody else can read."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from mimyria.errors import SettingsError

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
    try:
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = os.open(path, flags)
    except OSError as error:
        raise SettingsError(
            f"{path}: the secret cannot be read ({error.strerror})."
        ) from None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise SettingsError(f"{path}: a secret must be in an ordinary file.")
        if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
            raise SettingsError(
                f"{path}: holds a secret, so it must belong to you and be closed to "
                f"others. Say: chmod 600 {path}"
            )
        return os.read(descriptor, _MOST_BYTES).decode("utf-8", "replace")
    finally:
        os.close(descriptor)
