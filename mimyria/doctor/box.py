"""Box: a frame of water of any size, and the shipped models, for what is measured."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import numpy as np

from mimyria.frame import Array, Frame

if TYPE_CHECKING:
    from mimyria.models import TensorModel

__all__ = ["MODELS", "shipped_model", "threads", "turned", "water_box"]

MODELS: Final = {"IR": "water-compact-apt", "Raman": "water-compact-pgt"}

_SPACING: Final = 3.105  # Å between molecules: 1 g/cm³
_BOND: Final = 0.96
_ANGLE: Final = np.deg2rad(104.5)


def water_box(n_side: int) -> Frame:
    """n_side³ molecules on a simple cubic lattice, each turned at random.

    The same numbers every time; no structure of water, but its density and its bonds.
    """
    random = np.random.default_rng(1)
    half = 0.5 * _ANGLE
    molecule = np.zeros((3, 3))
    molecule[1] = _BOND * np.array([np.sin(half), np.cos(half), 0.0])
    molecule[2] = _BOND * np.array([-np.sin(half), np.cos(half), 0.0])
    places = _SPACING * np.stack(
        np.meshgrid(*[np.arange(n_side)] * 3, indexing="ij"), axis=-1
    ).reshape(-1, 3)
    positions = [place + molecule @ _rotation(random).T for place in places]
    return Frame(
        numbers=np.tile([8, 1, 1], len(places)),
        positions=np.concatenate(positions),
        cell=n_side * _SPACING * np.eye(3),
        velocities=None,
        step=0,
    )


def turned(frame: Frame) -> tuple[Frame, Array]:
    """The same frame, turned as a whole, and the rotation R: r' = R r."""
    rotation = _rotation(np.random.default_rng(2))
    positions = frame.positions @ rotation.T
    cell = frame.cell @ rotation.T
    return Frame(frame.numbers, positions, cell, None, 0, pbc=frame.pbc), rotation


def _rotation(random: np.random.Generator) -> Array:
    """A random rotation, by the QR decomposition of a random matrix."""
    q, r = np.linalg.qr(random.normal(size=(3, 3)))
    q *= np.sign(np.diag(r))
    rotation: Array = q * np.sign(np.linalg.det(q))
    return rotation


@contextlib.contextmanager
def threads(number: int) -> Iterator[None]:
    """So many threads of torch for a while; a run takes one unless it is told."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@functools.cache
def shipped_model(kind: str) -> TensorModel:
    """The shipped model of a kind of `MODELS`, on the device that a run would take."""
    from mimyria.models import load_model

    return load_model(MODELS[kind], "auto")
