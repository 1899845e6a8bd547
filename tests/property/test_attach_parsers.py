"""Readers of inputs: whatever the bytes, an answer or an error of ours, and soon."""

from __future__ import annotations

import contextlib
import re
import sys
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mimyria.errors import MimyriaError, SettingsError
from mimyria_driver.attach.ipi.attaching import attach_ipi
from mimyria_driver.attach.lammps.attaching import attach_lammps
from mimyria_driver.attach.lammps.formulas import UnreadableError, evaluate
from mimyria_driver.attach.lammps.lines import logical_lines, words_of
from mimyria_driver.attach.lammps.variables import Variables
from mimyria_driver.attach.runfile import run_file
from mimyria_driver.settings import parse_settings

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

INPUTS = Path(__file__).resolve().parents[2] / "inputs"
LAMMPS = "\n".join(
    (INPUTS / "lammps" / "water" / name).read_text()
    for name in ("settings.lammps", "in.lammps")
).replace("mimyria_", "other_")
DATA = (INPUTS / "lammps" / "water" / "water64.data").read_text()[:3000]
IPI = (INPUTS / "ipi" / "water" / "input.xml").read_text()
IPI = IPI.replace("dt_fs", "other").replace("mimyria-", "water-")
WORDS = [
    *("run", "fix 1 all", "nve", "langevin", "${", "}", "$(", ")", "$x", "&\n", "#"),
    *('"', '"""', "'", "variable x index", "variable x equal", "v_x", "next x"),
    *("jump SELF", "label a", "include", "units", "real", "timestep", "1e400", "-1"),
    *("read_data in.data", "mass * 1", "mass 2*", "clear", "replicate 9 9 9", "nan"),
    *("labelmap atom 1 O", "dump_modify d element O H", "pair_coeff * * f O H", "if"),
    *("\0", "\xff", "\r\n", "\n", " ", "9" * 400, "((((", "^", "0x1", "۳"),
]
XML = [
    *("<system>", "</system>", "<dynamics/>", "<forces>", "&lt;", "<!--", "-->", "]]>"),
    *("<beads><names>[O,H]</names></beads>", "nbeads='0'", "<nmts>[1,4]</nmts>", "<"),
    *("<!DOCTYPE a>", "units='parsec'", "1e999", "\0", "<timestep> x </timestep>"),
]


def mutated(text: str, pieces: list[str]) -> st.SearchStrategy[bytes]:
    """The text with pieces cut out and put in."""

    def build(changes: list[tuple[float, int, str]]) -> bytes:
        changed = text
        for place, length, piece in changes:
            at = int(place * len(changed))
            changed = changed[:at] + piece + changed[at + length :]
        return changed.encode("utf-8", "surrogateescape")

    piece = st.one_of(st.sampled_from(pieces), st.text(max_size=4))
    change = st.tuples(st.floats(0, 1), st.integers(0, 60), piece)
    return st.lists(change, max_size=8).map(build)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("attach")
    (folder / "water64.data").write_text(DATA)
    return folder


def check_plan(text: str, folder: Path) -> None:
    """The run file is TOML; it is taken, or refused by one of our errors."""
    document = tomllib.loads(text)
    with contextlib.suppress(SettingsError):
        parse_settings(document, folder)


def check_refusal(refused: BaseException | None) -> None:
    """One of our errors, in one line that can be read."""
    assert isinstance(refused, MimyriaError)
    assert "\n" not in str(refused)
    assert len(str(refused)) < 2000


SCRIPTS = mutated(LAMMPS, WORDS)


@settings(max_examples=12)
@given(SCRIPTS, st.booleans())
@example(b"units real\nrun", True)
@example(b"units real\nvariable a equal ${a}\nvariable a equal v_a\nrun $(v_a)\n", True)
@example(b"include in.lammps\n" * 3 + b"units real\nrun 5", True)
@example(b"units real\nrun 10 &", False)
@example(b'units metal\nmass 1 "', True)
@example(b"", True)
def test_any_script_of_lammps_gives_a_plan_or_one_line(
    folder: Path, content: bytes, hook: bool
) -> None:
    path = folder / "in.lammps"
    path.write_bytes(content)
    refused = None
    try:
        attached = attach_lammps(path, folder, {}, hook=hook)
    except Exception as error:
        refused = error
    if refused is not None:
        check_refusal(refused)
        return
    check_plan(run_file(attached.plan), folder)
    copy = attached.files[attached.input]
    ours = [each for each in copy.split("\n") if "mimyria" in each]
    assert len(ours) >= 4
    if "includes stands here" not in copy:
        # Every byte of the user's is there, in its order.
        rest = iter(copy.encode("utf-8", "surrogateescape"))
        assert all(byte in rest for byte in content)


