"""Labels of other programs: nothing about an order or a unit is guessed."""

import json

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from mimyria.cli import main
from mimyria.cli.import_.labels import ORDERS, UNITS
from mimyria.data.dataset import read_dataset
from mimyria.data.importing import Convention
from mimyria.data.labelchecks import label_report
from mimyria.errors import ShapeError, UnitError
from mimyria.io import LabelledFrame, read_extxyz
from mimyria.io.atoms import frame_from_atoms
from mimyria.io.layouts import TENSOR_LAYOUTS
from mimyria.targets import APT, PGT
from mimyria.tensors import Tensors
from mimyria.units import BOHR_PER_ANGSTROM, E_ANGSTROM_PER_DEBYE, EV_PER_HARTREE

CELL = [[9.0, 0.0, 0.0], [1.5, 8.5, 0.0], [-0.7, 1.1, 8.0]]
AU = PGT.unit


@pytest.fixture
def atoms():
    positions = [[0.1, 0.05, -0.02], [1.057, 0.06, 0.03], [-0.14, 0.93, 0.1]]
    return Atoms("OH2", positions, cell=CELL, pbc=True)


@pytest.fixture
def apt(rng):
    """(3, 3, 3) e — not symmetric, with a sum of zero."""
    tensors = rng.normal(size=(3, 3, 3))
    return tensors - tensors.mean(axis=0)


@pytest.fixture
def pgt(rng):
    tensors = rng.normal(size=(3, 3, 3, 3))
    return tensors + tensors.swapaxes(1, 2)


def imported(path, output, *options):
    assert main(["import", "labels", str(path), "--output", str(output), *options]) == 0
    return list(read_extxyz(output))


def refused(capsys, path, *options):
    """The one line of the error."""
    code = main(["import", "labels", str(path), "--output", "never.xyz", *options])
    assert code != 0
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    return lines[0]


def test_the_help_names_all_orders_and_units():
    for layout in TENSOR_LAYOUTS:
        assert ORDERS[layout.target.name] == tuple(layout.orders)
        assert UNITS[layout.target.name] == tuple(layout.factors)


@pytest.mark.parametrize("name", ["born_charge", "BEC", "Zstar", "REF_apt"])
def test_both_orders_lead_to_ours(tmp_path, atoms, apt, name):
    for order, stored in (("dM_a/dr_b", apt), ("dM_b/dr_a", apt.swapaxes(1, 2))):
        atoms.arrays[name] = stored.reshape(3, 9)
        write(tmp_path / "in.xyz", [atoms, atoms], format="extxyz")
        frames = imported(
            tmp_path / "in.xyz", tmp_path / "out.xyz",
            "--apt-order", order, "--apt-unit", "e",
        )  # fmt: skip
        assert len(frames) == 2
        for frame in frames:
            assert np.abs(frame.tensors.apt - apt).max() < 1e-7  # eight digits of ASE
            assert frame.tensors.pgt is None
            assert np.allclose(frame.frame.cell, CELL)


def test_what_was_imported_can_be_trained_on(tmp_path, atoms, apt, pgt):
    atoms.arrays["z"], atoms.arrays["q"] = apt.reshape(3, 9), pgt.reshape(3, 27)
    write(tmp_path / "in.xyz", atoms, format="extxyz")
    imported(
        tmp_path / "in.xyz", tmp_path / "out.xyz",
        "--apt", "z", "--apt-order", "dM_a/dr_b", "--apt-unit", "e",
        "--pgt", "q", "--pgt-order", "dalpha_ab/dr_c", "--pgt-unit", "a.u./bohr",
    )  # fmt: skip
    found = read_dataset(tmp_path / "out.xyz", (PGT,))
    assert np.abs(found.labels[0] - BOHR_PER_ANGSTROM * pgt.reshape(3, 27)).max() < 1e-6
    assert read_dataset(tmp_path / "out.xyz", (APT,)).species == (1, 8)


