"""Extended XYZ: numbers come back to the bit, and nothing about a tensor is guessed."""

from pathlib import Path

import numpy as np
import pytest

from mimyria.errors import FormatError, OutputError, ShapeError, UnitError
from mimyria.frame import Frame
from mimyria.io import LabelledFrame, read_extxyz, write_extxyz
from mimyria.tensors import Tensors
from mimyria.units import ANGSTROM_PER_BOHR, BOHR_PER_ANGSTROM, FS_PER_ATOMIC_TIME

WATER = (
    Path(__file__).parents[2].parent
    / "shared"
    / "data"
    / "water16-rpbe"
    / "configurations.extxyz"
)
needs_water = pytest.mark.skipif(not WATER.is_file(), reason=f"no data at {WATER}")
TRICLINIC = np.array([[9.1, 0.0, 0.0], [-2.3, 8.4, 0.0], [1.7, 0.9, 7.7]])


def frame(seed=0, *, cell=TRICLINIC, velocities=True, step=7, replica=2):
    rng = np.random.default_rng(seed)
    return Frame(
        np.array([8, 1, 1, 17], np.int64),
        rng.normal(size=(4, 3)) * 1e3,
        np.asarray(cell, np.float64),
        rng.normal(size=(4, 3)) * 1e-3 if velocities else None,
        step,
        replica,
    )


def tensors(seed=1):
    rng = np.random.default_rng(seed)
    pgt = rng.normal(size=(4, 3, 3, 3))
    return Tensors(rng.normal(size=(4, 3, 3)), 0.5 * (pgt + pgt.swapaxes(1, 2)))


def assert_same_frame(one, other):
    for name in ("numbers", "positions", "cell", "velocities"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name
    assert (one.step, one.replica, one.pbc) == (other.step, other.replica, other.pbc)


@pytest.mark.parametrize("prefix", ["REF_", ""])
def test_frames_and_tensors_come_back_to_the_bit(tmp_path, prefix):
    path = tmp_path / "frames.extxyz"
    info = {"source": 'a "quoted" text', "id": 3, "energy_eV": 0.1 + 0.2, "good": True}
    written = [LabelledFrame(frame(k, step=10 * k), tensors(k), info) for k in range(3)]
    write_extxyz(path, written, prefix=prefix)
    read = list(read_extxyz(path))
    assert len(read) == 3
    for before, after in zip(written, read, strict=True):
        assert_same_frame(before.frame, after.frame)
        assert np.array_equal(before.tensors.apt, after.tensors.apt)
        assert np.array_equal(before.tensors.pgt, after.tensors.pgt)
        assert after.info == info
    assert f"{prefix}apt:R:9" in path.read_text()


@pytest.mark.parametrize("pbc", [(True, True, False), (False, False, False)])
def test_periodicity_comes_back(tmp_path, pbc):
    path = tmp_path / "frames.extxyz"
    plain = frame()
    slab = Frame(
        plain.numbers, plain.positions, plain.cell, plain.velocities, 7, 2, pbc
    )
    write_extxyz(path, [LabelledFrame(slab, Tensors())])
    assert_same_frame(slab, next(read_extxyz(path)).frame)


def test_a_molecule_without_cell_velocities_and_tensors_comes_back(tmp_path):
    path = tmp_path / "molecule.extxyz"
    plain = frame(velocities=False)
    molecule = Frame(
        plain.numbers, plain.positions, np.zeros((3, 3)), None, 0, pbc=(False,) * 3
    )
    write_extxyz(path, [LabelledFrame(molecule, Tensors())])
    read = next(read_extxyz(path))
    assert not read.frame.cell.any()
    assert read.frame.velocities is None
    assert read.frame.pbc == (False, False, False)
    assert read.tensors.apt is None
    assert read.tensors.pgt is None


@needs_water
def test_the_water_set_is_read_in_its_order_and_unit():
    read = list(read_extxyz(WATER))
    assert len({labelled.info["id"] for labelled in read}) == len(read) >= 7
    first = read[0]
    assert first.frame.numbers.tolist()[:4] == [8, 1, 1, 8]
    assert first.frame.n_atoms == 48
    assert np.allclose(first.frame.cell, 7.821026 * np.eye(3))
    assert first.frame.velocities is None
    # First oxygen as it stands in the file, row-major [a][b] and [a][b][c].
    assert first.tensors.apt[0, 0].tolist() == [-0.94303939, 0.07536118, 0.13804207]
    assert first.tensors.apt[0, 1, 0] == 0.01461169
    assert first.tensors.pgt[0, 0, 0].tolist() == [
        -11.31321584,
        -2.67752177,
        6.74259526,
    ]
    assert first.tensors.pgt[0, 0, 1, 0] == -1.99604637
    for labelled in read:
        pgt = labelled.tensors.pgt
        assert np.array_equal(pgt, pgt.swapaxes(1, 2))  # in a and b, not with c
        residual = labelled.tensors.sum_rule_residual()
        assert np.abs(residual.apt).max() < 0.1  # e, per cell of 48 atoms
        assert np.abs(residual.pgt).max() < 1.5


@needs_water
def test_the_water_set_comes_back_to_the_bit_after_writing(tmp_path):
    path = tmp_path / "copy.extxyz"
    before = list(read_extxyz(WATER))
    write_extxyz(path, before)
    for one, other in zip(before, read_extxyz(path), strict=True):
        assert np.array_equal(one.tensors.apt, other.tensors.apt)
        assert np.array_equal(one.tensors.pgt, other.tensors.pgt)
        assert one.info == other.info


def rewrite(tmp_path, *replacements):
    """A written file with words of its comment lines replaced."""
    path = tmp_path / "frames.extxyz"
    write_extxyz(path, [LabelledFrame(frame(), tensors())])
    text = path.read_text()
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)
    return path


