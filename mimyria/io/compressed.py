"""Text files, plain or compressed, read as a stream: gzip, bzip2, xz and zstandard."""

from __future__ import annotations

import bz2
import gzip
import importlib
import io
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, BinaryIO, Final, cast

from mimyria.errors import FormatError, SettingsError

__all__ = ["SUFFIXES", "TextSource", "bare_suffix"]

SUFFIXES: Final = (".gz", ".bz2", ".xz", ".zst")

_LONGEST: Final = 1 << 24  # characters of a line
_ZSTD: Final = ("compression.zstd", "backports.zstd")


class TextSource:
    """Lines of a file, and how far they are, in constant memory.

    Attributes:
        path: the file.
        line_number: lines read so far.
    """

    def __init__(self, path: Path) -> None:
        """Take note of the file; it is opened when the first line is asked for.

        Its last ending says whether it is compressed.

        Raises:
            FileNotFoundError: it is not there.
        """
        self.path = path
        self.line_number = 0
        self._size = max(path.stat().st_size, 1)
        self._raw: BinaryIO | None = None
        self._text: io.TextIOWrapper | None = None
        self._closed = False

    @property
    def fraction(self) -> float:
        """Part of the file that was read, from 0 to 1."""
        if self._raw is None:
            return 1.0 if self._closed else 0.0
        if not self._raw.seekable():  # a pipe does not say how much is to come
            return 0.0
        return min(self._raw.tell() / self._size, 1.0)

    def line(self) -> str:
        """The next line with its end; empty at the end of the file.

        Raises:
            FormatError: the compressed stream is damaged or cut.
            SettingsError: it needs a package that is not installed.
        """
        text = self._text or self._open()
        try:
            line = text.readline(_LONGEST)
        except Exception as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # of the disk, not of the format
            raise FormatError(
                f"{self.path}: the text cannot be read behind line {self.line_number} "
                f"({error}). Is the file complete?"
            ) from error
        if len(line) == _LONGEST:
            raise FormatError(
                f"{self.path}: line {self.line_number + 1} has more than {_LONGEST} "
                "characters, so this is no text of a trajectory."
            )
        self.line_number += bool(line)
        return line

    def lines(self, number: int) -> list[str]:
        """The next lines, fewer at the end of the file."""
        found = []
        for _ in range(number):
            line = self.line()
            if not line:
                break
            found.append(line)
        return found

    def close(self) -> None:
        """Close the file."""
        self._closed = True
        if self._text is not None and self._raw is not None:
            self._text.close()
            self._raw.close()
        self._text = self._raw = None

    def _open(self) -> io.TextIOWrapper:
        decompress = _opener(self.path)
        self._raw = self.path.open("rb")
        stream = self._raw if decompress is None else decompress(self._raw)
        self._text = io.TextIOWrapper(cast(IO[bytes], stream), encoding="utf-8")
        return self._text


def bare_suffix(path: Path) -> str:
    """The ending that says the format, without that of the compression."""
    name = path.name.lower()
    for suffix in SUFFIXES:
        name = name.removesuffix(suffix)
    return Path(name).suffix


def _opener(path: Path) -> Callable[[BinaryIO], Any] | None:
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        return None
    if suffix == ".zst":
        return cast(Callable[[BinaryIO], Any], _zstd(path).ZstdFile)
    openers: dict[str, Callable[[BinaryIO], Any]] = {
        ".gz": gzip.open,
        ".bz2": bz2.open,
        ".xz": lzma.open,
    }
    return openers[suffix]


def _zstd(path: Path) -> Any:  # noqa: ANN401 - one of two modules with one face
    """Python's own module (3.14 and later), or the one that brings it to older ones."""
    for name in _ZSTD:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise SettingsError(
        f"{path} needs the package backports.zstd, which is not installed: "
        f"`pip install mimyria[zstd]`, or decompress it first with "
        f"`unzstd {path}`."
    )
