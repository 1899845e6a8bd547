"""Trajectories of every format give the same frames; damaged ones are refused."""

import bz2
import gzip
import lzma
import subprocess
import sys

import h5py
import numpy as np
import pytest

from mimyria.errors import FormatError, SettingsError, UnitError
from mimyria.frame import Frame
from mimyria.io import LabelledFrame, read_extxyz, write_extxyz
from mimyria.io.trajectory import Trajectory, parse_elements
from mimyria.tensors import Tensors

CELL = np.array([[9.0, 0, 0], [1.5, 8.5, 0], [-0.7, 1.1, 8.0]])
ORIGIN = np.array([-1.0, 2.0, 0.5])
NUMBERS = np.array([8, 1, 1, 8])
OXYGEN_HYDROGEN = {"1": "O", "2": "H"}


@pytest.fixture
def frames(rng):
    return [
        Frame(
            NUMBERS,
            rng.uniform(0, 1, (4, 3)) @ CELL + ORIGIN,
            CELL,
            rng.normal(scale=0.01, size=(4, 3)),
            10 * step,
        )
        for step in range(5)
    ]


def assert_same(found, expected, digits=1e-12):
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.numbers.tolist() == theirs.numbers.tolist()
        assert (ours.step, ours.pbc) == (theirs.step, theirs.pbc)
        for name in ("positions", "cell", "velocities"):
            np.testing.assert_allclose(
                getattr(ours, name), getattr(theirs, name), rtol=0, atol=digits
            )


def write_dump(path, frames, positions="x y z", *, element=False, units=None, box=0):
    """A dump with the atoms in another order in each frame."""
    lines = []
    for count, frame in enumerate(frames):
        if units and count == 0:
            lines += ["ITEM: UNITS", units]
        if units:
            lines += ["ITEM: TIME", f"{frame.step / 2}"]
        lines += ["ITEM: TIMESTEP", str(frame.step), "ITEM: NUMBER OF ATOMS", "4"]
        low = ORIGIN
        if box == "abc":
            lines += ["ITEM: BOX BOUNDS abc origin pp pp pp"]
            lines += [
                " ".join(f"{x:.17g}" for x in [*row, o])
                for row, o in zip(frame.cell, low, strict=True)
            ]
        else:
            xy, xz, yz = frame.cell[1, 0], frame.cell[2, 0], frame.cell[2, 1]
            high = low + np.diag(frame.cell)
            xs, ys = (0.0, xy, xz, xy + xz), (0.0, yz)
            lines += ["ITEM: BOX BOUNDS xy xz yz pp pp pp"]
            lines += [f"{low[0] + min(xs):.17g} {high[0] + max(xs):.17g} {xy:.17g}"]
            lines += [f"{low[1] + min(ys):.17g} {high[1] + max(ys):.17g} {xz:.17g}"]
            lines += [f"{low[2]:.17g} {high[2]:.17g} {yz:.17g}"]
        kind = "element" if element else "type"
        lines.append(f"ITEM: ATOMS id {kind} {positions} vx vy vz")
        scaled = "s" in positions
        where = (
            (frame.positions - ORIGIN) @ np.linalg.inv(frame.cell)
            if scaled
            else frame.positions
        )
        factor = 1e3 if units == "metal" else 1.0
        for atom in np.roll(np.arange(4), count):
            name = "OH"[int(NUMBERS[atom] == 1)]
            kind = name if element else {"O": "1", "H": "2"}[name]
            row = [*where[atom], *(factor * frame.velocities[atom])]
            lines.append(f"{atom + 1} {kind} " + " ".join(f"{x:.17g}" for x in row))
    path.write_text("\n".join(lines) + "\n")
    return path


def read(path, **options):
    return list(Trajectory(path, **options))


@pytest.mark.parametrize("positions", ["x y z", "xu yu zu", "xs ys zs", "xsu ysu zsu"])
@pytest.mark.parametrize("box", [0, "abc"])
def test_a_dump_with_any_positions_gives_the_frames(tmp_path, frames, positions, box):
    path = write_dump(tmp_path / "a.dump", frames, positions, units="real", box=box)
    assert_same(read(path, elements=OXYGEN_HYDROGEN), frames)


def test_units_of_a_dump_are_obeyed(tmp_path, frames):
    path = write_dump(tmp_path / "a.lammpstrj", frames, element=True, units="metal")
    assert_same(read(path), frames)
    # Elements of types say nothing where there are no types.
    assert_same(read(path, elements=OXYGEN_HYDROGEN), frames)
    slow = read(path, velocities_unit="Angstrom/fs")
    np.testing.assert_allclose(slow[1].velocities, 1e3 * frames[1].velocities)


def test_an_upright_box_with_walls_is_read(tmp_path):
    text = (
        "ITEM: TIMESTEP\n7\nITEM: NUMBER OF ATOMS\n1\nITEM: BOX BOUNDS pp ff pp\n"
        "0 2\n-1 3\n0 5\nITEM: ATOMS id type x y z vx vy vz\n1 1 0 0 0 1 2 3\n"
    )
    (tmp_path / "a.dump").write_text(text)
    options = {"elements": {"1": "H"}, "velocities_unit": "Angstrom/ps"}
    (frame,) = read(tmp_path / "a.dump", **options)
    assert frame.cell.tolist() == np.diag([2.0, 4.0, 5.0]).tolist()
    assert frame.pbc == (True, False, True)
    assert frame.velocities.tolist() == [[1e-3, 2e-3, 3e-3]]


