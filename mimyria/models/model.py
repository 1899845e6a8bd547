"""TensorModel: a loaded model that turns frames into response tensors.

It joins the graph of frames with a network, eager or TorchScript, and checks both
against the example that came with the model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Final

import numpy as np
import torch
from ase.data import atomic_masses
from torch import Tensor

from mimyria.data.graph import Graph, batch_graph
from mimyria.data.neighbours import NeighbourLists
from mimyria.data.subdomain import Subdomain, subdomain_graph
from mimyria.errors import DeviceError, ModelError
from mimyria.frame import Array, Frame
from mimyria.models.archive import open_archive, read_members
from mimyria.models.deployed import load_deployed
from mimyria.models.fused import backend_name
from mimyria.models.fused.owned import answer_owned
from mimyria.models.keys import SUFFIX, WEIGHTS
from mimyria.models.metadata import DTYPES, ModelMetadata
from mimyria.models.modelfile import Example, fused_from_file, read_model
from mimyria.models.sumrule import species_shares, wanted_sums, without_residual
from mimyria.targets import Target, columns_of
from mimyria.tensors import Tensors
from mimyria.uncertainty import Calibration, Uncertainty, judge

__all__ = [
    "TensorModel",
    "load_model",
    "resolve_device",
    "resolve_model",
    "shipped_models",
]

# Largest deviation from the stored answer, relative to its largest component. Single
# precision on another processor or with another summation order gives about 1e-6.
_SELF_TEST_TOLERANCE: Final = 1e-4
_EXAMPLE_REPLICA: Final = -1

Network = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


class TensorModel:
    """A model ready to predict.

    Attributes:
        metadata: what the model is.
        device: where it computes.
        charge: total charge of frames, e, where none is given.
        example: a frame with its answer, where the model came with one.
    """

    def __init__(
        self, network: Network, metadata: ModelMetadata, device: torch.device
    ) -> None:
        """Join a network with its metadata; use `load_model` for files."""
        self.metadata = metadata
        self.device = device
        self.charge = 0.0
        self.example: Example | None = None
        self._network = network
        self._dtype = getattr(torch, metadata.dtype)
        self._calibrations = {
            name: Calibration.from_dict(values)
            for name, values in metadata.uncertainty.items()
        }
        self._neighbours = NeighbourLists(metadata.cutoff)
        widths = [target.n_components for target in metadata.targets]
        self._shares = species_shares(metadata.scaling, metadata.targets, widths)

    @property
    def targets(self) -> tuple[Target, ...]:
        """What the model predicts."""
        return self.metadata.targets

    def predict(
        self, frames: Sequence[Frame], charges: Sequence[float] | None = None
    ) -> list[Tensors]:
        """Response tensors of all atoms of each frame; of a committee, the mean.

        The frames are evaluated together as one graph. Neighbours are found faster
        where frames of one replica follow each other; the numbers are the same.

        Args:
            frames: frames, of any sizes and cells.
            charges: total charge of each frame, e, for the sum rule of a model that
                keeps it; `charge` if left out.

        Returns:
            Tensors of each frame in the orders and units of the targets, float64;
            those that the model does not predict are None.

        Raises:
            ModelError: a frame holds an element that the model was not trained for.
            FrameError: positions or cell are not finite.
        """
        return [
            Tensors.from_columns(members.mean(axis=0), self.targets)
            for members in self.predict_members(frames, charges)
        ]

    def predict_uncertain(
        self, frames: Sequence[Frame], charges: Sequence[float] | None = None
    ) -> list[tuple[Tensors, Mapping[str, Uncertainty]]]:
        """As `predict`, with what a committee knows of its error in each target.

        Nothing is known by a single network.
        """
        answers = self.predict_members(frames, charges)
        return [
            (
                Tensors.from_columns(members.mean(axis=0), self.targets),
                self._judged(frame, members),
            )
            for frame, members in zip(frames, answers, strict=True)
        ]

    def _judged(self, frame: Frame, members: Array) -> dict[str, Uncertainty]:
        masses = atomic_masses[frame.numbers]
        columns = columns_of(self.targets)
        return {
            name: judge(
                members[:, :, columns[name]],
                frame.numbers,
                masses,
                calibration,
            )
            for name, calibration in self._calibrations.items()
        }

    def predict_members(
        self, frames: Sequence[Frame], charges: Sequence[float] | None = None
    ) -> list[Array]:
        """What each network of a committee says of each frame.

        Args:
            frames: as in `predict`.
            charges: as in `predict`.

        Returns:
            (n_members, n_atoms, n_components) for each frame: the components of all
            targets side by side, float64. A single network is the only member.

        Raises:
            ModelError: as in `predict`.
            FrameError: as in `predict`.
        """
        if not frames:
            return []
        for frame in frames:
            frame.require_finite()
        graph = batch_graph(
            frames,
            self.metadata.species,
            self.metadata.cutoff,
            self._neighbours.edges,
        )
        with torch.inference_mode():
            tensors = self._network(*self._on_device(graph))
            parts = self._members(tensors, len(graph.species))
            if self.metadata.settings.sum_rule != "report":
                charges = charges or [self.charge] * len(frames)
                parts = [self._with_sums(part, graph, charges) for part in parts]
        members = np.stack([part.numpy() for part in parts])
        return np.split(members, np.cumsum(graph.sizes)[:-1], axis=1)

    def predict_owned(self, subdomain: Subdomain) -> Array:
        """What each network says of the atoms that a process owns.

        The sum rule speaks of all atoms of the system and is not kept here; `shares`
        is what keeps it.

        Args:
            subdomain: whose ghosts reach `metadata.reach` beyond the owned atoms.

        Returns:
            (n_members, n_owned, n_components), as in `predict_members`.

        Raises:
            ModelError: as in `predict`.
            FrameError: positions are not finite.
        """
        metadata = self.metadata
        found = subdomain_graph(
            subdomain, metadata.species, metadata.cutoff, metadata.settings.n_layers
        )
        if subdomain.n_owned == 0:
            n_components = sum(target.n_components for target in self.targets)
            return np.zeros((metadata.members, 0, n_components))
        with torch.inference_mode():
            tensors = answer_owned(
                self._network, *self._on_device(found.graph), reached=found.reached
            )
            parts = self._members(tensors, subdomain.n_owned)
        return np.stack([part.numpy() for part in parts])

    @property
    def shares(self) -> Array | None:
        """How much of what the sum rule leaves over an atom of each species takes.

        (n_species, n_components) — only ratios matter; None where no rule is kept.
        """
        return None if self.metadata.settings.sum_rule == "report" else self._shares

    def _on_device(self, graph: Graph) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What a network takes."""
        return (
            torch.from_numpy(graph.species).to(self.device),
            torch.from_numpy(graph.receivers).to(self.device),
            torch.from_numpy(graph.senders).to(self.device),
            torch.from_numpy(graph.vectors).to(self.device, self._dtype),
        )

    def _members(self, tensors: Tensor, n_atoms: int) -> list[Tensor]:
        """What each member said, float64; refuse what is no answer.

        A program may be anything.
        """
        columns = sum(target.n_components for target in self.targets)
        wanted = (n_atoms, columns * self.metadata.members)
        shape = tuple(tensors.shape)
        found = (*shape[:1], int(np.prod(shape[1:])))
        if found != wanted or tensors.dtype != self._dtype:
            raise ModelError(
                f"The network of '{self.metadata.name}' must give {self._dtype} of the "
                f"shape {wanted}, but gave {tensors.dtype} of the shape {found}."
            )
        values = tensors.flatten(1).double().cpu()
        return list(values.chunk(self.metadata.members, dim=1))

    def _with_sums(
        self, values: Tensor, graph: Graph, charges: Sequence[float]
    ) -> Tensor:
        """The predictions, changed by what the sum rules leave over."""
        return without_residual(
            values,
            torch.from_numpy(self._shares[graph.species]),
            torch.from_numpy(np.repeat(np.arange(len(graph.sizes)), graph.sizes)),
            torch.from_numpy(wanted_sums(charges, self.targets)),
        )

    def examine(self) -> Array | None:
        """Answer the example that came with the model, as `self_test` does.

        Returns:
            (n_atoms, n_components) — the answer; None where there is no example.

        Raises:
            ModelError: it differs from the stored one.
        """
        return None if self.example is None else self.self_test(self.example)

    def self_test(self, example: Example) -> Array:
        """Predict an example.

        Returns:
            (n_atoms, n_components) — the answer.

        Raises:
            ModelError: the answer differs from the stored one.
        """
        # Another replica: the neighbour lists of a run's frames stay as they are.
        frame = replace(example.frame, replica=_EXAMPLE_REPLICA)
        (answer,) = self.predict([frame], [example.charge])
        stored = Tensors.from_columns(example.columns, self.targets)
        for target in self.targets:
            found, wanted = getattr(answer, target.name), getattr(stored, target.name)
            size = np.abs(wanted).max()
            deviation = np.abs(found - wanted).max()
            if not deviation <= _SELF_TEST_TOLERANCE * size:
                raise ModelError(
                    f"The model '{self.metadata.name}' fails its self-test: its "
                    f"{target.name} of the stored example is off by {deviation:.1e} "
                    f"{target.unit} (at most {_SELF_TEST_TOLERANCE * size:.1e} is "
                    f"accepted). It was made with {self.metadata.versions}; this is "
                    f"torch {torch.__version__}."
                )
        return answer.columns(self.targets)


