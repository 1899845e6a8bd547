"""Extras: what i-PI reads beside energy and forces, made of an APT.

| key                 | element                          | read by         |
|---------------------|----------------------------------|-----------------|
| `BEC`               | [3i+b][a] = ∂M_a/∂r_ib, e        | driven_dynamics |
| `dipole_derivative` | [9i+3a+b] = ∂M_a/∂r_ib, e        | ffcavphsocket   |
| `dipole`            | [a] = M_a, e bohr                | ffcavphsocket   |

Our order is that of `dipole_derivative`, and `BEC` is its transpose, atom by atom. i-PI
ends a run whose BEC do not add up to zero, so that their mean is always taken off.

Source: i-PI 3.3, `ipi/engine/motion/driven_dynamics.py`, `ipi/engine/forcefields.py`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

import numpy as np

from mimyria.errors import EvaluatorError, SettingsError
from mimyria.frame import Array
from mimyria.settings.reader import unknown_name
from mimyria.units import ANGSTROM_PER_IPI_BOHR

__all__ = [
    "BEC",
    "DERIVATIVE",
    "DIPOLE",
    "KEYS",
    "born_charges",
    "checked_keys",
    "mean_removed",
    "pack_extras",
    "require_finite",
]

BEC: Final = "BEC"
DIPOLE: Final = "dipole"
DERIVATIVE: Final = "dipole_derivative"
KEYS: Final = (BEC, DIPOLE, DERIVATIVE)


def checked_keys(keys: Sequence[str]) -> tuple[str, ...]:
    """The keys in a fixed order, each once.

    Raises:
        SettingsError: one is unknown, or there is none.
    """
    for key in keys:
        if key not in KEYS:
            raise SettingsError(unknown_name("key", key, KEYS))
    if not keys:
        raise SettingsError(
            f"There is nothing to send: name one or more of {', '.join(KEYS)}."
        )
    return tuple(key for key in KEYS if key in keys)


def require_finite(apt: Array) -> None:
    """Refuse tensors that i-PI would take for good.

    Args:
        apt: (n_atoms, 3, 3) e.

    Raises:
        EvaluatorError: names the first atom whose tensor is not finite.
    """
    finite = np.isfinite(apt).all(axis=(1, 2))
    if not finite.all():
        raise EvaluatorError(
            "The apt model gave numbers that are not finite, first for atom "
            f"{int(np.argmin(finite))}. i-PI got no answer and waits for another "
            "client."
        )


def mean_removed(apt: Array) -> Array:
    """Tensors that add up to zero, P_i − Σ_j P_j / N.

    Args:
        apt: (n_atoms, 3, 3) e.
    """
    without: Array = apt - apt.mean(axis=0)
    return without


def born_charges(apt: Array) -> Array:
    """(3 n_atoms, 3) e — [3i+b, a] = ∂M_a/∂r_ib, as i-PI's driven dynamics has it.

    Args:
        apt: (n_atoms, 3, 3) e — [i, a, b] = ∂M_a/∂r_ib.
    """
    return apt.transpose(0, 2, 1).reshape(-1, 3)


def pack_extras(keys: Sequence[str], apt: Array, dipole: Array | None) -> bytes:
    """The extra string of one reply, to the last bit of each number.

    Args:
        keys: what to send.
        apt: (n_atoms, 3, 3) e, finite.
        dipole: (3,) e Å; None where it is not sent.
    """
    document: dict[str, list[float] | list[list[float]]] = {}
    for key in keys:
        if key == BEC:
            document[key] = born_charges(apt).tolist()
        elif key == DERIVATIVE:
            document[key] = apt.ravel().tolist()
        else:
            assert dipole is not None
            # In i-PI's own bohr: the derivative by its positions is the APT.
            document[key] = (dipole / ANGSTROM_PER_IPI_BOHR).tolist()
    return json.dumps(document, allow_nan=False).encode()
