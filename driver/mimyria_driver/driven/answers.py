"""Answers: from a configuration of i-PI to the extra string of its reply.

It knows the model and the keys, no socket. Whatever goes wrong is an error of ours: a
number that is not finite leaves this module in no case.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mimyria.errors import (
    DeviceError,
    DeviceLostError,
    EvaluatorError,
    FrameError,
    MimyriaError,
    one_line,
)
from mimyria.frame import Array, Frame
from mimyria.tensorsources import Predictor
from mimyria_driver.driven.extras import (
    DIPOLE,
    mean_removed,
    pack_extras,
    require_finite,
)
from mimyria_driver.driven.way import Evaluated, Way
from mimyria_driver.evaluator.faults import MEMORY, fault_of
from mimyria_driver.ipi.protocol import Positions
from mimyria_driver.ipi.units import in_angstrom

__all__ = ["Answers"]

_log = logging.getLogger(__name__)

_LOOK: Final = 0.02
"""Of a typical element: a mean above it is worth a word."""


class Answers:
    """What one model says of each configuration."""

    def __init__(
        self,
        source: Predictor,
        numbers: NDArray[np.int64],
        keys: Sequence[str],
        way: Way | None = None,
    ) -> None:
        """Join a model with what i-PI wants to know.

        Args:
            source: of the APT.
            numbers: (n_atoms,) — atomic numbers in i-PI's order.
            keys: of `extras.KEYS`; the same in every reply.
            way: follows the dipole, which is needed where that is sent.
        """
        assert (way is not None) == (DIPOLE in keys)
        self._source = source
        self._numbers = numbers
        self._keys = tuple(keys)
        self._way = way
        self.n_answered = 0

    def connected(self) -> None:
        """A connection is new: i-PI may be another one, and elsewhere."""
        if self._way is not None:
            self._way.connected()

    def extras(self, request: Positions) -> bytes:
        """The extra string of the reply to a request.

        Raises:
            MimyriaError: there is no answer, for the reason that it says.
        """
        try:
            found = self.evaluate(request)
            dipole = None
            if self._way is not None:
                dipole = self._way.dipole(found, self.evaluate)
        except MimyriaError:
            raise
        except Exception as error:  # torch, and foreign models, may raise anything
            raise _mapped(error) from error
        self.n_answered += 1
        return pack_extras(self._keys, found.apt, dipole)

    def evaluate(self, request: Positions) -> Evaluated:
        """The tensors of a configuration, without their mean over the atoms.

        Raises:
            FrameError: another number of atoms than the settings have, or NaN.
            EvaluatorError: the tensors are not finite.
        """
        if request.n_atoms != len(self._numbers):
            raise FrameError(
                f"i-PI sends {request.n_atoms} atoms, but {len(self._numbers)} were "
                "named. Make the two agree; the photons of a cavity do not count."
            )
        positions, cell = in_angstrom(request.positions, request.cell)
        # Neighbour lists are kept for each bead.
        frame = Frame(
            self._numbers, positions, cell, None, self.n_answered, request.rid
        )
        frame.require_finite()
        apt = self._source.predict([frame])[0].apt
        assert apt is not None
        require_finite(apt)
        if not self.n_answered:
            _tell_mean(apt)
        return Evaluated(request, frame, mean_removed(apt))


def _tell_mean(apt: Array) -> None:
    """Say it if the mean, which is taken off, is large."""
    mean = float(np.abs(apt.mean(axis=0)).max())
    typical = float(np.sqrt(np.mean(apt**2)))
    if mean > _LOOK * typical:
        _log.warning(
            "the tensors have a mean of %.2g e over the atoms (%.1f %% of a typical "
            "element), which i-PI demands to be zero and which is taken off; the model "
            "may not fit this system, or the cell is charged",
            mean,
            100 * mean / typical,
        )


def _mapped(error: Exception) -> MimyriaError:
    """A foreign error as one of ours."""
    fault = fault_of(error)
    if fault == MEMORY:
        return DeviceError(
            f"The device has too little memory for this system ({one_line(error)})."
        )
    if fault is not None:
        return DeviceLostError(
            f"The device fails ({one_line(error)}). Start again, on another node."
        )
    return EvaluatorError(
        f"The model stopped: {type(error).__name__}: {one_line(error)}."
    )
