"""Selection rules: crystals of known symmetry in all geometries of light scattering.

A crystal is a list of modes with the Raman tensors that its point group allows (as
tables of them have it) and a line each. What a geometry shows is compared with what
symmetry says; nothing of it is an average over orientations.
"""

import dataclasses

import numpy as np
import pytest

from mimyria.correlators import Correlator
from mimyria.currents import to_voigt
from mimyria.spectra import geometry_spectra, parse_geometry
from mimyria.spectra.catalogue import Conditions
from mimyria.spectra.dielectric import Cell
from mimyria.spectra.porto import Geometry, polarisation_scan
from mimyria.units import POLARIZABILITY_CORRELATION_UNIT, SPEED_OF_LIGHT

N_LAGS, INTERVAL = 2000, 4.0  # fs
CONDITIONS = Conditions(Cell(100.0, 300.0), resolution=10.0)
UPRIGHT = np.eye(3)
A, B, C, D, E = 1.7, -0.6, 1.1, 0.8, 1.3


def tensor(**elements):
    found = np.zeros((3, 3))
    for name, value in elements.items():
        a, b = ("xyz".index(axis) for axis in name)
        found[a, b] = found[b, a] = value
    return found


# Wavenumber and Raman tensors of each mode of one point group.
TETRAGONAL = {  # D4h
    "A1g": (200.0, [tensor(xx=A, yy=A, zz=B)]),
    "B1g": (400.0, [tensor(xx=C, yy=-C)]),
    "B2g": (600.0, [tensor(xy=D)]),
    "Eg": (800.0, [tensor(xz=E), tensor(yz=E)]),
}
CUBIC = {  # Td, and Th and Oh with the index g
    "A1": (200.0, [A * np.eye(3)]),
    "E": (400.0, [
        B * np.diag([1.0, 1.0, -2.0]), np.sqrt(3) * B * np.diag([1.0, -1.0, 0.0]),
    ]),
    "T2": (600.0, [tensor(yz=D), tensor(xz=D), tensor(xy=D)]),
}  # fmt: skip
X_PRIME, Y_PRIME = "[1,1,0]", "[1,-1,0]"


def rotation(axis, degrees):
    x, y, z = np.array(axis) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.radians(degrees)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def crystal_correlation(crystal, turned):
    """Modes with equal energies and independent phases: lines that never decay."""
    correlator = Correlator(6, N_LAGS, INTERVAL, POLARIZABILITY_CORRELATION_UNIT)
    correlator.push(np.zeros((N_LAGS + 1, 6)))
    empty = correlator.result()
    times = INTERVAL * np.arange(len(empty.values))
    values = np.zeros_like(empty.values)
    for wavenumber, tensors in crystal.values():
        line = np.cos(2 * np.pi * SPEED_OF_LIGHT * wavenumber * times)
        for each in tensors:
            parts = to_voigt(turned @ each @ turned.T)
            for column, (u, v) in enumerate(empty.pairs):
                values[:, column] += parts[u] * parts[v] * line
    return dataclasses.replace(empty, values=values)


def strengths(crystal, geometry, turned=UPRIGHT):
    """Area of the line of each mode."""
    if isinstance(geometry, str):
        geometry = parse_geometry(geometry)
    correlation = crystal_correlation(crystal, turned)
    (spectrum,) = geometry_spectra([geometry], correlation, CONDITIONS).values()
    return {
        name: line.intensity.sum()
        for name, (place, _) in crystal.items()
        for line in [spectrum.between(place - 80.0, place + 80.0)]
    }


UNIT = strengths({"one": (500.0, [tensor(xx=1)])}, "z(xx)z")["one"]
TETRAGONAL_TABLE = {
    "z(xx)z": {"A1g": A**2, "B1g": C**2},
    "z(yy)-z": {"A1g": A**2, "B1g": C**2},
    "z(xy)z": {"B2g": D**2},
    f"z({X_PRIME}{X_PRIME})z": {"A1g": A**2, "B2g": D**2},
    f"z({X_PRIME}{Y_PRIME})z": {"B1g": C**2},
    "x(zz)y": {"A1g": B**2},
    "x(yz)y": {"Eg": E**2},
    "y(xz)x": {"Eg": E**2},
    "z(x,x+y)z": {"A1g": A**2, "B1g": C**2, "B2g": D**2},
}
CUBIC_TABLE = {
    "z(xx)z": {"A1": A**2, "E": 4 * B**2},
    "y(zz)y": {"A1": A**2, "E": 4 * B**2},
    "z(xy)z": {"T2": D**2},
    "x(yz)-x": {"T2": D**2},
    f"z({X_PRIME}{X_PRIME})z": {"A1": A**2, "E": B**2, "T2": D**2},
    f"z({X_PRIME}{Y_PRIME})z": {"E": 3 * B**2},
    "[1,1,1]([1,-1,0][1,1,-2])[1,1,1]": {"E": B**2, "T2": 2 * D**2 / 3},
}
CASES = [
    pytest.param(crystal, geometry, seen, id=f"{name} {geometry}")
    for name, crystal, table in (
        ("D4h", TETRAGONAL, TETRAGONAL_TABLE),
        ("Td", CUBIC, CUBIC_TABLE),
    )
    for geometry, seen in table.items()
]


