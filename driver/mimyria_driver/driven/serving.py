"""Serving: the model is loaded and has answered its example before i-PI hears of us.

A client that is connected and silent would hold up all clients of its socket.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mimyria.errors import SettingsError
from mimyria.tensorsources import Predictor
from mimyria_driver.driven.answers import Answers
from mimyria_driver.driven.client import DrivenClient
from mimyria_driver.driven.extras import BEC, DIPOLE, checked_keys
from mimyria_driver.driven.way import Way
from mimyria_driver.evaluator.canary import Canary
from mimyria_driver.evaluator.loading import load_sources
from mimyria_driver.ipi.transport import parse_address
from mimyria_driver.signals import STOPPED, StopRequest

__all__ = ["DrivenSettings", "serve"]

_log = logging.getLogger(__name__)

_LEAST_MAX_ATOMS: Final = 100_000


@dataclass(frozen=True, slots=True, eq=False)
class DrivenSettings:
    """What is answered to whom.

    Attributes:
        model: of the APT: a file, a shipped name, or `python:module:function`.
        address: of i-PI, see `parse_address`.
        numbers: (n_atoms,) — atomic numbers in i-PI's order.
        keys: what is sent, of `extras.KEYS`.
        folder: where the dipole is kept; needed with `dipole` only.
        start: dipole moment of the first configuration, e Å.
        charge: total charge in e, for models that keep the sum rule.
        device: where the model computes.
        threads: of the CPU; 0 leaves the number to torch.
        patience: seconds without a request after which it ends; 0: never.
        first_load: seconds that an unknown program gets in the sandbox.
        search: folder of the module of `python:`.
    """

    model: str
    address: str
    numbers: NDArray[np.int64]
    keys: tuple[str, ...] = (BEC,)
    folder: Path | None = None
    start: tuple[float, float, float] = (0.0, 0.0, 0.0)
    charge: float = 0.0
    device: str = "auto"
    threads: int = 1
    patience: float = 0.0
    first_load: float = 300.0
    search: Path = Path(".")

    def __post_init__(self) -> None:
        """Check what can be checked before the model is loaded."""
        object.__setattr__(self, "keys", checked_keys(self.keys))
        parse_address(self.address)
        if (self.folder is not None) != (DIPOLE in self.keys):
            raise SettingsError(
                "The dipole is an integral of the APT along the way, so a folder keeps "
                "where the way was: give --folder with the key 'dipole', and with that "
                "one only."
            )
        if not np.isfinite([*self.start, self.charge]).all():
            raise SettingsError(
                f"Start and charge must be finite, but are {self.start} and "
                f"{self.charge}."
            )


def serve(settings: DrivenSettings, stop: StopRequest) -> int:
    """Answer i-PI until it has ended or a signal comes.

    Returns:
        0 after the end of i-PI, `STOPPED` after a signal.

    Raises:
        MimyriaError: why no answer can be given; i-PI waits for another client.
    """
    source = _loaded(settings)
    way = None
    n_atoms = len(settings.numbers)
    if settings.folder is not None:
        way = Way(settings.folder, n_atoms, np.array(settings.start))
    answers = Answers(source, settings.numbers, settings.keys, way)
    client = DrivenClient(
        settings.address,
        answers,
        max_atoms=max(10 * n_atoms, _LEAST_MAX_ATOMS),
        patience=settings.patience,
    )
    try:
        ended = client.serve(lambda: stop.signal_name is not None)
    finally:
        if way is not None:
            way.close()
    _log.info("answered %d requests of i-PI", answers.n_answered)
    return 0 if ended else STOPPED


def _loaded(settings: DrivenSettings) -> Predictor:
    """The model, compiled by calls before it counts."""
    # Bit-identical sums on CUDA need this before CUDA wakes up.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    document = {
        "apt": settings.model,
        "pgt": None,
        "device": settings.device,
        "threads": settings.threads,
        "charge": settings.charge,
        "first_load": settings.first_load,
        "search": str(settings.search),
    }
    sources, _ = load_sources(document, lambda text: _log.warning("%s", text))
    Canary(sources)
    return sources["apt"]
