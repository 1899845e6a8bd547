"""Journals for tests: an identity, records that are all different, a whole file."""

from __future__ import annotations

import numpy as np

from mimyria.currents import Currents
from mimyria_driver.identity import Identity
from mimyria_driver.journal import Journal
from mimyria_driver.records import RECORD, Record

SIZE = RECORD.itemsize
IDENTITY = Identity(
    (8, 1, 1), 0.5, 4, {"apt": "a" * 64, "pgt": "b" * 64}, {"engine": "x"}
)


def record(index, previous=None, value=0.0):
    rng = np.random.default_rng(index)
    step = 4 * index
    return Record(
        step,
        (step - 4 if index else -1) if previous is None else previous,
        0.5 * step,
        1000.0 + index,
        300.0 + index,
        Currents(rng.normal(size=3) + value, rng.normal(size=6)),
        rng.bytes(8),
    )


def written(path, records):
    journal = Journal.create(path, IDENTITY)
    for entry in records:
        journal.append(entry)
    journal.sync()
    journal.close()
