"""Velocity spectra of a run: in journal and result, after a restart, joined, merged."""

import struct
import zlib

import numpy as np
import pytest
from analytic import (
    MASSES,
    NUMBERS,
    STRIDE,
    TIME_STEP,
    Model,
    ScriptedSource,
    arrivals,
    description,
    make_settings,
    serve,
    trajectory,
)

from mimyria.cli import main as mimyria_command
from mimyria.io.tables import read_table
from mimyria.merging import merge_results
from mimyria.spectra.elements import VelocitySpectra
from mimyria.storage import read_result
from mimyria.tensorsources import ConvertedSource
from mimyria_driver.checks import frame_digest
from mimyria_driver.evaluator.evaluation import Evaluation
from mimyria_driver.grouping import build_grouping
from mimyria_driver.identity import Identity, read_header
from mimyria_driver.joining import join_runs
from mimyria_driver.journal import Journal
from mimyria_driver.pipeline import rebuild
from mimyria_driver.records import Record
from mimyria_driver.settings import SpectrumSettings
from mimyria_driver.sources import Ended, Started

COMPLETE = {"velocity_probes": 4}  # four hydrogens, two oxygens
SYMBOLS = ["O" if number == 8 else "H" for number in NUMBERS]


def run_with(directory, groups, n_frames=60, *, plots=False, resolution=600.0):
    settings = make_settings(
        directory,
        groups=groups,
        spectrum={"temperature": 15.0, "plots": plots, "resolution": resolution},
    )
    frames = trajectory(n_frames)
    events = [Started(description()), *arrivals(frames), Ended("the end")]
    assert serve(settings, ScriptedSource(events)) == 0
    return settings


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    """The folder of a run with as many probes as there are hydrogens."""
    directory = tmp_path_factory.mktemp("complete")
    run_with(directory, COMPLETE, plots=True)
    return directory


def assert_same_bits(one, other):
    assert one.names == other.names
    np.testing.assert_array_equal(one.correlation.values, other.correlation.values)
    np.testing.assert_array_equal(
        one.correlation.blocks.values, other.correlation.blocks.values
    )


def result_of(directory):
    return read_result(directory / "spectrum.h5")


def test_a_complete_set_gives_the_spectra_of_the_trajectory(complete):
    result = result_of(complete)
    n_lags = result.velocities.correlation.n_lags
    exact = VelocitySpectra(SYMBOLS, MASSES, n_lags, result.interval)
    for frame in trajectory(60):
        exact.push(frame.velocities)
    for expected in exact.spectra("gaussian", 600.0, 4000.0):
        found = result.spectra[expected.name]
        np.testing.assert_allclose(
            found.intensity,
            expected.intensity,
            rtol=0,
            atol=1e-12 * expected.intensity.max(),
        )
        assert found.error is not None
    assert result.velocities.n_atoms == (4, 2)


