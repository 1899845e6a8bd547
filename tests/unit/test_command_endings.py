"""How a command ends: one clear line and an exit code, no traceback."""

import argparse
import subprocess
import sys

import pytest

from mimyria.cli import main
from mimyria.cli.errors import run_command
from mimyria.errors import FormatError, MimyriaError, ModelError, SettingsError


def ending(error, capsys, *, debug=False):
    def fail(arguments):
        raise error

    code = run_command(fail, argparse.Namespace(), debug=debug)
    return code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ModelError("no such\n  model"), 66, "error: no such model\n"),
        (SettingsError("bad key"), 78, "error: bad key\n"),
        (FormatError("no frame"), 65, "error: no frame\n"),
        (FileNotFoundError(2, "No such file", "a.h5"), 66, "There is no file 'a.h5'"),
        (IsADirectoryError(21, "Is a directory", "run"), 65, "but 'run' is a folder."),
        (OSError(28, "No space left on device"), 74, "No space left on device"),
        (KeyboardInterrupt(), 130, "error: interrupted\n"),
        (KeyboardInterrupt("interrupted; go on"), 130, "error: interrupted; go on\n"),
    ],
)
def test_an_expected_error_is_one_line_and_a_code(error, code, line, capsys):
    found, text = ending(error, capsys)
    assert found == code
    assert line in text
    assert len(text.splitlines()) == 1


def test_debug_shows_where_it_happened(capsys):
    with pytest.raises(ModelError, match="no such model"):
        ending(ModelError("no such model"), capsys, debug=True)


def test_a_bug_keeps_its_traceback(capsys):
    with pytest.raises(ZeroDivisionError):
        ending(ZeroDivisionError(), capsys)


@pytest.mark.parametrize(
    "words",
    [
        ["spectrum", "RUN"],
        ["compare", "RUN", "water"],
        ["compare", "RUN", "RUN"],
        ["merge", "RUN", "RUN", "--output", "x.h5"],
        ["table", "RUN", "--csv", "x.csv"],
        ["plot", "RUN", "x.png"],
        ["vdos", "RUN"],
    ],
)
def test_a_folder_in_place_of_a_result_is_one_line(tmp_path, words, capsys):
    found = main([str(tmp_path) if word == "RUN" else word for word in words])
    assert found == 65
    line = capsys.readouterr().err
    assert line.startswith("error: a result file is wanted, but ")
    assert "is a folder. There is no spectrum.h5 in it" in line


def test_every_error_has_an_exit_code_of_its_kind():
    for kind in MimyriaError.__subclasses__():
        assert 65 <= kind.exit_code <= 78, kind.__name__
        assert kind.__doc__


def test_a_reader_that_leaves_early_is_no_error(tmp_path):
    """As in `mimyria info | head -1`."""
    script = (
        "import argparse, sys\n"
        "from mimyria.cli.errors import run_command\n"
        "def talk(arguments):\n"
        "    while True:\n"
        "        print('a line', flush=True)\n"
        "sys.exit(run_command(talk, argparse.Namespace(), debug=False))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"a line\n"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=30) == 141
