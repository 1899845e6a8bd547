"""Files that are whole or not there: written beside, synced, renamed."""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from mimyria.errors import MimyriaError, OutputError

__all__ = [
    "make_folder",
    "open_private",
    "read_plain",
    "remove_partials",
    "replace_file",
    "replacing",
]

_PARTIAL: Final = re.compile(r"\..+\.\d+-[0-9a-f]{8}")
_AT_ONCE: Final = getattr(os, "O_NONBLOCK", 0)


@contextmanager
def replacing(
    path: Path,
    confirm: Callable[[], None] | None = None,
    *,
    private: bool = False,
    durable: bool = True,
) -> Iterator[BinaryIO]:
    """A binary file that takes the place of `path` when the block ends well.

    A reader sees the old file or the new one, never a part; after an error, or a crash
    at any moment, the old one is still there. A symbolic link at `path` is replaced,
    not followed.

    Args:
        path: the file.
        confirm: called when the new file is whole, just before it takes its place; an
            error of it leaves the old one.
        private: readable by this user alone, whatever the umask says.
        durable: wait for the disk; without, a power cut (not a crash of the program)
            may leave an empty file.

    Raises:
        OutputError: the file cannot be created or written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        with open(partial, "xb", opener=open_private if private else None) as file:
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
        if confirm is not None:
            confirm()
        partial.replace(path)
        if durable:
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
    path: Path,
    content: bytes,
    confirm: Callable[[], None] | None = None,
    *,
    private: bool = False,
    durable: bool = True,
) -> None:
    """Put `content` in the place of `path`, wholly or not at all; see `replacing`."""
    with replacing(path, confirm, private=private, durable=durable) as file:
        file.write(content)


def open_private(path: str, flags: int) -> int:
    """An `opener` for `open`: no symbolic link is followed, no other user may read."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o600)


def read_plain(path: Path, largest: int) -> bytes:
    """Content of a plain file: of no pipe or device, and of no more bytes than asked.

    Raises:
        OSError: it is not such a file, or cannot be read.
    """
    # A pipe would be waited for at opening.
    with open(
        path, "rb", opener=lambda name, flags: os.open(name, flags | _AT_ONCE)
    ) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "is not a plain file", str(path))
        if status.st_size > largest:
            raise OSError(errno.EFBIG, f"has more than {largest} bytes", str(path))
        return file.read(largest)


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
