"""Training data: labelled frames (`data.dataset`), neighbour graphs, scaling."""

from mimyria.data.graph import Graph, batch_graph, neighbour_edges
from mimyria.data.scaling import IrrepBlock, Scaling, fit_scaling

__all__ = [
    "Graph",
    "IrrepBlock",
    "Scaling",
    "batch_graph",
    "fit_scaling",
    "neighbour_edges",
]
