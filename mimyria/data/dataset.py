"""TensorDataset: frames with one response tensor of every atom, and how to split them.

It knows files and frames; it knows no irreps and no network.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mimyria.errors import FormatError, SettingsError, ShapeError
from mimyria.frame import Array, Frame
from mimyria.io.extxyz import read_extxyz
from mimyria.targets import Target

__all__ = ["TensorDataset", "read_dataset"]


@dataclass(frozen=True, slots=True, eq=False)
class TensorDataset:
    """Frames and the labels of one target.

    Attributes:
        target: what the labels are.
        frames: the frames.
        labels: (n_atoms, 3, 3) or (n_atoms, 3, 3, 3) for each frame, in the order and
            unit of the target.
        indices: number of each frame in its file.
        name: name of the file, for people.
        sha256: digest of the file that the frames come from.
    """

    target: Target
    frames: tuple[Frame, ...]
    labels: tuple[Array, ...]
    indices: tuple[int, ...]
    name: str
    sha256: str

    def __post_init__(self) -> None:
        """Check shapes once."""
        if not len(self.frames) == len(self.labels) == len(self.indices):
            raise ShapeError(
                f"frames, labels and indices must be equally many, but are "
                f"{len(self.frames)}, {len(self.labels)} and {len(self.indices)}."
            )
        for frame, label in zip(self.frames, self.labels, strict=True):
            expected = (frame.n_atoms, *self.target.shape)
            if label.shape != expected:
                raise ShapeError(
                    f"{self.target.name} labels must have the shape {expected}, but "
                    f"have {label.shape}."
                )

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.frames)

    @property
    def species(self) -> tuple[int, ...]:
        """Sorted atomic numbers that occur."""
        return tuple(sorted({int(z) for frame in self.frames for z in frame.numbers}))

    def subset(self, positions: Sequence[int]) -> TensorDataset:
        """The frames at these positions, in this order."""
        return TensorDataset(
            self.target,
            tuple(self.frames[k] for k in positions),
            tuple(self.labels[k] for k in positions),
            tuple(self.indices[k] for k in positions),
            self.name,
            self.sha256,
        )

    def split(self, n_test: int, seed: int) -> tuple[TensorDataset, TensorDataset]:
        """Training part and a held-out test part of `n_test` frames drawn at random.

        Raises:
            SettingsError: no frame would be left to train on.
        """
        if not 0 <= n_test < len(self):
            raise SettingsError(
                f"{self.name} has {len(self)} frames; hold out between 0 and "
                f"{len(self) - 1} of them for testing, not {n_test}."
            )
        order = np.random.default_rng(seed).permutation(len(self))
        test, train = sorted(order[:n_test].tolist()), sorted(order[n_test:].tolist())
        return self.subset(train), self.subset(test)


def read_dataset(path: str | Path, target: Target) -> TensorDataset:
    """Read all frames of an extxyz file that must all have labels of the target.

    Raises:
        FormatError: the file holds no frame, or one without labels.
    """
    path = Path(path)
    frames, labels = [], []
    for number, labelled in enumerate(read_extxyz(path)):
        label = getattr(labelled.tensors, target.name)
        if label is None:
            raise FormatError(
                f"{path}: frame {number} has no column REF_{target.name} "
                f"({target.title}). Remove the frame or add its labels."
            )
        frames.append(labelled.frame)
        labels.append(label)
    if not frames:
        raise FormatError(f"{path} holds no frame.")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    indices = tuple(range(len(frames)))
    return TensorDataset(
        target, tuple(frames), tuple(labels), indices, path.name, digest
    )
