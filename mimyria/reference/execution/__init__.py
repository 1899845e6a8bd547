"""Running tasks: processes of this machine, or the nodes of a cluster, by one call."""

from mimyria.reference.execution.engine import Engine, engine
from mimyria.reference.execution.settings import ExecutionSettings

__all__ = ["Engine", "ExecutionSettings", "engine"]