@pytest.mark.slow
@settings(max_examples=1000)
@given(SCRIPTS, st.booleans())
def test_a_thousand_scripts_of_lammps(folder: Path, content: bytes, hook: bool) -> None:
    any_script = test_any_script_of_lammps_gives_a_plan_or_one_line
    any_script.hypothesis.inner_test(folder, content, hook)


@pytest.mark.slow
@settings(max_examples=1000)
@given(mutated(IPI, XML))
def test_a_thousand_inputs_of_ipi(folder: Path, content: bytes) -> None:
    test_any_input_of_ipi_gives_a_plan_or_one_line.hypothesis.inner_test(
        folder, content
    )


@settings(max_examples=10)
@given(mutated(DATA, [*WORDS, "Masses\n\n", "Atoms # full\n\n", "xlo xhi", "3 atoms"]))
def test_any_data_file_gives_a_plan(folder: Path, content: bytes) -> None:
    (folder / "odd.data").write_bytes(content)
    path = folder / "in.data"
    path.write_text("units real\natom_style full\nread_data odd.data\nrun 10\n")
    attached = attach_lammps(path, folder, {}, hook=True)
    check_plan(run_file(attached.plan), folder)


@settings(max_examples=10)
@given(mutated(IPI, XML))
def test_any_input_of_ipi_gives_a_plan_or_one_line(
    folder: Path, content: bytes
) -> None:
    path = folder / "input.xml"
    path.write_bytes(content)
    refused = None
    try:
        attached = attach_ipi(path, folder)
    except Exception as error:
        refused = error
    if refused is not None:
        check_refusal(refused)
        return
    check_plan(run_file(attached.plan), folder)
    assert attached.files[attached.input].count("mimyria-") == 1


@settings(max_examples=50)
@given(st.text(alphabet="0123456789.+-*/^()eE v_xPIsqrt%", max_size=60))
def test_a_formula_is_a_number_or_not_to_be_known(text: str) -> None:
    try:
        value = evaluate(text, lambda name: 2.0)
    except UnreadableError:
        return
    assert value == value


NUMBERS = st.integers(1, 99).map(str)
SUMS = st.recursive(
    NUMBERS,
    lambda inner: st.tuples(inner, st.sampled_from("+-*/"), inner).map(
        lambda parts: f"({''.join(parts)})"
    ),
    max_leaves=8,
)


@settings(max_examples=50)
@given(SUMS)
def test_a_formula_has_the_value_that_python_gives_it(text: str) -> None:
    try:
        expected = eval(text)  # noqa: S307 (a sum of numbers)
    except ZeroDivisionError:
        with pytest.raises(UnreadableError):
            evaluate(text, lambda name: 0.0)
        return
    assert evaluate(text, lambda name: 0.0) == pytest.approx(expected, rel=1e-12)


PLAIN = st.text(alphabet="abc xyz123", min_size=1, max_size=12).filter(str.strip)


@settings(max_examples=40)
@given(st.lists(PLAIN, min_size=1, max_size=6), st.data())
def test_a_line_may_be_continued_anywhere_between_words(
    words: list[str], data: st.DataObject
) -> None:
    text = " ".join(words)
    gaps = [match.start() for match in re.finditer(" ", text)]
    cut = data.draw(st.lists(st.sampled_from(gaps), unique=True)) if gaps else []
    pieces = "".join(" &\n " if k in cut else c for k, c in enumerate(text))
    (line,) = logical_lines(pieces + " # comment\n")
    assert words_of(line.text) == text.split()
    assert (line.first, line.last) == (1, 1 + len(cut))


@settings(max_examples=20)
@given(st.integers(-999, 999), st.integers(1, 99))
def test_values_of_variables_stand_in_their_places(number: int, other: int) -> None:
    variables = Variables({})
    variables.define(["a", "index", str(number)])
    variables.define(["b", "equal", f"v_a*{other}"])
    line, unknown = variables.expand('run ${a} $(v_b:%d) "${a}" ${none}')
    assert line == f'run {number} {number * other} "${{a}}" ${{none}}'
    assert unknown == ("${none}",)
