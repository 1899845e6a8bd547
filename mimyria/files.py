"""Files that are whole or not there: written beside, synced, renamed."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from mimyria.errors import MimyriaError, OutputError

__all__ = ["make_folder", "remove_partials", "replace_file", "replacing"]

_PARTIAL: Final = re.compile(r"\..+\.\d+-[0-9a-f]{8}")


@contextmanager
def replacing(
    path: Path, confirm: Callable[[], None] | None = None
) -> Iterator[BinaryIO]:
    """A binary file that takes the place of `path` when the block ends well.

    A reader sees the old file or the new one, never a part; after an error, or a crash
    at any moment, the old one is still there.

    Args:
        path: the file.
        confirm: called when the new file is whole, just before it takes its place; an
            error of it leaves the old one.

    Raises:
        OutputError: the file cannot be created or written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        with partial.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if confirm is not None:
            confirm()
        partial.replace(path)
        _sync_folder(path.parent)
    except MimyriaError:
        raise
    except OSError as error:
        raise OutputError(
            f"cannot write {path}: {error.strerror or error}. "
            "Does the folder exist, and is there space?"
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def replace_file(
    path: Path, content: bytes, confirm: Callable[[], None] | None = None
) -> None:
    """Put `content` in the place of `path`, wholly or not at all; see `replacing`."""
    with replacing(path, confirm) as file:
        file.write(content)


def remove_partials(folder: Path) -> int:
    """Remove what killed writers have left; nobody may be writing there now.

    Returns:
        How many there were.
    """
    left = [p for p in folder.glob(".*") if _PARTIAL.fullmatch(p.name)]
    for path in left:
        with suppress(OSError):
            path.unlink()
    return len(left)


def make_folder(path: Path) -> None:
    """Make a folder, with those above it, unless it is there.

    Raises:
        OutputError: it cannot be made; a file may stand in its place.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot make the folder {path}: {error.strerror or error}. Choose a "
            "place where it can be made."
        ) from error


def _sync_folder(folder: Path) -> None:
    """Make the renaming itself survive a power cut, where the system can."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
