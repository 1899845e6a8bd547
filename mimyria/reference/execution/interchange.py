"""Parsl's interchange, which by itself outlives a killed parent, made to end with it.

It hands tasks to the jobs of a cluster. When it goes, the jobs miss its heartbeat and
end as well; without this, a killed campaign would go on computing until the walltime.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
import time

__all__ = ["main"]

_LOOK = 1.0  # s


def main(parent: int) -> None:
    """Run the interchange as long as the parent lives."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    runpy.run_module(
        "parsl.executors.high_throughput.interchange",
        run_name="__main__",
        alter_sys=True,
    )


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK)
    os._exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]))