@pytest.mark.parametrize(("crystal", "geometry", "seen"), CASES)
def test_a_geometry_shows_what_symmetry_allows_and_nothing_else(
    crystal, geometry, seen
):
    assert parse_geometry(geometry).warnings() == []
    found = strengths(crystal, geometry)
    for name, strength in found.items():
        assert strength / UNIT == pytest.approx(seen.get(name, 0.0), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("crystal", [TETRAGONAL, CUBIC], ids=["D4h", "Td"])
def test_a_crystal_that_is_turned_with_light_and_analyser_shows_the_same(crystal):
    turn = rotation([1.0, -2.0, 0.5], 37.0)
    for text in ("z(xx)z", "z(xy)z", "x(yz)y"):
        upright = parse_geometry(text)
        along = Geometry(
            text,
            turn @ upright.incident_direction,
            turn @ upright.scattered_direction,
            tuple(turn @ each for each in upright.incident),
            tuple(turn @ each for each in upright.scattered),
        )
        expected, found = strengths(crystal, upright), strengths(crystal, along, turn)
        for name, strength in expected.items():
            assert found[name] == pytest.approx(strength, rel=1e-9, abs=1e-9 * UNIT)


@pytest.mark.parametrize("degrees", [0.5, 2.0, 10.0])
def test_a_crystal_that_is_not_well_aligned_leaks_by_the_square_of_the_angle(degrees):
    """Turned about the light: B2g in z(xx)z grows as sin², B1g in z(xy)z likewise."""
    turn = rotation([0, 0, 1], degrees)
    leak = np.sin(2 * np.radians(degrees)) ** 2
    parallel = strengths(TETRAGONAL, "z(xx)z", turn)
    crossed = strengths(TETRAGONAL, "z(xy)z", turn)
    assert parallel["B2g"] / UNIT == pytest.approx(D**2 * leak, rel=1e-3, abs=1e-5)
    assert crossed["B1g"] / UNIT == pytest.approx(C**2 * leak, rel=1e-3, abs=1e-5)
    assert crossed["A1g"] / UNIT == pytest.approx(0.0, abs=1e-5)


def test_turning_the_polarisation_traces_the_lobes_of_each_symmetry():
    """Parallel polarisations about z: A1g a circle, B1g cos² 2θ, B2g sin² 2θ."""
    for scanned in polarisation_scan(parse_geometry("z(xx)z"), [0, 15, 45, 70, 90]):
        angle = np.radians(float(scanned.name.split("@")[1]))
        found = strengths(TETRAGONAL, scanned)
        expected = {
            "A1g": A**2,
            "B1g": (C * np.cos(2 * angle)) ** 2,
            "B2g": (D * np.sin(2 * angle)) ** 2,
            "Eg": 0.0,
        }
        for name, strength in expected.items():
            assert found[name] / UNIT == pytest.approx(strength, rel=1e-4, abs=1e-4)


def test_a_powder_has_no_selection_rules_of_this_kind(orientations):
    """The mean over all orientations of the crystal is what isotropic formulas give."""
    powder = {
        name: (
            place,
            [
                np.sqrt(weight) * turn @ each @ turn.T
                for each in tensors
                for turn, weight in orientations
            ],
        )
        for name, (place, tensors) in TETRAGONAL.items()
    }
    found = strengths(powder, "z(xy)z")
    for name, (_, tensors) in TETRAGONAL.items():
        betas = [each - np.trace(each) / 3 * np.eye(3) for each in tensors]
        expected = sum((each**2).sum() for each in betas) / 10
        assert found[name] / UNIT == pytest.approx(expected, rel=1e-4)
        assert expected > 0.05
