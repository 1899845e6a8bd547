"""Own file: a small file that must be this user's, and closed to all others.

It knows owners and modes, not what is in the file. It runs inside the engine, too:
Python 3.8 and the standard library are enough.
"""

from __future__ import annotations

import os
import stat

__all__ = ["NotOwnError", "read_own"]


class NotOwnError(RuntimeError):
    """A file cannot be trusted; the text says why and what to do."""


def read_own(path: str, advice: str, most_bytes: int) -> bytes:
    """Content of a file that nobody but this user may read or write.

    What is looked at is what was opened: no link, and nothing that could block.

    Args:
        path: the file.
        advice: what to do where others may read or write it.
        most_bytes: a longer file is refused.

    Raises:
        FileNotFoundError: it is not there.
        NotOwnError: it is not such a file.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise NotOwnError(f"{path}: cannot be read ({error.strerror}).") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
            raise NotOwnError(f"{path}: is not a file of your own.")
        if status.st_mode & 0o077:
            raise NotOwnError(f"{path}: others may read or write it. {advice}")
        content = os.read(descriptor, most_bytes + 1)
    finally:
        os.close(descriptor)
    if len(content) > most_bytes:
        raise NotOwnError(f"{path}: has more than {most_bytes} bytes.")
    return content
