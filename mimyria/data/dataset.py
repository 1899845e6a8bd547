"""TensorDataset: frames with response tensors of their atoms, and how to split them.

Where masks say that only some atoms have labels, nothing is learned from the others and
no error counts them; they are there as neighbours. This module knows files and frames;
it knows no irreps and no network.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from mimyria.errors import FormatError, SettingsError, ShapeError
from mimyria.frame import Array, Frame
from mimyria.io.extxyz import read_extxyz
from mimyria.io.labelled import Mask, require_finite_labels, require_mask
from mimyria.targets import Target, columns_of

__all__ = ["TensorDataset", "read_dataset"]


@dataclass(frozen=True, slots=True, eq=False)
class TensorDataset:
    """Frames and the labels of one target, or of several.

    Attributes:
        targets: what the labels are.
        frames: the frames.
        labels: (n_atoms, n_components) for each frame — components of all targets side
            by side, each tensor row-major, in the orders and units of the targets; rows
            of atoms without labels have no meaning.
        indices: number of each frame in its file.
        name: name of the file, for people.
        sha256: digest of the file that the frames come from.
        masks: (n_atoms,) for each frame — which atoms have labels (of all targets), at
            least one of each frame; all of them if left out.
        charges: total charge of each frame, e; zero if left out.
    """

    targets: tuple[Target, ...]
    frames: tuple[Frame, ...]
    labels: tuple[Array, ...]
    indices: tuple[int, ...]
    name: str
    sha256: str
    masks: tuple[Mask, ...] | None = None
    charges: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        """Check shapes once."""
        if not len(self.frames) == len(self.labels) == len(self.indices):
            raise ShapeError(
                f"frames, labels and indices must be equally many, but are "
                f"{len(self.frames)}, {len(self.labels)} and {len(self.indices)}."
            )
        for frame, label in zip(self.frames, self.labels, strict=True):
            n_components = sum(target.n_components for target in self.targets)
            if label.shape != (frame.n_atoms, n_components):
                raise ShapeError(
                    f"{self.title} labels must have the shape "
                    f"{(frame.n_atoms, n_components)}, but have {label.shape}."
                )
        if self.masks is not None and len(self.masks) != len(self.frames):
            raise ShapeError(
                f"there must be a mask for each of the {len(self.frames)} frames, but "
                f"there are {len(self.masks)}."
            )
        for k, frame in enumerate(self.frames):
            _check_labels(self, k, frame.n_atoms)

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.frames)

    @property
    def title(self) -> str:
        """Names of the targets, for people."""
        return " and ".join(target.name for target in self.targets)

    @property
    def total_charges(self) -> tuple[float, ...]:
        """Total charge of each frame, e."""
        return self.charges or (0.0,) * len(self)

    @property
    def columns(self) -> dict[str, slice]:
        """Where each target stands in the labels."""
        return columns_of(self.targets)

    @property
    def species(self) -> tuple[int, ...]:
        """Sorted atomic numbers that occur."""
        return tuple(sorted({int(z) for frame in self.frames for z in frame.numbers}))

    @property
    def labelled(self) -> tuple[NDArray[np.int64], ...]:
        """(n_labelled,) for each frame — numbers of the atoms that have labels."""
        if self.masks is None:
            return tuple(np.arange(frame.n_atoms) for frame in self.frames)
        return tuple(np.flatnonzero(mask) for mask in self.masks)

    @property
    def complete(self) -> tuple[bool, ...]:
        """For each frame, whether all of its atoms have labels."""
        return tuple(
            len(atoms) == frame.n_atoms
            for atoms, frame in zip(self.labelled, self.frames, strict=True)
        )

    @property
    def n_atoms(self) -> int:
        """Atoms of all frames, with and without labels."""
        return sum(frame.n_atoms for frame in self.frames)

    @property
    def n_labelled(self) -> int:
        """Atoms of all frames that have labels."""
        return sum(len(atoms) for atoms in self.labelled)

    @property
    def labelled_numbers(self) -> NDArray[np.int64]:
        """(n_labelled,) — atomic numbers of the labelled atoms of all frames."""
        return np.concatenate(
            [
                frame.numbers[atoms]
                for frame, atoms in zip(self.frames, self.labelled, strict=True)
            ]
        )

    def select(self, tensors: Sequence[Array]) -> Array:
        """The rows of labelled atoms, all frames together.

        Args:
            tensors: (n_atoms, n_components) for each frame.

        Returns:
            (n_labelled, n_components).
        """
        return np.concatenate(
            [
                tensor[atoms]
                for tensor, atoms in zip(tensors, self.labelled, strict=True)
            ]
        )

    def subset(self, positions: Sequence[int]) -> TensorDataset:
        """The frames at these positions, in this order."""
        return TensorDataset(
            self.targets,
            tuple(self.frames[k] for k in positions),
            tuple(self.labels[k] for k in positions),
            tuple(self.indices[k] for k in positions),
            self.name,
            self.sha256,
            None if self.masks is None else tuple(self.masks[k] for k in positions),
            tuple(self.total_charges[k] for k in positions),
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

    def drawn(self, n_frames: int, seed: int) -> TensorDataset:
        """`n_frames` frames drawn at random; more frames contain those of fewer.

        Raises:
            SettingsError: there are not so many.
        """
        if not 0 < n_frames <= len(self):
            raise SettingsError(
                f"{self.name} has {len(self)} frames that are not held out; draw "
                f"between 1 and {len(self)} of them, not {n_frames}."
            )
        order = np.random.default_rng(seed).permutation(len(self))
        return self.subset(sorted(order[:n_frames].tolist()))


def read_dataset(path: str | Path, targets: Sequence[Target]) -> TensorDataset:
    """Read all frames of an extxyz file that must all have labels of the targets.

    Of several targets, an atom counts as labelled where it has labels of all.

    Raises:
        FormatError: the file holds no frame, or one without labels, or elements of
            which no atom has a label.
    """
    path = Path(path)
    frames, labels, masks, charges = [], [], [], []
    for number, labelled in enumerate(read_extxyz(path)):
        mask = np.ones(labelled.frame.n_atoms, np.bool_)
        for target in targets:
            label = getattr(labelled.tensors, target.name)
            mask = mask & labelled.labelled(target.name)
            if label is None or not mask.any():
                raise FormatError(
                    f"{path}: frame {number} has no {_missing(target, label)} "
                    f"({target.title}). Remove the frame or add its labels."
                )
        frames.append(labelled.frame)
        labels.append(labelled.tensors.columns(targets))
        masks.append(mask)
        charges.append(float(labelled.info.get("charge", 0.0)))
    if not frames:
        raise FormatError(f"{path} holds no frame.")
    dataset = TensorDataset(
        tuple(targets),
        tuple(frames),
        tuple(labels),
        tuple(range(len(frames))),
        path.name,
        hashlib.sha256(path.read_bytes()).hexdigest(),
        None if all(mask.all() for mask in masks) else tuple(masks),
        tuple(charges),
    )
    _require_labels_of_all_elements(path, dataset)
    return dataset


def _missing(target: Target, label: Array | None) -> str:
    if label is None:
        return f"column REF_{target.name}"
    return f"atom with a label in REF_{target.name}_mask"


def _require_labels_of_all_elements(path: Path, dataset: TensorDataset) -> None:
    bare = sorted(set(dataset.species) - set(dataset.labelled_numbers.tolist()))
    if bare:
        symbols = ", ".join(chemical_symbols[number] for number in bare)
        raise FormatError(
            f"{path}: no atom of {symbols} has a label of {dataset.title}, so "
            "that nothing could be learned for it. Add a frame in which one has."
        )


def _check_labels(dataset: TensorDataset, k: int, n_atoms: int) -> None:
    """Masks of the right form, and a number wherever they promise a label."""
    name = dataset.title
    mask = np.ones(n_atoms, np.bool_) if dataset.masks is None else dataset.masks[k]
    require_mask(name, mask, n_atoms)
    if not mask.any():
        raise ShapeError(
            f"frame {dataset.indices[k]} has no atom with a label of {name}. Leave the "
            "frame out."
        )
    require_finite_labels(name, dataset.labels[k], mask)
