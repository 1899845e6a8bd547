"""Binary dumps: any pieces give the same frames, and no claim of a size is believed."""

import struct
import subprocess
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimyria.errors import FormatError, FrameError, UnitError
from mimyria.io.dumpatoms import atoms_of
from mimyria.io.lammpsbinary import DumpParser
from mimyria.io.trajectory import Trajectory
from mimyria.units import LAMMPS_UNITS
from tests.binary_dumps import COLUMNS, chunks, frame, head, stream, tables

TRICLINIC = np.array([[9.0, 0, 0], [1.5, 8.5, 0], [-2.7, -1.1, 8.0]])
ELEMENTS = {"1": "O", "2": "H"}


def parse(data, **options):
    parser = DumpParser(**options)
    found = parser.feed(data)
    parser.finish()
    return found


def assert_same(found, expected):
    assert [each.step for each in found] == [each.step for each in expected]
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours.values, theirs.values)
        np.testing.assert_array_equal(ours.cell, theirs.cell)
        assert (ours.time, ours.units, ours.pbc) == (
            theirs.time,
            theirs.units,
            theirs.pbc,
        )


@given(st.data())
def test_any_pieces_give_what_the_whole_gives(data):
    whole = b"".join(stream(5)[0])
    cuts = data.draw(st.lists(st.integers(0, len(whole)), max_size=20).map(sorted))
    parser, found = DumpParser(mends=data.draw(st.booleans())), []
    for begin, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        found += parser.feed(whole[begin:end])
    assert parser.is_whole
    assert_same(found, parse(whole))
    assert found[-1].end == len(whole)


def test_numbers_and_box_are_those_that_were_written():
    (table,) = tables(1)
    (found,) = parse(
        frame(7, table, cell=TRICLINIC, units="metal", time=3.5, sizes=(1, 0, 3))
    )
    assert (found.step, found.time, found.units) == (7, 3.5, "metal")
    assert found.columns == tuple(COLUMNS.split())
    np.testing.assert_array_equal(found.values, table)
    np.testing.assert_allclose(found.cell, TRICLINIC, rtol=0, atol=1e-14)
    np.testing.assert_allclose(found.origin, 0, rtol=0, atol=1e-14)
    (found,) = parse(frame(7, table, boundary=(0, 0, 1, 1, 0, 2)))
    assert found.pbc == (True, False, False)


@given(st.data())
def test_what_is_cut_in_front_or_in_the_middle_costs_the_cut_frames_alone(data):
    """As a pipe gives it whose reader and writer were killed."""
    frames, numbers = stream(6)
    length = len(frames[0])
    front = data.draw(st.integers(0, length))
    lost = data.draw(st.integers(1, len(frames[3]) - 1))
    raw = frames[0][front:] + b"".join(frames[1:3]) + frames[3][:-lost]
    raw += b"".join(frames[4:])
    parser, found = DumpParser(mends=True), []
    size = data.draw(st.integers(1, 700))
    for begin in range(0, len(raw), size):
        found += parser.feed(raw[begin : begin + size])
    kept = [1, 2, 4, 5] if front else [0, 1, 2, 4, 5]
    assert [each.step for each in found] == [4 * index for index in kept]
    for index, each in zip(kept, found, strict=True):
        np.testing.assert_array_equal(each.values, numbers[index])
    whole = sum(len(frames[index]) for index in kept)
    assert parser.skipped == len(raw) - whole


@given(st.data())
def test_a_file_that_was_damaged_is_refused_or_gives_as_many_numbers(data):
    raw = bytearray(b"".join(stream(3)[0]))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    mends = data.draw(st.booleans())
    try:
        found = parse(bytes(raw), mends=mends)
    except (FormatError, FrameError):
        return
    assert all(each.values.shape == (4, 8) for each in found)


@given(st.binary(max_size=400), st.booleans())
def test_noise_is_no_dump(noise, mends):
    try:
        assert parse(noise, mends=mends) == []
    except FormatError:
        return
    assert mends or not noise


@pytest.mark.parametrize(
    ("claim", "what"),
    [
        ({"n_atoms": 10**15}, "1000000000000000 atoms"),
        ({"n_atoms": 0}, "0 atoms, but 1 to"),
        ({"n_atoms": -3}, "-3 atoms"),
        ({"n_chunks": 2**31 - 1}, "2147483647 chunks"),
        ({"n_chunks": 0}, "0 chunks"),
        ({"revision": 3}, "this is revision 3 of 'DUMPCUSTOM'"),
        ({"order": 2}, r"byte order 2"),
        ({"columns": "id id x"}, "does not fit together"),
        ({"step": -4}, "does not fit together: step -4"),
    ],
)
def test_a_head_that_cannot_be_is_refused_before_more_is_read(claim, what):
    values = {"step": 0, "n_atoms": 4} | claim
    with pytest.raises(FormatError, match=what):
        DumpParser().feed(head(**values) + bytes(20))


