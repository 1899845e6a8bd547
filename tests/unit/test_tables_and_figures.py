"""`mimyria table` and `mimyria plot`: spectra leave the program."""

import argparse
from dataclasses import replace

import numpy as np
import pytest

from mimyria.cli import plot as plot_command
from mimyria.cli import table as table_command
from mimyria.correlators import Correlator
from mimyria.errors import OutputError, SettingsError
from mimyria.figures import FigureStyle, draw_figure
from mimyria.io.jcamp import read_jcamp
from mimyria.io.tables import read_table
from mimyria.parts import Parts
from mimyria.partspectra import part_spectra
from mimyria.spectra import compute_spectra
from mimyria.storage import Result, write_result
from mimyria.units import DIPOLE_CORRELATION_UNIT, POLARIZABILITY_CORRELATION_UNIT

CELL = {"volume": 1000.0, "temperature": 300.0}
N_LAGS, INTERVAL, N = 100, 2.0, 4000
SETTINGS = {"resolution": 250.0, "window": "bohman"}


@pytest.fixture(scope="module")
def result():
    rng = np.random.default_rng(3)
    groups = rng.normal(size=(2, N, 3))  # dipole velocities of two groups
    groups[1] += 0.3 * groups[0]
    dipole = Correlator(3, N_LAGS, INTERVAL, DIPOLE_CORRELATION_UNIT)
    dipole.push(groups.sum(axis=0))
    alpha = Correlator(6, N_LAGS, INTERVAL, POLARIZABILITY_CORRELATION_UNIT)
    alpha.push(rng.normal(size=(N, 6)))
    pairs = ((0, 0), (1, 1), (0, 1))
    between = Correlator(
        2, N_LAGS, INTERVAL, DIPOLE_CORRELATION_UNIT, pairs,
        components=(1.0, 1.0, 1.0),
    )  # fmt: skip
    between.push(groups.transpose(1, 0, 2).reshape(N, 6))
    parts = Parts(("O", "H"), between.result(), None, None)
    spectra = compute_spectra(dipole.result(), alpha.result(), **CELL, **SETTINGS)
    return Result(
        dipole.result(), alpha.result(), spectra, *CELL.values(), INTERVAL,
        {"window": "bohman"}, parts,
    )  # fmt: skip


@pytest.fixture
def stored(result, tmp_path):
    write_result(tmp_path / "run.h5", result)
    return tmp_path / "run.h5"


def run(command, name, *words):
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers(required=True))
    arguments = parser.parse_args([name, *map(str, words)])
    return arguments.run(arguments)


def test_the_table_command_writes_what_the_readers_read(stored, result, tmp_path):
    words = ["--csv", tmp_path / "all.csv", "--jcamp", tmp_path / "jdx"]
    assert run(table_command, "table", stored, *words) == 0
    for name, spectrum in result.spectra.items():
        found = read_table(tmp_path / "all.csv", column=name)
        np.testing.assert_allclose(found.intensity, spectrum.intensity, rtol=1e-9)
        np.testing.assert_allclose(found.error, spectrum.error, rtol=1e-9)
        assert found.unit == spectrum.unit
        jcamp = read_jcamp(tmp_path / "jdx" / f"{name}.jdx")
        largest = np.nanmax(np.abs(spectrum.intensity))
        np.testing.assert_allclose(
            jcamp.intensity, spectrum.intensity, rtol=0, atol=1e-9 * largest
        )


def test_one_spectrum_and_a_range_can_be_chosen(stored, tmp_path):
    words = ["--csv", tmp_path / "x.csv", "--spectrum", "ir", "--range", 1000, 2000]
    run(table_command, "table", stored, *words)
    found = read_table(tmp_path / "x.csv")
    assert found.name == "ir"
    assert found.wavenumbers[0] >= 1000
    assert found.wavenumbers[-1] <= 2000
    with pytest.raises(SettingsError, match="no spectrum 'uv', only ir, raman_iso"):
        run(table_command, "table", stored, "--csv", "x", "--spectrum", "uv")
    with pytest.raises(SettingsError, match="say what to write"):
        run(table_command, "table", stored)


