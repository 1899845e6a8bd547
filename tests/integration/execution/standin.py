"""Stand-ins for the work of a task; the engine knows only that it is a function."""

import os
import subprocess
import sys
import time
from pathlib import Path

SLEEPER = [sys.executable, "-S", "-c", "import time; time.sleep(600)"]


def note(folder, name, content=""):
    """Put a file in place whole."""
    partial = Path(folder) / f".{name}"
    partial.write_text(str(content))
    partial.rename(Path(folder) / name)


def quick(folder):
    """Leave what the test wants to know of the process."""
    note(folder, "stdin", sys.stdin.read())
    note(folder, "threads", os.environ["OMP_NUM_THREADS"])
    note(folder, "done", os.getpid())


def broken(folder):
    """An error of the program, not of a calculation."""
    raise RuntimeError("broken on purpose")


def leaves_a_process(folder):
    """End well, but leave a program behind."""
    note(folder, "program", subprocess.Popen(SLEEPER).pid)
    note(folder, "done")


def long(folder):
    """Start a program as a code does, in the manner of an MPI launcher, and wait."""
    if (Path(folder) / "again").exists():
        return note(folder, "done")
    note(folder, "again")
    note(folder, "program", subprocess.Popen(SLEEPER, preexec_fn=os.setpgrp).pid)
    note(folder, "running", os.getpid())
    while not (Path(folder) / "go").exists():
        time.sleep(0.05)
    return note(folder, "done")


def meet(folder):
    """End only when a neighbour runs at the same time."""
    note(folder, "here")
    while len(list(Path(folder).parent.glob("*/here"))) < 2:
        time.sleep(0.02)
    note(folder, "done")


def minute(folder):
    """Compute for some seconds."""
    note(folder, "job", os.environ.get("SLURM_JOB_ID", ""))
    note(folder, "threads", os.environ["OMP_NUM_THREADS"])
    note(folder, "running", os.getpid())
    time.sleep(float((Path(folder) / "seconds").read_text()))
    note(folder, "done")