def test_a_claim_of_many_atoms_takes_no_memory():
    parser = DumpParser()
    tracemalloc.start()
    try:
        assert parser.feed(head(0, 90_000_000)) == []
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("sizes", [(3,), (5,), (4, 1), (-1,), (2, 3, 0)])
def test_chunks_that_are_not_the_atoms_are_refused(sizes):
    (table,) = tables(1, n_atoms=5)
    raw = bytearray(frame(0, table[:4], n_chunks=1))
    place = len(head(0, 4))
    raw[place : place + 4] = struct.pack("<i", 8 * sizes[0])
    if sizes != (-1,):
        raw = head(0, 4, n_chunks=len(sizes)) + chunks(table, sizes) + bytes(999)
    with pytest.raises(FormatError, match="chunks of the frame do not hold 4 atoms"):
        DumpParser().feed(bytes(raw))


@pytest.mark.parametrize(
    ("second", "error", "what"),
    [
        ({"n_atoms": 5}, FrameError, "began with 4 atoms, but now has 5"),
        ({"columns": "id type x y z vx vz vy"}, FrameError, "began with the columns"),
    ],
)
def test_atoms_and_columns_stay(second, error, what):
    n_atoms = second.get("n_atoms", 4)
    columns = second.get("columns", COLUMNS)
    (first,), (other,) = tables(1), tables(1, n_atoms=n_atoms)
    raw = frame(0, first, units="real") + frame(4, other, columns=columns)
    for mends in (False, True):
        with pytest.raises(error, match=what):
            DumpParser(mends=mends).feed(raw)


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        (struct.pack("<qq", 0, 4), "no binary `dump custom`"),  # LAMMPS before 2020
        (struct.pack(">q", -10) + b"DUMPCUSTOM", "no binary `dump custom`"),
        (struct.pack("<q", -8) + b"DUMPATOM", "no binary `dump custom`"),
        (b"ITEM: UNITS\nreal\n", "no binary `dump custom`"),
        (struct.pack("<q10sii", -10, b"DUMPTHINGS", 1, 2), "of 'DUMPTHINGS'"),
    ],
)
def test_other_formats_are_named(raw, what):
    with pytest.raises(FormatError, match=what):
        DumpParser().feed(raw + bytes(20))


def test_a_cut_file_gives_its_whole_frames_and_then_an_error(tmp_path):
    frames, _ = stream(3)
    path = tmp_path / "a.bin"
    path.write_bytes(b"".join(frames)[:-7])
    trajectory = Trajectory(path, elements=ELEMENTS)
    assert trajectory.next_frame().step == 0
    assert trajectory.next_frame().step == 4
    with pytest.raises(FormatError, match=r"a\.bin, frame 3: the last frame is not"):
        trajectory.next_frame()


@pytest.mark.parametrize("style", LAMMPS_UNITS)
def test_the_same_atoms_in_any_units(style):
    angstrom, femtosecond = LAMMPS_UNITS[style]
    (table,) = tables(1)
    native = table.copy()
    native[:, 2:5] *= angstrom
    native[:, 5:8] *= angstrom / femtosecond
    (snapshot,) = parse(frame(0, native, cell=TRICLINIC * angstrom, units=style))
    atoms = atoms_of(snapshot, style)
    order = np.argsort(table[:, 0])
    assert atoms.ids.tolist() == [1, 2, 3, 4]
    assert atoms.types.tolist() == [1, 2, 2, 1]
    np.testing.assert_allclose(atoms.positions, table[order, 2:5], rtol=1e-14)
    np.testing.assert_allclose(atoms.velocities, table[order, 5:8], rtol=1e-14)
    np.testing.assert_allclose(atoms.cell, TRICLINIC, rtol=1e-13, atol=1e-13)


def test_units_without_physics_are_refused():
    (snapshot,) = parse(frame(0, tables(1)[0], units="lj"))
    with pytest.raises(UnitError, match=r"in `units lj`, but a spectrum needs"):
        atoms_of(snapshot, "lj")