def test_without_order_one_line_says_how_to_find_out(tmp_path, atoms, apt, capsys):
    apt[1] = np.diag([1.0, 2.0, 3.0])
    atoms.arrays["bec"] = apt.reshape(3, 9)
    write(tmp_path / "in.xyz", atoms, format="extxyz")
    skew = int(np.abs(apt - apt.swapaxes(1, 2)).max(axis=(1, 2)).argmax())
    line = refused(capsys, tmp_path / "in.xyz", "--apt-unit", "e")
    assert "give --apt-order dM_a/dr_b or dM_b/dr_a" in line
    assert f"displace atom {skew} of frame 0" in line
    assert f"first row ({apt[skew, 0, 0]:.4f}, {apt[skew, 0, 1]:.4f}" in line
    assert f"first column ({apt[skew, 0, 0]:.4f}, {apt[skew, 1, 0]:.4f}" in line
    atoms.arrays["bec"] = np.tile(np.eye(3).ravel(), (3, 1))
    write(tmp_path / "symmetric.xyz", atoms, format="extxyz")
    line = refused(capsys, tmp_path / "symmetric.xyz", "--apt-unit", "e")
    assert "All tensors of frame 0 are symmetric, so it tells nothing" in line
    line = refused(capsys, tmp_path / "in.xyz", "--apt-order", "dM_a/dr_b")
    assert 'apt_unit must be one of "e", "Debye/Angstrom"' in line
    assert "Give --apt-order and --apt-unit" in line
    line = refused(capsys, tmp_path / "in.xyz", "--apt-order", "rows")
    assert '"rows" is none of them' in line


def test_a_missing_array_and_too_many_are_named(tmp_path, atoms, apt, capsys):
    atoms.arrays["thing"] = apt.reshape(3, 9)
    write(tmp_path / "in.xyz", atoms, format="extxyz")
    line = refused(capsys, tmp_path / "in.xyz")
    assert "thing (3, 9)" in line
    assert "Name one with --apt NAME" in line
    atoms.arrays["bec"] = atoms.arrays["zstar"] = atoms.arrays["thing"]
    write(tmp_path / "in.xyz", atoms, format="extxyz")
    assert "may be any of bec, zstar" in refused(capsys, tmp_path / "in.xyz")


def test_properties_of_ase_are_found(tmp_path, atoms, apt):
    atoms.calc = SinglePointCalculator(atoms, born_effective_charges=apt)
    write(tmp_path / "in.traj", atoms)
    (frame,) = imported(
        tmp_path / "in.traj", tmp_path / "out.xyz",
        "--apt-order", "dM_b/dr_a", "--apt-unit", "Debye/Angstrom",
    )  # fmt: skip
    expected = E_ANGSTROM_PER_DEBYE * apt.swapaxes(1, 2)
    assert np.abs(frame.tensors.apt - expected).max() < 1e-14


def test_the_report_gives_sum_rule_and_asymmetry(tmp_path, atoms, apt, capsys):
    apt[0] += 0.3 * np.eye(3)
    atoms.arrays["bec"] = apt.reshape(3, 9)
    write(tmp_path / "in.xyz", atoms, format="extxyz")
    options = ["--apt-order", "dM_a/dr_b", "--apt-unit", "e"]
    imported(tmp_path / "in.xyz", tmp_path / "out.xyz", *options)
    said = capsys.readouterr().out
    assert "apt: bec, read as dM_a/dr_b in e" in said
    assert "1 frames, 3 of 3 atoms with labels" in said
    residual = 0.3 * np.sqrt(3 / 9) / 3
    assert f"leave {residual:.2g} an atom" in said
    assert "largest of a whole frame 0.3" in said
    assert "Look: unit, charge" in said
    skew = np.sqrt(np.mean((apt - apt.swapaxes(1, 2)) ** 2)) / 2
    assert f"antisymmetric {skew:.4g}" in said
    imported(tmp_path / "in.xyz", tmp_path / "out.xyz", *options, "--charge", "0.3")
    assert "Look" not in capsys.readouterr().out
    atoms.arrays["bec"] = (apt + apt.swapaxes(1, 2)).reshape(3, 9)
    write(tmp_path / "in.xyz", atoms, format="extxyz")
    imported(tmp_path / "in.xyz", tmp_path / "out.xyz", *options)
    assert "both orders are the same" in capsys.readouterr().out


