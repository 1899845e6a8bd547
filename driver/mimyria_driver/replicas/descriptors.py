"""Descriptors: enough open files for many replicas."""

from __future__ import annotations

import resource
from typing import Final

from mimyria.errors import ResourceError

__all__ = ["allow_descriptors"]

_EACH: Final = 40
"""11 for journal, locks, socket and its inner ends, as measured; the rest is for the
connections of an engine with a few ranks."""
_ALL: Final = 100
_PLENTY: Final = 65_536
"""What is taken where it is allowed: an engine may have many ranks."""


def allow_descriptors(n_replicas: int) -> None:
    """Raise the limit of this process to what so many replicas need.

    Raises:
        ResourceError: more than this user may have.
    """
    wanted = _ALL + _EACH * n_replicas
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= _PLENTY:
        return
    allowed = _PLENTY if hard == resource.RLIM_INFINITY else min(hard, _PLENTY)
    if allowed < wanted:
        raise ResourceError(
            f"{n_replicas} replicas need up to {wanted} open files, but this user may "
            f"have {hard} (ulimit -Hn). Ask for more, or use fewer replicas in each of "
            "several runs and merge their results."
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, allowed), hard))