@pytest.mark.parametrize(
    ("old", "new", "kind", "message"),
    [
        ("ITEM: UNITS\nreal\n", "", UnitError, "velocities_unit must be one of"),
        ("real", "lj", UnitError, "units of the dump are 'lj'"),
        ("ATOMS id type", "ATOMS nr type", FormatError, "no column id"),
        ("x y z vx", "a b c vx", FormatError, "no columns x y z"),
        ("id type", "id kind", FormatError, "elements of the atoms are not known"),
        ("TIMESTEP", "STEP", FormatError, "the item 'STEP' is unknown"),
        ("OF ATOMS\n4", "OF ATOMS\nfour", FormatError, "not readable as a LAMMPS dump"),
        ("OF ATOMS\n4", "OF ATOMS\n0", FormatError, "0 atoms are no frame"),
        ("OF ATOMS\n4", "OF ATOMS\n3", FormatError, "'ITEM:' was expected"),
        ("ITEM: TIMESTEP\n0\n", "", FormatError, "the frame has no TIMESTEP"),
        ("pp pp pp\n", "pp pp pp\n1 x\n", FormatError, "line 1"),
    ],
)
def test_a_damaged_dump_is_refused(tmp_path, frames, old, new, kind, message):
    path = write_dump(tmp_path / "a.dump", frames[:1], units="real")
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(kind, match=message) as error:
        read(path, elements=OXYGEN_HYDROGEN)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("keep", [0.35, 0.78, 0.999])
def test_a_cut_dump_gives_its_whole_frames_and_then_an_error(tmp_path, frames, keep):
    path = write_dump(tmp_path / "a.dump", frames, units="real")
    path.write_text(path.read_text()[: int(keep * path.stat().st_size)])
    trajectory = Trajectory(path, elements=OXYGEN_HYDROGEN)
    assert_same(
        [trajectory.next_frame() for _ in range(int(keep * 5))], frames[: int(keep * 5)]
    )
    with pytest.raises(FormatError, match=r"complete|cut|has \d+ lines"):
        trajectory.next_frame()


def test_types_without_element_are_named(tmp_path, frames):
    path = write_dump(tmp_path / "a.dump", frames, units="real")
    with pytest.raises(FormatError, match="the type 2 has no element; known are 1=O"):
        read(path, elements={"1": "O"})
    with pytest.raises(FormatError, match="there is no element 'Xy'"):
        read(path, elements={"1": "O", "2": "Xy"})


COMPRESSORS = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


def compressed(path, suffix):
    target = path.with_name(path.name + suffix)
    if suffix == ".zst":
        zstd = pytest.importorskip(
            "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
        )
        target.write_bytes(zstd.compress(path.read_bytes()))
    else:
        target.write_bytes(COMPRESSORS[suffix](path.read_bytes()))
    return target


def write_xyz(path, frames):
    write_extxyz(path, [LabelledFrame(frame, Tensors(), {}) for frame in frames])
    return path


@pytest.mark.parametrize("suffix", ["", ".gz", ".bz2", ".xz", ".zst"])
def test_compressed_text_is_read_as_it_is(tmp_path, frames, suffix):
    xyz = write_xyz(tmp_path / "a.extxyz", frames)
    dump = write_dump(tmp_path / "a.dump", frames, element=True, units="real")
    for path in (xyz, dump):
        path = compressed(path, suffix) if suffix else path
        assert_same(read(path), frames)
    labelled = [item.frame for item in read_extxyz(xyz)]
    assert_same(labelled, frames, digits=0)


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".zst"])
def test_a_cut_compressed_file_is_refused(tmp_path, frames, suffix):
    path = compressed(write_xyz(tmp_path / "a.extxyz", frames), suffix)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(FormatError, match="Is the file complete"):
        read(path)


