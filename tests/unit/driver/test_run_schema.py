"""The JSON schema of run.toml: what it is made from, and what it takes and refuses."""

import dataclasses
import json
import re
import sys
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mimyria.errors import SettingsError
from mimyria_driver.cli import main
from mimyria_driver.settings import SCHEMA_FILE, SECTIONS, parse_settings, schema

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

REPOSITORY = Path(__file__).resolve().parents[3]
VALIDATOR = jsonschema.Draft7Validator(schema())
RUN_FILES = sorted((REPOSITORY / "inputs").rglob("run.toml"))
BLOCKS = [
    block
    for page in sorted((REPOSITORY / "docs").glob("*.md"))
    for block in re.findall(r"```toml\n(.*?)```", page.read_text(), re.S)
]
NAMES = {
    name: [entry.name for entry in dataclasses.fields(cls)]
    for name, cls in SECTIONS.items()
}
SMALL = {"source": {"kind": "lammps"}, "models": {"apt": "water-compact-apt"}}


def with_sections(sections):
    document = {name: dict(values) for name, values in SMALL.items()}
    for name, values in sections.items():
        document[name] = {**document.get(name, {}), **values}
    return document


def test_the_command_prints_it_and_the_shipped_file_is_the_same(capsys):
    assert main(["settings", "--schema"]) == 0
    printed = capsys.readouterr().out
    assert json.loads(printed) == schema()
    hint = "mimyria-driver settings --schema > driver/mimyria_driver/run.schema.json"
    assert SCHEMA_FILE.read_text() == printed, hint


def test_it_is_a_schema():
    jsonschema.Draft7Validator.check_schema(schema())


def test_every_setting_has_its_sentence_its_type_and_its_default():
    for name in SECTIONS:
        table = schema()["properties"][name]
        assert set(table["properties"]) == set(NAMES[name])
        for entry in table["properties"].values():
            assert entry["description"].endswith(".")
            assert entry["type"] in {"string", "integer", "number", "boolean", "array"}
    credit = schema()["properties"]["run"]["properties"]["credit"]
    assert credit["default"] == 16
    assert (credit["minimum"], credit["maximum"]) == (1, 4096)
    window = schema()["properties"]["spectrum"]["properties"]["window"]
    assert window["enum"][0] == window["default"] == "gaussian"


@pytest.mark.parametrize(
    "path", RUN_FILES, ids=lambda path: str(path.relative_to(REPOSITORY / "inputs"))
)
def test_the_shipped_files_obey(path):
    assert not list(VALIDATOR.iter_errors(tomllib.loads(path.read_text())))


def test_no_shipped_file_was_overlooked():
    assert len(RUN_FILES) >= 8


@pytest.mark.parametrize(
    "sections",
    [
        {"modells": {}},
        {"spectrum": {"temprature": 300.0}},
        {"source": {"kind": "lamps"}},
        {"spectrum": {"temperature": "300 K"}},
        {"spectrum": {"resolution": 0.0}},
        {"spectrum": {"window": "hannn"}},
        {"run": {"credit": True}},
        {"run": {"credit": 0}},
        {"run": {"credit": 2.5}},
        {"run": {"directory": 3}},
        {"run": {"patience": -1.0}},
        {"models": {"device": "gpu"}},
        {"models": {"batch": 0}},
        {"models": {"unusual_above": 0.5}},
        {"models": {"apt_sha256": "abc"}},
        {"convergence": {"ir": 1.0}},
        {"groups": {"kind": "shells", "around": "Na"}},
        {"groups": {"borders": ["3"]}},
        {"source": {"kind": "replay", "path": "x.extxyz"}},
        {"source": {"kind": "ipi", "time_step": 0.5}},
        {"source": {"elements": "OHH"}},
        {"alerts": {"restarts": -1}},
    ],
)
def test_a_mistake_that_the_program_refuses_is_marked_by_the_editor(sections):
    document = with_sections(sections)
    with pytest.raises(SettingsError):
        parse_settings(document, Path())
    assert list(VALIDATOR.iter_errors(document))


def test_a_file_without_source_or_models_is_marked():
    assert list(VALIDATOR.iter_errors({"source": {"kind": "lammps"}}))
    assert list(VALIDATOR.iter_errors({"models": {"apt": "a"}}))
    assert list(VALIDATOR.iter_errors({**SMALL, "models": {"batch": 1}}))


VALUES = st.one_of(
    st.booleans(),
    st.integers(-2, 5000),
    st.floats(-10, 1e4),
    st.sampled_from(
        ["cpu", "cuda:1", "hann", "ipi", "intra", "engine", "warn", "x.bin", "a" * 64]
    ),
    st.lists(st.sampled_from(["1=O", "O", "1500-1800"]), max_size=2),
    st.lists(st.floats(0.1, 9), max_size=3),
)
ANYTHING = st.dictionaries(
    st.sampled_from([(s, k) for s in NAMES for k in NAMES[s]]),
    VALUES,
    max_size=3,
)


@settings(max_examples=100)
@given(ANYTHING)
def test_what_the_program_takes_is_never_marked(entries):
    document = with_sections({})
    for (section, key), value in entries.items():
        document.setdefault(section, {})[key] = value
    try:
        parse_settings(document, Path())
    except SettingsError:
        return
    assert not list(VALIDATOR.iter_errors(document))


def test_the_examples_of_the_documentation_obey_where_they_are_of_a_run_file():
    """They show some sections only, so what is required is not asked for."""
    tables = schema()["properties"]
    for table in tables.values():
        for rule in ("required", "allOf", "anyOf"):
            table.pop(rule, None)
    n_tables = 0
    for block in BLOCKS:
        for name, values in tomllib.loads(block).items():
            if name in tables and isinstance(values, dict):
                n_tables += 1
                jsonschema.Draft7Validator(tables[name]).validate(values)
    assert n_tables >= 10
