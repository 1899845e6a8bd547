"""Evaluator: the networks in a process of their own, which may die without harm.

`handle` is the side of the service and imports no torch; `worker` is the child, and
`loading`, which gives it its networks, the only module of the service that imports
`mimyria.models`; `messages` is what they say.
"""

from mimyria_driver.evaluator.handle import Evaluator

__all__ = ["Evaluator"]
