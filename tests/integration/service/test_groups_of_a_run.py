"""Groups and checks of a run: in the journal, in the result, and after a restart."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from analytic import (
    MASSES,
    NUMBERS,
    ScriptedSource,
    arrivals,
    description,
    models,
    serve,
    tensor,
    trajectory,
)

from mimyria.cli import main as mimyria_command
from mimyria.contributions import Layout, contributions
from mimyria.errors import SettingsError
from mimyria.groups import group_atoms
from mimyria.spectra.raman import anisotropic_correlation, isotropic_correlation
from mimyria.storage import read_result
from mimyria.tensors import Tensors
from mimyria_driver.identity import Identity, read_header
from mimyria_driver.journal import Journal, read_journal
from mimyria_driver.pipeline import rebuild
from mimyria_driver.records import Record
from mimyria_driver.settings import parse_settings
from mimyria_driver.sources import Ended, Started

N_FRAMES = 60
SHELLS = {"kind": "shells", "around": "index 0", "borders": [3, 4.1], "width": 0.5}


def whole_run(frames):
    return [Started(description()), *arrivals(frames), Ended("the end")]


def run_with(directory, groups):
    document = {
        "run": {"directory": str(directory), "report": 1000.0},
        "source": {"kind": "lammps"},
        "models": models(),
        "spectrum": {"resolution": 200.0, "plots": False, "temperature": 15.0},
        "groups": groups,
    }
    settings = parse_settings(document, Path("/"))
    source = ScriptedSource(whole_run(trajectory(N_FRAMES)))
    assert serve(settings, source) == 0
    return settings


def summed(correlation):
    return correlation.values @ [1.0 if g == h else 2.0 for g, h in correlation.pairs]


@pytest.mark.parametrize(
    ("groups", "names"),
    [
        ({}, ("H", "O")),
        ({"kind": "custom", "select": ["a: index 0-2"]}, ("a", "rest")),
        ({"kind": "intra", "probes": 8}, ("intramolecular", "intermolecular")),
        ({"kind": "motion"}, ("translation", "libration", "vibration")),
        (SHELLS, ("solute", "below 3 Å", "3 to 4.1 Å", "above 4.1 Å")),
        (
            {"kind": "custom", "select": ["x: id 1", "y: element O", "z: id 2-6"]},
            ("x", "y", "z"),
        ),
    ],
)
def test_parts_in_the_result_add_up_to_the_whole(groups, names, tmp_path):
    run_with(tmp_path, groups)
    result = read_result(tmp_path / "spectrum.h5")
    parts = result.parts
    assert parts.names == names
    whole = {
        "dipole": sum(result.dipole.column(a, a) for a in range(3)),
        "isotropic": isotropic_correlation(result.polarizability),
        "anisotropic": anisotropic_correlation(result.polarizability) / 1.5,
    }
    for name, expected in whole.items():
        found = summed(getattr(parts, name))
        np.testing.assert_allclose(found, expected, atol=1e-12 * abs(expected).max())


def test_journal_holds_what_the_library_gives(tmp_path):
    run_with(tmp_path, {})
    identity, _ = read_header(tmp_path / "journal")
    symbols = ["O" if number == 8 else "H" for number in NUMBERS]
    grouping = group_atoms(symbols, symbols, MASSES)
    assert identity.grouping.as_dict() == grouping.as_dict()
    assert identity.record_size == 136 + 8 * Layout.of(grouping).size
    frames = trajectory(N_FRAMES)
    for frame, record in zip(frames, read_journal(tmp_path / "journal"), strict=True):
        tensors = Tensors(tensor("apt", frame), tensor("pgt", frame))
        np.testing.assert_allclose(
            record.contributions,
            contributions(frame, tensors, grouping),
            rtol=1e-13,
            atol=1e-300,
        )


@pytest.mark.parametrize("groups", [{}, {"kind": "intra"}, SHELLS])
def test_rebuilt_parts_and_checks_are_those_of_the_run(groups, tmp_path):
    settings = run_with(tmp_path, groups)
    result = read_result(tmp_path / "spectrum.h5")
    identity, _ = read_header(tmp_path / "journal")
    again = rebuild(tmp_path / "journal", identity, settings.spectrum).result({})
    for name in ("dipole", "isotropic", "anisotropic"):
        one, other = getattr(result.parts, name), getattr(again.parts, name)
        np.testing.assert_array_equal(one.values, other.values)
        np.testing.assert_array_equal(one.blocks.values, other.blocks.values)
        np.testing.assert_array_equal(one.blocks.counts, other.blocks.counts)
    assert result.parts.grouping.as_dict() == identity.grouping.as_dict()
    assert result.diagnostics
    assert repr(result.diagnostics) == repr(again.diagnostics)
    names = [found.name for found in result.diagnostics]
    assert "f-sum dipole H" in names
    assert "temperature O" in names
    assert "translation polarizability" in names


def test_journal_holds_the_currents_of_shells_in_every_frame(tmp_path, capsys):
    """By brute force over images; in these frames every atom is its own molecule."""
    run_with(tmp_path, SHELLS)
    identity, _ = read_header(tmp_path / "journal")
    grouping = identity.grouping
    layout = Layout.of(grouping)
    steps = np.array(list(np.ndindex(5, 5, 5))) - 2.0
    moved = []
    for frame, record in zip(
        trajectory(N_FRAMES), read_journal(tmp_path / "journal"), strict=True
    ):
        apart = frame.positions - frame.positions[0]
        images = apart[:, None] + steps @ frame.cell
        r = np.linalg.norm(images, axis=2).min(axis=1)
        ramps = [np.clip((r - border) / 0.5 + 0.5, 0.0, 1.0) for border in (3.0, 4.1)]
        s = [r > 0.0, *(0.5 - 0.5 * np.cos(np.pi * ramp) for ramp in ramps), 0.0 * r]
        weights = np.array([r == 0.0, *(s[b] - 1.0 * s[b + 1] for b in range(3))])
        each = np.einsum("iab,ib->ia", tensor("apt", frame), frame.velocities)
        found = np.zeros((4, 9))
        cells = layout.currents(record.contributions[None])[0]
        for (group, _), row in zip(grouping.cells, cells, strict=True):
            found[group] += row
        np.testing.assert_allclose(found[:, :3], weights @ each, atol=1e-15)
        moved.append(weights[1:, 1:])
    changes = np.ptp(moved, axis=0)
    assert changes.max() > 0.05  # weights that do change
    assert read_result(tmp_path / "spectrum.h5").parts.reliable_from == 50.0
    capsys.readouterr()
    assert mimyria_command(["spectrum", str(tmp_path / "spectrum.h5"), "--parts"]) == 0
    said = capsys.readouterr().out
    assert "single parts are unreliable below 50 cm⁻¹" in said
    assert said.count("assigned to groups") == 3


def test_checks_are_printed_at_the_end(tmp_path, capfd):
    run_with(tmp_path, {})
    said = capfd.readouterr().err
    assert "Checks: " in said
    assert "f-sum dipole" in said
    assert " · f-sum " in said


def test_without_groups_the_journal_is_as_small_as_it_was(tmp_path):
    run_with(tmp_path, {"kind": "none"})
    identity, _ = read_header(tmp_path / "journal")
    assert identity.grouping is None
    assert identity.record_size == 136
    result = read_result(tmp_path / "spectrum.h5")
    assert result.parts is None
    names = {found.name for found in result.diagnostics}
    assert {"mean dipole current", "mean polarizability current"} <= names
    assert not any(name.startswith("f-sum") for name in names)


def test_selection_that_finds_nothing_ends_the_run_with_its_reason(tmp_path):
    with pytest.raises(SettingsError, match="no element Xe in the first frame"):
        run_with(tmp_path, {"kind": "custom", "select": ["x: element Xe"]})


def test_groups_of_a_begun_journal_stay(tmp_path, caplog):
    run_with(tmp_path, {})
    run_with(tmp_path, {"kind": "custom", "select": ["a: index 0"]})
    assert "was begun with the groups 'species', which stay" in caplog.text
    assert read_result(tmp_path / "spectrum.h5").parts.names == ("H", "O")


def test_journal_of_version_1_goes_on_without_groups(tmp_path, caplog):
    """As the first release wrote it: no groups, no notes of them, 136 bytes a frame."""
    run_with(tmp_path / "new", {"kind": "none"})
    records = list(read_journal(tmp_path / "new" / "journal"))
    identity, _ = read_header(tmp_path / "new" / "journal")
    notes = {name: identity.notes[name] for name in ("engine", "mimyria")}
    old = Identity(
        *(
            getattr(identity, name)
            for name in ("numbers", "time_step", "stride", "models")
        ),
        notes,
    )
    (tmp_path / "old").mkdir()
    path = tmp_path / "old" / "journal"
    journal = Journal.create(path, old)
    for record in records[:40]:
        assert isinstance(record, Record)
        journal.append(record)
    journal.close()
    data = bytearray(path.read_bytes())
    (length,) = struct.unpack_from("<I", data, 12)
    struct.pack_into("<I", data, 8, 1)  # the version
    end = 16 + length
    struct.pack_into("<I", data, end, zlib.crc32(data[:end]))
    path.write_bytes(data)
    run_with(tmp_path / "old", {})
    assert "begun by an older mimyria" in caplog.text
    new, again = (
        read_result(tmp_path / name / "spectrum.h5") for name in ("new", "old")
    )
    np.testing.assert_array_equal(new.dipole.values, again.dipole.values)
    assert again.parts is None


def test_spectrum_command_prints_parts_and_checks(tmp_path, capsys):
    run_with(tmp_path, {"kind": "intra", "probes": 2})
    capsys.readouterr()
    assert mimyria_command(["spectrum", str(tmp_path / "spectrum.h5"), "--parts"]) == 0
    said = capsys.readouterr().out
    assert "Parts, by who moves" in said
    # Once for each kind of spectrum: there is nothing between them to be assigned.
    assert said.count("  intermolecular ") == 3
    assert "assigned to groups" not in said
    assert "Checks: " in said
    assert "f-sum dipole" in said
