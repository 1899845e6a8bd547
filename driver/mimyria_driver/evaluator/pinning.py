"""Pinning: only the very file that the user has named by its digest is loaded.

The digest in the metadata of a model says which network it is; that of the file, which
`sha256sum` prints, says that nobody has exchanged it, also not for a program.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from mimyria.errors import ModelError

__all__ = ["require_pinned"]


def require_pinned(path: Path, wanted: str | None, setting: str) -> None:
    """Refuse a file with another digest.

    Args:
        path: of the model; one that cannot be read is left to who loads it.
        wanted: SHA-256 in hexadecimal digits; None: any file will do.
        setting: where it stands.

    Raises:
        ModelError: it is another file.
    """
    if wanted is None:
        return
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return
    if found != wanted:
        raise ModelError(
            f"{path} is not the file that {setting} names: its SHA-256 is {found}, but "
            f"wanted is {wanted}. It was not loaded. If it is the right one, put what "
            f"`sha256sum {path}` prints into {setting}; else get the right file."
        )
