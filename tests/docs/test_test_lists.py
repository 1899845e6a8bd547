"""The tables that say which test shows what name tests that there are."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
DOCS = REPOSITORY / "docs"
FILES: dict[str, list[Path]] = {}
for _path in (REPOSITORY / "tests").rglob("*.py"):
    FILES.setdefault(_path.name, []).append(_path)
LISTS = sorted(path.name for path in DOCS.glob("tests-*.md"))
NONE = "none"


def rows(text: str) -> list[list[str]]:
    """The cells of every row of every table, without heads and rules."""
    found: list[list[str]] = []
    lines = text.splitlines()
    for number, line in enumerate(lines):
        following = lines[number + 1] if number + 1 < len(lines) else ""
        if not line.startswith("|") or line.startswith("|--"):
            continue
        if following.startswith("|--"):
            continue
        # A bar within a name would be escaped.
        found.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return found


def functions(paths: list[Path]) -> set[str]:
    """Names of all functions of files of one name, also of those in classes."""
    nodes = [node for path in paths for node in ast.walk(ast.parse(path.read_text()))]
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef)}


def missing(cell: str) -> list[str]:
    """What a cell names, as `file.py`, `file.py::test` or `test`, and there is not."""
    wrong = []
    known: set[str] = set()
    for word in re.findall(r"`([^`]+)`", cell):
        name, _, function = word.partition("::")
        name = Path(name).name
        if name.endswith(".py"):
            if name not in FILES:
                wrong.append(word)
                continue
            here = functions(FILES[name])
            known |= here
            if function and function.split("[")[0] not in here:
                wrong.append(word)
        elif re.fullmatch(r"test_\w+", word) and word not in known:
            wrong.append(word)
    return wrong


@pytest.mark.parametrize("name", LISTS)
def test_every_row_names_a_test_that_there_is(name: str) -> None:
    table = rows((DOCS / name).read_text())
    assert len(table) > 10
    for cells in table:
        assert len(cells) >= 4, cells
        assert ".py`" in cells[2] or ".py::" in cells[2] or cells[2] == NONE, cells
        assert missing(cells[2]) == []


def test_the_table_of_faults_names_files_that_there_are() -> None:
    text = (DOCS / "operation.md").read_text()
    table = rows(text.split("### Which test shows what")[1].split("\n## ")[0])
    assert len(table) > 20
    for cells in table:
        assert missing(cells[-1]) == []


def test_names_that_there_are_not_are_found() -> None:
    assert (
        missing("`test_test_lists.py::test_names_that_there_are_not_are_found`") == []
    )
    assert missing("`test_test_lists.py`, `test_nothing_of_this`") == [
        "test_nothing_of_this"
    ]
    assert missing("`test_absent.py::test_x` and `make soak`") == [
        "test_absent.py::test_x"
    ]


def test_every_list_is_linked() -> None:
    engines = (DOCS / "engines.md").read_text()
    assert "tests-ipi.md" in LISTS
    for name in LISTS:
        assert f"({name})" in engines