def test_zstandard_without_its_package_says_what_to_install(
    tmp_path, frames, monkeypatch
):
    path = tmp_path / "a.extxyz.zst"
    path.write_bytes(b"x")
    for name in ("compression.zstd", "backports.zstd"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(SettingsError, match=r"pip install mimyria\[zstd\]"):
        read(path)


def write_h5md(path, frames, *, fixed=True, species=NUMBERS, units=True):
    with h5py.File(path, "w") as file:
        group = file.create_group("particles/all")
        for name, field, unit, scale in (
            ("position", "positions", "nm", 0.1),
            ("velocity", "velocities", "nm ps-1", 100.0),
        ):
            part = group.create_group(name)
            part["value"] = scale * np.stack([getattr(f, field) for f in frames])
            part["step"] = [frame.step for frame in frames]
            if units:
                part["value"].attrs["unit"] = unit
        box = group.create_group("box")
        box.attrs["boundary"] = ["periodic"] * 3
        if fixed:
            box["edges"] = 0.1 * CELL
        else:
            box["edges/value"] = 0.1 * np.stack([frame.cell for frame in frames])
        group["species"] = species
    return path


@pytest.mark.parametrize("fixed", [True, False])
def test_h5md_gives_the_frames(tmp_path, frames, fixed):
    path = write_h5md(tmp_path / "a.h5md", frames, fixed=fixed)
    assert_same(read(path), frames)


def test_species_of_h5md_may_be_types_or_symbols(tmp_path, frames):
    path = write_h5md(tmp_path / "a.h5", frames, species=[1, 2, 2, 1])
    assert_same(read(path, elements=OXYGEN_HYDROGEN), frames)
    symbols = np.array([b"O", b"H", b"H", b"O"])
    assert_same(read(write_h5md(tmp_path / "b.h5", frames, species=symbols)), frames)


def test_h5md_that_lacks_something_is_refused(tmp_path, frames):
    path = write_h5md(tmp_path / "a.h5", frames, units=False)
    with pytest.raises(UnitError, match="position must have the attribute unit"):
        read(path)
    with pytest.raises(FormatError, match=r"the species \['0'\] are no elements"):
        read(write_h5md(tmp_path / "b.h5", frames, species=[0] * 4))
    with h5py.File(path, "r+") as file:
        del file["particles/all/velocity"]
    with pytest.raises(FormatError, match="Wanted are position, velocity"):
        read(path)
    (tmp_path / "c.h5").write_bytes(b"nothing")
    with pytest.raises(FormatError, match="not readable as HDF5"):
        read(tmp_path / "c.h5")


def test_the_fraction_rises_to_one(tmp_path, frames):
    for path, options in (
        (write_dump(tmp_path / "a.dump", frames, element=True, units="real"), {}),
        (write_h5md(tmp_path / "a.h5", frames), {}),
    ):
        trajectory = Trajectory(path, **options)
        found = [trajectory.fraction for _ in trajectory]
        assert found == sorted(found)
        assert found[-1] == 1.0


def test_the_format_can_be_said(tmp_path, frames):
    path = write_dump(tmp_path / "a.txt", frames, element=True, units="real")
    assert_same(read(path, kind="lammps"), frames)
    with pytest.raises(SettingsError, match="must be one of extxyz, lammps, h5md"):
        read(path, kind="pdb")
    with pytest.raises(FormatError, match="there is no such trajectory"):
        read(tmp_path / "b.dump")


def test_elements_are_parsed():
    assert parse_elements(["1=O", "2=H"]) == OXYGEN_HYDROGEN
    assert parse_elements([]) is None
    with pytest.raises(SettingsError, match="as 1=O, but is 'O'"):
        parse_elements(["O"])


LAMMPS = """
units           {units}
atom_style      atomic
region          box prism 0 9 0 8.5 0 8 1.5 -0.7 1.1
create_box      2 box
create_atoms    1 random 20 4711 box
set             group all type/fraction 2 0.5 99
mass            1 15.999
mass            2 1.008
pair_style      zero 3.0
pair_coeff      * *
velocity        all create 300 87287
fix             1 all nve
dump            1 all custom 1 a.dump id type {columns} vx vy vz
dump_modify     1 format float %.17g {modify}
run             3
write_dump      all custom last.dump id type x y z vx vy vz modify sort id &
                format float %.17g
"""


@pytest.mark.engine
@pytest.mark.parametrize("units", ["real", "metal"])
@pytest.mark.parametrize("columns", ["x y z", "xu yu zu", "xs ys zs", "xsu ysu zsu"])
def test_a_real_dump_of_a_triclinic_cell_is_read(tmp_path, units, columns):
    program = "/usr/bin/lmp"
    try:
        subprocess.run(
            [program, "-log", "none", "-screen", "none"],
            input=LAMMPS.format(units=units, columns=columns, modify="units yes"),
            cwd=tmp_path, text=True, check=True, timeout=60, capture_output=True,
        )  # fmt: skip
    except FileNotFoundError:
        pytest.skip(f"there is no {program}")
    found = read(tmp_path / "a.dump", elements=OXYGEN_HYDROGEN)
    assert [frame.step for frame in found] == [0, 1, 2, 3]
    np.testing.assert_allclose(found[0].cell, CELL, atol=1e-9)
    plain = {"real": "Angstrom/fs", "metal": "Angstrom/ps"}[units]
    (last,) = read(
        tmp_path / "last.dump", elements=OXYGEN_HYDROGEN, velocities_unit=plain
    )
    # Wrapped and unwrapped positions differ by whole lattice vectors only.
    apart = (found[-1].positions - last.positions) @ np.linalg.inv(last.cell)
    np.testing.assert_allclose(apart, np.round(apart), atol=1e-9)
    np.testing.assert_allclose(found[-1].velocities, last.velocities, rtol=1e-12)
    speed = np.sqrt(np.mean(last.velocities**2))
    assert 1e-3 < speed < 3e-2  # Å/fs at 300 K, whatever the unit of the file
