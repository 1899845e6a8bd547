"""CP2K inputs: grammar, preprocessor, templates, and inputs that cannot work."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimyria.errors import FormatError, SettingsError
from mimyria.frame import Frame
from mimyria.reference.codes.cp2k.inputfile import Keyword, Section, read_input
from mimyria.reference.codes.cp2k.template import check_template, point_input

GOOD = """
@SET FUNCTIONAL PBE        ! a comment
&GLOBAL
  PROJECT_NAME mine
  RUN_TYPE MD
&END
&MOTION
  &MD
    STEPS 10
  &END MD
&END MOTION
&FORCE_EVAL
  METHOD Quickstep
  &DFT
    BASIS_SET_FILE_NAME BASIS_MOLOPT
    CHARGE 0
    &SCF
      EPS_SCF 1.0D-8       # tight
      &OT ON
      &END
    &END SCF
    &XC
      &XC_FUNCTIONAL ${FUNCTIONAL}
      &END XC_FUNCTIONAL
    &END XC
  &END DFT
  &SUBSYS
    &CELL
      ABC 9 9 9
    &END CELL
    &COORD
      O 0 0 0
    &END COORD
    &TOPOLOGY
      COORD_FILE_NAME old.xyz
    &END TOPOLOGY
    &KIND H
    &END KIND
    &KIND O
    &END KIND
  &END SUBSYS