def shipped_models() -> dict[str, Path]:
    """Name and file of each model that comes with mimyria."""
    folder = resources.files("mimyria.models") / "shipped"
    return {
        Path(str(entry)).stem: Path(str(entry))
        for entry in folder.iterdir()
        if entry.name.endswith(SUFFIX)
    }


def resolve_model(path_or_name: str | Path) -> Path:
    """Path of a model given by path, or by the name of a shipped one.

    A file of that name in the working directory comes first.
    """
    path = Path(path_or_name)
    if path.exists():
        return path
    return shipped_models().get(str(path_or_name), path)


def load_model(
    path_or_name: str | Path, device: str = "cpu", dtype: str | None = None
) -> TensorModel:
    """Load a model file or a deployed file, check it, and run its self-test.

    Args:
        path_or_name: a file of either kind, or the name of a shipped model.
        device: "cpu", "cuda", "cuda:1", …, or "auto" for CUDA where there is one.
        dtype: "float32" or "float64"; that of the file if left out.

    Raises:
        ModelError: the file is missing, altered, or cannot be used.
        DeviceError: there is no such device.
        KernelError: MIMYRIA_KERNEL demands a kernel that does not work here.
    """
    path, place = resolve_model(path_or_name), resolve_device(device)
    if dtype is not None and dtype not in DTYPES:
        raise ModelError(f"Cannot compute in '{dtype}'; known are {list(DTYPES)}.")
    backend_name(place)  # what is wrong with the kernel is said here, in plain words
    if WEIGHTS in read_members(open_archive(path), path):
        file = read_model(path)
        metadata = file.metadata.with_changes(dtype=dtype or file.metadata.dtype)
        network: Network = fused_from_file(file, metadata.dtype).to(place)
        example = file.example
    else:
        network, metadata, example = load_deployed(path, place)
        if dtype not in (None, metadata.dtype):
            raise ModelError(
                f"{path} was deployed for {metadata.dtype}, not {dtype}. Export it "
                f"again with `mimyria export --dtype {dtype}`."
            )
    model = TensorModel(network, metadata, place)
    model.example = example
    try:
        model.examine()
    except (RuntimeError, AttributeError, TypeError) as error:
        # What CUDA cannot do says nothing of the file.
        if isinstance(error, torch.OutOfMemoryError) or "CUDA" in str(error):
            raise
        raise ModelError(
            f"{path} cannot answer its own example: {_last_line(error)}."
        ) from error
    return model


def _last_line(error: BaseException) -> str:
    """What a program says at last, after where it was."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else type(error).__name__


def resolve_device(name: str) -> torch.device:
    """The device of a name; "auto" is CUDA where there is one.

    Raises:
        DeviceError: there is no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(
            f"'{name}' is no compute device; use auto, cpu or cuda."
        ) from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise DeviceError(
            "The device 'cuda' was asked for, but torch finds no CUDA device. Use "
            "device = 'cpu' or 'auto', or install torch with CUDA."
        )
    return device
