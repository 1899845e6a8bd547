"""Arrays in npz files: written as bytes, read without pickle."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mimyria.errors import FormatError
from mimyria.frame import Array

__all__ = ["packed", "unpacked"]


def packed(arrays: Mapping[str, Array]) -> bytes:
    """Content of an npz file."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def unpacked(path: Path) -> dict[str, Array]:
    """All arrays of an npz file.

    Raises:
        FileNotFoundError: there is none.
        FormatError: it is damaged.
    """
    # As bytes: NumPy leaves a damaged file open.
    content = io.BytesIO(path.read_bytes())
    try:
        with np.load(content, allow_pickle=False) as file:
            return {name: np.asarray(file[name]) for name in file.files}
    except (ValueError, zipfile.BadZipFile, EOFError, zlib.error) as error:
        raise FormatError(f"{path} is damaged ({error}).") from error
