"""Trajectories: frames with velocities from any of the formats, in constant memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from mimyria.errors import FormatError, SettingsError
from mimyria.frame import Frame
from mimyria.io.binarydump import BinaryDumpSource
from mimyria.io.compressed import TextSource, bare_suffix
from mimyria.io.extxyz import read_frames
from mimyria.io.h5md import H5mdSource
from mimyria.io.lammpsdump import read_lammps_dump

__all__ = ["FORMATS", "Trajectory", "parse_elements"]

FORMATS: Final = {
    "extxyz": (".extxyz", ".xyz"),
    "lammps": (".dump", ".lammpstrj", ".lammpsdump"),
    "h5md": (".h5md", ".h5", ".hdf5"),
    "lammps-binary": (".bin",),
}
"""Formats, and the endings that stand for them; text may also end in .gz, .xz, .zst."""


class Trajectory:
    """The frames of one file, one after the other.

    Attributes:
        path: the file.
        kind: key of `FORMATS`.
    """

    def __init__(
        self,
        path: str | Path,
        kind: str | None = None,
        *,
        velocities_unit: str | None = None,
        elements: Mapping[str, str] | None = None,
    ) -> None:
        """Open a file.

        Args:
            path: the file.
            kind: key of `FORMATS`; None: by the ending.
            velocities_unit: unit of the velocities, where the file does not say it.
            elements: element of each type, where the file has numbers only.

        Raises:
            FormatError: the file is missing, or not of this format.
            SettingsError: the format is unknown.
        """
        self.path = Path(path)
        if not self.path.exists() or self.path.is_dir():  # a pipe will do
            raise FormatError(f"{path}: there is no such trajectory.")
        self.kind = kind or _kind_of(self.path)
        if self.kind not in FORMATS:
            raise SettingsError(
                f"the format must be one of {', '.join(FORMATS)}, not '{self.kind}'."
            )
        self._source: TextSource | H5mdSource | BinaryDumpSource
        if self.kind == "h5md":
            self._source = H5mdSource(
                self.path, velocities_unit=velocities_unit, elements=elements
            )
            frames = self._source.frames()
        elif self.kind == "lammps-binary":
            self._source = BinaryDumpSource(
                self.path, velocities_unit=velocities_unit, elements=elements
            )
            frames = self._source.frames()
        elif self.kind == "lammps":
            self._source = TextSource(self.path)
            frames = read_lammps_dump(
                self._source, velocities_unit=velocities_unit, elements=elements
            )
        else:
            self._source = TextSource(self.path)
            frames = read_frames(self._source, velocities_unit)
        self._frames = self._until_the_end(frames)

    def _until_the_end(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        """Close the file behind the last frame, an error, or when nobody wants more."""
        try:
            yield from frames
        finally:
            self.close()

    def close(self) -> None:
        """Close the file; there are no more frames."""
        self._source.close()

    @property
    def fraction(self) -> float:
        """Part of the file that was read, from 0 to 1."""
        return self._source.fraction

    def __iter__(self) -> Iterator[Frame]:
        """The frames that are left."""
        return self._frames

    def next_frame(self) -> Frame | None:
        """The next frame; None, and the file closed, behind the last one."""
        return next(self._frames, None)


def parse_elements(words: list[str] | tuple[str, ...]) -> dict[str, str] | None:
    """`("1=O", "2=H")` as a table; None without words.

    Raises:
        SettingsError: a word is not of this form.
    """
    table = {}
    for word in words:
        name, equals, symbol = word.partition("=")
        if not (name and equals and symbol):
            raise SettingsError(
                f"the element of a type must be given as 1=O, but is '{word}'."
            )
        table[name.strip()] = symbol.strip()
    return table or None


def _kind_of(path: Path) -> str:
    suffix = bare_suffix(path)
    for kind, suffixes in FORMATS.items():
        if suffix in suffixes:
            return kind
    return "extxyz"  # as before there was a choice: its reader says what is wrong
