"""The best weights so far, judged by frames that are not trained on."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mimyria.training.loss import irrep_loss
from mimyria.training.output import LabelledOutput
from mimyria.training.samples import Sample

__all__ = ["Best"]


class Best:
    """Which epoch had the smallest loss on the validation frames, and its weights.

    Attributes:
        epoch: the epoch; 0 before the first validation.
        loss: its validation loss.
        weights: by name of the parameter; empty before the first validation.
    """

    def __init__(
        self, output: LabelledOutput, samples: Sequence[Sample], weights: Tensor
    ) -> None:
        """Judge by some frames.

        Args:
            output: of the network whose weights are judged; it is copied.
            samples: the validation frames; with none the last weights are the best.
            weights: (n_species, dim) — of the loss.
        """
        self.epoch = 0
        self.loss = math.inf
        self.weights: dict[str, Tensor] = {}
        self._judge = copy.deepcopy(output).eval()
        self._samples = samples
        self._weights = weights

    def validated(self, averages: Mapping[str, Tensor]) -> float:
        """Mean loss of these weights over the labelled atoms of all frames."""
        with torch.no_grad():
            for name, parameter in self._judge.network.named_parameters():
                parameter.copy_(averages[name])
            losses = [self._loss(sample) for sample in self._samples]
        return sum(losses) / sum(len(sample.labelled) for sample in self._samples)

    def keep(self, epoch: int, loss: float, averages: Mapping[str, Tensor]) -> None:
        """Take these weights if they are better than the best so far."""
        if loss < self.loss:
            self.restore(epoch, loss, averages)

    def restore(self, epoch: int, loss: float, weights: Mapping[str, Tensor]) -> None:
        """Take these weights, as a checkpoint has them."""
        self.epoch, self.loss = epoch, loss
        self.weights = {name: value.clone() for name, value in weights.items()}

    def _loss(self, sample: Sample) -> float:
        weights = sample.weighted(self._weights)
        return float(irrep_loss(self._judge(sample), sample.wanted, weights))
