"""Programs of one job: failures are told, and nothing is left running."""

import sys
import time
from pathlib import Path

import pytest

from mimyria.errors import EngineError
from mimyria_driver.demo.processes import Job, Program


def python(name, code, folder, **options):
    return Program(
        name, [sys.executable, "-c", code], folder, folder / f"{name}.log", **options
    )


def is_running(pid):
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().split()[2] != "Z"


def test_programs_that_end_well_end_the_job(tmp_path):
    with Job() as job:
        job.start(python("one", "print('hello')", tmp_path))
        job.start(python("two", "raise SystemExit(1)", tmp_path, successes=(0, 1)))
        job.wait()
    assert (tmp_path / "one.log").read_text() == "hello\n"


def test_a_failure_names_the_program_its_code_and_its_last_words(tmp_path):
    with Job() as job:
        job.start(python("engine", "print('no box'); raise SystemExit(3)", tmp_path))
        with pytest.raises(EngineError, match=r"engine ended with code 3\. .*no box"):
            job.wait()


def test_leaving_the_job_ends_what_still_runs(tmp_path):
    code = "import os, time; print(os.getpid(), flush=True); time.sleep(100)"
    with Job(grace=5.0) as job:
        job.start(python("sleeper", code, tmp_path))
        deadline = time.monotonic() + 20
        while not (tmp_path / "sleeper.log").read_text().strip():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        pid = int((tmp_path / "sleeper.log").read_text())
        assert is_running(pid)
    assert not is_running(pid)


def test_one_failure_ends_the_wait_while_others_run(tmp_path):
    with Job(grace=5.0) as job:
        job.start(python("patient", "import time; time.sleep(100)", tmp_path))
        job.start(python("broken", "import os; os.kill(os.getpid(), 9)", tmp_path))
        with pytest.raises(EngineError, match="broken was killed by signal 9"):
            job.wait()


def test_a_program_that_is_not_installed_is_named(tmp_path):
    missing = Program("LAMMPS", ["no-such-lmp"], tmp_path, tmp_path / "log")
    with Job() as job, pytest.raises(EngineError, match=r"'no-such-lmp' \(LAMMPS\) is"):
        job.start(missing)


def test_waiting_for_a_file_ends_with_the_program_that_should_make_it(tmp_path):
    with Job() as job:
        job.start(python("server", "raise SystemExit(2)", tmp_path))
        with pytest.raises(EngineError, match="server ended with code 2"):
            job.wait_for(tmp_path / "socket", timeout=30.0)


def test_waiting_for_a_file_has_an_end(tmp_path):
    with Job(grace=5.0) as job:
        job.start(python("server", "import time; time.sleep(100)", tmp_path))
        with pytest.raises(EngineError, match="'socket', which did not appear"):
            job.wait_for(tmp_path / "socket", timeout=0.2)
