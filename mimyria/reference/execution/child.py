"""The process of one task: does it, and ends at once when its parent is gone.

The parent holds the writing end of this process' standard input and never writes: when
the parent ends, however that happens, the reading end says so. Then this process and
everything it has started are killed, so that nothing computes for nobody.
"""

from __future__ import annotations

import importlib
import os
import select
import sys
import threading

from mimyria.reference.execution.sessions import end_session

__all__ = ["main"]

_LOOK = 1.0  # s; a forked copy of the parent may hold the pipe, so ask for it too


def main(parent: int, task: str, folder: str) -> None:
    """Call `task`, `module:function`, for a folder."""
    lifeline = _take_standard_input()
    threading.Thread(target=_watch, args=(lifeline, parent), daemon=True).start()
    module, _, function = task.partition(":")
    getattr(importlib.import_module(module), function)(folder)


def _take_standard_input() -> int:
    """Keep the pipe for ourselves; what the task starts reads from nowhere."""
    lifeline = os.dup(0)
    nowhere = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nowhere, 0)
    os.close(nowhere)
    return lifeline


def _watch(lifeline: int, parent: int) -> None:
    while os.getppid() == parent:
        if select.select([lifeline], [], [], _LOOK)[0]:
            break
    end_session(os.getpid())


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
