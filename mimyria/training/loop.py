"""The training loop: labelled frames in, weights and test errors out.

Everything random comes from the seed and the number of the epoch, and a checkpoint
holds all that changes, so an interrupted and resumed training gives the weights of an
uninterrupted one, bit for bit (on the same CPU with the same number of threads).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from ase.data import atomic_masses
from torch import Tensor

from mimyria.data.dataset import TensorDataset
from mimyria.data.graph import Graph, batch_graph, species_indices
from mimyria.data.scaling import Scaling
from mimyria.models.modelfile import Weights, load_weights, weights_digest
from mimyria.models.network import TensorNetwork, build_network, irrep_blocks
from mimyria.models.settings import NetworkSettings
from mimyria.models.sumrule import species_shares
from mimyria.training.best import Best
from mimyria.training.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from mimyria.training.curve import CurveRow, write_learning_curve
from mimyria.training.loss import (
    irrep_loss,
    irrep_weights,
    loss_weights,
    spectral_weights,
)
from mimyria.training.output import LabelledOutput
from mimyria.training.parallel import Workers
from mimyria.training.samples import (
    Sample,
    dataset_scaling,
    join_samples,
    make_samples,
    mean_neighbours,
)
from mimyria.training.settings import TrainingSettings, learning_rate

__all__ = ["CHECKPOINT", "LEARNING_CURVE", "Training"]

CHECKPOINT: Final = "checkpoint.safetensors"
LEARNING_CURVE: Final = "learning-curve.csv"

Progress = Callable[[int, float], None]


class Training:
    """One training of one network.

    Attributes:
        network: the network being trained, in training mode.
        averages: running average of each parameter.
        best: the averages that were best on the validation frames.
        scaling: of the targets, from the training part alone.
        species: sorted atomic numbers of the data.
        n_neighbours: mean number of neighbours of labelled atoms in the training part.
        validation_frames: numbers of the validation frames in their file.
        epoch: epochs that are done.
        curve: one row for each epoch.
    """

    def __init__(
        self,
        train: TensorDataset,
        species: tuple[int, ...],
        network_settings: NetworkSettings,
        settings: TrainingSettings,
        validation: TensorDataset | None = None,
        device: torch.device | str = "cpu",
        workers: Workers | None = None,
        start: Weights | None = None,
    ) -> None:
        """Prepare graphs, scaling, network and optimiser.

        Args:
            train: the frames to train on.
            species: sorted atomic numbers, of all frames.
            network_settings: the architecture.
            settings: the optimiser and its schedule.
            validation: frames that find the best epoch; none: the last is taken.
            device: where to compute.
            workers: all processes that train together; this one alone if left out.
            start: weights of an earlier training to begin with; random if left out.

        Raises:
            ModelError: the weights to begin with are those of another architecture.
        """
        self.settings = settings
        self.species = species
        self.epoch = 0
        self.curve: list[CurveRow] = []
        self._device = torch.device(device)
        self._workers = workers or Workers()
        self._cutoff = network_settings.cutoff
        graphs = self._graphs(train)
        self.n_neighbours = mean_neighbours(train, graphs)
        self.scaling: Scaling = dataset_scaling(train, species)
        self.network: TensorNetwork = (
            build_network(
                train.targets,
                network_settings,
                len(species),
                self.n_neighbours,
                self.scaling,
                seed=settings.seed,
                dtype=getattr(torch, settings.dtype),
            )
            .to(self._device)
            .train()
        )
        if start is not None:
            load_weights(self.network, start)
        output = LabelledOutput(self.network, self._shares(network_settings, train))
        self._call = self._workers.wrapped(output.to(self._device))
        self.averages: dict[str, Tensor] = {
            name: value.detach().clone()
            for name, value in self.network.named_parameters()
        }
        self._optimiser = torch.optim.AdamW(
            self.network.parameters(), weight_decay=settings.weight_decay
        )
        self._weights = self._loss_weights(train)
        self._samples = self._make_samples(train, graphs)
        held_out = (
            []
            if validation is None
            else self._make_samples(validation, self._graphs(validation))
        )
        self.best = Best(output, held_out, self._weights)
        self._validates = bool(held_out)
        self.validation_frames = () if validation is None else validation.indices
        self._identity: dict[str, Any] = {
            "data": train.sha256,
            "frames": list(train.indices),
            "validation": list(self.validation_frames),
            "targets": [target.name for target in train.targets],
            "network": network_settings.as_dict(),
            "training": settings.as_dict(),
            **({} if start is None else {"start": weights_digest(start)}),
        }

    @property
    def weights(self) -> dict[str, Tensor]:
        """Result of the training: the best averages, or the last ones."""
        found = self.best.weights or self.averages
        return {name: value.cpu() for name, value in found.items()}

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps in one epoch."""
        return math.ceil(len(self._samples) / self.settings.batch_size)

    @property
    def is_over(self) -> bool:
        """Whether the last epoch is done, or none was better for too long."""
        settings = self.settings
        patience = settings.patience or settings.epochs
        waited = self.epoch - self.best.epoch
        return self.epoch >= settings.epochs or (
            self._validates and self.best.epoch > 0 and waited >= patience
        )

    def run(
        self, work_dir: Path, progress: Progress | None = None, until: int | None = None
    ) -> None:
        """Train from the present epoch to the last, with checkpoints on the way.

        Args:
            work_dir: existing folder for checkpoint and learning curve.
            progress: called after each epoch with its number and mean loss.
            until: stop after this epoch, with a checkpoint; the last one if left out.
        """
        while not (self.is_over or self.epoch == until):
            loss = self._run_epoch()
            at_end = self.is_over or self.epoch == until
            if at_end or self.epoch % self.settings.checkpoint_every == 0:
                self.save(work_dir)
            if progress is not None:
                progress(self.epoch, loss)

    def save(self, work_dir: Path) -> None:
        """Write checkpoint and learning curve; of several processes, the first does."""
        if not self._workers.is_first:
            return
        checkpoint = Checkpoint(
            self.epoch,
            self._state_tensors(),
            self.curve,
            self._identity,
            (self.best.epoch, self.best.loss),
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
                    "step": state[f"step/{name}"].clone(),
                    **{
                        key: state[f"{key}/{name}"].to(self._device, copy=True)
                        for key in ("exp_avg", "exp_avg_sq")
                    },
                }
        self.epoch = checkpoint.epoch
        self.curve = checkpoint.curve
        if checkpoint.best[0]:
            weights = {name: state[f"best/{name}"] for name in self.averages}
            self.best.restore(
                *checkpoint.best,
                {name: value.to(self._device) for name, value in weights.items()},
            )

    def _state_tensors(self) -> dict[str, Tensor]:
        tensors = {f"average/{name}": value for name, value in self.averages.items()}
        tensors |= {f"best/{name}": value for name, value in self.best.weights.items()}
        for name, parameter in self.network.named_parameters():
            tensors[f"network/{name}"] = parameter.detach()
            for key, value in self._optimiser.state[parameter].items():
                tensors[f"{key}/{name}"] = value
        return tensors

    def _graphs(self, dataset: TensorDataset) -> list[Graph]:
        return [
            batch_graph([frame], self.species, self._cutoff) for frame in dataset.frames
        ]

    def _make_samples(
        self, dataset: TensorDataset, graphs: Sequence[Graph]
    ) -> list[Sample]:
        dtype = getattr(torch, self.settings.dtype)
        made = make_samples(dataset, graphs, self.scaling, dtype)
        return [sample.to(self._device) for sample in made]

    def _loss_weights(self, train: TensorDataset) -> Tensor:
        blocks = irrep_blocks(train.targets)
        kinds = species_indices(train.labelled_numbers, self.species)
        masses = atomic_masses[list(self.species)]
        spectral = spectral_weights(blocks, self.scaling, kinds, masses)
        part = self.settings.spectral_loss
        return loss_weights(irrep_weights(blocks), spectral, part).to(self._device)

    def _shares(
        self, network_settings: NetworkSettings, train: TensorDataset
    ) -> Tensor | None:
        """Shares of the elements in irreps, where sum rules are built in."""
        if network_settings.sum_rule != "built in":
            return None
        widths = [target.n_independent for target in train.targets]
        shares = torch.from_numpy(species_shares(self.scaling, train.targets, widths))
        return shares.to(getattr(torch, self.settings.dtype))

    def _run_epoch(self) -> float:
        losses = [self._run_step(batch, k) for k, batch in enumerate(self._batches())]
        self.epoch += 1
        loss = float(np.mean(losses))
        rate = float(self._optimiser.param_groups[0]["lr"])
        self.curve.append(CurveRow(self.epoch, rate, loss, self._validate()))
        return loss

    def _validate(self) -> float | None:
        """Validation loss where it is due, None where not."""
        due = self.epoch % self.settings.validate_every == 0
        if not self._validates or not (due or self.epoch == self.settings.epochs):
            return None
        loss = self._workers.agreed(self.best.validated(self.averages))
        self.best.keep(self.epoch, loss, self.averages)
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
        n_labelled = sum(len(sample.labelled) for sample in samples)
        batch, counts = self._own_part(samples)
        sum_of_squares = irrep_loss(
            self._call(batch), batch.wanted, batch.weighted(self._weights)
        )
        # Gradients are averaged over the processes; the loss is one over all atoms.
        loss = sum_of_squares * counts / n_labelled
        self._optimiser.zero_grad()
        (loss * self._workers.count).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(
            self.network.parameters(), self.settings.gradient_clip
        )
        self._optimiser.step()
        self._update_averages(step)
        return self._workers.total(loss.detach())

    def _own_part(self, samples: list[Sample]) -> tuple[Sample, float]:
        """What this process does of a batch, and 0 where it only keeps step."""
        own = samples[self._workers.rank :: self._workers.count]
        return join_samples(own or samples[:1]), float(bool(own))

    def _update_averages(self, step: int) -> None:
        # A shorter memory at first, so that the random start is soon forgotten.
        decay = min(self.settings.averaging, (1 + step) / (10 + step))
        with torch.no_grad():
            for name, parameter in self.network.named_parameters():
                self.averages[name].lerp_(parameter, 1 - decay)
