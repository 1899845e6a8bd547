"""Status file: a small text that can be renewed on a disk that is full, too.

It fills whole blocks, so that where no second file fits beside it, it is written into
its own place, which needs no room.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Final

from mimyria_driver.diskio import is_full, overwrite

__all__ = ["write_status"]

_BLOCK: Final = 4096


def write_status(path: Path, text: str) -> None:
    """Replace the file as a whole, or overwrite it where there is no room.

    Args:
        path: the file.
        text: JSON; blanks are added at its end.

    Raises:
        OSError: neither works.
    """
    data = text.encode()
    data += b" " * (-len(data) % _BLOCK)
    beside = path.with_name(path.name + ".new")
    try:
        beside.write_bytes(data)
        beside.replace(path)
    except OSError as error:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        if not is_full(error):
            raise
        overwrite(path, data)
