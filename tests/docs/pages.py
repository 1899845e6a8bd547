"""Every page of the manual, and every block of code on it.

A block has a kind: its language, or for one without what its lines show. `RULES` of
test_blocks.py says how each kind is tested; a block of no kind fails there. A comment
on the line before a block names the test that runs it in place of the rule:

    <!-- run by tests/docs/test_driver_examples.py::test_the_example_of_ase_streams -->
"""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

from markdown_it import MarkdownIt

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = [
    REPOSITORY / "README.md",
    *sorted((REPOSITORY / "docs").glob("*.md")),
    *sorted((REPOSITORY / "inputs").rglob("README.md")),
]
NAMES = [path.relative_to(REPOSITORY).as_posix() for path in PAGES]

RUN_BY = re.compile(r"<!-- run by (tests/[\w/]+\.py)::(\w+) -->")
README_RUN_BY = ("tests/docs/test_readme.py", "test_the_library_example_runs")
"""The README has its words counted, so what runs its script is said here."""
LANGUAGES = {"bash": "sh", "console": "sh", "shell": "sh", "xyz": "text"}
PROGRAMS = re.compile(
    r"(\w+=\S+ )*(\./|(mimyria|mimyria-driver|python3?|make|pip|cp|cd|mkdir|lmp|i-pi|"
    r"mpirun|sbatch|srun|squeue|scancel|tail|nohup|ssh|docker|curl|apt|sudo|pytest|"
    r"torchrun|git|sinfo|export|chmod|ls|cat|grep|apptainer|podman|systemctl)\b)"
)
SYNOPSIS = re.compile(r"(?P<command>mimyria(-driver)? .*?\S) {2,}(?P<words>[^#\s].*)")
"""A command as its help has it, and behind two blanks or more what it does."""
ENGINE = re.compile(r"(fix|dump|dump_modify|variable|restart|neighbor|python)\s")


@dataclass(frozen=True)
class Block:
    """A block of code: where it is, what it is, and the test that it names, if any."""

    page: str
    line: int
    kind: str
    text: str
    run_by: tuple[str, str] | None

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def kind_of(text: str) -> str:
    """What a block without a language is, by its lines; "unknown" if they differ."""
    lines = [
        line
        for line in re.sub(r"\s*\\\n\s*", " ", text).splitlines()
        if line.strip() and not line.startswith("#")
    ]
    first = lines[0].strip()
    if first.startswith("<"):
        return "xml"
    if re.fullmatch(r"\[\w+\].*", first):
        return "toml"
    # LAMMPS has a command `python`, too, whose second word is a function.
    if any(re.match(r"python\s+mimyria_\w+\s+(input|invoke|exists)", x) for x in lines):
        return "lammps"
    if lines[0].startswith("$ "):
        return "sh"
    if SYNOPSIS.fullmatch(lines[0]):
        return "synopsis"
    if all(PROGRAMS.match(line.strip()) for line in lines):
        return "sh"
    return "lammps" if ENGINE.match(first) else "unknown"


def anchors(text: str) -> list[str]:
    """What the headings of a page are linked by, in their order."""
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return [re.sub(r"[^\w -]", "", x).strip().lower().replace(" ", "-") for x in titles]


@cache
def blocks(page: str) -> tuple[Block, ...]:
    """The blocks of a page, fenced and indented, in their order."""
    text = (REPOSITORY / page).read_text()
    lines = text.splitlines()
    found = []
    for token in MarkdownIt().parse(text):
        if token.type not in ("fence", "code_block") or token.map is None:
            continue
        language = token.info.split()[0] if token.info.strip() else ""
        kind = LANGUAGES.get(language, language) or kind_of(token.content)
        before = [line for line in lines[: token.map[0]] if line.strip()]
        named = RUN_BY.fullmatch(before[-1].strip()) if before else None
        run_by = (named[1], named[2]) if named else None
        if page == "README.md" and kind == "python":
            run_by = README_RUN_BY
        found.append(Block(page, token.map[0] + 1, kind, token.content, run_by))
    return tuple(found)


def all_blocks(kind: str) -> list[Block]:
    """The blocks of one kind that are tested by their rule."""
    return [
        block
        for page in NAMES
        for block in blocks(page)
        if block.kind == kind and block.run_by is None
    ]


@cache
def functions(path: Path) -> frozenset[str]:
    """Names of all functions of a file, also of those in classes."""
    nodes = ast.walk(ast.parse(path.read_text()))
    return frozenset(node.name for node in nodes if isinstance(node, ast.FunctionDef))


def missing_test(file: str, function: str) -> str | None:
    """What is wrong with the name of a test; None if it is there."""
    path = REPOSITORY / file
    if not path.is_file():
        return f"{file} is not there"
    if function not in functions(path):
        return f"{file} has no {function}"
    return None


def script(name: str) -> ModuleType:
    """A script beside the pictures, as a module."""
    path = REPOSITORY / "docs" / "pictures" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
