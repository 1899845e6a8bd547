"""How a command ends: its exit code, and one line on stderr where it failed."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable

from mimyria.errors import MimyriaError

__all__ = ["run_command"]

INTERRUPTED = 130
READER_GONE = 141


def run_command(
    function: Callable[[argparse.Namespace], int],
    arguments: argparse.Namespace,
    *,
    debug: bool,
) -> int:
    """Run a sub-command; an expected error becomes one line and its exit code.

    Args:
        function: the sub-command.
        arguments: its parsed arguments.
        debug: let every error through with its traceback.

    Returns:
        The exit code of the process (sysexits.h).
    """
    try:
        return function(arguments)
    except MimyriaError as error:
        if debug:
            raise
        return _report(str(error), error.exit_code)
    except BrokenPipeError:
        # Who read our output has gone, as `head` does: no failure worth a word. What
        # is still in the buffer goes nowhere, so that the exit stays silent, too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_GONE
    except OSError as error:
        if debug:
            raise
        return _report(*_file_problem(error))
    except KeyboardInterrupt as error:
        return _report(str(error) or "interrupted", INTERRUPTED)


def _file_problem(error: OSError) -> tuple[str, int]:
    """What to say of a file, and the exit code."""
    if isinstance(error, FileNotFoundError):
        return f"There is no file '{error.filename}'.", 66
    if isinstance(error, IsADirectoryError):
        return f"A file is wanted, but '{error.filename}' is a folder.", 65
    return f"{error.strerror or error}: {error.filename or ''}", 74


def _report(message: str, code: int) -> int:
    line = " ".join(message.split())
    print(f"error: {line}", file=sys.stderr)
    return code
