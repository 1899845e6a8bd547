"""Tensors of displaced atoms travel with the set they belong to."""

from dataclasses import replace

import numpy as np
import pytest

from mimyria.errors import FormatError
from mimyria.frame import Frame
from mimyria.reference.datasheet import data_sheet
from mimyria.reference.displaced import DisplacedTensors
from mimyria.reference.npz import packed, unpacked
from mimyria.reference.referenceset import (
    ReferenceFrame,
    merged,
    read_reference_set,
    write_reference_set,
)
from mimyria.reference.stencils import pgt_stencil, with_zero_field
from mimyria.units import BOHR_PER_ANGSTROM


def reference_frame(name, seed):
    """Forces of a molecule with known tensors: F = P E + Q EE/2."""
    rng = np.random.default_rng(seed)
    apt = rng.normal(size=(3, 3, 3))
    pgt = rng.normal(size=(3, 3, 3, 3))
    pgt += np.swapaxes(pgt, 1, 2)
    fields = with_zero_field(pgt_stencil(2e-3))
    forces = np.einsum("iac,fa->fic", apt, fields) + 0.5 * np.einsum(
        "iabc,fa,fb->fic", pgt / BOHR_PER_ANGSTROM, fields, fields
    )
    places = rng.normal(size=(3, 3))
    frame = Frame(
        np.array([8, 1, 1]), places, np.zeros((3, 3)), None, 0, pbc=(False,) * 3
    )
    return ReferenceFrame(name, frame, fields, forces, {"code": "made"}), apt, pgt


@pytest.fixture
def checked():
    frame, apt, pgt = reference_frame("0003", 3)
    found = DisplacedTensors((2, 0), 0.01, 0.01, apt[[2, 0]], pgt[[2, 0]])
    return replace(frame, displaced=found)


def test_they_agree_with_the_fit(checked):
    check = checked.check()
    assert check.name == "0003"
    assert check.atoms == (2, 0)
    assert check.agrees
    assert [each.name for each in check.agreements] == ["apt", "pgt"]


def test_another_tensor_does_not_agree(checked):
    wrong = replace(checked.displaced, apt=1.02 * checked.displaced.apt)
    assert not replace(checked, displaced=wrong).check().agrees


def test_they_come_back_from_the_files_and_stand_in_the_sheet(tmp_path, checked):
    path = tmp_path / "set.extxyz"
    other, _, _ = reference_frame("0004", 4)
    write_reference_set(path, [checked, other], data_sheet([checked, other], "Set"))
    back = read_reference_set(path)
    assert back[1].check() is None
    assert back[0].check() == checked.check()
    assert back[0].displaced.step == 0.01
    assert "| 0003 | 2, 0 | pgt |" in (tmp_path / "set.md").read_text()


def test_a_set_that_grows_keeps_them(checked):
    again = replace(checked, displaced=None)
    other, apt, _ = reference_frame("0004", 4)
    found = DisplacedTensors((0,), 0.01, 0.01, apt[:1])
    frames = merged([checked], [again, replace(other, displaced=found)])
    assert [frame.displaced for frame in frames] == [checked.displaced, found]
    assert merged([replace(checked, displaced=found)], [checked])[0].displaced is (
        checked.displaced
    )


def test_an_incomplete_npz_is_refused(tmp_path, checked):
    arrays = checked.displaced.as_arrays()
    del arrays["displaced_step"]
    with pytest.raises(FormatError, match="incomplete"):
        DisplacedTensors.from_arrays(arrays)
    arrays = {**checked.displaced.as_arrays(), "displaced_apt": np.zeros((1, 3, 3))}
    path = tmp_path / "a.npz"
    path.write_bytes(packed(arrays))
    with pytest.raises(FormatError, match="1 tensors of 2 atoms"):
        DisplacedTensors.from_arrays(unpacked(path))
