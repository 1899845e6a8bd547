from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

# Stand-ins that several test files use are found by name.
sys.path.insert(0, str(Path(__file__).parent))

if TYPE_CHECKING:
    from ipiserver import Server


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose path is short enough for a unix socket in it."""
    with tempfile.TemporaryDirectory(prefix="mim-") as name:
        yield Path(name)


@pytest.fixture
def server(folder: Path) -> Iterator[Server]:
    """A stand-in for i-PI, at `driver` in the folder."""
    from ipiserver import Server

    made = Server(folder / "driver")
    yield made
    made.close()
