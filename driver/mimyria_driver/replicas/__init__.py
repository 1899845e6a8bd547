"""Replicas: many runs of one system, served by one driver with one set of networks.

Each replica is a complete run with a `Service`, a run folder and a journal of its own,
so that whatever holds for a run holds for each of them. What they share is

    broker     the evaluator, in fair turns
    gathering  one result of all, with errors from the scatter between them
    board      one status of all
    ensemble   the process: threads, signals, the end

`inspection` looks at the run folder afterwards. A replica never stops another one.
"""

from mimyria_driver.replicas.ensemble import Ensemble, run_replicas

__all__ = ["Ensemble", "run_replicas"]
