"""The C interface of LAMMPS as builds with small and with big numbers offer it."""

from __future__ import annotations

import ctypes
from itertools import pairwise

import pytest

from mimyria_driver.lammps.engine import Engine

N = 3
IDS, TYPES = [7, 2**31 - 1, 1], [2, 1, 2]
MASSES = [0.0, 39.948, 20.1797]
POSITIONS = [float(k) for k in range(3 * N)]
VELOCITIES = [0.5 * k for k in range(3 * N)]


class FakeFunction:
    """A function of the library, which may be declared."""

    restype = argtypes = None

    def __init__(self, call):
        self.call = call

    def __call__(self, *arguments):
        return self.call(*arguments)


class FakeLibrary:
    """LAMMPS with integers of so many bytes; the addresses are of real memory."""

    def __init__(self, bigint, tagint, *, rmass=False, units=b"real"):
        integers = {4: ctypes.c_int32, 8: ctypes.c_int64}
        rows = ctypes.c_double * (3 * N)
        self.arrays = {"x": rows(*POSITIONS), "v": rows(*VELOCITIES)}
        self.pointers = {
            name: (ctypes.c_void_p * 1)(ctypes.addressof(each))
            for name, each in self.arrays.items()
        }
        self.atoms = {
            "id": (integers[tagint] * N)(*IDS),
            "type": (ctypes.c_int32 * N)(*TYPES),
            "mass": (ctypes.c_double * 3)(*MASSES),
            "rmass": (ctypes.c_double * N)(1.5, 2.5, 3.5),
            **self.pointers,
        }
        big = integers[bigint]
        # Of a number that is longer than it should be the next bytes would count.
        self.globals = {
            "ntimestep": (big * 2)(123_456, -1),
            "natoms": (big * 2)(N, -1),
            "nlocal": (ctypes.c_int32 * 2)(N, -1),
            "dt": (ctypes.c_double * 1)(0.5),
            "units": ctypes.create_string_buffer(units),
        }
        self.settings = {
            "bigint": bigint,
            "tagint": tagint,
            "world_rank": 0,
            "world_size": 1,
            "rmass_flag": int(rmass),
        }
        address = ctypes.addressof
        self.lammps_extract_global = FakeFunction(
            lambda _, name: address(self.globals[name.decode()])
        )
        self.lammps_extract_atom = FakeFunction(
            lambda _, name: address(self.atoms[name.decode()])
        )
        self.lammps_extract_setting = FakeFunction(
            lambda _, name: self.settings.get(name.decode(), -1)
        )
        self.lammps_extract_box = self.lammps_version = FakeFunction(lambda *_: 0)


@pytest.mark.parametrize(
    ("bigint", "tagint"), [(4, 4), (8, 4), (8, 8)], ids=["small", "smallbig", "bigbig"]
)
def test_numbers_of_every_build_are_read(bigint, tagint):
    engine = Engine(FakeLibrary(bigint, tagint), 1)
    assert engine.step == 123_456
    assert engine.n_atoms == engine.n_local == N
    assert len(engine.ids()) == N * tagint
    kind = {4: ctypes.c_int32, 8: ctypes.c_int64}[tagint]
    assert list((kind * N).from_buffer_copy(engine.ids())) == IDS
    assert list((ctypes.c_int32 * N).from_buffer_copy(engine.types())) == TYPES
    rows = ctypes.c_double * (3 * N)
    assert list(rows.from_buffer_copy(engine.positions())) == POSITIONS
    assert list(rows.from_buffer_copy(engine.velocities())) == VELOCITIES


def test_masses_are_those_of_types_or_of_atoms():
    masses = ctypes.c_double * N
    by_type = Engine(FakeLibrary(8, 4), 1).masses()
    assert list(masses.from_buffer_copy(by_type)) == [20.1797, 39.948, 20.1797]
    by_atom = Engine(FakeLibrary(8, 4, rmass=True), 1).masses()
    assert list(masses.from_buffer_copy(by_atom)) == [1.5, 2.5, 3.5]


def test_masses_of_other_unit_systems_become_amu():
    """kg, g, pg and ag, each 10³ and 10¹², 10⁶ apart."""
    first = [
        ctypes.c_double.from_buffer_copy(
            Engine(FakeLibrary(8, 4, rmass=True, units=units), 1).masses()
        ).value
        for units in (b"si", b"cgs", b"nano", b"micro")
    ]
    assert first[1] == pytest.approx(1.5 * 6.02214076e23, rel=1e-12)
    ratios = [b / a for a, b in pairwise(first)]
    assert ratios == pytest.approx([1e-3, 1e-18, 1e6], rel=1e-12)
