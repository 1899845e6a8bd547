"""How far the journal of a run has grown, seen from outside while it is written."""

import time

import pytest

from mimyria_driver.identity import read_header
from mimyria_driver.journal import JOURNAL_NAME

__all__ = ["n_records", "wait_for_records"]


def n_records(directory):
    """Whole records in the journal of a run folder; 0 while it has not begun."""
    path = directory / JOURNAL_NAME
    if not path.exists():
        return 0
    identity, start = read_header(path)
    if identity.grouping is None:
        return 0
    return (path.stat().st_size - start) // identity.record_size


def wait_for_records(directory, n, *processes, seconds=60.0):
    """Until there are so many; the processes must live meanwhile."""
    deadline = time.monotonic() + seconds
    while n_records(directory) < n:
        for process in processes:
            assert process.poll() is None, process.stderr and process.stderr.read()
        if time.monotonic() > deadline:
            pytest.fail(f"fewer than {n} records in {seconds:g} s")
        time.sleep(0.01)
