"""Every command of every page: known to its parser, and run where that is quick.

What takes minutes (a training, a simulation) is parsed, and `LONG` names the test that
really runs it; a command of ours that is in neither table fails. Programs of others
have to be known, and files that they are given from the repository have to be there.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mimyria import cli
from mimyria_driver import cli as driver_cli
from mimyria_driver.inprocess import __main__ as inprocess
from mimyria_driver.lammps import library
from tests.docs.pages import (
    LANGUAGES,
    NAMES,
    REPOSITORY,
    SYNOPSIS,
    Block,
    all_blocks,
    blocks,
    missing_test,
    script,
)
from tests.docs.shell import Command, commands
from tests.docs.workplace import DEMO, prepare

PARSERS = {"mimyria": cli.build_parser(), "mimyria-driver": driver_cli.build_parser()}
MAINS = {"mimyria": cli.main, "mimyria-driver": driver_cli.main}
MODULES = {
    "mimyria_driver.inprocess": inprocess._parse,
    "mimyria_driver.lammps.library": library._parse,
    "mimyria": PARSERS["mimyria"].parse_args,
}

LONG = {
    "mimyria autotrain": "tests/integration/autotrain/test_autotrain.py::"
    "test_a_whole_run_leaves_models_spectra_and_a_report",
    "mimyria committee": "tests/unit/training/test_committee.py::"
    "test_commands_make_the_same_committee_at_once_and_piece_by_piece",
    "mimyria train": "tests/unit/test_model_commands.py::"
    "test_train_writes_model_checkpoint_and_learning_curve",
    "mimyria export": "tests/unit/test_model_commands.py::"
    "test_export_predict_and_info_work_together",
    "mimyria import labels": "tests/unit/test_import_labels.py::"
    "test_both_orders_lead_to_ours",
    "mimyria import model": "tests/unit/models/test_mym.py::"
    "test_predictions_are_those_of_the_program_that_made_the_file",
    "mimyria predict": "tests/unit/test_model_commands.py::"
    "test_export_predict_and_info_work_together",
    "mimyria reference check": "tests/integration/reference/test_campaign.py::"
    "test_fields_and_displacements_agree_and_a_wrong_tensor_is_noticed",
    "mimyria-driver bec": "tests/integration/test_bec_command.py::"
    "test_a_second_client_that_stands_by_takes_over_from_one_that_is_killed",
    "mimyria-driver demo": "tests/integration/test_demo.py::"
    "test_the_demo_with_lammps_leaves_spectra_and_says_where_the_bands_are",
    "mimyria-driver init": "tests/integration/test_attach_runs.py::"
    "test_the_commands_lead_from_a_clone_to_a_spectrum_of_an_own_input",
    "mimyria-driver replay": "tests/integration/test_live_equals_replay.py::"
    "test_replay_of_the_engines_own_dump_gives_the_live_spectra",
    "mimyria-driver run": "tests/integration/test_demo.py::"
    "test_the_demo_with_lammps_leaves_spectra_and_says_where_the_bands_are",
    "mimyria-driver watch --web": "tests/integration/service/test_web_server.py::"
    "test_the_page_writes_nothing_but_its_token",
}
PLAIN = "compare info merge plot spectrum table vdos"
REFERENCE = "collect plan run settings status"
DRIVER = "hook join rebuild repair settings status verify watch"
QUICK = {
    "mimyria --version",
    *(f"mimyria {name}" for name in PLAIN.split()),
    *(f"mimyria reference {name}" for name in REFERENCE.split()),
    *(f"mimyria-driver {name}" for name in DRIVER.split()),
}
WORDS = {
    "RUNDIR2": "run2",
    "MODEL": "water-compact-apt",
    "NAME": "water-compact-apt",
    "RUN.TOML": "run.toml",
}
"""What the words that stand for something are, where a command is run."""
FINE = {"mimyria-driver status": {0, 1, 2, 3}, "mimyria-driver watch": {0, 1, 2, 3}}

PROGRAMS_OF_OTHERS = """
apptainer apt buildah cat cd chmod cp curl docker docker-compose echo export git grep
i-pi kill lmp ls make mkdir mv pip podman python pytest rm sacct sbatch scancel sinfo
sleep squeue ssh systemctl tail tar touch wait ./run.sh .
"""
FOREIGN = set(PROGRAMS_OF_OTHERS.split())
FILES = re.compile(r"(inputs|docs|tests|benchmarks)/[\w./-]+")
PROJECT = (REPOSITORY / "pyproject.toml").read_text()
MAKEFILE = (REPOSITORY / "Makefile").read_text()


def of(block: Block) -> list[Command]:
    return commands(block.text)


def title(command: Command) -> str:
    """Program and sub-command, as `mimyria reference plan`, and whether it serves."""
    words = command.words
    if "--web" in words:
        return " ".join((*words[:2], "--web"))
    two_deep = words[:2] in (("mimyria", "reference"), ("mimyria", "import"))
    return " ".join(words[: 3 if two_deep else 2])


def parsed(command: Command) -> str | None:
    """What a parser has against a command of ours."""
    program, *rest = command.words
    if program == "python":
        parse, rest = MODULES[rest[1]], rest[2:]
    else:
        parse = PARSERS[program].parse_args
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            parse(rest)
    except SystemExit as end:
        return said.getvalue() if end.code else None
    return None


def wrong_with(command: Command, folder: Path) -> str | None:
    """What is wrong with a command of somebody else, or with its files."""
    program, *rest = command.words
    if program not in FOREIGN:
        return f"nobody knows {program}"
    for word in rest:
        made = word.startswith("docs/_build/")
        if FILES.fullmatch(word) and not made and not (REPOSITORY / word).exists():
            return f"{word} is not there"
    if program == "make":
        if rest[0] == "-C":
            rest = rest[2:]
        targets = [word for word in rest if "=" not in word]
        absent = [x for x in targets if not re.search(rf"^{x}:", MAKEFILE, re.M)]
        return f"make has no {absent}" if absent else None
    if program == "pip":
        extras = re.findall(r"mimyria\[([\w,]+)\]", " ".join(rest))
        names = [name for each in extras for name in each.split(",")]
        absent = [x for x in names if not re.search(rf"^{x} = \[", PROJECT, re.M)]
        return f"there is no extra {absent}" if absent else None
    if program == "python" and rest[0] == "-m":
        found = rest[1] in sys_modules() or importlib.util.find_spec(rest[1])
        return None if found else f"there is no module {rest[1]}"
    if program in ("python", "sbatch", "./run.sh", "lmp"):
        return absent_input(program, rest, folder)
    return None


def sys_modules() -> set[str]:
    import sys

    return set(sys.stdlib_module_names)


def absent_input(program: str, rest: list[str], folder: Path) -> str | None:
    """A script or an input that is neither beside the page nor in the repository."""
    given = [word for word in rest if not word.startswith("-")][:1]
    if program == "./run.sh":
        given = ["run.sh"]
    if program == "lmp":
        given = rest[rest.index("-in") + 1 :][:1]
    places = (folder, REPOSITORY, *(x.parent for x in INPUTS if folder != x.parent))
    for name in given:
        if not any((place / name).exists() for place in places):
            return f"{name} is not there"
    return None


INPUTS = [REPOSITORY / name for name in NAMES if name.startswith("inputs/")]
SHELL = all_blocks("sh")


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_every_command_is_known(block: Block) -> None:
    folder = (REPOSITORY / block.page).parent
    found = of(block)
    assert found, block
    for command in found:
        ours = command.words[0] in PARSERS
        module = command.words[:2] == ("python", "-m") and command.words[2] in MODULES
        problem = parsed(command) if ours or module else wrong_with(command, folder)
        assert problem is None, f"{block}: {command}: {problem}"
        if ours:
            assert title(command) in LONG.keys() | QUICK, f"{command}: in no table"


@pytest.mark.parametrize("block", all_blocks("synopsis"), ids=str)
def test_a_synopsis_names_commands_and_options_that_there_are(
    block: Block, capsys: pytest.CaptureFixture[str]
) -> None:
    for line in block.text.splitlines():
        found = SYNOPSIS.fullmatch(line)
        if found is None:
            assert line.startswith("tail "), line
            continue
        program, name, *rest = found["command"].split()
        with pytest.raises(SystemExit) as end:
            PARSERS[program].parse_args([name, "--help"])
        assert end.value.code == 0, line
        options = set(re.findall(r"--[a-z][a-z-]+", " ".join(rest)))
        assert options <= set(re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out))


def test_what_is_not_run_here_is_run_by_the_test_that_is_named() -> None:
    for name in LONG.values():
        assert missing_test(*name.split("::")) is None, name


def test_a_wrong_command_would_be_found() -> None:
    (wrong,) = commands("mimyria spectrum x.h5 --resolutoin 3")
    assert "unrecognized arguments" in (parsed(wrong) or "")
    (wrong,) = commands("OMP_NUM_THREADS=1 nohup make absent > out &")
    assert wrong_with(wrong, REPOSITORY) == "make has no ['absent']"
    (wrong,) = commands("mpirun -n 4 lmp -in inputs/absent.lammps")
    assert wrong_with(wrong, REPOSITORY) == "inputs/absent.lammps is not there"
    (wrong,) = commands('pip install "mimyria[absent]"')
    assert wrong_with(wrong, REPOSITORY) == "there is no extra ['absent']"
    (demo,) = commands("mimyria info autotrain-demo-output/run/models/joint.mimyria")
    assert of_a_demo(demo)
    (absent,) = commands("mimyria info absent-output/joint.mimyria")
    assert not of_a_demo(absent)
    (wrong,) = commands("frobnicate x")
    assert wrong_with(wrong, REPOSITORY) == "nobody knows frobnicate"


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("manual")
    prepare(folder)
    before = Path.cwd()
    os.chdir(folder)
    yield folder
    os.chdir(before)


def run(command: Command, already: dict[str, str]) -> None:
    """Run a command of ours in this process, once; its output is kept."""
    words = [WORDS.get(word, word) for word in command.words]
    name = " ".join(words)
    if name in already:
        return
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            code = MAINS[words[0]](words[1:])
        except SystemExit as end:
            code = int(end.code or 0)
    assert code in FINE.get(title(command), {0}), (
        f"{command}: {code}\n{said.getvalue()}"
    )
    already[name] = said.getvalue()
    if command.output and not Path(command.output).exists():
        Path(command.output).write_text(said.getvalue())


def of_a_demo(command: Command) -> bool:
    """Whether it is given what a long `make …-demo` leaves, which is not here."""
    folders = {word.split("/")[0] for word in command.words if "-output/" in word}
    made = {name for name in folders if re.search(rf"\b{name}\b", MAKEFILE)}
    return bool(made) and not any(DEMO.startswith(f"{name}/") for name in made)


def quick(page: str) -> list[Command]:
    """The commands of a page that are run here."""
    return [
        command
        for block in blocks(page)
        if block.kind == "sh" and block.run_by is None
        for command in of(block)
        if title(command) in QUICK and not of_a_demo(command)
    ]


RUN_PAGES = [x for x in NAMES if not x.startswith("inputs/") and quick(x)]
OUTPUTS: dict[str, str] = {}


@pytest.mark.parametrize("page", RUN_PAGES)
def test_commands_that_are_quick_run(page: str, workplace: Path) -> None:
    for command in quick(page):
        run(command, OUTPUTS)


HEAVY = {"docs/models.md"}
"""Pages whose scripts load networks."""
PYTHON = [
    pytest.param(page, marks=[pytest.mark.slow] if page in HEAVY else [])
    for page in sorted({block.page for block in all_blocks("python")})
]


@pytest.mark.parametrize("page", PYTHON)
def test_the_scripts_of_a_page_run_one_after_the_other(
    page: str, workplace: Path
) -> None:
    names: dict[str, object] = {}
    for block in all_blocks("python"):
        if block.page == page:
            exec(compile(block.text, str(block), "exec"), names)


def test_languages_have_one_name() -> None:
    assert set(LANGUAGES.values()) <= {"sh", "text"}


def test_the_figure_of_raman_is_drawn_of_a_result(workplace: Path) -> None:
    figure = script("which_raman").panels(
        workplace / "spectrum" / "spectrum.h5", resolution=60.0
    )
    left, right = figure.axes
    assert [len(axes.lines) for axes in (left, right)] == [4, 3]
    curves = {line.get_label(): line.get_ydata() for line in left.lines}
    vv, vh, both, iso = curves.values()
    np.testing.assert_allclose(both, vv + vh, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(iso, vv - 4 / 3 * vh, rtol=1e-8, atol=1e-10)
