"""Training samples: frames as tensors, with their targets in normalised irreps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mimyria.data.dataset import TensorDataset
from mimyria.data.graph import Graph, species_indices
from mimyria.data.scaling import Scaling, fit_scaling
from mimyria.frame import Array
from mimyria.models.coupling import change_of_basis
from mimyria.models.network import irrep_blocks

__all__ = ["Sample", "dataset_scaling", "join_samples", "make_samples"]


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One frame, or several joined ones.

    Attributes:
        species: (n_atoms,) — index of the species.
        receivers: (n_edges,) — atoms i.
        senders: (n_edges,) — atoms j.
        vectors: (n_edges, 3) Å, float32.
        wanted: (n_atoms, dim) — normalised targets in irreps, float64.
    """

    species: Tensor
    receivers: Tensor
    senders: Tensor
    vectors: Tensor
    wanted: Tensor


def _in_irreps(dataset: TensorDataset) -> list[Array]:
    basis = change_of_basis(dataset.target).numpy()
    return [label.reshape(len(label), -1) @ basis.T for label in dataset.labels]


def dataset_scaling(dataset: TensorDataset, species: Sequence[int]) -> Scaling:
    """Shift and scale of all labels of a dataset, for each species and irrep."""
    numbers = np.concatenate([frame.numbers for frame in dataset.frames])
    return fit_scaling(
        np.concatenate(_in_irreps(dataset)),
        species_indices(numbers, species),
        len(species),
        irrep_blocks(dataset.target),
    )


def make_samples(
    dataset: TensorDataset, graphs: Sequence[Graph], scaling: Scaling
) -> list[Sample]:
    """One sample for each frame; `graphs` are those of the frames."""
    return [
        Sample(
            torch.from_numpy(graph.species),
            torch.from_numpy(graph.receivers),
            torch.from_numpy(graph.senders),
            torch.from_numpy(graph.vectors).float(),
            torch.from_numpy(scaling.normalise(values, graph.species)),
        )
        for graph, values in zip(graphs, _in_irreps(dataset), strict=True)
    ]


def join_samples(samples: Sequence[Sample]) -> Sample:
    """Several samples as one graph without edges between them."""
    sizes = [len(sample.species) for sample in samples]
    offsets = np.cumsum([0, *sizes[:-1]]).tolist()
    shifted = list(zip(samples, offsets, strict=True))
    return Sample(
        torch.cat([sample.species for sample in samples]),
        torch.cat([sample.receivers + offset for sample, offset in shifted]),
        torch.cat([sample.senders + offset for sample, offset in shifted]),
        torch.cat([sample.vectors for sample in samples]),
        torch.cat([sample.wanted for sample in samples]),
    )
