"""Deadlines are on the monotonic clock: wall time is for people, in few modules."""

import ast
from pathlib import Path

import mimyria_driver

FOLDER = Path(mimyria_driver.__file__).parent
FOR_PEOPLE = {
    "course.py": "since when, and how old the result is",
    "events.py": "time of a line",
    "screen/app.py": "how old the last result is",
    "screen/header.py": "since when it runs, and what time it is",
    "screen/sections.py": "how long ago a warning was",
    "status.py": "time of the status; its age on another machine",
    "surroundings.py": "Slurm tells the end of the job as wall time, read once",
}
WALL = {
    ("time", "time"), ("time", "time_ns"), ("time", "localtime"), ("time", "gmtime"),
    ("time", "ctime"), ("datetime", "now"), ("datetime", "utcnow"),
    ("datetime", "today"), ("date", "today"),
}  # fmt: skip


def wall_clock_calls(tree):
    names = {
        alias.asname or alias.name: (node.module, alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if (node.value.id, node.attr) in WALL:
                yield node.lineno
        elif isinstance(node, ast.Name) and names.get(node.id) in WALL:
            yield node.lineno


def test_no_protocol_reads_the_wall_clock():
    modules = {path: ast.parse(path.read_text()) for path in FOLDER.rglob("*.py")}
    assert len(modules) > 40
    found = {
        str(path.relative_to(FOLDER)): lines
        for path, tree in modules.items()
        if (lines := list(wall_clock_calls(tree)))
    }
    assert set(found) <= set(FOR_PEOPLE), found


def test_the_search_finds_what_it_should():
    for text in (
        "import time\ntime.time()",
        "from time import time\ntime()",
        "from time import time_ns as now\nnow()",
        "from datetime import datetime\ndatetime.now()",
    ):
        assert list(wall_clock_calls(ast.parse(text))), text
    assert not list(wall_clock_calls(ast.parse("import time\ntime.monotonic()")))
