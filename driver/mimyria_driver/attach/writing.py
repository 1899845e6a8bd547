"""New files of a folder: all of them or none, and none over one that is there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mimyria.errors import OutputError
from mimyria.files import make_folder, replace_file
from mimyria_driver.lammps.pipe import make_pipe

__all__ = ["write_files"]


def write_files(
    folder: Path, files: Mapping[str, str], keep: Path, *, force: bool, pipe: str = ""
) -> list[Path]:
    """Write files; over one that is there only what it says already.

    Args:
        folder: made if absent.
        files: content by name.
        keep: the user's input, which is never written over.
        force: write over other files.
        pipe: name of a pipe to be made, at which LAMMPS waits for the driver; "": none.

    Returns:
        Their paths.

    Raises:
        OutputError: a file is there, or cannot be written.
        SettingsError: the pipe cannot be made.
    """
    make_folder(folder)
    contents = {
        folder / name: text.encode("utf-8", errors="surrogateescape")
        for name, text in files.items()
    }
    for path, content in contents.items():
        if path.resolve() == keep.resolve():
            raise OutputError(f"{path} is the input itself. Give another --output.")
        if path.is_dir() or (not force and _differs(path, content)):
            raise OutputError(
                f"{path} is there already and says something else. Move it away, give "
                "another --output, or --force to write over it."
            )
    written = list(contents)
    if pipe:
        written.append(folder / pipe)
        _make_pipe(folder / pipe)
    for path, content in contents.items():
        replace_file(path, content)
    return written


def _make_pipe(path: Path) -> None:
    if path.exists() and not path.is_fifo():
        raise OutputError(
            f"{path} is there already and is no pipe: an earlier run may have left it. "
            "Move it away."
        )
    make_pipe(path)


def _differs(path: Path, content: bytes) -> bool:
    if not path.exists():
        return path.is_symlink()
    try:
        return path.read_bytes() != content
    except OSError:
        return True
