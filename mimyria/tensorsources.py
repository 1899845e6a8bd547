"""Predictor: whatever gives tensors of frames. TensorSource: how others become one.

A network of ours is a predictor. Any other program behind a few lines of Python is a
source: it gives arrays of one tensor and names their index order and unit. It is made a
predictor here, and nowhere else; a source that does not name them is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from mimyria.errors import EvaluatorError, ModelError, ShapeError, UnitError
from mimyria.frame import Array, Frame
from mimyria.io.layouts import atom_rows, layout_of
from mimyria.pairsymmetry import symmetric_pair
from mimyria.targets import PGT, TARGETS, Target
from mimyria.tensors import Tensors
from mimyria.uncertainty import Uncertainty

__all__ = [
    "ConvertedSource",
    "ExamplePredictor",
    "Predictor",
    "PredictorDescription",
    "SourceDescription",
    "SourceMetadata",
    "TensorSource",
    "UncertainPredictor",
    "require_digest",
    "source_document",
]

_SHA256: Final = re.compile("[0-9a-f]{64}")


class PredictorDescription(Protocol):
    """What a predictor says of itself; the metadata of our models say it."""

    @property
    def name(self) -> str:
        """Short name for people and journals."""
        ...

    @property
    def targets(self) -> tuple[Target, ...]:
        """What it gives."""
        ...

    @property
    def species(self) -> tuple[int, ...] | None:
        """Atomic numbers that it knows; None: it says itself what it does not know."""
        ...

    @property
    def sha256(self) -> str:
        """Digest of all that its numbers depend on, 64 hexadecimal digits."""
        ...


class Predictor(Protocol):
    """Anything that gives response tensors of all atoms of frames, as we store them."""

    @property
    def metadata(self) -> PredictorDescription:
        """What it gives."""
        ...

    def predict(self, frames: Sequence[Frame]) -> list[Tensors]:
        """Tensors of all atoms of each frame; None where it has no such target."""
        ...


@runtime_checkable
class UncertainPredictor(Predictor, Protocol):
    """A predictor that may know how sure it is of each frame."""

    def predict_uncertain(
        self, frames: Sequence[Frame]
    ) -> list[tuple[Tensors, Mapping[str, Uncertainty]]]:
        """As `predict`, with the uncertainty of each target by name, where known."""
        ...


@runtime_checkable
class ExamplePredictor(Predictor, Protocol):
    """A predictor that may have an example with a known answer."""

    def examine(self) -> Array | None:
        """What it answers now to its example: the columns of all targets.

        None: it has no example.

        Raises:
            ModelError: not what is stored with it.
        """
        ...


class SourceDescription(Protocol):
    """What a source says of itself."""

    @property
    def name(self) -> str:
        """Short name for people and journals."""
        ...

    @property
    def target(self) -> Target:
        """What it gives: `APT` or `PGT` of `mimyria.targets`."""
        ...

    @property
    def order(self) -> str:
        """Index order of its arrays, `dM_a/dr_b` for instance."""
        ...

    @property
    def unit(self) -> str:
        """Unit of its arrays, `e` for instance."""
        ...

    @property
    def species(self) -> tuple[int, ...] | None:
        """Atomic numbers that it knows; None: it says itself what it does not know."""
        ...

    @property
    def sha256(self) -> str:
        """Digest of all that its numbers depend on, 64 hexadecimal digits."""
        ...


class TensorSource(Protocol):
    """Anything that gives one response tensor of all atoms of frames."""

    @property
    def metadata(self) -> SourceDescription:
        """What it gives."""
        ...

    def predict(self, frames: Sequence[Frame]) -> Sequence[NDArray[Any]]:
        """Tensors of all atoms of each frame.

        Args:
            frames: positions and cell in Å; rows of the cell are lattice vectors.

        Returns:
            For each frame (n_atoms, 3, 3) or (n_atoms, 3, 3, 3), or the same numbers in
            one row for each atom, in the order and unit of the metadata.
        """
        ...


@dataclass(frozen=True, slots=True)
class SourceMetadata:
    """A `SourceDescription` to fill in; order and unit have no default on purpose.

    Attributes:
        name: see `SourceDescription`, as for all others.
        target: …
        order: …
        unit: …
        species: …
        sha256: digest of weights, settings and program. Empty: whoever loads the source
            takes the digest of the file it comes from.
    """

    name: str
    target: Target
    order: str
    unit: str
    species: tuple[int, ...] | None = None
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class _Converted:
    """A `PredictorDescription`."""

    name: str
    targets: tuple[Target, ...]
    species: tuple[int, ...] | None
    sha256: str


class ConvertedSource:
    """A `Predictor` made of a foreign source: checked, in our index order and unit.

    Attributes:
        metadata: what it gives after the conversion.
    """

    def __init__(
        self, source: TensorSource, label: str, sha256: str | None = None
    ) -> None:
        """Check what the source says of itself.

        Args:
            source: the source.
            label: what messages call it.
            sha256: taken if the source does not declare one.

        Raises:
            ModelError: it is no source.
            UnitError: its order or unit is missing or unknown.
        """
        declared = _require_description(source, label)
        try:
            layout_of(declared.target).require(
                declared.order, declared.unit, "Say it in the metadata of the source."
            )
        except UnitError as error:
            raise UnitError(f"{label}: {error}") from error
        self._source = source
        self._label = label
        self._declared = declared
        self.metadata: PredictorDescription = _Converted(
            declared.name,
            (declared.target,),
            None if declared.species is None else tuple(map(int, declared.species)),
            declared.sha256 or sha256 or "",
        )

    def predict(self, frames: Sequence[Frame]) -> list[Tensors]:
        """Tensors of all atoms of each frame.

        Raises:
            EvaluatorError: the source gave arrays for more or fewer frames.
            ShapeError: it gave arrays of another shape.
        """
        answers = list(self._source.predict(frames))
        if len(answers) != len(frames):
            raise EvaluatorError(
                f"{self._label} must give one array for each of {len(frames)} frames, "
                f"but gave {len(answers)}."
            )
        name = self._declared.target.name
        return [
            Tensors(**{name: self._converted(frame, np.asarray(answer))})
            for frame, answer in zip(frames, answers, strict=True)
        ]

    def _converted(self, frame: Frame, answer: NDArray[Any]) -> Array:
        declared = self._declared
        try:
            rows = atom_rows(answer, frame.n_atoms, declared.target)
        except ShapeError as error:
            raise ShapeError(f"{self._label}, step {frame.step}: {error}") from error
        tensor = layout_of(declared.target).decode(rows, declared.order, declared.unit)
        if declared.target is not PGT or not np.isfinite(tensor).all():
            return tensor  # who asked says what is not finite, and where
        try:
            return symmetric_pair(tensor)
        except UnitError as error:
            raise UnitError(f"{self._label}, step {frame.step}: {error}") from error


def source_document(metadata: PredictorDescription, target: Target) -> dict[str, Any]:
    """What journals, results and checks have to know of the source of one target."""
    species = metadata.species
    return {
        "name": metadata.name,
        "target": target.name,
        "order": target.order,
        "unit": target.unit,
        "species": None if species is None else list(species),
        "sha256": metadata.sha256,
    }


def require_digest(metadata: PredictorDescription, label: str) -> None:
    """Refuse a source that nothing identifies, where its results are stored.

    Raises:
        ModelError: its digest is missing or no SHA-256.
    """
    if not _SHA256.fullmatch(metadata.sha256):
        raise ModelError(
            f"{label} must be identified by a SHA-256 of 64 hexadecimal digits, so "
            "that a run is not continued with another source, but has "
            f"{metadata.sha256 or 'none'!r}. Give sha256 in its metadata."
        )


def _require_description(source: TensorSource, label: str) -> SourceDescription:
    """The metadata of what should be a source, with everything that they must hold."""
    metadata = getattr(source, "metadata", None)
    fields = ("name", "target", "order", "unit", "species", "sha256")
    absent = [name for name in fields if not hasattr(metadata, name)]
    if absent or not callable(getattr(source, "predict", None)):
        raise ModelError(
            f"{label} must give a source of tensors, with predict(frames) and metadata "
            f"(mimyria.tensorsources.SourceMetadata), but gave {type(source).__name__}."
        )
    assert metadata is not None
    if metadata.target not in TARGETS.values():
        raise ModelError(
            f"{label} must have one of {', '.join(TARGETS)} of mimyria.targets as its "
            f"target, but has {metadata.target!r}."
        )
    found: SourceDescription = metadata
    return found
