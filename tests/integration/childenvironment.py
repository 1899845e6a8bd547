"""What commands of the suite are started with."""

from __future__ import annotations

import os

from tests.conftest import REPOSITORY

__all__ = ["environment"]


def environment() -> dict[str, str]:
    """One thread, whatever the machine; this checkout, whatever is installed."""
    paths = [str(REPOSITORY), str(REPOSITORY / "driver")]
    paths += filter(None, [os.environ.get("PYTHONPATH")])
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "200",
    }
