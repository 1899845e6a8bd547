"""Foreign sources of tensors: converted where they say how, otherwise refused."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from mimyria.errors import EvaluatorError, ModelError, ShapeError, UnitError
from mimyria.io.layouts import atom_rows
from mimyria.targets import APT, PGT
from mimyria.tensorsources import (
    ConvertedSource,
    SourceMetadata,
    require_digest,
    source_document,
)
from mimyria.units import BOHR_PER_ANGSTROM
from mimyria.userfunctions import UserFunction


class Fixed:
    """Gives stored arrays, whatever the frame."""

    def __init__(self, array, metadata):
        self.array = array
        self.metadata = metadata

    def predict(self, frames):
        return [self.array for _ in frames]


def source_of(array, target=APT, order=None, unit=None, **more):
    metadata = SourceMetadata(
        "fixed", target, order or target.order, unit or target.unit, **more
    )
    return Fixed(array, metadata)


def test_order_and_unit_become_ours(water_molecule, rng):
    pgt = rng.normal(size=(3, 3, 3, 3))
    pgt = pgt + pgt.swapaxes(1, 2)
    stored = pgt.transpose(0, 3, 1, 2)
    source = source_of(stored, PGT, "dalpha_bc/dr_a", "a.u./bohr", species=(1, 8))
    converted = ConvertedSource(source, "x", "c" * 64)
    (found,) = converted.predict([water_molecule])
    assert np.allclose(found.pgt, BOHR_PER_ANGSTROM * pgt, rtol=1e-14)
    assert source_document(converted.metadata, PGT) == {
        "name": "fixed",
        "target": "pgt",
        "order": PGT.order,
        "unit": PGT.unit,
        "species": [1, 8],
        "sha256": "c" * 64,
    }


def test_our_order_and_unit_stay_to_the_bit(water_molecule, rng):
    apt = rng.normal(size=(3, 3, 3))
    for shape in ((3, 3, 3), (3, 9), (9, 3), (27,)):
        converted = ConvertedSource(source_of(apt.reshape(shape)), "x")
        assert np.array_equal(converted.predict([water_molecule])[0].apt, apt)


def test_a_pgt_in_another_order_than_said_is_refused(water_molecule, rng):
    pgt = rng.normal(size=(3, 3, 3, 3))
    pgt = pgt + pgt.swapaxes(2, 3)
    converted = ConvertedSource(source_of(pgt, PGT), "mine")
    with pytest.raises(UnitError, match=r"mine, step 0: .*symmetric in the last two"):
        converted.predict([water_molecule])


@pytest.mark.parametrize(
    ("array", "target"),
    [
        (np.zeros((3, 3)), APT),
        (np.zeros((9, 2, 3)), APT),
        (np.zeros((3, 18)), PGT),
        (np.zeros(()), APT),
        (np.zeros((3, 9), complex), APT),
        (np.full((3, 9), "x"), APT),
    ],
)
def test_other_shapes_and_kinds_are_refused(array, target):
    with pytest.raises(ShapeError, match=r"real numbers of the shape \(3, 3, 3"):
        atom_rows(array, 3, target)


def test_what_is_no_source_is_refused(water_molecule):
    with pytest.raises(ModelError, match=r"x must give a source .* but gave int"):
        ConvertedSource(42, "x")
    nameless = SimpleNamespace(metadata=SimpleNamespace(name="a"), predict=len)
    with pytest.raises(ModelError, match="must give a source"):
        ConvertedSource(nameless, "x")
    with pytest.raises(UnitError, match=r"x: apt_unit .*Say it in the metadata"):
        ConvertedSource(source_of(np.zeros((3, 9)), unit="Debye"), "x")
    text = source_of(np.zeros((3, 9)))
    text.metadata = SourceMetadata("a", "apt", "dM_a/dr_b", "e")
    with pytest.raises(ModelError, match="one of apt, pgt of"):
        ConvertedSource(text, "x")
    few = source_of(np.zeros((3, 9)))
    few.predict = lambda frames: []
    with pytest.raises(EvaluatorError, match="each of 1 frames, but gave 0"):
        ConvertedSource(few, "x").predict([water_molecule])


def test_a_digest_must_be_one():
    for sha256, found in (("", "'none'"), ("v1", "'v1'")):
        metadata = source_of(np.zeros((3, 9)), sha256=sha256).metadata
        with pytest.raises(ModelError, match=f"SHA-256 .* but has {found}"):
            require_digest(metadata, "x")


def test_a_function_finds_what_lies_beside_it(tmp_path, monkeypatch):
    (tmp_path / "helper_of_mine.py").write_text("VALUE = 5\n")
    (tmp_path / "mine.py").write_text(
        "def make(factor):\n    import helper_of_mine\n"
        "    return factor * helper_of_mine.VALUE\n"
    )
    for name in ("mine", "helper_of_mine"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    before = list(sys.path)
    function = UserFunction("mine:make", tmp_path, "a.b", "a.search")
    assert function.call(3, given="3") == 15
    assert sys.path == before
    assert len(function.sha256()) == 64