APT_ORDER = ' apt_order="dM_a/dr_b"'
PGT_ORDER = ' pgt_order="dalpha_ab/dr_c"'


@pytest.mark.parametrize(
    ("words", "attribute"),
    [
        (APT_ORDER, "apt_order"),
        (' apt_unit="e"', "apt_unit"),
        (PGT_ORDER, "pgt_order"),
        (' pgt_unit="e^2 a0^2 Eh^-1 Angstrom^-1"', "pgt_unit"),
        (' velocities_unit="Angstrom/fs"', "velocities_unit"),
    ],
)
def test_what_the_file_does_not_say_is_asked_for(tmp_path, words, attribute):
    path = rewrite(tmp_path, (words, ""))
    with pytest.raises(
        UnitError, match=rf"frame 0: {attribute} .*Add {attribute}="
    ) as e:
        next(read_extxyz(path))
    assert f"give the argument {attribute}" in str(e.value)
    value = words.split("=", 1)[1].strip('"')
    assert next(read_extxyz(path, **{attribute: value})).tensors.apt is not None


def test_an_unknown_order_is_refused_by_name(tmp_path):
    path = rewrite(tmp_path, ("dM_a/dr_b", "dF_a/dE_b"))
    with pytest.raises(UnitError, match='"dF_a/dE_b" is none of them'):
        next(read_extxyz(path))


def test_a_transposed_apt_is_turned_round(tmp_path):
    ours = tensors().apt
    assert (
        np.abs(ours - ours.swapaxes(1, 2)).max() > 0.5
    )  # a symmetric one shows nothing
    path = rewrite(tmp_path, (APT_ORDER, ' apt_order="dM_b/dr_a row-major [a][b]"'))
    read = next(read_extxyz(path)).tensors.apt
    for i in range(4):
        for a in range(3):
            for b in range(3):
                assert read[i, a, b] == ours[i, b, a]


def test_a_pgt_with_the_displacement_first_is_turned_round(tmp_path):
    ours = tensors().pgt
    path = rewrite(tmp_path, (PGT_ORDER, ' pgt_order="dalpha_bc/dr_a"'))
    read = next(read_extxyz(path)).tensors.pgt
    for i in range(4):
        for a in range(3):
            for b in range(3):
                for c in range(3):
                    assert read[i, b, c, a] == ours[i, a, b, c]


