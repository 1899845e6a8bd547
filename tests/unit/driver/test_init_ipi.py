"""What `mimyria-driver init` finds in an input of i-PI, and what it says of it."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from mimyria.errors import FormatError, SettingsError
from mimyria_driver.attach.ipi.attaching import attach_ipi
from mimyria_driver.attach.ipi.tree import parse
from mimyria_driver.attach.runfile import run_file
from mimyria_driver.cli import main
from mimyria_driver.settings import load_settings, parse_settings

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

REPOSITORY = Path(__file__).resolve().parents[3]
XYZ = """3
# CELL(abcABC): 9.0 9.0 9.0 90.0 90.0 90.0 positions{angstrom} cell{angstrom}
O 1.0 1.0 1.0
H 1.9 1.0 1.0
H 0.7 1.9 1.0
"""
TEXT = """<simulation verbosity='low'>
  <!-- <forces> </forces> <system> in a comment -->
  <total_steps>20000</total_steps>
  <ffsocket name='lammps' mode='unix'><address>water</address></ffsocket>
  <system>
    <initialize nbeads='1'>
      <file mode='xyz'> init.xyz </file>
    </initialize>
    <forces>
      <force forcefield='lammps'/>
    </forces>
    <motion mode='dynamics'>
      <dynamics mode='nve'>
        <timestep units='femtosecond'> 0.5 </timestep>
      </dynamics>
    </motion>
    <ensemble><temperature units='kelvin'> 310 </temperature></ensemble>
  </system>
