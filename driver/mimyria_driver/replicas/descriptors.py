"""Descriptors: enough open files for many replicas."""

from __future__ import annotations

import resource
from typing import Final

from mimyria.errors import ResourceError

__all__ = ["allow_descriptors"]

_EACH: Final = 40
"""Journal, locks, sockets and their inner ends; measured, with as much again."""
_ALL: Final = 100


def allow_descriptors(n_replicas: int) -> None:
    """Raise the limit of this process to what so many replicas need.

    Raises:
        ResourceError: more than this user may have.
    """
    wanted = _ALL + _EACH * n_replicas
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise ResourceError(
            f"{n_replicas} replicas need up to {wanted} open files, but this user may "
            f"have {hard} (ulimit -Hn). Ask for more, or use fewer replicas in each of "
            "several runs and merge their results."
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