@pytest.mark.parametrize(
    ("attribute", "unit", "factor"),
    [
        ("pgt_unit", "e^2 a0^2 Eh^-1 a0^-1", BOHR_PER_ANGSTROM),
        ("pgt_unit", "Angstrom^2", BOHR_PER_ANGSTROM**3),
        ("velocities_unit", "Angstrom/ps", 1e-3),
        ("velocities_unit", "nm/ps", 1e-2),
        (
            "velocities_unit",
            "bohr/atomic time",
            ANGSTROM_PER_BOHR / FS_PER_ATOMIC_TIME,
        ),
    ],
)
def test_known_units_are_converted(tmp_path, attribute, unit, factor):
    path = rewrite(tmp_path)
    plain = next(read_extxyz(path))
    converted = next(read_extxyz(path, **{attribute: unit}))
    if attribute == "pgt_unit":
        assert np.array_equal(converted.tensors.pgt, plain.tensors.pgt * factor)
    else:
        assert np.array_equal(
            converted.frame.velocities, plain.frame.velocities * factor
        )


def test_labels_go_before_predictions(tmp_path):
    path = tmp_path / "frames.extxyz"
    write_extxyz(path, [LabelledFrame(frame(), Tensors(tensors().apt))])
    lines = path.read_text().splitlines()
    lines[1] = lines[1].replace("REF_apt:R:9", "REF_apt:R:9:apt:R:9")
    lines[2:] = [line + " 0" * 9 for line in lines[2:]]
    path.write_text("\n".join(lines) + "\n")
    assert np.array_equal(next(read_extxyz(path)).tensors.apt, tensors().apt)


def test_without_steps_the_place_in_the_file_counts(tmp_path):
    path = tmp_path / "frames.extxyz"
    write_extxyz(path, [LabelledFrame(frame(), Tensors())] * 2)
    path.write_text(path.read_text().replace("step=7 replica=2 ", ""))
    assert [labelled.frame.step for labelled in read_extxyz(path)] == [0, 1]


def test_a_column_of_other_width_is_refused(tmp_path):
    path = rewrite(tmp_path, ("REF_pgt:R:27", "other:R:18:REF_pgt:R:9"))
    with pytest.raises(ShapeError, match=r"the column pgt must have 27 numbers"):
        next(read_extxyz(path))


@pytest.mark.parametrize("keep", [0.3, 0.6, 0.9])
def test_a_cut_file_is_refused(tmp_path, keep):
    path = tmp_path / "frames.extxyz"
    write_extxyz(path, [LabelledFrame(frame(), tensors())])
    text = path.read_text()
    path.write_text(text[: int(keep * len(text))])
    with pytest.raises((FormatError, ShapeError), match="frame 0"):
        list(read_extxyz(path))


def test_a_cut_last_frame_is_not_lost_silently(tmp_path):
    path = tmp_path / "frames.extxyz"
    write_extxyz(path, [LabelledFrame(frame(), Tensors())] * 2)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-2]))
    with pytest.raises(FormatError, match=r"frame \d: not readable"):
        list(read_extxyz(path))


def test_an_empty_file_is_refused(tmp_path):
    path = tmp_path / "frames.extxyz"
    path.write_text("")
    with pytest.raises(FormatError, match="holds no frame"):
        list(read_extxyz(path))


def test_a_missing_file_is_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_extxyz(tmp_path / "nowhere.extxyz")


def test_an_unknown_argument_is_refused():
    with pytest.raises(TypeError, match="no argument apt_ordre"):
        read_extxyz(WATER, apt_ordre="dM_a/dr_b")


def test_info_that_does_not_fit_a_line_is_refused_and_leaves_no_file(tmp_path):
    path = tmp_path / "frames.extxyz"
    bad = LabelledFrame(frame(), Tensors(), {"note": "two\nlines"})
    with pytest.raises(FormatError, match=r"info\['note'\] must be"):
        write_extxyz(path, [bad])
    clash = LabelledFrame(frame(), Tensors(), {"step": 1})
    with pytest.raises(FormatError, match="info may not hold 'step'"):
        write_extxyz(path, [clash])
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_an_output_error(tmp_path):
    with pytest.raises(OutputError, match="Does the folder exist"):
        write_extxyz(tmp_path / "no" / "f.extxyz", [LabelledFrame(frame(), Tensors())])
