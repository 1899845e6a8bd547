"""Zip archives with a digest of every member, checked when read.

Both kinds of model files are such archives. It knows bytes, and no network.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from mimyria.errors import ModelError
from mimyria.models.keys import DIGESTS

__all__ = [
    "ZIP_ERRORS",
    "add_members",
    "content_digest",
    "open_archive",
    "read_members",
]

ZIP_ERRORS: Final = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    ValueError,
    EOFError,
    OSError,
    NotImplementedError,
    RuntimeError,
)
"""What the standard library raises for a damaged archive."""

# The earliest time a zip archive can hold: equal content gives equal bytes.
_NO_TIME = (1980, 1, 1, 0, 0, 0)
_SMALL = 1 << 26  # bytes that may come out of any archive
_MAX_RATIO = 20


def content_digest(members: Mapping[str, bytes]) -> str:
    """One SHA-256 over the names and contents of all members, whatever their order."""
    digest = hashlib.sha256()
    for name in sorted(members):
        digest.update(f"{name} {hashlib.sha256(members[name]).hexdigest()}\n".encode())
    return digest.hexdigest()


def add_members(
    archive: bytes, members: Mapping[str, bytes], prefix: str = ""
) -> bytes:
    """Add members, then the digests of all members, to a zip archive.

    Args:
        archive: an archive, or nothing for a new one.
        members: name and content of each new member.
        prefix: folder of the new members.
    """
    stream = io.BytesIO(archive)
    with zipfile.ZipFile(stream, "a", zipfile.ZIP_STORED) as file:
        for name in sorted(members):
            file.writestr(zipfile.ZipInfo(prefix + name, _NO_TIME), members[name])
        digests = {
            name: hashlib.sha256(file.read(name)).hexdigest()
            for name in sorted(file.namelist())
        }
        text = json.dumps(digests, indent=1)
        file.writestr(zipfile.ZipInfo(prefix + DIGESTS, _NO_TIME), text)
    return stream.getvalue()


def open_archive(path: Path) -> bytes:
    """Content of a file that should be a zip archive.

    Raises:
        ModelError: the file is missing, unreadable, or no zip archive.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise ModelError(
            f"There is no model file {path}. Give the path of a model, or "
            "the name of a shipped one."
        ) from error
    except OSError as error:
        raise ModelError(f"Cannot read the model {path}: {error}.") from error
    if not zipfile.is_zipfile(io.BytesIO(content)):
        raise ModelError(
            f"{path} is not a model of mimyria, or it is cut short. Copy it again."
        )
    return content


def read_members(content: bytes, path: Path) -> dict[str, bytes]:
    """All members of an archive of `add_members`, after checking every digest.

    The folder of the digests becomes the root: members beside or below it lose that
    prefix, all others are left out (they belong to torch).

    Raises:
        ModelError: the archive has no digests, or a member is altered or missing.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            _require_size(file, len(content))
            members = {name: file.read(name) for name in file.namelist()}
    except ZIP_ERRORS as error:
        raise _altered(path, str(error)) from error
    listings = [name for name in members if name.split("/")[-1] == DIGESTS]
    if len(listings) != 1:
        raise ModelError(
            f"{path} is an archive, but not a model of mimyria: it has no {DIGESTS}. "
            "Make one with `mimyria train` or `mimyria export`."
        )
    listing = listings[0]
    try:
        digests = json.loads(members.pop(listing))
    except (ValueError, RecursionError) as error:
        raise _altered(path, f"{DIGESTS} is not JSON") from error
    found = {name: hashlib.sha256(data).hexdigest() for name, data in members.items()}
    if digests != found:
        wrong = sorted(
            name for name in {*found, *digests} if found.get(name) != digests.get(name)
        )
        raise _altered(path, f"the digest of {wrong[0]} does not match")
    prefix = listing[: -len(DIGESTS)]
    return {
        name[len(prefix) :]: data
        for name, data in members.items()
        if name.startswith(prefix)
    }


def _require_size(file: zipfile.ZipFile, size: int) -> None:
    """A small archive may claim any size; weights hardly shrink."""
    claimed = sum(member.file_size for member in file.infolist())
    if claimed > _SMALL + _MAX_RATIO * size:
        raise zipfile.BadZipFile(f"{size} bytes that would become {claimed}")


def _altered(path: Path, detail: str) -> ModelError:
    return ModelError(
        f"{path} was altered or damaged after it was written ({detail}). Copy it again "
        "from where it was made."
    )
