"""Training samples: frames as tensors, with their targets in normalised irreps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from mimyria.data.dataset import TensorDataset
from mimyria.data.graph import Graph, species_indices
from mimyria.data.scaling import Scaling, fit_scaling
from mimyria.models.coupling import change_of_basis
from mimyria.models.network import irrep_blocks
from mimyria.models.sumrule import wanted_sums

__all__ = [
    "Sample",
    "dataset_scaling",
    "join_samples",
    "make_samples",
    "mean_neighbours",
]


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One frame, or several joined ones.

    Attributes:
        species: (n_atoms,) — index of the species.
        receivers: (n_edges,) — atoms i.
        senders: (n_edges,) — atoms j.
        vectors: (n_edges, 3) Å, in the type of the network.
        labelled: (n_labelled,) — atoms that have labels.
        wanted: (n_labelled, dim) — their normalised targets in irreps, float64.
        frames: (n_atoms,) — number of the frame of each atom.
        sums: (n_frames, dim) — what all atoms of a frame add up to in irreps, in the
            type of the network.
    """

    species: Tensor
    receivers: Tensor
    senders: Tensor
    vectors: Tensor
    labelled: Tensor
    wanted: Tensor
    frames: Tensor
    sums: Tensor

    def to(self, device: torch.device) -> Sample:
        """The same on another device."""
        values = (getattr(self, each.name).to(device) for each in fields(self))
        return Sample(*values)

    def weighted(self, weights: Tensor) -> Tensor:
        """Rows (n_labelled, dim) of weights (n_species, dim), one a labelled atom."""
        kinds = self.species.index_select(0, self.labelled)
        return weights.index_select(0, kinds)


def dataset_scaling(dataset: TensorDataset, species: Sequence[int]) -> Scaling:
    """Shift and scale of all labels of a dataset, for each species and irrep."""
    basis = change_of_basis(dataset.targets).numpy()
    return fit_scaling(
        dataset.select(dataset.labels) @ basis.T,
        species_indices(dataset.labelled_numbers, species),
        len(species),
        irrep_blocks(dataset.targets),
    )


def mean_neighbours(dataset: TensorDataset, graphs: Sequence[Graph]) -> float:
    """Mean number of neighbours of labelled atoms, at least 1.

    Atoms at the surface of a cluster have fewer; in a liquid there are none such.
    """
    means = [
        np.bincount(graph.receivers, minlength=graph.n_atoms)[atoms].sum() / len(atoms)
        for graph, atoms in zip(graphs, dataset.labelled, strict=True)
    ]
    return max(1.0, float(np.mean(means)))


def make_samples(
    dataset: TensorDataset,
    graphs: Sequence[Graph],
    scaling: Scaling,
    dtype: torch.dtype = torch.float32,
) -> list[Sample]:
    """One sample for each frame; `graphs` are those of the frames."""
    basis = change_of_basis(dataset.targets).numpy()
    sums = wanted_sums(dataset.total_charges, dataset.targets) @ basis.T
    samples = []
    for graph, label, atoms, total in zip(
        graphs, dataset.labels, dataset.labelled, sums, strict=True
    ):
        values = label[atoms] @ basis.T
        samples.append(
            Sample(
                torch.from_numpy(graph.species),
                torch.from_numpy(graph.receivers),
                torch.from_numpy(graph.senders),
                torch.from_numpy(graph.vectors).to(dtype),
                torch.from_numpy(atoms),
                torch.from_numpy(scaling.normalise(values, graph.species[atoms])),
                torch.zeros(graph.n_atoms, dtype=torch.int64),
                torch.from_numpy(total[None]).to(dtype),
            )
        )
    return samples


def join_samples(samples: Sequence[Sample]) -> Sample:
    """Several samples as one graph without edges between them."""
    sizes = [len(sample.species) for sample in samples]
    offsets = np.cumsum([0, *sizes[:-1]]).tolist()
    shifted = list(zip(samples, offsets, strict=True))
    before = np.cumsum([0, *(len(sample.sums) for sample in samples[:-1])]).tolist()
    return Sample(
        torch.cat([sample.species for sample in samples]),
        torch.cat([sample.receivers + offset for sample, offset in shifted]),
        torch.cat([sample.senders + offset for sample, offset in shifted]),
        torch.cat([sample.vectors for sample in samples]),
        torch.cat([sample.labelled + offset for sample, offset in shifted]),
        torch.cat([sample.wanted for sample in samples]),
        torch.cat(
            [s.frames + offset for s, offset in zip(samples, before, strict=True)]
        ),
        torch.cat([sample.sums for sample in samples]),
    )
