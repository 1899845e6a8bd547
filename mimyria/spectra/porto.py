"""Porto's notation: k_i(e_i e_s)k_s names a light-scattering experiment.

    z(xx)z          light along z, polarised along x, analyser along x
    x(zy)-x         backscattering, crossed
    z(x,x+y)z       no analyser: the intensities of x and y are added
    z(x+y,x)z       natural light: the mean of polarisations x and y
    z([1,1,0],x)z   any vector, in brackets; it is normalised

The directions k label the experiment and enter only through a check: light is
transversal, so a polarisation with a part along its own direction is pointed out.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np

from mimyria.errors import SettingsError
from mimyria.frame import Array
from mimyria.spectra.scattering import polarised_form

__all__ = ["Geometry", "parse_geometry", "parse_vector", "polarisation_scan"]

_AXES: Final = {"x": (1.0, 0.0, 0.0), "y": (0.0, 1.0, 0.0), "z": (0.0, 0.0, 1.0)}
_PATTERN: Final = re.compile(r"^(?P<ki>[^()]+)\((?P<e>[^()]+)\)(?P<ks>[^()]+)$")
_VECTOR: Final = r"-?[xyz]|\[[^\[\]]+\]"
_TRANSVERSAL: Final = 1e-6  # largest |e · k| of unit vectors
_FORM: Final = (
    "a geometry is written k(e e)k, such as z(xy)z, x(zz)-x, z(x,x+y)z for no analyser "
    "or z([1,1,0],x)z for any vector"
)


@dataclass(frozen=True, slots=True, eq=False)
class Geometry:
    """One light-scattering experiment on an oriented sample.

    Attributes:
        name: as it was written.
        incident_direction: (3,) unit vector k_i.
        scattered_direction: (3,) unit vector k_s.
        incident: unit vectors e_i, averaged over (natural light).
        scattered: unit vectors e_s, summed over (no analyser).
    """

    name: str
    incident_direction: Array
    scattered_direction: Array
    incident: tuple[Array, ...]
    scattered: tuple[Array, ...]

    def form(self) -> Array:
        """The (6, 6) quadratic form, see `scattering.contract`.

        Source: docs/theory.md, eq. (22).
        """
        forms = [
            polarised_form(i, s) for i, s in product(self.incident, self.scattered)
        ]
        total: Array = np.sum(forms, axis=0) / len(self.incident)
        return total

    def warnings(self) -> list[str]:
        """Sentences on polarisations that no light of this direction can have."""
        found = []
        for side, direction, vectors in (
            ("incident", self.incident_direction, self.incident),
            ("scattered", self.scattered_direction, self.scattered),
        ):
            along = max(abs(float(vector @ direction)) for vector in vectors)
            if along > _TRANSVERSAL:
                found.append(
                    f"{self.name}: the {side} polarisation has a part of {along:.2f} "
                    "along its own direction; light is transversal."
                )
        return found

    def turned(self, degrees: float, *, analyser: bool = True) -> Geometry:
        """The same with the polarisation turned about the incident direction.

        Args:
            degrees: angle, right-handed about k_i.
            analyser: turn the analyser by the same angle as well.

        Source: docs/theory.md, eq. (23).
        """
        rotation = _rotation(self.incident_direction, math.radians(degrees))
        scattered = self.scattered
        if analyser:
            scattered = tuple(rotation @ vector for vector in scattered)
        return Geometry(
            f"{self.name}@{degrees:g}",
            self.incident_direction,
            self.scattered_direction,
            tuple(rotation @ vector for vector in self.incident),
            scattered,
        )


def parse_geometry(text: str) -> Geometry:
    """Read Porto's notation.

    Raises:
        SettingsError: the text is no geometry; it says how one is written.
    """
    match = _PATTERN.match(text.replace(" ", ""))
    if match is None:
        raise SettingsError(f"'{text}' is no geometry: {_FORM}.")
    incident, scattered = _split(match["e"], text)
    return Geometry(
        text.replace(" ", ""),
        parse_vector(match["ki"]),
        parse_vector(match["ks"]),
        tuple(parse_vector(part) for part in incident.split("+")),
        tuple(parse_vector(part) for part in scattered.split("+")),
    )


def parse_vector(text: str) -> Array:
    """A unit vector from x, -y or [1, 1, 0].

    Raises:
        SettingsError: it is none of these, or has no direction.
    """
    sign = -1.0 if text.startswith("-") else 1.0
    if text.lstrip("-") in _AXES and text.count("-") <= 1:
        return sign * np.array(_AXES[text.lstrip("-")])
    try:
        if not (text.startswith("[") and text.endswith("]")):
            raise ValueError
        vector = np.array([float(part) for part in text[1:-1].split(",")])
        length = float(np.linalg.norm(vector))
        if vector.shape != (3,) or not (math.isfinite(length) and length > 0):
            raise ValueError
    except ValueError:
        raise SettingsError(
            f"'{text}' is no direction; write x, -y or three numbers as [1,1,0]."
        ) from None
    unit: Array = vector / length
    return unit


def polarisation_scan(
    geometry: Geometry, degrees: list[float], *, analyser: bool = True
) -> list[Geometry]:
    """The geometry at each angle of its polarisation, see `Geometry.turned`."""
    return [geometry.turned(angle, analyser=analyser) for angle in degrees]


def _split(polarisations: str, text: str) -> tuple[str, str]:
    """The texts of both polarisations, with a comma between them or without."""
    both = re.match(rf"^({_VECTOR})({_VECTOR})$", polarisations)
    if both is None:
        side = rf"(?:{_VECTOR})(?:\+(?:{_VECTOR}))*"
        both = re.match(rf"^({side}),({side})$", polarisations)
    if both is None:
        raise SettingsError(f"'{text}' has no two polarisations: {_FORM}.")
    return both[1], both[2]


def _rotation(axis: Array, angle: float) -> Array:
    """Rotation by an angle about a unit vector (Rodrigues)."""
    x, y, z = axis
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    rotation: Array = (
        np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross
    )
    return rotation