&END FORCE_EVAL
"""


@pytest.fixture
def water():
    """A skewed cell, positions outside of it."""
    return Frame(
        np.array([8, 1, 1]),
        np.array([[0.0, 0, 0], [0.76, 0.59, 7.5], [-0.76, 0.59, 0]]),
        np.array([[6.0, 0, 0], [0.5, 6, 0], [0, -0.3, 6]]),
        None,
        0,
    )


@pytest.fixture
def parsed(tmp_path):
    """An input from its text, and from those of the files it includes."""

    def make(text=GOOD, **files):
        for name, content in files.items():
            (tmp_path / f"{name}.inc").write_text(content)
        path = tmp_path / "in.inp"
        path.write_text(text)
        return read_input(path)

    return make


def changed(old, new):
    assert old in GOOD
    return GOOD.replace(old, new)


def test_includes_variables_and_conditions_are_resolved(parsed):
    tree = parsed(
        "@SET WHICH 2\n@INCLUDE 'first.inc'\n"
        "@IF ${WHICH} == 1\n A one\n@ENDIF\n"
        "@IF ${WHICH} /= 1\n A ${NAME} ${OTHER-default}\n@ENDIF\n"
        "@IF 0\n@INCLUDE 'missing.inc'\n@ENDIF\n",
        first="@SET NAME two\n&S p q\n B 1 \\\n 2\n&END S\n",
    )
    assert tree.get("a") == "two default"
    section = tree.find("S")
    assert section.parameter == "p q"
    assert section.get("B") == "1 2"


@pytest.mark.parametrize(
    ("text", "message"),
    [("&A\n&B\n&END A\n", "line 3: '&END A' does not close the section 'B'"),
     ("&A\n", "the section &A has no &END"),
     ("A ${NEVER}\n", "line 1: the variable NEVER was never set"),
     ("@INCLUDE in.inp\n", "include each other in a circle"),
     ("@FETCH a\n", "unknown directive '@FETCH'")],
)  # fmt: skip
def test_a_broken_input_is_named_with_its_line(parsed, text, message):
    with pytest.raises(FormatError, match=message):
        parsed(text)


def test_an_include_that_is_not_there_is_named(parsed):
    with pytest.raises(FileNotFoundError, match=r"no\.inc"):
        parsed("@INCLUDE no.inc\n")


names = st.from_regex(r"[A-Z][A-Z0-9_]{0,8}", fullmatch=True).filter(
    lambda name: name != "END"
)
values = st.from_regex(
    r"[A-Za-z0-9.+=/-]{1,8}( [A-Za-z0-9.]{1,5}){0,2}", fullmatch=True
)
trees = st.recursive(
    st.builds(Keyword, names, values),
    lambda inner: st.builds(Section, names, values, st.lists(inner, max_size=4)),
    max_leaves=12,
)


@given(st.lists(trees, max_size=5))
def test_what_is_written_is_read_back_the_same(tmp_path_factory, entries):
    tree = Section("", "", entries)
    path = tmp_path_factory.mktemp("inputs") / "a.inp"
    path.write_text(tree.text())
    assert read_input(path).text() == tree.text()


def test_a_point_has_coordinates_cell_field_start_and_what_is_to_be_printed(
    parsed, water
):
    tree = parsed()
    before = tree.text()
    field = np.array([2e-3, 0.0, -2e-3])
    text = point_input(tree, water, field, "../point-00/zero-field.wfn")
    assert tree.text() == before
    point = parsed(text)
    assert point.find("MOTION") is None
    assert point.find("GLOBAL").get("RUN_TYPE") == "ENERGY_FORCE"
    subsys = point.find("FORCE_EVAL", "SUBSYS")
    rows = [[float(x) for x in subsys.find("CELL").get(name).split()] for name in "ABC"]
    assert rows == water.cell.tolist()
    assert subsys.find("CELL").get("ABC") is None
    coordinates = subsys.find("COORD").entries
    assert [row.name for row in coordinates] == ["O", "H", "H"]
    assert [float(x) for x in coordinates[1].value.split()] == [0.76, 0.59, 7.5]
    assert subsys.find("TOPOLOGY").get("COORD_FILE_NAME") is None
    dft = point.find("FORCE_EVAL", "DFT")
    efield = dft.find("PERIODIC_EFIELD")
    direction = np.array(efield.get("POLARISATION").split(), float)
    # CP2K normalises the direction: magnitude and direction together are the field.
    assert np.linalg.norm(direction) == pytest.approx(1.0)
    applied = float(efield.get("INTENSITY")) * direction
    assert applied == pytest.approx(field, abs=1e-18)
    assert dft.find("SCF").get("SCF_GUESS") == "RESTART"
    assert dft.get("WFN_RESTART_FILE_NAME") == "../point-00/zero-field.wfn"
    assert dft.find("XC", "XC_FUNCTIONAL").parameter == "PBE"


def test_the_point_without_a_field_has_no_field_section_and_keeps_its_wave_function(
    parsed, water
):
    text = point_input(parsed(), water, np.zeros(3), None)
    assert "PERIODIC_EFIELD" not in text
    assert "FILENAME =zero-field.wfn" in text
    assert "WFN_RESTART_FILE_NAME" not in text


def test_a_good_input_passes(parsed, water):
    check_template(parsed(), water)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [("METHOD Quickstep", "METHOD FIST", "METHOD must be QUICKSTEP, but is FIST"),
     ("CHARGE 0", "&PERIODIC_EFIELD\n&END", "the fields of the points are written by"),
     ("CHARGE 0", "&EFIELD\n&END", "Take the section out"),
     ("CHARGE 0", "&KPOINTS\nSCHEME MONKHORST-PACK 2 2 2\n&END", "Γ point alone"),
     ("&OT ON\n      &END", "MAX_SCF 9", "&SCF must use &OT"),
     ("&OT ON", "&OT OFF", "&SCF must use &OT"),
     ("1.0D-8", "1.0E-5", r"EPS_SCF must be 1e-07 or below, but is 1e-05"),
     ("1.0D-8", "tight", "EPS_SCF must be a number, but is 'tight'"),
     ("&OT ON", "&OUTER_SCF\nEPS_SCF 1E-6\n&END\n&OT", "must equal that of &SCF"),
     ("&OT ON", "&SMEAR ON\n&END\n&OT", "SMEAR must be off"),
     ("&OT ON", "IGNORE_CONVERGENCE_FAILURE T\n&OT", "must be off"),
     ("ABC 9 9 9", "MULTIPLE_UNIT_CELL 2 1 1", "a frame is the whole cell"),
     ("&KIND O", "&KIND N", "no &SUBSYS/&KIND O, .* Known kinds: H, N")],
)  # fmt: skip
def test_what_cannot_work_is_refused_before_anything_is_computed(
    parsed, water, old, new, message
):
    with pytest.raises(SettingsError, match=message):
        check_template(parsed(changed(old, new)), water)


def test_a_molecule_without_a_cell_is_refused(parsed, water):
    molecule = Frame(water.numbers, water.positions, np.zeros((3, 3)), None, 0,
                     pbc=(False,) * 3)  # fmt: skip
    with pytest.raises(SettingsError, match='kind = "pyscf" or "tblite"'):
        check_template(parsed(), molecule)


XTB = changed("&SCF", "&QS\n METHOD XTB\n&END\n&SCF")


def test_tight_binding_is_refused_without_vacuum(parsed, water):
    dense = Frame(water.numbers, water.positions, 0.6 * water.cell, None, 0)
    with pytest.raises(SettingsError, match="4 Å of vacuum in each direction, but"):
        check_template(parsed(XTB), dense)


def test_tight_binding_gets_the_opposite_field_and_the_border_in_the_vacuum(parsed):
    """Whatever the cell, no molecule crosses its border, and distances stay."""
    rng = np.random.default_rng(3)
    cell = np.array([[9.0, 0, 0], [2, 9, 0], [-1, 1.5, 10]])
    molecule = np.array([[0.0, 0, 0], [0.76, 0.59, 0], [-0.76, 0.59, 0]])
    for _ in range(20):
        moved = molecule + rng.uniform(-20, 20, 3)
        frame = Frame(np.array([8, 1, 1]), moved, cell, None, 0)
        text = point_input(parsed(XTB), frame, np.array([0, 1e-3, 0]), "wfn")
        rows = text.split("&COORD\n")[1].split("&END")[0].split()
        written = np.array(rows).reshape(3, 4)[:, 1:].astype(float)
        fractional = np.linalg.solve(cell.T, written.T).T
        assert np.abs(fractional).max() < 0.5
        assert np.abs((written - written[0]) - (molecule - molecule[0])).max() < 1e-9
        direction = text.split("POLARISATION ")[1].split("\n")[0].split()
        assert [float(x) for x in direction] == [0, -1, 0]
