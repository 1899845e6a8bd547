"""Settings of autotrain: every mistake has its line, and the printed example is one."""

import re
from pathlib import Path

import numpy as np
import pytest

from mimyria.autotrain.loop import fixed_settings, require_same_settings
from mimyria.autotrain.settings import load_settings, settings_text
from mimyria.autotrain.state import RunFolder
from mimyria.cli import main
from mimyria.errors import IncompatibleError, SettingsError
from mimyria.frame import Frame

LEAST = """\
[autotrain]
trajectories = ["a.extxyz"]
[dynamics]
timestep = 0.5
[code]
kind = "tblite"
method = "GFN1-xTB"
"""


@pytest.fixture
def load(tmp_path):
    def read(text=LEAST, **changes):
        for old, new in changes.values():
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "run.toml"
        path.write_text(text)
        return load_settings(path)

    return read


def test_the_least_file_has_every_default(load, tmp_path):
    settings = load()
    assert settings.autotrain.learned == ("joint",)
    assert settings.directory == tmp_path / "autotrain"
    assert settings.files(settings.autotrain.trajectories) == [tmp_path / "a.extxyz"]
    assert settings.targets.targets().tolerance == {"ir": 0.05, "raman": 0.07}
    assert settings.clusters is None
    assert settings.code().name == "tblite"


@pytest.mark.parametrize("kind", ["cp2k", "pyscf", "tblite", "ase", "files"])
def test_the_printed_example_is_a_settings_file(load, kind):
    text = settings_text(kind)
    # What must be given, given; everything else as it is printed, but switched on.
    text = re.sub(r"^# (\w+) = \.\.\.$", r'\1 = ["x"]', text, flags=re.M)
    text = re.sub(r'^(input|method|factory|xc|basis) = \["x"\]$', r'\1 = "x"', text,
                  flags=re.M)  # fmt: skip
    text = re.sub(r"^# (\w+ = \S.*)$", r"\1", text, flags=re.M)
    text = text.replace("timestep = 0.0", "timestep = 0.5")
    settings = load(text.replace("\n# [clusters]", "\n[clusters]"))
    assert settings.autotrain.test_frames == 20
    assert settings.compute.workers == 1
    assert settings.clusters.radius == 5.0
    # As it is printed, an empty section does not switch them on.
    assert load(text[: text.index("radius = ")]).clusters is None


def test_the_command_prints_the_example(capsys):
    assert main(["autotrain", "--example", "tblite"]) == 0
    out = capsys.readouterr().out
    assert '[code]  # Tight binding of molecules, by tblite.\nkind = "tblite"' in out
    assert "# With [clusters]: tensors by the field in the liquid" in out
    assert out.count("\n# [clusters]") == 1
    assert "[compute]  # Where trainings and evaluations run" in out


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("timestep = 0.5", "", "dynamics must be either timestep or interval, in fs"),
        ("timestep = 0.5", "timestep = 0.5\ninterval = 1", "timestep = 0.5 and inte"),
        ("[dynamics]", "observables = []\n[dynamics]", "autotrain.observables must be"),
        ("[dynamics]", 'observables = ["vcd"]\n[dynamics]', "one of ir, raman, but is"),
        ("[dynamics]", "test_frames = 1\n[dynamics]", "test_frames must be 2 or more"),
        ("[dynamics]", "frame = 1\n[dynamics]", "Unknown setting 'autotrain.frame'"),
        ("[dynamics]", "[pool]\n[dynamics]", "Unknown section 'pool'"),
        ("[code]", '[fields]\nstencil = "apt"\n[code]', "Raman spectra need the PGT"),
        ("[code]", '[targets]\nbands = ["3"]\n[code]', "such as '3000-3800', but one"),
        ("[code]", "[training]\nmembers = 1\n[code]", "members must be 2 or more"),
        ("[code]", '[choice]\nlater = "best"\n[code]', "choice.later must be one of"),
        ("[code]", "[code.x]\n[other]", "Unknown section 'other'"),
    ],
)
def test_mistakes_are_named(load, old, new, text):
    with pytest.raises(SettingsError, match=re.escape(text)):
        load(LEAST.replace(old, new))


