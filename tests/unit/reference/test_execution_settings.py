"""Settings of the execution, and what Slurm is given because of them."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from mimyria.errors import SettingsError
from mimyria.reference.execution import ExecutionSettings, engine
from mimyria.settings.reader import read_section


def settings(**values):
    return read_section(ExecutionSettings, "execution", values, None)


def test_the_default_is_one_process_of_this_machine():
    default = settings()
    assert (default.where, default.workers, default.threads) == ("local", 1, 1)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"where": "slrum"}, "must be one of local, slurm.*Did you mean 'slurm'"),
        ({"workers": 0}, "execution.workers must be at least 1, but is 0"),
        ({"memory": -1}, "execution.memory must be at least 0, but is -1"),
        ({"worker": 2}, "Unknown setting 'execution.worker'.*'execution.workers'"),
        ({"walltime": "90"}, "hours, minutes and seconds as 08:00:00, but is '90'"),
        ({"walltime": "00:00:00"}, "execution.walltime must be more than zero"),
        ({"drain": 3600}, "drain must be less than the walltime of 3600 s"),
        (
            {"workers": 4, "threads": 2, "cores": 4},
            "cores must be 0 or at least workers times threads = 8, but is 4",
        ),
        (
            {"scheduler_options": ["#SBATCH --qos=long"]},
            "options of sbatch such as '--qos=long'.*one is '#SBATCH --qos=long'",
        ),
    ],
)
def test_settings_that_cannot_be_used_are_refused(values, text):
    with pytest.raises(SettingsError, match=text):
        settings(**values)


def test_every_setting_has_a_sentence():
    for field in ExecutionSettings.__dataclass_fields__.values():
        assert re.fullmatch(r".+\.", field.metadata["sentence"]), field.name


def test_slurm_without_slurm_is_refused_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with (
        pytest.raises(SettingsError, match=r"no sbatch .* login node, or .* \"local\""),
        engine(settings(where="slurm"), tmp_path),
    ):
        pass


def test_slurm_without_parsl_is_refused_with_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "parsl.concurrent", None)
    with (
        pytest.raises(SettingsError, match=r"pip install \"mimyria\[cluster\]\""),
        engine(settings(where="slurm"), tmp_path),
    ):
        pass


@pytest.fixture
def submitted(tmp_path, monkeypatch):
    """Writes a submission script with an sbatch that only keeps it."""
    kept = tmp_path / "kept"
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in {
        "sbatch": f'cp "$1" {kept}; echo Submitted batch job 7',
        "sacct": "exit 1",
    }.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")

    def script(**values):
        from mimyria.reference.execution.cluster import parsl_config

        given = settings(where="slurm", address="127.0.0.1", **values)
        (executor,) = parsl_config(given, tmp_path).executors
        executor.provider.script_dir = str(tmp_path)
        executor.logconf_path = None
        executor.initialize_scaling()
        assert executor.provider.submit(executor._get_launch_command("0"), 1) == "7"
        return kept.read_text()

    return script


def test_the_submission_script_says_what_the_settings_say(submitted):
    script = submitted(
        workers=4,
        threads=2,
        partition="cpu",
        account="water",
        nodes_per_block=3,
        memory=64,
        walltime="08:30:00",
        drain=1800,
        scheduler_options=["--qos=long", "--constraint=zen4"],
        worker_init=["module load cp2k", "ulimit -s unlimited"],
    )
    for line in (
        "--partition=cpu",
        "--account=water",
        "--nodes=3",
        "--time=510",
        "--ntasks-per-node=1",
        "--cpus-per-task=8",
        "--mem=64g",
        "--qos=long",
        "--constraint=zen4",
    ):
        assert f"\n#SBATCH {line}\n" in script
    assert "exclusive" not in script
    assert "\nmodule load cp2k\nulimit -s unlimited\n" in script
    assert f"{sys.executable} -m parsl.executors" in script
    for option in ("--max_workers_per_node=4", "-c 2", "-a 127.0.0.1"):
        assert f"{option} " in script
    assert f"--drain_period={8 * 3600 + 1800 - 1800} " in script
    assert "srun" in script


def test_the_submission_script_is_a_shell_script_that_asks_for_no_more(submitted):
    script = submitted(exclusive=True)
    asked = re.findall(r"^#SBATCH --([a-z-]+)", script, flags=re.MULTILINE)
    assert sorted(asked) == [
        "cpus-per-task",
        "error",
        "exclusive",
        "job-name",
        "nodes",
        "ntasks-per-node",
        "output",
        "time",
    ]
    assert "srun" not in script
    checked = subprocess.run(["bash", "-n"], input=script, text=True, check=False)
    assert checked.returncode == 0


def test_a_machine_that_calls_itself_localhost_must_write_its_address(
    tmp_path, monkeypatch
):
    from mimyria.reference.execution.cluster import parsl_config

    monkeypatch.setattr("socket.gethostname", lambda: "localhost")
    with pytest.raises(SettingsError, match=r"must be written.*'localhost'"):
        parsl_config(settings(where="slurm"), tmp_path)
    with pytest.raises(SettingsError, match=r"address: 'nowhere\.invalid' has no"):
        parsl_config(settings(where="slurm", address="nowhere.invalid"), tmp_path)