def test_molecules_in_vacuum_tell_which_order_is_right(tmp_path, atoms, capsys):
    """Charges that flow with the bonds, and more the wider the angle is."""
    positions = atoms.get_positions()

    def dipole(r):
        first, second = r[1] - r[0], r[2] - r[0]
        wide = (first @ second) ** 2
        return 0.3 * (first + second) + 0.4 * wide * (first - 0.2 * second)

    apt = np.empty((3, 3, 3))
    for i, b in np.ndindex(3, 3):
        moved = np.zeros((3, 3))
        moved[i, b] = 1e-4
        change = dipole(positions + moved) - dipole(positions - moved)
        apt[i, :, b] = change / 2e-4
    atoms.pbc = False
    atoms.arrays["bec"] = apt.reshape(3, 9)
    write(tmp_path / "in.xyz", atoms, format="extxyz")
    said = {}
    for order in ("dM_a/dr_b", "dM_b/dr_a"):
        options = ["--apt-order", order, "--apt-unit", "e"]
        imported(tmp_path / "in.xyz", tmp_path / "out.xyz", *options)
        (line,) = (
            line for line in capsys.readouterr().out.splitlines() if "rotation" in line
        )
        said[order] = line
    right, wrong = said["dM_a/dr_b"], said["dM_b/dr_a"]
    assert "1 frames in vacuum leave" in right
    assert "Look" not in right
    assert wrong.endswith("Look: the other --apt-order obeys it better")
    left = [float(line.split("leave ")[1].split()[0]) for line in (right, wrong)]
    assert left[0] < 1e-6 < 1e-3 < left[1]
    atoms.pbc = True
    write(tmp_path / "in.xyz", atoms, format="extxyz")
    imported(tmp_path / "in.xyz", tmp_path / "out.xyz", *options)
    assert "rotation" not in capsys.readouterr().out


def test_the_residual_is_that_of_a_naive_sum(atoms, apt, pgt):
    apt[0, 0, 1] += 0.6
    frames = [LabelledFrame(frame_from_atoms(atoms), Tensors(apt, pgt))] * 2
    report = label_report(frames, APT)
    assert report.residual == pytest.approx(0.6 / 3 / 3)
    assert report.largest == pytest.approx(0.6)
    total = sum(pgt[atom] for atom in range(3))
    report = label_report(frames, PGT)
    assert report.residual == pytest.approx(np.sqrt(np.mean((total / 3) ** 2)))
    assert report.least is None


def test_rows_of_nan_are_atoms_without_label(tmp_path, atoms, apt, capsys):
    apt[1] = np.nan
    atoms.arrays["bec"] = apt.reshape(3, 9)
    bare = atoms.copy()
    del bare.arrays["bec"]
    write(tmp_path / "in.xyz", [bare, atoms], format="extxyz")
    options = ["--apt-order", "dM_a/dr_b", "--apt-unit", "e"]
    (frame,) = imported(tmp_path / "in.xyz", tmp_path / "out.xyz", *options)
    assert frame.labelled("apt").tolist() == [True, False, True]
    said = capsys.readouterr().out
    assert "2 of 3 atoms with labels" in said
    assert "no frame has labels of all its atoms" in said
    assert "1 frames without labels were left out" in said
    atoms.arrays["bec_mask"] = np.array([True, False, False])
    write(tmp_path / "in.xyz", atoms, format="extxyz")
    (frame,) = imported(tmp_path / "in.xyz", tmp_path / "out.xyz", *options)
    assert frame.labelled("apt").tolist() == [True, False, False]
    del atoms.arrays["bec_mask"]
    atoms.arrays["bec"][2, 4] = np.nan
    write(tmp_path / "in.xyz", atoms, format="extxyz")
    line = refused(capsys, tmp_path / "in.xyz", *options)
    assert "frame 0: apt of atom 2 is not finite" in line


@pytest.mark.parametrize("order", ["dalpha_ab/dr_c", "dalpha_bc/dr_a"])
def test_six_of_nine_components_are_unpacked(pgt, order):
    pairs = ("xx", "yy", "zz", "zy", "xz", "xy")
    numbers = [("xyz".index(a), "xyz".index(b)) for a, b in pairs]
    packed = np.array([[tensor[a, b] for a, b in numbers] for tensor in pgt])
    if order == "dalpha_bc/dr_a":
        packed = packed.swapaxes(1, 2)
    convention = Convention(PGT, "q", order, AU, pairs)
    assert np.array_equal(convention.decode(packed.reshape(3, 18), 3), pgt)
    assert np.array_equal(convention.decode(packed, 3), pgt)
    with pytest.raises(ShapeError, match="Say the order of the six"):
        Convention(PGT, "q", order, AU).decode(packed, 3)
    with pytest.raises(UnitError, match="in some order, but are xx, yy"):
        Convention(PGT, "q", order, AU, ("xx", "yy"))


