"""Disk I/O as disks fail: short writes, no room, errors that come with the sync.

After a failed fsync the kernel may have dropped the pages, and a second one on the same
file says that all is well. So a file that failed is never synced again: what it should
hold is written to a new one, read back, compared, and put in its place.

Source: PostgreSQL wiki, "Fsync Errors"; Rebello et al., USENIX ATC 2020.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from mimyria.errors import OutputError
from mimyria.files import replace_file

__all__ = [
    "is_full",
    "overwrite",
    "put",
    "rewrite",
    "same_file",
    "sync_file",
    "sync_folder",
    "write_all",
]

_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""No room, a quota, a limit of the file size: somebody can make room."""
_COPIED: Final = 1 << 20


def is_full(error: OSError) -> bool:
    """Whether an error goes away when somebody makes room."""
    return error.errno in _FULL


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of it, in as many pieces as the system wants."""
    view = memoryview(data)
    while view:
        try:
            written = os.write(descriptor, view)
        except InterruptedError:
            continue
        if not written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        view = view[written:]


def sync_file(descriptor: int) -> None:
    """Make what was written durable; an interrupted call is no error of the disk."""
    while True:
        try:
            return os.fdatasync(descriptor)
        except InterruptedError:
            continue


def sync_folder(folder: Path) -> None:
    """Make new and renamed files of a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def same_file(descriptor: int, path: Path) -> bool:
    """Whether a path still leads to an open file."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except OSError:
        return False


def put(
    path: Path,
    data: bytes,
    confirm: Callable[[], None] | None = None,
    *,
    private: bool = False,
    durable: bool = True,
) -> None:
    """Replace a small file as `replace_file` does; without room, in its own place.

    Raises:
        OutputError: neither can be done.
    """
    try:
        replace_file(path, data, confirm, private=private, durable=durable)
    except OutputError as error:
        if confirm is not None:
            confirm()
        try:
            overwrite(path, data)
        except OSError:
            raise error from None


def overwrite(path: Path, data: bytes) -> None:
    """Put data in the place of a file that has a block already: that needs no room."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        os.pwrite(descriptor, data, 0)
        os.ftruncate(descriptor, len(data))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def rewrite(
    path: Path,
    old: int,
    length: int,
    rest: bytes,
    confirm: Callable[[], None] | None = None,
) -> int:
    """Put a new file in the place of one that failed.

    Args:
        path: the file.
        old: open descriptor of it.
        length: bytes of it that are safe and are copied.
        rest: what follows them.
        confirm: called before the new file takes its place; raises if it must not.

    Returns:
        A descriptor of the new file, to read and to append to.

    Raises:
        OSError: it cannot be written, or does not read back as it was written; the old
            file is still in its place.
    """
    beside = path.with_name(f".{path.name}.rescued")
    beside.unlink(missing_ok=True)
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    new = os.open(beside, flags, 0o600)
    try:
        written = hashlib.sha256()

        def add(piece: bytes) -> None:
            written.update(piece)
            write_all(new, piece)

        _each_piece(old, length, add)
        add(rest)
        os.fsync(new)
        _forget_pages(new)
        found = hashlib.sha256()
        _each_piece(new, length + len(rest), found.update)
        if found.digest() != written.digest():
            raise OSError(errno.EIO, "the new file does not read as it was written")
        if confirm is not None:
            confirm()
        beside.replace(path)
        sync_folder(path.parent)
    except BaseException:
        os.close(new)
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise
    return new


def _each_piece(descriptor: int, length: int, take: Callable[[bytes], object]) -> None:
    """Hand over the first bytes of a file, piece by piece."""
    offset = 0
    while offset < length:
        piece = os.pread(descriptor, min(_COPIED, length - offset), offset)
        if not piece:
            raise OSError(errno.EIO, "the file is shorter than it was")
        take(piece)
        offset += len(piece)


def _forget_pages(descriptor: int) -> None:
    """Let the next read come from the disk, where the system can."""
    if hasattr(os, "posix_fadvise"):
        with suppress(OSError):
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
