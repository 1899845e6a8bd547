"""What `mimyria-driver init` finds in an input of LAMMPS, and what it says of it."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path

import jsonschema
import pytest

from mimyria.errors import FormatError, OutputError, SettingsError
from mimyria_driver.attach.lammps.attaching import attach_lammps
from mimyria_driver.attach.lammps.programs import choose_program
from mimyria_driver.attach.runfile import run_file
from mimyria_driver.cli import main
from mimyria_driver.settings import SECTIONS, load_settings, parse_settings, schema

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HEAD = "units real\natom_style full\nmass 1 15.9994\nmass 2 1.008\ntimestep 0.5\n"
MOVING = "fix move all nve\nrun 20000\n"


def plan_of(tmp_path, text, hook=True, **given):
    path = tmp_path / "in.lammps"
    path.write_text(text)
    return attach_lammps(path, tmp_path, given, hook=hook)


def settings_of(attached, folder):
    return parse_settings(tomllib.loads(run_file(attached.plan)), folder)


def said(attached):
    plan = attached.plan
    return "\n".join([*plan.said, *map(str, plan.warnings)])


def unread(attached):
    return [str(each) for each in attached.plan.unread]


@pytest.mark.parametrize(
    ("head", "stride"),
    [
        ("units real\ntimestep 0.5\n", 4),
        ("units real\ntimestep 0.25\n", 8),
        ("units real\n", 2),  # 1 fs where the script is silent
        ("units metal\ntimestep 0.0005\n", 4),
        ("units metal\n", 2),
        ("units electron\ntimestep 0.4\n", 5),
        ("units real\nvariable dt equal 2/8\ntimestep ${dt}\n", 8),
        ("units real\ntimestep $(1.0/4:%.3f)\n", 8),
        ("units real\ntimestep 3.0\n", 1),
    ],
)
def test_the_stride_follows_from_the_time_step(tmp_path, head, stride):
    attached = plan_of(tmp_path, head + "mass 1 16\nmass 2 1.008\n" + MOVING)
    assert f"mimyria_stride index {stride}\n" in attached.files["in.mimyria.lammps"]


@pytest.mark.parametrize(
    ("masses", "stride", "highest"),
    [
        ("mass 1 15.9994\nmass 2 1.008\n", 4, 4000.0),
        ("mass 1 15.9994\nmass 2 2.014\n", 5, 3000.0),
        ("mass 1 28.0855\nmass 2 15.999\n", 6, 2500.0),
        ("mass 1 15.9994\nmass 2 4.5\n", 4, 4000.0),  # it may be hydrogen
    ],
)
def test_the_stride_follows_from_the_fastest_vibration(
    tmp_path, masses, stride, highest
):
    attached = plan_of(tmp_path, "units real\ntimestep 0.5\n" + masses + MOVING)
    assert f"mimyria_stride index {stride}\n" in attached.files["in.mimyria.lammps"]
    assert settings_of(attached, tmp_path).spectrum.max_wavenumber == highest


@pytest.mark.parametrize(
    ("lines", "kelvin"),
    [
        ("velocity all create 310.5 1\n", 310.5),
        ("fix bath all nvt temp 250 280 100\n", 280.0),
        ("fix bath all npt temp 300 300 100 iso 1 1 1000\n", 300.0),
        ("fix bath all npt iso 1 1 1000 temp 300 301 100\n", 301.0),
        ("fix bath all langevin 290 295 100 1\n", 295.0),
        ("fix bath all temp/rescale 10 300 305 1 1\n", 305.0),
        ("fix bath all temp/csvr 300 306 100 1\n", 306.0),
        ("fix bath all nvt/omp temp 250 281 100\n", 281.0),
        ("variable T index 333\nvelocity all create ${T} 1\n", 333.0),
        ("velocity all create 300 1\nfix b all nvt temp 300 350 100\n", 350.0),
        ("fix b all nvt temp 300 350 100\nvelocity all scale 340\n", 340.0),
        ("", None),
    ],
)
def test_the_temperature_is_the_last_that_was_asked_for(tmp_path, lines, kelvin):
    attached = plan_of(tmp_path, HEAD + lines + MOVING)
    assert settings_of(attached, tmp_path).spectrum.temperature == kelvin


@pytest.mark.parametrize(
    ("steps", "resolution"), [(100_000, 10.0), (20_000, 30.0), (10_000, 60.0)]
)
def test_the_resolution_follows_from_the_length(tmp_path, steps, resolution):
    attached = plan_of(tmp_path, f"{HEAD}fix 1 all nve\nrun {steps}\n")
    assert settings_of(attached, tmp_path).spectrum.resolution == resolution


@pytest.mark.parametrize(
    ("lines", "elements"),
    [
        ("mass 1 15.9994\nmass 2 1.0\n", "O H"),
        ("mass 1 16.0 # OW\nmass 2 1.008 # HW\n", "O H"),
        ("mass 1 22.98977\nmass 2 35.45\n", "Na Cl"),
        ("mass 1 58.933\nmass 2 58.693\n", "Co Ni"),
        ("mass 1 15.9994\nmass 2 2.014\n", "O D"),
        ("mass 1 14.027 # CH2\nmass 2 1.008\n", "? H"),
        ("mass 1 15.9994\nmass 2 1e-10 # M\n", "O ?"),
        ("mass 1 15.9994 # N1\nmass 2 1.008\n", "? H"),
        ("mass 1 15.9994\nmass 2 3.0\ndump d all custom 9 f id\n"
         "dump_modify d element O H\n", "O ?"),
        ("mass * 12.011\nmass 2 1.008\n", "? H"),
        ("mass 1 27\nmass 2 16\npair_coeff * * a.sw Si O\n", "? O"),
        ("mass 1 28.0855\nmass 2 16\npair_coeff * * a.sw Si O\n", "Si O"),
        ("mass 1 12.011 # CA\nmass 2 1.008 # HO\n", "C H"),
        ("mass * 28.0855\nmass 2 16\npair_coeff * * lib f Si4 O\n", "Si O"),
        ("labelmap atom 1 CA 2 H\nmass 1 12.011\nmass 2 1.008\n", "C H"),
        ("labelmap atom 1 O 2 H\nmass 1 15.9994\nmass 2 1.008\n", "O H"),
    ],
)  # fmt: skip
def test_elements_are_named_or_asked_for(tmp_path, lines, elements):
    attached = plan_of(tmp_path, "units real\n" + lines + MOVING)
    script = attached.files["in.mimyria.lammps"]
    assert f'mimyria_start input 3 ${{mimyria_endpoint}} "{elements}"' in script
    asked = [each for each in attached.plan.asked if "element of type" in each]
    assert len(asked) == elements.count("?")


def test_types_of_a_data_file_with_labels_are_known(tmp_path):
    (tmp_path / "x.data").write_text(
        "title\n\n2 atoms\n2 atom types\n0 5 xlo xhi\n0 5 ylo yhi\n0 5 zlo zhi\n\n"
        "Atom Type Labels\n\n1 O\n2 H\n\nMasses\n\nO 15.999\nH 1.008\n\n"
        "Pair Coeffs\n\n1 0.1 3.0\n\nAtoms # charge\n\n"
        "1 O -1.0 1 1 1\n2 H 2.0 1.9 1 1\n"
    )
    text = f"units real\nread_data x.data\n{MOVING}"
    attached = plan_of(tmp_path, text)
    assert '"O H"' in attached.files["in.mimyria.lammps"]
    assert settings_of(attached, tmp_path).models.charge == 1.0
    assert "1 HO" in said(attached)


def test_molecules_of_a_mixture_are_the_groups(tmp_path):
    rows = [
        "1 1 1 -0.8 1.0 1.0 1.0",
        "2 1 2 0.4 1.9 1.0 1.0",
        "3 1 2 0.4 0.7 1.9 1.0",
        "4 2 3 1.0 6.0 6.0 6.0",
    ]
    sides = "".join(f"0 9 {axis}lo {axis}hi\n" for axis in "xyz")
    (tmp_path / "x.data").write_text(
        f"title\n4 atoms\n3 atom types\n{sides}\nMasses\n\n1 15.9994\n2 1.008\n"
        "3 22.98977\n\nAtoms # full\n\n" + "\n".join(rows) + "\n"
    )
    attached = plan_of(
        tmp_path, f"units real\nread_data x.data\nreplicate 2 1 1\n{MOVING}"
    )
    settings = settings_of(attached, tmp_path)
    assert settings.groups.kind == "molecules"
    assert settings.models.charge == 2.0
    assert {"2 H2O, 2 Na"} <= set(attached.plan.said)
    assert "no shipped model knows H, Na, O" in "\n".join(attached.plan.asked)
    assert settings.models.apt.endswith("my-apt.mimyria")


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("fix s all shake 1e-6 100 0 b 1", "fix shake holds bonds or bodies rigid"),
        ("fix s all rigid/small molecule", "fix rigid/small holds bonds"),
        ("fix s all langevin 300 300 100 1", "fix langevin is a thermostat that kicks"),
        ("fix s all langevin 300 300 100 1 gjf vhalf", "keeps velocities of half step"),
        ("fix s all temp/csvr 300 300 100 1", "fix temp/csvr scales velocities"),
        ("fix s all npt temp 300 300 100 iso 1 1 1000", "fix npt lets the box change"),
        ("fix s all pimd/langevin temp 300", "moves ring polymers"),
        ("fix s all deform 1 x erate 1", "fix deform changes the box"),
        ("fix s all dt/reset 10 1 2 0.1", "fix dt/reset changes the time step"),
        ("fix s all warp/drive 9", "has the style warp/drive, which is not known"),
        ("boundary p p f", "not periodic"),
        ("restart 1000 a b", "writes restart files"),
        ("timestep 2.0", "a time step of 2 fs shifts the fast bands"),
        ("timestep 5.0", "the time step of 5 fs is too long"),
        ("clear\nunits real\nmass 1 16", "clear begins another system"),
    ],
)
def test_what_a_spectrum_minds_is_said_with_its_line(tmp_path, line, text):
    attached = plan_of(tmp_path, f"{HEAD}{line}\n{MOVING}")
    (note,) = [str(each) for each in attached.plan.warnings if text in str(each)]
    if "time step" not in text:
        assert note.startswith("in.lammps:6: ")


def test_a_thermostat_that_has_ended_is_no_trouble(tmp_path):
    text = "fix b all langevin 300 300 100 1\nrun 1000\nunfix b\n"
    attached = plan_of(tmp_path, f"{HEAD}fix move all nve\n{text}run 20000\n")
    assert "langevin" not in said(attached)
    assert "the last of 2 runs" in said(attached)
    assert "the last run is taken for the production" in said(attached)


def test_a_run_without_an_integrator_is_noticed(tmp_path):
    assert "no fix that moves atoms" in said(plan_of(tmp_path, HEAD + "run 9000\n"))


def test_what_is_not_understood_is_said_with_its_line(tmp_path):
    attached = plan_of(
        tmp_path,
        HEAD + "frobnicate 3\ntimestep ${step}\ninclude gone.lammps\n"
        "read_data gone.data\nread_restart x.restart\n"
        'if "${a} > 1" then "fix 9 all shake 1"\njump other.lammps\n'
        "variable n python f\nfix move all nve\nrun ${n} upto\n",
    )
    notes = unread(attached)
    for number, text in enumerate(
        (
            "frobnicate is no command known here",
            "timestep: ${step} is not to be known here",
            "includes gone.lammps, which cannot be read",
            "read_data",
            "read_restart: elements and masses",
            "if: what it does",
            "jump goes on in other.lammps",
        ),
        start=6,
    ):
        (note,) = [each for each in notes if each.startswith(f"in.lammps:{number}: ")]
        assert text in note
    assert "in.lammps:15: run: ${n} is not to be known here" in notes
    assert "# - in.lammps:6: frobnicate is no command" in run_file(attached.plan)
    # Where the time step is not known each step is looked at.
    assert "mimyria_stride index 1\n" in attached.files["in.mimyria.lammps"]


def test_without_a_time_step_the_pipe_asks_for_it_and_the_driver_refuses(tmp_path):
    attached = plan_of(tmp_path, f"{HEAD}timestep ${{x}}\n{MOVING}", hook=False)
    assert "source.time_step: the time step in fs" in attached.plan.asked
    with pytest.raises(SettingsError, match=r"source\.time_step is missing"):
        settings_of(attached, tmp_path)


def test_variables_of_the_command_line_count(tmp_path):
    text = f"{HEAD}variable n index 5\nfix 1 all nve\nrun ${{n}}\n"
    assert "the production run has 0.0025 ps" in said(plan_of(tmp_path, text))
    long = plan_of(tmp_path, text, n="100000")
    assert settings_of(long, tmp_path).spectrum.resolution == 10.0


def lines_of(attached):
    return attached.files["in.mimyria.lammps"].split("\n")


def test_the_lines_stand_around_the_last_run_of_some_steps(tmp_path):
    text = f"{HEAD}fix 1 all nve\nrun 500\nrun &\n   20000\nrun 0\nwrite_data x\n"
    lines = lines_of(plan_of(tmp_path, text))
    run = lines.index("run &")
    assert lines[run - 1] == "# ---- mimyria"
    assert "mimyria_frame" in lines[run - 2]
    assert lines[run + 1 : run + 3] == ["   20000", "# ---- mimyria"]
    assert lines.index("run 500") < lines.index("# ---- mimyria: run.toml says why.")
    assert lines[-3:] == ["run 0", "write_data x", ""]


def test_nothing_is_read_behind_a_quit(tmp_path):
    text = f"{HEAD}fix 1 all nve\nrun 5000\nquit\nfrobnicate\nrun 9000\n"
    attached = plan_of(tmp_path, text)
    lines = lines_of(attached)
    assert lines[lines.index("run 5000") - 1] == "# ---- mimyria"
    assert not attached.plan.unread


def test_a_jump_over_lines_is_said(tmp_path):
    text = f"{HEAD}jump SELF later\nfix s all shake 1\nlabel later\n{MOVING}"
    assert unread(plan_of(tmp_path, text)) == [
        "in.lammps:6: jump goes forward: what stands between was read all the same"
    ]


@pytest.mark.parametrize(
    "back",
    ["next i\njump SELF again", 'if "$i < 3" then "jump SELF again"'],
)
def test_the_lines_stand_around_the_loop_of_a_run(tmp_path, back):
    text = f"fix 1 all nve\nvariable i loop 3\nlabel again\nrun 5000\n{back}\nprint x\n"
    attached = plan_of(tmp_path, HEAD + text)
    lines = lines_of(attached)
    label, end = lines.index("label again"), lines.index(back.split("\n")[-1])
    assert lines[label - 1] == lines[end + 1] == "# ---- mimyria"
    assert lines[-2] == "print x"
    assert "stands in a loop" in said(attached)
    assert settings_of(attached, tmp_path).spectrum.resolution == 10.0


def test_the_text_of_an_included_run_takes_the_place_of_its_include(tmp_path):
    (tmp_path / "run.lammps").write_text("# long\nrun 20000\nprint end\n")
    (tmp_path / "more.lammps").write_text("include run.lammps\n")
    attached = plan_of(
        tmp_path, f"{HEAD}fix 1 all nve\ninclude more.lammps\nprint last\n"
    )
    lines = lines_of(attached)
    assert "include run.lammps" not in lines
    assert lines.index("# long") < lines.index("run 20000") < lines.index("print end")
    assert lines[lines.index("run 20000") - 1] == "# ---- mimyria"
    assert lines[-2] == "print last"


def test_the_rest_of_the_input_stays_to_the_byte(tmp_path):
    content = HEAD.encode() + b"# \xff latin \t \r\nfix 1 all nve\r\nrun 5000\r\n"
    path = tmp_path / "in.water"
    path.write_bytes(content)
    assert main(["init", str(path), "--through", "hook", "--lmp", "no-such-lmp"]) == 0
    copy = (tmp_path / "in.mimyria.water").read_bytes()
    kept, ours = [], False
    for line in copy.split(b"\n"):
        if line.startswith(b"# ---- mimyria"):
            ours = not ours
        elif not ours:
            kept.append(line)
    assert b"\n".join(kept) == content
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("units lj\nrun 10\n", "has units lj, so that nothing in it is a femtosecond"),
        ("run 10\n", "sets no units"),
        (HEAD, "must have a `run` of some steps"),
        (HEAD + "run 0\n", "must have a `run` of some steps"),
        (
            HEAD + "fix 1 all ipi x 1 unix\nrun 9\n",
            r"in.lammps:6: i-PI moves the atoms",
        ),
        (
            HEAD + "fix m all python/invoke 4 end_of_step mimyria_frame\nrun 9\n",
            r"in.lammps:6: calls the driver's hook already",
        ),
        ("units real\0\n", "is no text"),
    ],
)
def test_what_cannot_be_watched_is_refused_in_one_line(tmp_path, text, error):
    with pytest.raises(FormatError, match=error) as raised:
        plan_of(tmp_path, text)
    assert "\n" not in str(raised.value)


def test_a_file_that_is_not_there_is_named(tmp_path, capsys):
    assert main(["init", str(tmp_path / "gone")]) == 78
    assert "cannot be read (No such file" in capsys.readouterr().err
    with pytest.raises(FormatError, match="cannot be read"):
        attach_lammps(tmp_path, tmp_path, {}, hook=True)


@pytest.fixture
def water(tmp_path):
    path = tmp_path / "in.lammps"
    path.write_text(HEAD + "velocity all create 300 1\n" + MOVING)
    return path


def init(path, *words):
    return main(
        ["init", str(path), "--through", "hook", "--lmp", "no-such-lmp", *words]
    )


def test_the_run_file_is_explained_by_the_settings_and_obeys_their_schema(water):
    assert init(water) == 0
    text = (water.parent / "run.toml").read_text()
    first, _, rest = text.partition("\n")
    place = first.removeprefix("#:schema file://")
    assert json.loads(Path(place).read_text()) == schema()
    document = tomllib.loads(text)
    jsonschema.Draft7Validator(schema()).validate(document)
    flat = " ".join(line.lstrip("# ") for line in rest.split("\n"))
    for section, values in document.items():
        fields = SECTIONS[section].__dataclass_fields__
        assert (SECTIONS[section].__doc__ or "").strip() in flat
        for name in values:
            assert fields[name].metadata["sentence"] in flat
    settings = load_settings(water.parent / "run.toml")
    assert settings.run.directory == water.parent / "spectrum"
    assert settings.models.pgt == "water-compact-pgt"
    assert settings.spectrum.temperature == 300.0
    assert max(map(len, rest.split("\n"))) <= 88


def test_files_that_are_there_are_left_unless_forced(water, capsys):
    assert init(water) == 0
    assert init(water) == 0  # the same once more changes nothing
    run_toml = water.parent / "run.toml"
    run_toml.write_text("mine")
    assert init(water) == OutputError.exit_code
    assert (
        "run.toml is there already and says something else" in capsys.readouterr().err
    )
    assert run_toml.read_text() == "mine"
    assert init(water, "--force") == 0
    assert run_toml.read_text() != "mine"


def test_the_input_is_never_written_over(tmp_path, capsys):
    path = tmp_path / "run.toml"  # whatever its name
    path.write_text(HEAD + MOVING)
    assert init(path, "--force") == OutputError.exit_code
    assert "is the input itself" in capsys.readouterr().err
    assert path.read_text() == HEAD + MOVING


def test_a_dry_run_prints_and_writes_nothing(water, capsys):
    assert init(water, "--dry-run") == 0
    assert tomllib.loads(capsys.readouterr().out)["source"]["kind"] == "lammps"
    assert [each.name for each in water.parent.iterdir()] == ["in.lammps"]


def test_new_files_may_go_to_another_folder(water, capsys, monkeypatch):
    monkeypatch.chdir(water.parent)
    assert init(Path("in.lammps"), "--output", "watch/it") == 0
    script = (water.parent / "watch/it/in.mimyria.lammps").read_text()
    assert "mimyria_endpoint index watch/it/spectrum/endpoint.json" in script
    assert "mimyria_hook index watch/it/mimyria_hook.py" in script
    said = capsys.readouterr().out
    assert "mimyria-driver run watch/it/run.toml &" in said
    assert "-in watch/it/in.mimyria.lammps" in said
    with pytest.raises(SettingsError, match="cannot stand in a script of LAMMPS"):
        attach_lammps(water, water.parent / "a b", {}, hook=True)


def test_the_commands_lead_to_the_folder_of_the_input(water, capsys, monkeypatch):
    monkeypatch.chdir("/")
    assert init(water, "--var", "n", "5") == 0
    said = capsys.readouterr().out
    assert f"cd {str(water.parent).removeprefix('/')}" in said
    assert "no-such-lmp -in in.mimyria.lammps -var n 5" in said


def test_a_pipe_is_made_for_lammps_to_wait_at(water, capsys):
    assert main(["init", str(water), "--through", "pipe"]) == 0
    pipe = water.parent / "frames.bin"
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    settings = load_settings(water.parent / "run.toml")
    assert settings.source.kind == "lammps-dump"
    assert settings.source.types == ("1=O", "2=H")
    assert (settings.source.time_step, settings.source.stride) == (0.5, 4)
    pipe.unlink()
    pipe.write_bytes(b"frames of yesterday")
    (water.parent / "run.toml").unlink()
    assert main(["init", str(water), "--through", "pipe"]) == OutputError.exit_code
    assert not (water.parent / "run.toml").exists()
    assert "an earlier run may have left it" in capsys.readouterr().err


def test_a_lammps_that_cannot_call_the_hook_gets_a_pipe(water, tmp_path, capsys):
    lmp = tmp_path / "lmp"
    lmp.write_text("#!/bin/sh\necho LAMMPS\necho ERROR: no Python embedded\nexit 1\n")
    lmp.chmod(0o700)
    assert main(["init", str(water), "--lmp", str(lmp)]) == 0
    assert "has no PYTHON package" in capsys.readouterr().out
    assert (tmp_path / "frames.bin").is_fifo()


def test_the_lammps_of_the_user_comes_before_that_of_this_python(tmp_path, monkeypatch):
    folders = []
    for name, text in (
        ("none", "#!/bin/sh\nexit 1\n"),
        ("ours", "#!/bin/sh\necho LAMMPS\n"),
        ("zmq", "#!/bin/sh\necho LAMMPS Could not process Python string\nexit 1\n"),
        ("able", "#!/bin/sh\necho LAMMPS\n"),
    ):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "lmp").write_text(text)
        (folder / "lmp").chmod(0o700)
        folders.append(str(folder))
    monkeypatch.setattr(sys, "prefix", f"{tmp_path}/ours")
    monkeypatch.setenv("PATH", os.pathsep.join(folders))
    program = choose_program(None, "auto")
    assert (program.command, program.hooks) == (f"{tmp_path}/zmq/lmp", False)
    assert program.why_not == "its Python has no pyzmq"
    monkeypatch.setenv("PATH", os.pathsep.join(folders[1:2]))
    program = choose_program(None, "auto")
    assert (program.command, program.hooks) == ("lmp", True)
    assert not choose_program(None, "pipe").hooks
    assert choose_program(f"{tmp_path}/none/lmp", "auto").why_not == "is no LAMMPS"
    assert choose_program(f"{tmp_path}/gone", "auto").why_not.startswith("cannot be st")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "make engines" in choose_program(None, "auto").why_not