def test_a_run_that_was_interrupted_is_the_quiet_run_to_the_bit(tmp_path):
    """Resolution 6000: signs change every 4 windows of 6 lags, eleven times here."""
    groups = {"velocity_probes": 2}
    for n_frames in (50, 120):
        run_with(tmp_path / "twice", groups, n_frames, resolution=6000.0)
    settings = run_with(tmp_path / "once", groups, 120, resolution=6000.0)
    once, twice = (tmp_path / name / "journal" for name in ("once", "twice"))
    assert once.read_bytes() == twice.read_bytes()
    result = result_of(tmp_path / "once")
    assert_same_bits(result.velocities, result_of(tmp_path / "twice").velocities)
    identity, _ = read_header(once)
    again = rebuild(once, identity, settings.spectrum).result({})
    assert_same_bits(result.velocities, again.velocities)
    n_lags = result.velocities.correlation.n_lags
    assert result.velocities.correlation.counts[1] == 120 - -(-120 // (4 * n_lags))
    assert 8 * n_lags < 120


def test_a_result_shows_them_in_every_command(complete, tmp_path, capsys):
    assert (complete / "vdos.png").read_bytes().startswith(b"\x89PNG")
    result = str(complete / "spectrum.h5")
    table, picture = tmp_path / "run.csv", tmp_path / "run.pdf"
    capsys.readouterr()
    assert mimyria_command(["spectrum", result, "--plots", str(tmp_path / "p")]) == 0
    assert "Velocities of H, modes per cm⁻¹" in capsys.readouterr().out
    assert (tmp_path / "p" / "vdos.png").is_file()
    assert mimyria_command(["table", result, "--csv", str(table)]) == 0
    column = read_table(table, column="vdos_O")
    stored = result_of(complete).spectra["vdos_O"]
    np.testing.assert_allclose(column.intensity, stored.intensity, rtol=1e-6)
    choice = ["--spectrum", "vdos_H", "--spectrum", "vdos_O"]
    assert mimyria_command(["plot", result, str(picture), *choice]) == 0
    capsys.readouterr()
    words = ["vdos", result, "--resolution", "800", "--max-wavenumber", "9000"]
    assert mimyria_command(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["vdos_H", "vdos_O"]
    areas = [float(line.split()[1]) for line in lines]
    assert areas == [12.0, 6.0]
    # Without options as the result has them.
    assert mimyria_command(["vdos", result, "--csv", str(table)]) == 0
    column = read_table(table, column="vdos_O")
    np.testing.assert_allclose(column.intensity[:5], stored.intensity[:5], rtol=1e-6)


def test_other_resolutions_come_from_the_stored_correlation(complete, tmp_path):
    output = tmp_path / "coarse.h5"
    words = ["--resolution", "1200", "--output", str(output)]
    assert mimyria_command(["spectrum", str(complete / "spectrum.h5"), *words]) == 0
    coarse = read_result(output)
    assert coarse.spectra["vdos_H"].resolution == pytest.approx(1200.0)
    assert_same_bits(coarse.velocities, result_of(complete).velocities)


def folder_with(directory, groups, n_frames, seed):
    """What the service keeps of a run, without its processes; signs stay 20 frames."""
    settings = make_settings(directory, groups=groups)
    frames = trajectory(n_frames, seed)
    grouping = build_grouping(
        settings.groups, frames[0], MASSES, 20 * STRIDE, 20 * STRIDE
    )
    models = {
        target: ConvertedSource(Model(target), target) for target in ("apt", "pgt")
    }
    shas = {target: model.metadata.sha256 for target, model in models.items()}
    identity = Identity(tuple(NUMBERS.tolist()), TIME_STEP, STRIDE, shas, {}, grouping)
    directory.mkdir()
    evaluation = Evaluation(models, "cpu", print)
    evaluation.grouping = grouping
    journal = Journal.create(directory / "journal", identity)
    previous = -1
    for frame in frames:
        (sample,) = evaluation.samples([frame])
        time, digest = frame.step * TIME_STEP, frame_digest(frame)
        kept = (time, frame.volume, 8.0, sample.currents, digest, sample.contributions)
        journal.append(Record(frame.step, previous, *kept))
        previous = frame.step
    journal.close()
    return directory


@pytest.mark.parametrize(
    "groups", [{"kind": "intra", "probes": 4}, {"velocity_probes": 2}]
)
def test_joined_runs_keep_the_signs_that_their_frames_have(groups, tmp_path):
    """Steps of the second run are moved, so that it stands behind the first one."""
    folders = [
        folder_with(tmp_path / "a", groups, 130, seed=0),
        folder_with(tmp_path / "b", groups, 150, seed=1),
    ]
    settings = SpectrumSettings(resolution=6000.0, temperature=8.0)
    joined, pipeline = join_runs(folders, tmp_path / "both", settings)
    assert not joined[1].continues
    both = pipeline.result({})
    each = [
        rebuild(folder / "journal", read_header(folder / "journal")[0], settings)
        for folder in folders
    ]
    merged = merge_results([fold.result({}) for fold in each], ["a", "b"]).result
    if both.velocities is not None:
        found, expected = both.velocities.correlation, merged.velocities.correlation
    else:
        found, expected = both.parts.dipole, merged.parts.dipole
    np.testing.assert_array_equal(found.counts, expected.counts)
    ours, theirs = found.column(0, 0), expected.column(0, 0)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12 * theirs[0])


def test_journal_of_version_2_goes_on_without_velocities(tmp_path, caplog, capsys):
    """As it was written before there were velocity probes: the same but its number."""
    run_with(tmp_path, {}, 40)
    path = tmp_path / "journal"
    data = bytearray(path.read_bytes())
    (length,) = struct.unpack_from("<I", data, 12)
    struct.pack_into("<I", data, 8, 2)
    end = 16 + length
    struct.pack_into("<I", data, end, zlib.crc32(data[:end]))
    path.write_bytes(data)
    run_with(tmp_path, {"velocity_probes": 2}, 60)
    assert "was begun with the groups 'species', which stay" in caplog.text
    assert "'species · 2 velocity probes'" in caplog.text
    result = result_of(tmp_path)
    assert result.dipole.n_samples == 60
    assert result.velocities is None
    assert not any(name.startswith("vdos") for name in result.spectra)
    stored = str(tmp_path / "spectrum.h5")
    capsys.readouterr()
    assert mimyria_command(["vdos", stored]) == 78
    assert "holds no velocities. Set groups.velocity_probes" in capsys.readouterr().err
    assert mimyria_command(["vdos", stored, stored]) == 78
    assert "give it alone, or merge results" in capsys.readouterr().err
