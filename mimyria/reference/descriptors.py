"""A frame as a vector, so that frames can be told apart: who has neighbours how far.

Radial histograms by pair of elements, with smooth bins, their mean and their scatter
over the atoms of an element. The scatter is there for the rare: one strange molecule in
a liquid hardly moves a mean. The vector does not change when the frame is rotated,
reflected or moved, when atoms of one element are exchanged, or when another cell of the
same lattice is chosen, and it changes steadily with the positions. Angles enter through
the pairs of outer atoms only; that is enough to tell configurations of one system
apart, and no more is asked of it. Richer descriptors (SOAP) bring a package with
compiled code along and are not needed to avoid choosing the same frame twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from mimyria.errors import FrameError, SettingsError
from mimyria.frame import Array, Frame
from mimyria.images import images_within, wrapped

__all__ = ["RadialDescriptor"]

Indices = NDArray[np.int64]

_ITSELF: Final = 1e-6  # Å; an image that near is the atom itself


@dataclass(frozen=True, slots=True)
class RadialDescriptor:
    """Smooth radial histograms by pair of elements.

    Bin k counts Σ_j cos²(π (r_ij − k Δ)/2Δ)/r_ij over |r_ij − k Δ| < Δ. The bins of a
    neighbour add up to 1/r_ij, so that the near ones, which matter more and are fewer,
    are not lost among the far ones.

    Attributes:
        species: atomic numbers, rising; all that occur in any frame.
        cutoff: Å.
        n_bins: n; the width is Δ = cutoff/(n + 1), and the last bin ends at the cutoff.
    """

    species: tuple[int, ...]
    cutoff: float = 6.0
    n_bins: int = 11

    def __post_init__(self) -> None:
        """Check values once."""
        if not self.species or sorted(set(self.species)) != list(self.species):
            raise SettingsError(
                f"species must be rising atomic numbers, not {self.species}."
            )
        if not (self.cutoff > 0 and self.n_bins >= 1):
            raise SettingsError(
                f"a descriptor needs a cutoff above 0 and a bin at least, not "
                f"{self.cutoff} Å and {self.n_bins}."
            )

    @property
    def size(self) -> int:
        """Length of a vector: a mean and a scatter for each pair and bin."""
        return 2 * self.n_bins * len(self.species) ** 2

    def of(self, frame: Frame) -> Array:
        """(size,) — the vector of one frame.

        Raises:
            FrameError: the frame holds an element that is not among `species`, or a
                cell without volume that repeats.
        """
        centres = self._histograms(frame)
        parts = []
        for first, second in product(self.species, self.species):
            members = centres[frame.numbers == first][:, self.species.index(second)]
            if not len(members):
                members = np.zeros((1, self.n_bins))
            parts += [members.mean(axis=0), members.std(axis=0)]
        return np.concatenate(parts)

    def scaled(self, vectors: Array) -> Array:
        """Give every pair of elements the same say in distances between frames.

        Each block is divided by its root mean square deviation over the frames, all
        bins together, so that bins keep their relative weight and empty ones stay so.

        Args:
            vectors: (n_frames, size) — of all frames that are to be compared.
        """
        blocks = vectors.reshape(len(vectors), -1, self.n_bins)
        spread = np.sqrt((blocks - blocks.mean(axis=0)).var(axis=0).mean(axis=-1))
        spread = np.where(spread > 0, spread, 1.0)
        scaled: Array = (blocks / spread[:, np.newaxis]).reshape(vectors.shape)
        return scaled

    def _histograms(self, frame: Frame) -> Array:
        """(n_atoms, n_species, n_bins) — of each atom."""
        unknown = sorted(set(frame.numbers.tolist()) - set(self.species))
        if unknown:
            raise FrameError(
                f"the frame holds the atomic numbers {unknown}, but the descriptor "
                f"knows only {list(self.species)}. Build it from all frames."
            )
        receivers, senders, distances = _neighbours(frame, self.cutoff)
        kinds = np.searchsorted(self.species, frame.numbers)[senders]
        width = self.cutoff / (self.n_bins + 1)
        below = np.floor(distances / width).astype(np.int64)
        phase = 0.5 * np.pi * (distances / width - below)
        found = np.zeros((frame.n_atoms, len(self.species), self.n_bins))
        for bins, weights in ((below, np.cos(phase)), (below + 1, np.sin(phase))):
            inside = (bins >= 1) & (bins <= self.n_bins)
            np.add.at(
                found,
                (receivers[inside], kinds[inside], bins[inside] - 1),
                weights[inside] ** 2 / distances[inside],
            )
        return found


def _neighbours(frame: Frame, cutoff: float) -> tuple[Indices, Indices, Array]:
    """All images within the cutoff, those of the atom itself among them."""
    if any(frame.pbc):
        if not frame.volume > 0:
            raise FrameError(
                f"step {frame.step}: the frame is periodic but its cell has no volume."
            )
        inside = wrapped(frame.positions, frame.cell, frame.pbc)
        images, owners = images_within(inside, frame.cell, frame.pbc, cutoff)
    else:
        inside = images = frame.positions
        owners = np.arange(frame.n_atoms)
    found = cKDTree(inside).sparse_distance_matrix(
        cKDTree(images), cutoff, output_type="ndarray"
    )
    found = found[found["v"] > _ITSELF]
    receivers: Indices = found["i"].astype(np.int64)
    return receivers, owners[found["j"]], found["v"]