def test_scaled_positions_are_those_of_the_box():
    (table,) = tables(1)
    scaled = table.copy()
    scaled[:, 2:5] = table[:, 2:5] @ np.linalg.inv(TRICLINIC)
    columns = "id type xs ys zs vx vy vz"
    (snapshot,) = parse(frame(0, scaled, cell=TRICLINIC, columns=columns))
    order = np.argsort(table[:, 0])
    np.testing.assert_allclose(
        atoms_of(snapshot, "real").positions, table[order, 2:5], atol=1e-13
    )


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"columns": "x0 type x y z vx vy vz"}, "no column id"),
        ({"columns": "id kind x y z vx vy vz"}, "no column type"),
        ({"columns": "id type a b c vx vy vz"}, "no columns x y z"),
        ({"id": 2.5}, "id must be a whole number from 1 on, but is 2.5"),
        ({"id": np.nan}, "but is nan"),
        ({"id": 0.0}, "but is 0"),
        ({"twice": True}, "the id [1-4] stands twice"),
    ],
)
def test_what_is_missing_or_impossible_is_named(change, what):
    (table,) = tables(1)
    if "id" in change:
        table[1, 0] = change["id"]
    if "twice" in change:
        table[1, 0] = table[2, 0]
    (snapshot,) = parse(frame(0, table, columns=change.get("columns", COLUMNS)))
    with pytest.raises(FormatError, match=what):
        atoms_of(snapshot, "real")


def test_masses_are_taken_where_they_are_in_amu():
    (table,) = tables(1)
    table = np.column_stack([table, np.where(table[:, 1] == 1, 15.999, 2.014)])
    (snapshot,) = parse(frame(0, table, columns=f"{COLUMNS} mass"))
    expected = [15.999, 2.014, 2.014, 15.999]
    assert atoms_of(snapshot, "metal").masses.tolist() == expected
    assert atoms_of(snapshot, "si").masses is None


def test_the_file_gives_frames_and_needs_units_and_elements(tmp_path):
    path = tmp_path / "a.bin"
    frames, numbers = stream(3, units=None)
    path.write_bytes(b"".join(frames))
    with pytest.raises(
        UnitError, match=r"does not say its units\. Say velocities_unit"
    ):
        Trajectory(path, elements=ELEMENTS).next_frame()
    with pytest.raises(FormatError, match="the type 1 has no element; known are none"):
        Trajectory(path, velocities_unit="Angstrom/fs").next_frame()
    with pytest.raises(FormatError, match="there is no element 'Xy'"):
        Trajectory(
            path, elements={"1": "O", "2": "Xy"}, velocities_unit="Angstrom/fs"
        ).next_frame()
    found = list(Trajectory(path, elements=ELEMENTS, velocities_unit="Angstrom/ps"))
    assert [each.step for each in found] == [0, 4, 8]
    for each, table in zip(found, numbers, strict=True):
        order = np.argsort(table[:, 0])
        assert each.numbers.tolist() == [8, 1, 1, 8]
        np.testing.assert_array_equal(each.positions, table[order, 2:5])
        np.testing.assert_allclose(each.velocities, table[order, 5:8] * 1e-3)


LAMMPS = """
units           {units}
atom_style      atomic
region          box prism 0 9 0 8.5 0 8 1.5 -2.7 -1.1
create_box      2 box
create_atoms    1 random 20 4711 box
set             group all type/fraction 2 0.5 99
mass            1 15.999
mass            2 1.008
pair_style      zero 3.0
pair_coeff      * *
velocity        all create 300 87287
fix             1 all nve
dump            1 all custom 1 a.bin id type {columns} vx vy vz
dump_modify     1 units yes
dump            2 all custom 1 a.dump id type {columns} vx vy vz
dump_modify     2 units yes format float %.17g
run             3
"""


@pytest.mark.engine
@pytest.mark.parametrize("units", ["real", "metal"])
@pytest.mark.parametrize("columns", ["x y z", "xu yu zu", "xs ys zs", "xsu ysu zsu"])
def test_a_real_binary_dump_equals_the_text_of_the_same_steps(tmp_path, units, columns):
    program = "/usr/bin/lmp"
    try:
        subprocess.run(
            [program, "-log", "none", "-screen", "none"],
            input=LAMMPS.format(units=units, columns=columns),
            cwd=tmp_path, text=True, check=True, timeout=60, capture_output=True,
        )  # fmt: skip
    except FileNotFoundError:
        pytest.skip(f"there is no {program}")
    binary = list(Trajectory(tmp_path / "a.bin", elements=ELEMENTS))
    text = list(Trajectory(tmp_path / "a.dump", elements=ELEMENTS))
    assert [each.step for each in binary] == [0, 1, 2, 3]
    for ours, theirs in zip(binary, text, strict=True):
        assert (ours.step, ours.pbc) == (theirs.step, theirs.pbc)
        assert ours.numbers.tolist() == theirs.numbers.tolist()
        np.testing.assert_array_equal(ours.velocities, theirs.velocities)
        # The text has its box with 16 digits.
        np.testing.assert_allclose(ours.cell, theirs.cell, rtol=0, atol=1e-14)
        np.testing.assert_allclose(ours.positions, theirs.positions, atol=1e-13)
