"""Folders: what a run folder must be, and that all in it is for its user alone.

It knows owners and modes; it knows no journal and no socket. Everything the driver
makes is made under the umask of `private_files`, so that no module has to think of it.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from mimyria.errors import AccessError, SettingsError
from mimyria_driver.labels import replica_folders

__all__ = ["check_folder", "check_layout", "private_files"]

_PRIVATE: Final = 0o077
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH

_JOURNAL: Final = "journal"  # of a run without replicas

_log = logging.getLogger(__name__)


@contextmanager
def private_files() -> Iterator[None]:
    """Files and folders made inside are for this user alone, in children as well."""
    before = os.umask(_PRIVATE)
    try:
        yield
    finally:
        os.umask(before)


def check_folder(folder: Path) -> None:
    """Refuse a run folder that others can write in, or that leads elsewhere.

    Links and pipes in it may come from an archive of somebody else: a journal that is
    a link would write over any file of the user's.

    Raises:
        AccessError: says what is wrong with it.
    """
    status = folder.stat()
    user = os.geteuid()
    if status.st_uid != user and user != 0:
        raise AccessError(
            f"{folder}: the run folder belongs to user {status.st_uid}, not to you. "
            "Choose another run.directory."
        )
    if status.st_uid != user:
        _log.warning(
            "%s belongs to user %d, but the driver runs as root: run it as that user",
            folder,
            status.st_uid,
        )
    if status.st_mode & _OTHERS_WRITE:
        raise AccessError(
            f"{folder}: others may write in the run folder. `chmod go-w` it, or choose "
            "another run.directory."
        )
    for entry in _entries(folder):
        mode = entry.stat(follow_symlinks=False).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISSOCK(mode)):
            raise AccessError(
                f"{entry.path}: a run folder holds files and folders only, but this is "
                f"a {'link' if stat.S_ISLNK(mode) else 'device or pipe'}. Remove it, "
                "or choose another run.directory."
            )


def check_layout(folder: Path, n_replicas: int) -> None:
    """Refuse a run folder that was begun with another number of replicas.

    Raises:
        SettingsError: the result would lack what is there already.
    """
    there = len(replica_folders(folder))
    if n_replicas > 1 and (folder / _JOURNAL).exists():
        raise SettingsError(
            f"{folder} holds a run without replicas, but source.replicas is "
            f"{n_replicas}. Choose another run.directory."
        )
    if n_replicas < there:
        raise SettingsError(
            f"{folder} has {there} replicas already, but source.replicas is "
            f"{n_replicas}: the result would lack some. Set it to {there} or more, or "
            "choose another run.directory."
        )


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """What is in a folder and in the folders of it."""
    with os.scandir(folder) as entries:
        for entry in entries:
            yield entry
            if entry.is_dir(follow_symlinks=False):
                with os.scandir(entry.path) as inner:
                    yield from inner