</simulation>
"""


@pytest.fixture
def attach(tmp_path):
    """Attaches to the input with some words replaced; gives plan, settings and XML."""
    (tmp_path / "init.xyz").write_text(XYZ)

    def attached(*changes, text=TEXT, **atoms):
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "input.xml"
        path.write_text(text)
        found = attach_ipi(path, tmp_path)
        document = tomllib.loads(run_file(found.plan))
        return found, document, found.files[found.input]

    return attached


def test_the_run_file_says_what_the_input_says(attach, tmp_path):
    found, document, _ = attach()
    settings = parse_settings(document, tmp_path)
    source = settings.source
    assert (source.kind, source.time_step, source.stride) == ("ipi", 0.5, 4)
    assert source.structure == tmp_path / "init.xyz"
    assert settings.spectrum.temperature == 310.0
    assert settings.spectrum.resolution == 30.0
    assert settings.models.apt == "water-compact-apt"
    assert "1 H2O" in found.plan.said
    assert not found.plan.asked


def test_the_copy_has_one_more_force_field_and_is_else_the_same(attach):
    _, document, copy = attach()
    root = ElementTree.fromstring(copy)
    socket = root.find("ffsocket[@name='mimyria']")
    address = socket.find("address").text
    assert document["source"]["address"] == f"unix:{address}"
    assert socket.get("pbc") == "False"
    assert socket.find("parameters").text == "{dt_fs: 0.5}"
    force = root.find("system/forces/force[@forcefield='mimyria']")
    assert force.get("weight") is None  # 1 is what i-PI takes
    assert force.get("nbeads") is None
    ours = re.compile(
        r" *<!-- mimyria.*?-->\n|  <ffsocket name=\"mimyria\".*?</ffsocket>\n"
        r"| *<force forcefield=\"mimyria\".*?</force>\n",
        re.S,
    )
    assert ours.sub("", copy) == TEXT


def test_two_runs_of_one_machine_have_two_sockets(attach, tmp_path):
    _, document, _ = attach()
    other = attach_ipi(tmp_path / "input.xml", tmp_path / "other")
    there = tomllib.loads(run_file(other.plan))
    assert there["source"]["address"] != document["source"]["address"]
    assert there["source"]["structure"] == "../init.xyz"


@pytest.mark.parametrize(
    ("timestep", "fs", "stride"),
    [
        ("<timestep units='femtosecond'> 0.25 </timestep>", 0.25, 8),
        ("<timestep units='picosecond'> 5e-4 </timestep>", 0.5, 4),
        ("<timestep units='atomic_unit'> 20.6706865 </timestep>", 0.5, 4),
        ("<timestep> 20.6706865 </timestep>", 0.5, 4),
        ("<timestep units='fortnight'> 1 </timestep>", None, 1),
        ("<timestep units='femtosecond'> dt </timestep>", None, 1),
    ],
)
def test_the_time_step_is_read_in_its_unit(attach, tmp_path, timestep, fs, stride):
    old = "<timestep units='femtosecond'> 0.5 </timestep>"
    found, document, copy = attach((old, timestep))
    assert document["source"]["stride"] == stride
    if fs is not None:
        assert document["source"]["time_step"] == pytest.approx(fs, rel=1e-9)
        return
    assert "dt_fs" not in copy
    assert "source.time_step: the time step in fs" in found.plan.asked
    with pytest.raises(SettingsError, match=r"source\.time_step is missing"):
        parse_settings(document, tmp_path)


def test_of_a_ring_polymer_the_centroid_is_followed(attach):
    found, _, copy = attach(
        ("nbeads='1'", "nbeads='8'"),
        ("mode='nve'>", "mode='nvt'><thermostat mode='pile_g'/>"),
    )
    force = ElementTree.fromstring(copy).find("system/forces/*[@forcefield='mimyria']")
    assert force.get("nbeads") == "1"
    warnings = "\n".join(map(str, found.plan.warnings))
    assert "centroids of the ring polymers" in warnings
    assert "a hook inside i-PI has the exact velocities" in warnings
    assert "kicks and damps" not in warnings


def test_with_multiple_time_steps_the_driver_is_on_the_outer_level(attach):
    _, _, copy = attach(
        ("mode='nve'>", "mode='nve'><nmts> [1, 4] </nmts>"),
    )
    force = ElementTree.fromstring(copy).find("system/forces/*[@forcefield='mimyria']")
    assert force.find("mts_weights").text.split() == ["[1,", "0]"]


def test_a_local_thermostat_is_said_with_its_line(attach):
    bath = "mode='nvt'><thermostat mode='langevin'/>"
    found, _, _ = attach(("mode='nve'>", bath))
    assert (
        "input.xml:13: the thermostat langevin kicks and damps each atom"
        in "\n".join(map(str, found.plan.warnings))
    )


def test_a_checkpoint_names_its_atoms(attach, tmp_path):
    begin = TEXT.index("    <initialize")
    end = TEXT.index("</initialize>") + len("</initialize>")
    beads = (
        "<beads natoms='3' nbeads='1'><names shape='(3)'> [ O, H, H ] </names></beads>"
    )
    _, document, _ = attach(text=TEXT[:begin] + beads + TEXT[end:])
    assert document["source"]["elements"] == ["O", "H", "H"]
    (tmp_path / "old.chk").write_text(
        f"<simulation><system>{beads}</system></simulation>"
    )
    old = "<file mode='xyz'> init.xyz </file>"
    _, document, _ = attach((old, "<file mode='chk'> old.chk </file>"))
    assert document["source"]["elements"] == ["O", "H", "H"]


def test_atoms_that_cannot_be_read_are_asked_for_and_the_driver_refuses(
    attach, tmp_path
):
    found, document, _ = attach(("init.xyz", "gone.xyz"))
    assert "input.xml:7, gone.xyz: cannot be read" in "\n".join(found.plan.asked)
    with pytest.raises(SettingsError, match=r"source\.elements or source\.structure"):
        parse_settings(document, tmp_path)
    # There may be hydrogen among them.
    assert document["source"]["stride"] == 4


def test_sockets_in_another_folder_are_found_there(attach, tmp_path):
    prefix = ("<simulation ", f"<simulation sockets_prefix='{tmp_path}/s_' ")
    _, document, copy = attach(prefix)
    address = (
        ElementTree.fromstring(copy).find("ffsocket[@name='mimyria']/address").text
    )
    assert document["source"]["address"] == f"unix:{tmp_path}/s_{address}"


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        (
            "</system>",
            "</system><system></system>",
            "must have one <system>, but has 2",
        ),
        ("<dynamics mode='nve'>", "<x>", "is not valid XML"),
        (
            "<simulation verb",
            "<!DOCTYPE a [<!ENTITY b 'c'>]><simulation verb",
            "DOCTYPE",
        ),
        ("<total", "<smotion mode='remd'/><total", r"input\.xml:3: replicas that are"),
        (
            "<address>water</address>",
            "<address>w</address><parameters>{dt_fs: 1}</parameters>",
            r"input\.xml:4: this <ffsocket> is for the driver already",
        ),
    ],
)
def test_what_cannot_be_watched_is_refused_in_one_line(attach, old, new, error):
    with pytest.raises(FormatError, match=error) as raised:
        attach((old, new))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("<a/>", "must begin with <simulation>"),
        ("<simulation><system/></simulation>", "has no <forces>"),
        (
            "<simulation><system><forces></forces></system></simulation>",
            "must have <dynamics> in <motion>",
        ),
        ("<simulation/>", "must have one <system>, but has 0"),
    ],
)
def test_what_is_no_input_is_refused_in_one_line(attach, text, error):
    with pytest.raises(FormatError, match=error):
        attach(text=text)


def test_nodes_know_their_lines_and_bytes():
    content = "<?xml version='1.0'?>\n<a>\n é<b c='d'>x</b></a>\n".encode()
    root = parse(content, "x")
    (node,) = root.children
    assert (node.line, node.text) == (3, "x")
    assert content[node.begin :].startswith(b"<b c")
    assert content[node.close :].startswith(b"</b>")
    assert content[root.close :] == b"</a>\n"


def test_the_command_knows_xml_and_shows_what_to_type(tmp_path, capsys, monkeypatch):
    (tmp_path / "init.xyz").write_text(XYZ)
    (tmp_path / "input.xml").write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    assert main(["init", "input.xml"]) == 0
    said = capsys.readouterr().out
    assert "i-pi input.mimyria.xml > ipi.log 2>&1 &" in said
    assert "mimyria-driver run run.toml &" in said
    assert load_settings(tmp_path / "run.toml").source.kind == "ipi"
    assert (tmp_path / "input.xml").read_text() == TEXT


@pytest.mark.parametrize("name", ["water", "water-beads", "water-trpmd"])
def test_the_shipped_inputs_without_the_driver_can_be_attached_to(name, tmp_path):
    path = REPOSITORY / "inputs" / "ipi" / name / "input.xml"
    text = re.sub(
        r" *<ffsocket name='driver'.*?</ffsocket>\n", "", path.read_text(), flags=re.S
    )
    (tmp_path / "input.xml").write_text(text)
    found = attach_ipi(tmp_path / "input.xml", tmp_path)
    ElementTree.fromstring(found.files["input.mimyria.xml"])
    assert found.plan.settings["source"]["stride"].value in (4, 8)
