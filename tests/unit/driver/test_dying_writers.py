"""Rows R5 and O2 of the catalogue: writers that are killed in every moment."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mimyria.storage import read_result
from mimyria_driver.inspection import inspect_run
from mimyria_driver.reading import read_journal
from tests.unit.driver import dying

DYING = Path(dying.__file__)
ROOT = DYING.parents[3]


def start(*words, **options):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(
        [str(ROOT), environment.get("PYTHONPATH", "")]
    )
    return subprocess.Popen(
        [sys.executable, str(DYING), *map(str, words)], env=environment, **options
    )


def check_and_go_on(folder, whole):
    """What a dead writer left is sound, and another one makes the run whole."""
    findings = inspect_run(folder)
    assert not findings.problems
    kept = len(list(read_journal(folder / "journal")))
    assert dying.N_BEFORE <= kept <= dying.N_AFTER
    dying.commit(folder)
    for name in ("journal", "spectrum.h5", "journal.mark"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes()


def test_commit_that_is_killed_at_any_system_call_loses_nothing(tmp_path):
    process = start("calls", tmp_path)
    assert process.wait(timeout=200) == 0
    whole = tmp_path / "before-whole"
    left = [path for path in tmp_path.iterdir() if path.name.count("-") == 1]
    left = [path for path in left if "whole" not in path.name]
    assert len(left) > 30
    for folder in left:
        check_and_go_on(folder, whole)


def publish_and_read(folder, n_kills):
    process = start("publish", folder, n_kills, stdout=subprocess.PIPE)
    path = folder / "spectrum.h5"
    opened, numbers = 0, set()
    while process.poll() is None:
        if not path.exists():
            continue
        result = read_result(path)
        opened += 1
        numbers.add(result.provenance.get("number"))
    assert process.returncode == 0
    interrupted = int(process.stdout.read())
    process.stdout.close()
    assert opened >= 10
    assert len(numbers) > 1
    return interrupted


@pytest.mark.parametrize("n_kills", [50, pytest.param(1000, marks=pytest.mark.slow)])
def test_reader_never_meets_a_result_that_is_not_whole(tmp_path, n_kills):
    interrupted = publish_and_read(tmp_path / "run", n_kills)
    assert interrupted > n_kills / 5


# The calls that `dying` wraps are those of Python; strace sees those of the kernel.


@pytest.mark.slow
def test_commit_that_is_killed_at_any_call_of_the_kernel_loses_nothing(tmp_path):
    if shutil.which("strace") is None:
        pytest.skip("strace is not here")
    base, whole = tmp_path / "base", tmp_path / "whole"
    dying.prepare(base)
    shutil.copytree(base, whole)
    dying.commit(whole)
    code = (
        "import sys; from pathlib import Path; from tests.unit.driver import dying;"
        "folder = Path(sys.argv[1]); (folder / 'go').touch(); dying.commit(folder)"
    )
    killed = 0
    for call in ("write", "pwrite64", "fdatasync", "fsync", "rename", "unlink"):
        for number in range(1, 12):
            folder = tmp_path / f"{call}-{number}"
            shutil.copytree(base, folder)
            inject = f"inject={call}:signal=KILL:when={number}"
            words = ["strace", "-f", "-o", os.devnull, "-e", inject]
            done = subprocess.run(
                [*words, sys.executable, "-c", code, str(folder)],
                cwd=ROOT,
                capture_output=True,
                timeout=120,
                check=False,
            )
            if done.returncode == 0:
                break
            if "ptrace" in done.stderr.decode() or not (folder / "go").exists():
                pytest.skip(f"strace does not work here: {done.stderr.decode()}")
            killed += 1
            check_and_go_on(folder, whole)
    assert killed > 10
