"""Evaluator: the networks in a process of their own, which may die without harm.

`handle` is the side of the service and imports no torch, and neither do `child`, `work`
and `deaths`; `worker` is the child, `evaluation` what it does with frames, `canary` and
`rangecheck` how it knows that it still calculates; `loading`, which gives it its
networks, and `sandbox`, where unknown ones are tried, are the only modules of the
service that import `mimyria.models`; `messages` is what they say;
`interface` is what the service needs of `handle`, and `view` shows it.
"""

from mimyria_driver.evaluator.handle import Evaluator
from mimyria_driver.evaluator.interface import Networks
from mimyria_driver.evaluator.work import PoisonFrame, Verdict

__all__ = ["Evaluator", "Networks", "PoisonFrame", "Verdict"]
