"""S3: what the program must never do stands nowhere in its text.

Ruff has rules for most of it; they are in force for the whole repository. Here are
those that it has no rule for, and a look at whether both find what they should.
"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PLACES = ("mimyria", "driver", "inputs", "benchmarks")
MODULES = {"pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
NAMES = {
    *("send_pyobj", "recv_pyobj", "send_serialized", "mktemp", "popen"),
    *("set_int_max_str_digits", "fromstring_unsafe"),
}
PROGRAM_LOADERS = {"mimyria/models/deployed.py"}
"""Where a TorchScript file, which is a program, is loaded."""
TEXT_RUNNERS = {"mimyria/models/fused/specialised.py"}
"""Where text is run: that of a kernel, which the same module has written."""
RULES = ("S102", "S104", "S301", "S302", "S306", "S307", "S506", "S602", "S604", "S605")


def keyword(call, name):
    """Value of a keyword where it is a constant, else None."""
    for each in call.keywords:
        if each.arg == name and isinstance(each.value, ast.Constant):
            return each.value.value
    return None


def problems(tree, place):
    """What is forbidden in one module."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [each.name for each in node.names if each.name in MODULES]
        elif isinstance(node, ast.ImportFrom) and node.module in MODULES:
            found.append(node.module)
        elif isinstance(node, ast.Attribute) and (
            node.attr in NAMES or ast.unparse(node) == "os.system"
        ):
            found.append(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found += [bad for bad in ("0.0.0.0:", "tcp://*") if bad in node.value]
        elif isinstance(node, ast.Call):
            found += in_call(node, place)
    return found


def in_call(call, place):
    text = ast.unparse(call.func)
    if text == "torch.load" and keyword(call, "weights_only") is not True:
        yield "torch.load without weights_only=True"
    if text.endswith(("np.load", "numpy.load")) and keyword(call, "allow_pickle"):
        yield "np.load with allow_pickle=True"
    if text == "torch.jit.load" and place not in PROGRAM_LOADERS:
        yield "torch.jit.load"
    if keyword(call, "shell"):
        yield "shell=True"
    if text in ("eval", "exec", "compile") and place not in TEXT_RUNNERS:
        yield text


def modules():
    return [
        path for place in PLACES for path in sorted((REPOSITORY / place).rglob("*.py"))
    ]


def test_nothing_forbidden_stands_in_the_program():
    found = {}
    for path in modules():
        place = str(path.relative_to(REPOSITORY))
        bad = problems(ast.parse(path.read_text()), place)
        if bad:
            found[place] = bad
    assert len(modules()) > 300
    assert found == {}


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from marshal import loads",
        "socket.recv_pyobj()",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "torch.jit.load(path)",
        "subprocess.run(command, shell=True)",
        "os.system('ls')",
        "eval('1')",
        "exec('1')",
        "socket.bind('tcp://*:1')",
        "socket.bind('tcp://0.0.0.0:1')",
    ],
)
def test_what_is_forbidden_would_be_found(text):
    assert problems(ast.parse(text), "mimyria/x.py")


def test_ruff_finds_it_too():
    bad = (
        "import os\nimport pickle\nimport subprocess\nimport tempfile\nimport yaml\n"
        'exec("1")\neval("1")\npickle.loads(b"")\nyaml.load("", yaml.Loader)\n'
        'subprocess.run("ls", shell=True)\nos.system("ls" + str(os.getpid()))\n'
        'tempfile.mktemp()\nimport marshal\nmarshal.loads(b"")\n'
        'server.bind(("0.0.0.0", 1))\nserver.start("ls", shell=True)\n'
    )
    done = subprocess.run(
        [
            *(sys.executable, "-m", "ruff", "check", "--no-cache"),
            *("--output-format", "concise", "--config", "pyproject.toml"),
            *("--stdin-filename", "driver/mimyria_driver/bad.py", "-"),
        ],
        input=bad,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    if "No module named ruff" in done.stderr:
        pytest.skip("ruff is not installed")
    missing = [rule for rule in RULES if f" {rule} " not in done.stdout]
    assert missing == []
