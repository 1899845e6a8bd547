"""Result files on disk: written as a whole, read whole or refused."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import h5py

from mimyria.errors import FormatError
from mimyria.files import read_plain, replace_file
from mimyria.storage.layout import FORMAT, RESULT_NAME, Result
from mimyria.storage.reading import check_header, decode
from mimyria.storage.writing import encode

__all__ = ["is_result", "read_result", "write_result"]

_LARGEST = 1 << 32


def write_result(
    path: str | Path, result: Result, confirm: Callable[[], None] | None = None
) -> None:
    """Write a result file; an existing one is replaced at once and as a whole.

    Args:
        path: the file.
        result: what to write.
        confirm: called just before the new file takes its place; may raise.

    Raises:
        OutputError: the file cannot be written.
    """
    replace_file(Path(path), encode(result), confirm)


def is_result(path: str | Path) -> bool:
    """Whether a file calls itself a result; it may still be damaged.

    Raises:
        FormatError: it is a folder.
    """
    _refuse_folder(Path(path))
    if not Path(path).is_file() or not h5py.is_hdf5(path):
        return False
    with h5py.File(path, "r") as file:
        return bool(file.attrs.get("format") == FORMAT)


def read_result(path: str | Path) -> Result:
    """Read a result file.

    Raises:
        FormatError: it is no result file, of another version, or was altered.
        FileNotFoundError: it is not there.
    """
    path = Path(path)
    _refuse_folder(path)
    try:
        content = read_plain(path, _LARGEST)
        with h5py.File(io.BytesIO(content), "r") as file:
            check_header(file)
            return decode(file)
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error
    except FileNotFoundError:
        raise
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise FormatError(
            f"{path} is not a readable HDF5 result file ({error}). Is it complete? "
            "The run can write it again from its journal."
        ) from error


def _refuse_folder(path: Path) -> None:
    """Say where the result file of a run is, to who gives the folder of the run."""
    if not path.is_dir():
        return
    inside = [path / RESULT_NAME, *sorted(path.glob(f"*/{RESULT_NAME}"))]
    inside = [each for each in inside if each.is_file()]
    advice = (
        f"Give the result file in it: {inside[0]}"
        if inside
        else f"There is no {RESULT_NAME} in it; give the result file of a run"
    )
    raise FormatError(f"a result file is wanted, but {path} is a folder. {advice}.")