def test_without_a_code_nothing_can_be_labelled(load):
    with pytest.raises(SettingsError, match=r"the section \[code\] is missing"):
        load(LEAST[: LEAST.index("[code]")])


def test_ir_alone_learns_the_apt_and_separate_models_learn_one_each(load):
    only = load(change=("[dynamics]", 'observables = ["ir"]\n[dynamics]'))
    assert only.autotrain.learned == ("apt",)
    both = load(change=("[dynamics]", 'model = "separate"\n[dynamics]'))
    assert both.autotrain.learned == ("apt", "pgt")


def finish_survey(run):
    """A first step that is done: before, nothing could contradict other settings."""
    assert run.begin("survey", "inputs")
    run.finish("survey", "inputs", [], {"line": "a line"})


def test_settings_that_count_cannot_be_changed_and_limits_can(load, tmp_path):
    settings = load()
    run = RunFolder(tmp_path / "run")
    with run.lock():
        run.write_state(fixed_settings(settings), "")
        require_same_settings(run, load(change=("timestep = 0.5", "timestep = 1.0")))
        finish_survey(run)
        run.write_state(fixed_settings(settings), "")
    more = "max_cycles = 99\nhours = 5.0\npool = ['x']\n[dynamics]"
    free = load(
        change=("[dynamics]", more), other=("[code]", "[targets]\nir=0.1\n[code]")
    )
    require_same_settings(run, free)
    with pytest.raises(
        IncompatibleError,
        match=r"dynamics.timestep was 0.5 when the run in .* is 1.0 n",
    ):
        require_same_settings(run, load(change=("timestep = 0.5", "timestep = 1.0")))
    with pytest.raises(IncompatibleError, match=r"autotrain.seed was 1 when"):
        require_same_settings(run, load(change=("[dynamics]", "seed = 2\n[dynamics]")))


def test_a_run_that_an_older_program_began_knows_no_later_setting(load, tmp_path):
    before = fixed_settings(load())
    del before["spectra"]["min_wavenumber"]
    run = RunFolder(tmp_path / "run")
    with run.lock():
        finish_survey(run)
        run.write_state(before, "")
    require_same_settings(run, load())
    other = load(change=("[code]", "[spectra]\nmin_wavenumber = 7.0\n[code]"))
    with pytest.raises(IncompatibleError, match=r"spectra.min_wavenumber was 50.0 wh"):
        require_same_settings(run, other)
    cut = load(change=("[code]", "[clusters]\nradius = 4.0\n[code]"))
    with pytest.raises(IncompatibleError, match=r"clusters.bond_factor was None when"):
        require_same_settings(run, cut)


def test_the_command_wants_one_thing_at_a_time(capsys, tmp_path):
    assert main(["autotrain"]) == 78
    assert "give one of RUN.toml" in capsys.readouterr().err
    assert main(["autotrain", "--status", str(tmp_path)]) == 65
    assert "holds no run yet" in capsys.readouterr().err


def test_the_shipped_settings_can_be_used():
    folder = Path(__file__).parents[3] / "inputs/autotrain/water"
    settings = load_settings(folder / "autotrain.toml")
    lammps = (folder / "in.lammps").read_text()
    assert f"timestep        {settings.dynamics.timestep:g}\n" in lammps
    assert settings.autotrain.trajectories == ("water-1.dump", "water-2.dump")
    assert "custom ${stride} water-${part}.dump id type mass x y z vx vy vz" in lammps
    atoms = (folder / "droplet.data").read_text().split("Atoms # full")[1]
    rows = [line.split() for line in atoms.split("Bonds")[0].splitlines()]
    rows = [row for row in rows if row]
    frame = Frame(
        np.array([8 if row[2] == "1" else 1 for row in rows]),
        np.array([[float(x) for x in row[4:7]] for row in rows]),
        20.0 * np.eye(3),
        None,
        0,
    )
    settings.code().check(frame)  # there is vacuum enough