def test_parts_add_up_to_the_whole(result):
    parts = part_spectra(result.parts, "ir", **CELL, **SETTINGS)
    assert list(parts) == ["O", "H", "O × H"]
    total = sum(part.intensity for part in parts.values())
    whole = result.spectra["ir"].intensity
    np.testing.assert_allclose(total, whole, rtol=0, atol=1e-12 * whole.max())
    assert part_spectra(result.parts, "raman_iso", **CELL, **SETTINGS) == {}


def test_the_table_holds_parts_with_their_errors(stored, result, tmp_path):
    words = ["--csv", tmp_path / "x.csv", "--parts", "--spectrum", "ir"]
    assert run(table_command, "table", stored, *words) == 0
    text = (tmp_path / "x.csv").read_text()
    # 16 blocks of 256 samples are paired: four windows are 320.
    assert "# error: one standard error of each point, from 8 blocks: ir; ir O;" in text
    found = {
        name: read_table(tmp_path / "x.csv", column=f"ir {name}")
        for name in ("O", "H", "O × H", "assigned to O", "assigned to H")
    }
    whole = result.spectra["ir"].intensity
    for labels in (("O", "H", "O × H"), ("assigned to O", "assigned to H")):
        total = sum(found[label].intensity for label in labels)
        np.testing.assert_allclose(total, whole, rtol=0, atol=1e-8 * whole.max())
        assert all((found[label].error > 0).all() for label in labels)


def test_parts_without_a_table_or_a_spectrum_that_has_them_are_refused(
    stored, tmp_path
):
    with pytest.raises(SettingsError, match=r"--parts are columns of a table"):
        run(table_command, "table", stored, "--jcamp", tmp_path, "--parts")
    words = ["--csv", tmp_path / "x.csv", "--parts", "--spectrum", "raman_vv"]
    with pytest.raises(SettingsError, match="none of these is chosen"):
        run(table_command, "table", stored, *words)


MAGIC = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xm", "eps": b"%!PS"}


@pytest.mark.parametrize("kind", MAGIC)
def test_a_figure_is_written_in_every_format(stored, tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    words = ["--parts", "--range", 100, 4000, "--size", 17, 10, "--dots", 60]
    assert run(plot_command, "plot", stored, path, *words) == 0
    assert path.read_bytes()[:4] == MAGIC[kind]


def test_the_size_is_that_asked_for(result, tmp_path):
    from PIL import Image

    style = FigureStyle(size=(10.16, 5.08), dots=100)
    draw_figure([result.spectra["ir"]], tmp_path / "a.png", style)
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == (400, 200)


def test_both_axes_can_be_logarithmic(stored, tmp_path):
    words = ["--log", "--log-wavenumber", "--errors", 2, "--parts"]
    assert run(plot_command, "plot", stored, tmp_path / "a.png", *words) == 0


def test_the_same_data_give_the_same_figure(result, tmp_path):
    for name in ("a.pdf", "b.pdf"):
        draw_figure([result.spectra["ir"]], tmp_path / name)
    assert (tmp_path / "a.pdf").read_bytes() == (tmp_path / "b.pdf").read_bytes()


def test_what_cannot_be_drawn_is_refused(result, stored, tmp_path):
    with pytest.raises(SettingsError, match=r"must end in \.pdf"):
        run(plot_command, "plot", stored, tmp_path / "a.txt")
    words = ["--spectrum", "raman_vv", "--parts"]
    with pytest.raises(SettingsError, match="parts are known of ir"):
        run(plot_command, "plot", stored, tmp_path / "a.png", *words)
    write_result(tmp_path / "b.h5", replace(result, parts=None))
    with pytest.raises(SettingsError, match="has no parts"):
        run(plot_command, "plot", tmp_path / "b.h5", tmp_path / "a.png", "--parts")
    with pytest.raises(SettingsError, match="must rise"):
        FigureStyle(limits=(100.0, 50.0))
    for style in ({"errors": -1.0}, {"font_size": 0.0}):
        with pytest.raises(SettingsError, match="errors must be 0 or more and the fon"):
            FigureStyle(**style)


def test_a_file_in_the_place_of_a_folder_is_said(stored, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"the folder .*file: File exists"):
        run(table_command, "table", stored, "--jcamp", tmp_path / "file")
