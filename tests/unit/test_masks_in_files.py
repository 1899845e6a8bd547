"""Masks of labels in extended XYZ: said by a column, and by nothing else."""

from pathlib import Path

import ase.io
import numpy as np
import pytest

from mimyria.data.dataset import read_dataset
from mimyria.errors import FormatError, ShapeError
from mimyria.frame import Frame
from mimyria.io import LabelledFrame, read_extxyz, write_extxyz
from mimyria.targets import APT, PGT
from mimyria.tensors import Tensors

HAND_WRITTEN = """3
Properties=species:S:1:pos:R:3:REF_apt:R:9:REF_apt_mask:L:1 apt_order="dM_a/dr_b" \
apt_unit="e" pbc="F F F"
O 0 0 0    1 2 3 4 5 6 7 8 9              T
H 1 0 0    nan nan nan 0 0 0 1 1 1        F
H 0 1 0    9 8 7 6 5 4 3 2 1              True
"""


def labelled_frame(rng, masks, *, n_atoms=4):
    numbers = np.array([8, 1, 1, 17][:n_atoms], np.int64)
    frame = Frame(numbers, rng.normal(size=(n_atoms, 3)), np.eye(3) * 9, None, 3)
    pgt = rng.normal(size=(n_atoms, 3, 3, 3))
    tensors = Tensors(rng.normal(size=(n_atoms, 3, 3)), pgt + pgt.swapaxes(1, 2))
    return LabelledFrame(frame, tensors, {}, masks)


def test_masks_come_back_with_the_labels_to_the_bit_and_nothing_else(rng, tmp_path):
    apt, pgt = np.array([True, False, True, False]), np.array([False, True, True, True])
    path = tmp_path / "frames.extxyz"
    before = [
        labelled_frame(rng, {"apt": apt, "pgt": pgt}),
        labelled_frame(rng, {"pgt": pgt}),
        labelled_frame(rng, {}),
    ]
    write_extxyz(path, before)
    after = list(read_extxyz(path))
    assert [sorted(frame.masks) for frame in after] == [["apt", "pgt"], ["pgt"], []]
    for one, other in zip(before, after, strict=True):
        for name in ("apt", "pgt"):
            known = one.labelled(name)
            assert np.array_equal(known, other.labelled(name))
            written, read = getattr(one.tensors, name), getattr(other.tensors, name)
            assert np.array_equal(written[known], read[known])
            assert np.isnan(read[~known]).all()


def test_a_file_written_by_hand_is_read_and_ase_reads_ours(tmp_path):
    path = tmp_path / "frames.extxyz"
    path.write_text(HAND_WRITTEN)
    (frame,) = read_extxyz(path)
    assert frame.labelled("apt").tolist() == [True, False, True]
    assert frame.tensors.apt[0].tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    assert np.isnan(frame.tensors.apt[1]).all()
    write_extxyz(path, [frame])
    atoms = ase.io.read(path)
    assert atoms.arrays["REF_apt_mask"].tolist() == [True, False, True]
    assert atoms.arrays["REF_apt"][2].tolist() == [9, 8, 7, 6, 5, 4, 3, 2, 1]


def test_predictions_have_masks_of_their_own(rng, tmp_path):
    path = tmp_path / "frames.extxyz"
    mask = np.array([True, True, False, False])
    write_extxyz(path, [labelled_frame(rng, {"apt": mask})], prefix="")
    assert ":apt_mask:L:1" in path.read_text()
    assert next(read_extxyz(path)).labelled("apt").tolist() == mask.tolist()


def test_a_number_that_is_not_finite_is_an_error_and_no_mask(rng, tmp_path):
    path = tmp_path / "frames.extxyz"
    write_extxyz(path, [labelled_frame(rng, {"apt": np.array([1, 0, 1, 1], bool)})])
    text = path.read_text().replace(" F T", " T T").replace(" F\n", " T\n")
    path.write_text(text)
    with pytest.raises(
        FormatError, match=r"frame 0: apt of atom 1 is not finite.*mask"
    ):
        list(read_extxyz(path))
    tensors = Tensors(np.full((4, 3, 3), np.inf))
    with pytest.raises(FormatError, match="apt of atom 0 is not finite"):
        LabelledFrame(labelled_frame(rng, {}).frame, tensors)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("REF_apt_mask:L:1", "REF_apt_mask:I:1", "must hold one T or F"),
        ("REF_apt:R:9", "REF_tpa:R:9", "REF_apt_mask, but no REF_apt"),
    ],
)
def test_masks_of_another_kind_or_without_labels_are_refused(
    tmp_path, old, new, message
):
    text = HAND_WRITTEN.replace(old, new)
    if ":I:1" in new:
        text = text.replace("True", "T").replace("  T\n", "  1\n").replace("F\n", "0\n")
        text = text.replace('"F F 0', '"F F F')
    path = tmp_path / "frames.extxyz"
    path.write_text(text)
    with pytest.raises(FormatError, match=message):
        list(read_extxyz(path))


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ({"apt": np.ones(3, bool)}, "one truth value for each of the 4 atoms"),
        ({"apt": np.ones(4)}, "type float64"),
        ({"dipole": np.ones(4, bool)}, "a mask of dipole, but there is no dipole"),
    ],
)
def test_masks_that_do_not_fit_are_refused(rng, masks, message):
    with pytest.raises(ShapeError, match=message):
        labelled_frame(rng, masks)


def test_tensors_of_another_number_of_atoms_are_refused(rng):
    with pytest.raises(ShapeError, match="a row for each of the 4 atoms, but has 2"):
        LabelledFrame(labelled_frame(rng, {}).frame, Tensors(np.zeros((2, 3, 3))))


def write_masked(path: Path, rng, mask) -> None:
    write_extxyz(path, [labelled_frame(rng, {"apt": np.array(mask, bool)})])


def test_a_dataset_carries_masks_through_splitting(rng, tmp_path):
    path = tmp_path / "frames.extxyz"
    masks = [[1, 1, 0, 0], [1, 1, 1, 1], [0, 0, 1, 1]]
    write_extxyz(path, [labelled_frame(rng, {"apt": np.array(m, bool)}) for m in masks])
    dataset = read_dataset(path, (APT,))
    assert [atoms.tolist() for atoms in dataset.labelled] == [
        [0, 1],
        [0, 1, 2, 3],
        [2, 3],
    ]
    assert dataset.complete == (False, True, False)
    assert (dataset.n_labelled, dataset.n_atoms) == (8, 12)
    part = dataset.subset([2, 1])
    assert [atoms.tolist() for atoms in part.labelled] == [[2, 3], [0, 1, 2, 3]]
    assert part.labelled_numbers.tolist() == [1, 17, 8, 1, 1, 17]
    assert read_dataset(path, (PGT,)).complete == (True, True, True)


def test_a_frame_without_any_label_is_refused(rng, tmp_path):
    path = tmp_path / "frames.extxyz"
    write_masked(path, rng, [0, 0, 0, 0])
    with pytest.raises(
        FormatError, match=r"frame 0 has no atom with a label in REF_apt"
    ):
        read_dataset(path, (APT,))


def test_an_element_that_has_no_label_anywhere_is_named(rng, tmp_path):
    path = tmp_path / "frames.extxyz"
    write_masked(path, rng, [1, 1, 1, 0])
    with pytest.raises(FormatError, match="no atom of Cl has a label of apt"):
        read_dataset(path, (APT,))
