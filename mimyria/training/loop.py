"""The training loop: labelled frames in, weights and test errors out.

Everything random comes from the seed and the number of the epoch, and a checkpoint
holds all that changes, so an interrupted and resumed training gives the weights of an
uninterrupted one, bit for bit (on the same machine with the same number of threads).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from mimyria.data.dataset import TensorDataset
from mimyria.data.graph import batch_graph
from mimyria.data.scaling import Scaling
from mimyria.models.network import TensorNetwork, build_network, irrep_blocks
from mimyria.models.settings import NetworkSettings
from mimyria.training.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from mimyria.training.loss import component_weights, irrep_loss
from mimyria.training.samples import (
    Sample,
    dataset_scaling,
    join_samples,
    make_samples,
    mean_neighbours,
)
from mimyria.training.settings import TrainingSettings, learning_rate

__all__ = ["CHECKPOINT", "LEARNING_CURVE", "Training", "write_learning_curve"]

CHECKPOINT: Final = "checkpoint.safetensors"
LEARNING_CURVE: Final = "learning-curve.csv"

Progress = Callable[[int, float], None]


class Training:
    """One training of one network.

    Attributes:
        network: the network being trained, in training mode.
        averages: running average of each parameter; the result of the training.
        scaling: of the targets, from the training part alone.
        species: sorted atomic numbers of the data.
        n_neighbours: mean number of neighbours of labelled atoms in the training part.
        epoch: epochs that are done.
        curve: epoch, learning rate and mean loss, one row for each epoch.
    """

    def __init__(
        self,
        train: TensorDataset,
        species: tuple[int, ...],
        network_settings: NetworkSettings,
        settings: TrainingSettings,
    ) -> None:
        """Prepare graphs, scaling, network and optimiser.

        Args:
            train: the frames to train on.
            species: sorted atomic numbers, of training and test frames.
            network_settings: the architecture.
            settings: the optimiser and its schedule.
        """
        self.settings = settings
        self.species = species
        self.epoch = 0
        self.curve: list[list[float]] = []
        graphs = [
            batch_graph([frame], species, network_settings.cutoff)
            for frame in train.frames
        ]
        self.n_neighbours = mean_neighbours(train, graphs)
        self.scaling: Scaling = dataset_scaling(train, species)
        self.network: TensorNetwork = build_network(
            train.targets,
            network_settings,
            len(species),
            self.n_neighbours,
            self.scaling,
            seed=settings.seed,
        ).train()
        self.averages: dict[str, Tensor] = {
            name: value.detach().clone()
            for name, value in self.network.named_parameters()
        }
        self._optimiser = torch.optim.AdamW(
            self.network.parameters(), weight_decay=settings.weight_decay
        )
        self._weights = component_weights(irrep_blocks(train.targets))
        self._samples = make_samples(train, graphs, self.scaling)
        self._identity: dict[str, Any] = {
            "data": train.sha256,
            "frames": list(train.indices),
            "targets": [target.name for target in train.targets],
            "network": network_settings.as_dict(),
            "training": settings.as_dict(),
        }

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps in one epoch."""
        return math.ceil(len(self._samples) / self.settings.batch_size)

    def run(
        self, work_dir: Path, progress: Progress | None = None, until: int | None = None
    ) -> None:
        """Train from the present epoch to the last, with checkpoints on the way.

        Args:
            work_dir: existing folder for checkpoint and learning curve.
            progress: called after each epoch with its number and mean loss.
            until: stop after this epoch, with a checkpoint; the last one if left out.
        """
        last = min(until or self.settings.epochs, self.settings.epochs)
        while self.epoch < last:
            loss = self._run_epoch()
            if self.epoch % self.settings.checkpoint_every == 0 or self.epoch == last:
                self.save(work_dir)
            if progress is not None:
                progress(self.epoch, loss)

    def save(self, work_dir: Path) -> None:
        """Write checkpoint and learning curve."""
        checkpoint = Checkpoint(
            self.epoch, self._state_tensors(), self.curve, self._identity
        )
        write_checkpoint(work_dir / CHECKPOINT, checkpoint)
        write_learning_curve(work_dir / LEARNING_CURVE, self.curve)

    def resume(self, work_dir: Path) -> None:
        """Go on from the checkpoint in `work_dir`.

        Raises:
            ModelError: there is none, or it is damaged.
            IncompatibleError: it belongs to another training.
        """
        checkpoint = read_checkpoint(work_dir / CHECKPOINT, self._identity)
        state = checkpoint.tensors
        with torch.no_grad():
            for name, parameter in self.network.named_parameters():
                parameter.copy_(state[f"network/{name}"])
                self.averages[name].copy_(state[f"average/{name}"])
                self._optimiser.state[parameter] = {
                    key: state[f"{key}/{name}"].clone()
                    for key in ("step", "exp_avg", "exp_avg_sq")
                }
        self.epoch = checkpoint.epoch
        self.curve = checkpoint.curve

    def _state_tensors(self) -> dict[str, Tensor]:
        tensors = {f"average/{name}": value for name, value in self.averages.items()}
        for name, parameter in self.network.named_parameters():
            tensors[f"network/{name}"] = parameter.detach()
            for key, value in self._optimiser.state[parameter].items():
                tensors[f"{key}/{name}"] = value
        return tensors

    def _run_epoch(self) -> float:
        losses = [self._run_step(batch, k) for k, batch in enumerate(self._batches())]
        self.epoch += 1
        loss = float(np.mean(losses))
        rate = float(self._optimiser.param_groups[0]["lr"])
        self.curve.append([self.epoch, rate, loss])
        return loss

    def _batches(self) -> Iterator[list[Sample]]:
        order = np.random.default_rng([self.settings.seed, self.epoch]).permutation(
            len(self._samples)
        )
        for start in range(0, len(order), self.settings.batch_size):
            chosen = order[start : start + self.settings.batch_size]
            yield [self._samples[k] for k in chosen]

    def _run_step(self, samples: list[Sample], number: int) -> float:
        step = self.epoch * self.steps_per_epoch + number
        n_steps = self.settings.epochs * self.steps_per_epoch
        for group in self._optimiser.param_groups:
            group["lr"] = learning_rate(self.settings, step, n_steps)
        batch = join_samples(samples)
        predicted = self.network.normalised(
            batch.species, batch.receivers, batch.senders, batch.vectors
        )
        labelled = predicted.index_select(0, batch.labelled)
        loss = irrep_loss(labelled, batch.wanted, self._weights)
        self._optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(
            self.network.parameters(), self.settings.gradient_clip
        )
        self._optimiser.step()
        self._update_averages(step)
        return float(loss.detach())

    def _update_averages(self, step: int) -> None:
        # A shorter memory at first, so that the random start is soon forgotten.
        decay = min(self.settings.averaging, (1 + step) / (10 + step))
        with torch.no_grad():
            for name, parameter in self.network.named_parameters():
                self.averages[name].lerp_(parameter, 1 - decay)


def write_learning_curve(path: Path, curve: list[list[float]]) -> None:
    """Write a CSV file: names, units, one row for each epoch."""
    lines = ["epoch,learning_rate,loss", "1,1,1"]
    lines += [f"{epoch:.0f},{rate:.6e},{loss:.6e}" for epoch, rate, loss in curve]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
