from pathlib import Path

import pytest

from mimyria.errors import SettingsError
from mimyria_driver.assembly import engine_endpoint
from mimyria_driver.settings import load_settings, parse_settings, reference

SMALL = {"source": {"kind": "lammps"}, "models": {"apt": "water-compact-apt"}}


def parsed(**sections):
    document = {name: dict(values) for name, values in SMALL.items()}
    for name, values in sections.items():
        document[name] = {**document.get(name, {}), **values}
    return parse_settings(document, Path("/runs/water"))


def test_small_file_is_enough(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text('[source]\nkind = "lammps"\n[models]\napt = "water-compact-apt"\n')
    settings = load_settings(path)
    assert settings.run.directory == tmp_path / "spectrum"
    assert settings.run.credit == 16
    assert settings.models.apt == "water-compact-apt"
    assert settings.models.pgt is None
    assert settings.spectrum.max_wavenumber == 4000.0
    assert settings.spectrum.temperature is None


def test_paths_start_from_the_folder_of_the_file():
    settings = parsed(
        run={"directory": "out"},
        source={"kind": "replay", "path": "../md.extxyz", "time_step": 0.5},
        models={"apt": "apt.mimyria", "pgt": "/models/pgt.pt"},
    )
    assert settings.run.directory == Path("/runs/water/out")
    assert settings.source.path == Path("/runs/water/../md.extxyz")
    assert settings.models.apt == "/runs/water/apt.mimyria"
    assert settings.models.pgt == "/models/pgt.pt"


def test_socket_is_in_the_run_folder_unless_told_otherwise(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert engine_endpoint(parsed()) == "ipc:///runs/water/spectrum/engine"
    elsewhere = parsed(source={"endpoint": "ipc://md.sock"})
    assert engine_endpoint(elsewhere) == "ipc:///runs/water/md.sock"
    tcp = parsed(source={"endpoint": "tcp://127.0.0.1:5555"})
    assert engine_endpoint(tcp) == "tcp://127.0.0.1:5555"


def test_long_socket_path_is_given_from_here(monkeypatch, tmp_path):
    deep = tmp_path / "a" / "rather" / "long" / "path"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    settings = parsed(source={"endpoint": f"ipc://{deep}/md.sock"})
    assert engine_endpoint(settings) == "ipc://md.sock"


def test_whole_numbers_are_numbers_too():
    assert parsed(spectrum={"temperature": 300}).spectrum.temperature == 300.0
    shells = {"kind": "shells", "around": "O4S", "borders": [3, 5.5]}
    assert repr(parsed(groups=shells).groups.borders) == "(3.0, 5.5)"


@pytest.mark.parametrize(
    ("sections", "text"),
    [
        ({"modells": {}}, r"Unknown section 'modells'\. Did you mean 'models'\?"),
        (
            {"spectrum": {"temprature": 300.0}},
            r"'spectrum.temprature'\. Did you mean 'spectrum.temperature'\?",
        ),
        (
            {"spectrum": {"zzz": 1}},
            r"Unknown setting 'spectrum.zzz'\. Known: max_lag, max_wavenumber",
        ),
        (
            {"source": {"kind": "lamps"}},
            r"one of lammps, lammps-dump, ipi, imd, replay, but is 'lamps'\. "
            r"Did you mean 'lammps'\?",
        ),
        (
            {"spectrum": {"temperature": "300 K"}},
            "spectrum.temperature must be a number, but is the string '300 K'",
        ),
        (
            {"run": {"credit": 8.0}},
            r"run.credit must be a whole number, but is the number 8\.0",
        ),
        (
            {"run": {"credit": True}},
            "run.credit must be a whole number, but is the truth value True",
        ),
        ({"run": {"credit": 0}}, "run.credit must be from 1 to 4096, but is 0"),
        ({"run": {"directory": 3}}, "run.directory must be a path in quotes"),
        ({"run": {"patience": -1.0}}, "run.patience must be 0 or more seconds"),
        ({"run": {"report": 0}}, "run.report must be a positive time"),
        (
            {"spectrum": {"plots": 1}},
            "spectrum.plots must be true or false, but is the whole number 1",
        ),
        ({"spectrum": {"resolution": 0.0}}, "spectrum.resolution must be above zero"),
        (
            {"spectrum": {"temperature": float("nan")}},
            "spectrum.temperature must be a number",
        ),
        (
            {"spectrum": {"temperature": float("inf")}},
            "spectrum.temperature must be a number",
        ),
        ({"spectrum": {"window": "hannn"}}, "Did you mean 'hann'"),
        ({"models": {"device": "gpu"}}, "models.device must be one of auto, cpu, cuda"),
        ({"models": {"batch": 0}}, "models.batch must be from 1"),
        ({"models": {"threads": -1}}, "models.threads must be 0 or more"),
        ({"models": {"repeat": -1}}, "models.repeat must be 0 or more, but is -1"),
        ({"models": {"unusual_above": 0.5}}, "models.unusual_above must be above 1"),
        (
            {"source": {"kind": "replay", "path": "x.extxyz"}},
            "source.time_step is missing",
        ),
        ({"source": {"kind": "ipi", "time_step": 0.5}}, "source.address is missing"),
        (
            {"source": {"kind": "ipi", "address": "unix:x", "time_step": 0.5}},
            "give either source.elements or source.structure",
        ),
        (
            {"source": {"kind": "imd", "address": "x:1", "time_step": 0.5}},
            r"source\.units is missing",
        ),
        (
            {
                "source": {
                    "kind": "imd",
                    "address": "x:1",
                    "time_step": 0.5,
                    "units": "real",
                }
            },
            r"source\.units must be one of lammps-real, lammps-metal, gromacs, namd",
        ),
        (
            {
                "source": {
                    "kind": "imd",
                    "address": "x:1",
                    "time_step": 0.5,
                    "units": "namd",
                }
            },
            "an engine with IMD does not say which atoms it has",
        ),
        (
            {"source": {"kind": "replay", "path": "x", "time_step": -0.5}},
            "source.time_step must be a positive time",
        ),
        (
            {"source": {"kind": "lammps-dump", "path": "x.bin", "time_step": 0.5}},
            r"a dump says types and no elements: give source\.types",
        ),
        (
            {"source": {"kind": "lammps-dump", "time_step": 0.5, "types": ["1=O"]}},
            "source.path is missing",
        ),
        (
            {
                "source": {
                    "kind": "lammps-dump",
                    "path": "x.dump",
                    "time_step": 0.5,
                    "types": ["1=O"],
                }
            },
            r"source\.path must end in \.bin, but is x\.dump",
        ),
        ({"source": {"stride": 0}}, "source.stride must be 1 or more"),
        ({"source": {"elements": "OHH"}}, "source.elements must be a list of strings"),
        (
            {"groups": {"kind": "shells", "around": "Na"}},
            'groups.borders and groups.kind = "shells" belong together',
        ),
        ({"groups": {"around": "Na"}}, "groups.around and groups.kind"),
        ({"groups": {"velocity_probes": -1}}, "groups.velocity_probes must be from 0"),
        (
            {"groups": {"velocity_probes": 4, "kind": "none"}},
            'groups.velocity_probes needs groups, but groups.kind is "none"',
        ),
        ({"groups": {"borders": 3.5}}, "groups.borders must be a list of numbers"),
        ({"groups": {"borders": ["3"]}}, "groups.borders must be a list of numbers"),
        ({"groups": {"borders": [True]}}, "groups.borders must be a list of numbers"),
        ({"groups": {"borders": [5.5, 3.5]}}, "groups.borders must be above 0 and ris"),
        ({"groups": {"borders": [0, 3.5]}}, "groups.borders must be above 0 and ris"),
        ({"groups": {"width": 0.0}}, "groups.width must be above 0, but is 0.0"),
    ],
)
def test_mistake_is_named_with_its_remedy(sections, text):
    with pytest.raises(SettingsError, match=text) as raised:
        parsed(**sections)
    assert raised.value.exit_code == 78


def test_source_and_models_must_be_there():
    with pytest.raises(SettingsError, match=r"source.kind is missing"):
        parse_settings({"models": {"apt": "a"}}, Path())
    with pytest.raises(SettingsError, match="nothing to calculate"):
        parse_settings({"source": {"kind": "lammps"}}, Path())


def test_section_that_is_a_value_is_refused():
    with pytest.raises(SettingsError, match=r"\[run\] must be a section, but is"):
        parse_settings({**SMALL, "run": 3}, Path())


def test_broken_files_are_named(tmp_path):
    path = tmp_path / "run.toml"
    with pytest.raises(SettingsError, match=r"run.toml: cannot be read"):
        load_settings(path)
    path.write_text("[run\n")
    with pytest.raises(SettingsError, match=r"run.toml: is not valid TOML"):
        load_settings(path)
    path.write_text("[run]\ncredits = 3\n")
    with pytest.raises(SettingsError, match=r"run.toml: Unknown setting 'run.credits'"):
        load_settings(path)


def test_reference_names_every_setting_with_a_sentence():
    text = reference()
    for name in ("[run]", "[source]", "[models]", "[spectrum]", "# credit = 16"):
        assert name in text
    lines = text.splitlines()
    for index, line in enumerate(lines):
        if " = " in line and line.startswith("#"):
            assert lines[index - 1].endswith("."), line


def test_manual_has_the_settings_of_the_program():
    manual = Path(__file__).parents[3] / "docs" / "driver.md"
    assert reference().rstrip() in manual.read_text()