@pytest.mark.parametrize(
    ("unit", "factor"),
    [
        ("a.u./Angstrom", 1.0),
        ("a.u./bohr", BOHR_PER_ANGSTROM),
        ("Angstrom^2", BOHR_PER_ANGSTROM**3),
        ("e Angstrom V^-1", BOHR_PER_ANGSTROM**2 * EV_PER_HARTREE),
    ],
)
def test_units_of_the_pgt(pgt, unit, factor):
    found = Convention(PGT, "q", "dalpha_ab/dr_c", unit).decode(pgt, 3)
    assert np.allclose(found, factor * pgt, rtol=1e-14)


def test_a_pgt_in_another_order_than_said_is_refused(tmp_path, atoms, pgt, capsys):
    atoms.arrays["pgt"] = pgt.transpose(0, 3, 1, 2).reshape(3, 27)
    write(tmp_path / "in.xyz", atoms, format="extxyz")
    options = ["--pgt-unit", "Angstrom^2", "--pgt-order"]
    line = refused(capsys, tmp_path / "in.xyz", *options, "dalpha_ab/dr_c")
    assert "symmetric in the last two: the index order is another" in line
    (frame,) = imported(
        tmp_path / "in.xyz", tmp_path / "out.xyz", *options, "dalpha_bc/dr_a"
    )
    assert np.abs(frame.tensors.pgt - BOHR_PER_ANGSTROM**3 * pgt).max() < 1e-5


def write_extras(path, name, arrays, first=0):
    with path.open("w") as file:
        for step, array in enumerate(arrays, first):
            file.write(f" #EXTRAS({name})# Step:  {step:10d} \n")
            if name == "raw":
                file.write(json.dumps({"dipole": [0, 0, 0], "BEC": array.tolist()}))
            else:
                file.write("\n".join(" ".join(map(str, row)) for row in array))
            file.write("\n")


@pytest.mark.parametrize("name", ["BEC", "raw"])
def test_extras_of_ipi_belong_to_the_frames_of_their_step(
    tmp_path, atoms, apt, name, capsys
):
    frames = []
    for step in (0, 1):
        frames.append(atoms.copy())
        frames[-1].info["ipi_comment"] = f"positions{{angstrom}} Step: {step} Bead: 0"
    write(tmp_path / "in.xyz", frames, format="extxyz")
    # A row for each coordinate, a column for each direction of the dipole.
    rows = apt.swapaxes(1, 2).reshape(9, 3)
    write_extras(tmp_path / "extras", name, [rows, 2 * rows])
    options = ["--extras", str(tmp_path / "extras"), "--apt-unit", "e"]
    options += ["--apt-order", "dM_b/dr_a"]
    found = imported(tmp_path / "in.xyz", tmp_path / "out.xyz", *options)
    for factor, frame in zip((1, 2), found, strict=True):
        assert np.abs(frame.tensors.apt - factor * apt).max() < 1e-14
    write_extras(tmp_path / "extras", name, [rows, rows], first=1)
    line = refused(capsys, tmp_path / "in.xyz", *options)
    assert "step 1 stands beside a frame of step 0" in line
    write_extras(tmp_path / "extras", name, [rows])
    line = refused(capsys, tmp_path / "in.xyz", *options)
    assert "ends after 1 steps" in line
    write_extras(tmp_path / "extras", name, [rows] * 3)
    assert "has more steps" in refused(capsys, tmp_path / "in.xyz", *options)


def test_damaged_and_misleading_files_are_refused(tmp_path, atoms, apt, capsys):
    options = ["--apt-order", "dM_a/dr_b", "--apt-unit", "e"]
    atoms.arrays["bec"] = apt.reshape(3, 9)
    path = tmp_path / "in.xyz"
    write(path, atoms, format="extxyz")
    path.write_text(path.read_text()[:-30])
    assert "frame 0: ASE cannot read it" in refused(capsys, path, *options)
    path.write_text("1\n# CELL(abcABC): 9 9 9 90 90 90 Step: 0\nO 0 0 0\n")
    assert "text of i-PI whose cell" in refused(capsys, path, *options)
    atoms.info["ipi_comment"] = "positions{atomic_unit} Step: 0"
    write(path, atoms, format="extxyz")
    assert "positions in angstrom" in refused(capsys, path, *options)
    (tmp_path / "extras").write_text("0.1 0.2\n")
    del atoms.info["ipi_comment"]
    write(path, atoms, format="extxyz")
    line = refused(capsys, path, *options, "--extras", str(tmp_path / "extras"))
    assert "must be a header of i-PI" in line
    assert "no file" in refused(capsys, tmp_path / "absent.xyz", *options)
