"""Audit: what each reply says in its extra string, for i-PI to print beside its step.

    {"mimyria": 1, "seq": 17, "rid": 1}

`seq` is the step that the driver counts for this configuration, −1 where it counts none
(another bead, a displaced copy); `rid` is the name that i-PI gave to the bead. The same
keys are in every reply, as i-PI demands of what it may print, and none of them is one
that a force client sends too.
"""

from __future__ import annotations

__all__ = ["audit"]


def audit(step: int, rid: int) -> bytes:
    """The extra string of the reply to a configuration."""
    return f'{{"mimyria": 1, "seq": {step}, "rid": {rid}}}'.encode()
