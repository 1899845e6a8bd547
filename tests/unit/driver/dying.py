"""A writer that dies: at a given system call, or whenever somebody kills it.

    dying.py calls FOLDER      a commit, killed at every system call in turn
    dying.py publish FOLDER N  results without end, by N processes that are killed

It loads once and forks for each death, so that a death costs milliseconds.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

from mimyria.errors import MimyriaError
from mimyria.files import replace_file
from mimyria.storage import write_result
from mimyria.storage.writing import encode
from mimyria_driver.journal import Journal
from mimyria_driver.pipeline import Pipeline, rebuild
from mimyria_driver.settings import SpectrumSettings
from tests.unit.driver.journals import IDENTITY, record

SETTINGS = SpectrumSettings(resolution=300.0, temperature=300.0)
CALLS = (
    "open",
    "write",
    "pwrite",
    "fdatasync",
    "fsync",
    "ftruncate",
    "replace",
    "rename",
    "unlink",
    "close",
    "mkdir",
    "utime",
)
N_BEFORE = 30
N_AFTER = 36


def die_at(number, *, after):
    """SIGKILL to this process at a system call; before it, or when it is done."""
    left = [number]

    def wrapped(call):
        def counted(*arguments, **options):
            left[0] -= 1
            if left[0] == 0 and not after:
                os.kill(os.getpid(), signal.SIGKILL)
            result = call(*arguments, **options)
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return counted

    for name in CALLS:
        setattr(os, name, wrapped(getattr(os, name)))
    return left


def commit(folder):
    """Go on with a run as a driver does: records, sync, result."""
    path = folder / "journal"
    journal = Journal.open(path)
    pipeline = rebuild(path, IDENTITY, SETTINGS)
    for index in range(journal.last_step // 4 + 1, N_AFTER):
        journal.append(record(index))
        pipeline.push(record(index))
    journal.sync()
    provenance = {"journal_records": journal.n_records}
    write_result(folder / "spectrum.h5", pipeline.result(provenance), journal.guard)
    journal.close()


def prepare(folder):
    folder.mkdir(parents=True)
    journal = Journal.create(folder / "journal", IDENTITY)
    pipeline = Pipeline(IDENTITY, SETTINGS)
    for index in range(N_BEFORE):
        journal.append(record(index))
        pipeline.push(record(index))
    journal.sync()
    journal.close()
    provenance = {"journal_records": N_BEFORE}
    write_result(folder / "spectrum.h5", pipeline.result(provenance))


def forked(function):
    """Run a function in a child; its process number."""
    process = os.fork()
    if process:
        return process
    try:
        function()
    except MimyriaError as error:
        os.write(2, f"{error}\n".encode())
        os._exit(1)
    os._exit(0)


def calls(folder):
    """Folders `before-1`, `after-1` …, each left behind by a writer that died there."""
    prepare(folder / "base")
    for when in ("before", "after"):
        number = 0
        while True:
            number += 1
            here = folder / f"{when}-{number}"
            shutil.copytree(folder / "base", here)

            def attempt(here=here, number=number, after=when == "after"):
                die_at(number, after=after)
                commit(here)

            _, status = os.waitpid(forked(attempt), 0)
            if not os.WIFSIGNALED(status):
                assert status == 0, status
                here.rename(folder / f"{when}-whole")
                break


def publish(folder, n_kills):
    """Publish results without end; each process is killed after a few milliseconds."""
    prepare(folder)
    pipeline = rebuild(folder / "journal", IDENTITY, SETTINGS)
    results = [encode(pipeline.result({"number": number})) for number in range(5)]
    rng = random.Random(1)

    def without_end():
        while True:
            for result in results:
                replace_file(folder / "spectrum.h5", result)

    for _ in range(n_kills):
        process = forked(without_end)
        time.sleep(rng.uniform(0.005, 0.05))
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
    # What a killed writer leaves behind says that it was killed while it wrote.
    print(len(list(folder.glob(".spectrum.h5.*"))), flush=True)  # noqa: T201


if __name__ == "__main__":
    if sys.argv[1] == "calls":
        calls(Path(sys.argv[2]))
    else:
        publish(Path(sys.argv[2]), int(sys.argv[3]))
