"""The C++ kernel: built once, by whomever; done without where it cannot be built."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from fused_cases import FRAMES, arguments, fused, reference

from mimyria.errors import KernelError, SettingsError
from mimyria.models import load_model
from mimyria.models.fused import backend_name, building, compiled

CPU = torch.device("cpu")


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """A process that has not asked for the kernel yet, with an empty cache."""
    monkeypatch.setattr(compiled, "_kernel", compiled._Kernel())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("MIMYRIA_KERNEL", raising=False)
    return monkeypatch


@pytest.fixture
def quick_compiler(fresh, compiler, tmp_path):
    """The real compiler without optimisation, which leaves a line for each build."""
    script = tmp_path / "quick-c++"
    script.write_text(
        "#!/bin/sh\n"
        f'case "$*" in *kernel.cpp*) echo built >> {tmp_path}/builds;; esac\n'
        f'exec {shutil.which("g++") or "c++"} "$@" -O0\n'
    )
    script.chmod(0o755)
    fresh.setenv("CXX", str(script))
    return tmp_path / "builds"


def no_compiler(monkeypatch, tmp_path):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))


def test_without_a_compiler_torch_does_the_work_and_one_line_says_so(
    fresh, tmp_path, caplog
):
    no_compiler(fresh, tmp_path)
    given = arguments([FRAMES["triclinic"]], 4.0)
    for _ in range(2):
        found = fused("apt", "compact", "float64")(*given)
    wanted = reference("apt", "compact")(*given)
    assert (found - wanted).abs().max() < 1e-9 * wanted.abs().max()
    assert backend_name(CPU) == "torch"
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "no C++ compiler was found" in record.getMessage()
    assert "\n" not in record.getMessage()


def test_kernel_that_is_demanded_and_cannot_be_built_is_an_error(
    fresh, tmp_path, model_file
):
    no_compiler(fresh, tmp_path)
    fresh.setenv("MIMYRIA_KERNEL", "cpp")
    for _ in range(2):
        with pytest.raises(KernelError, match=r"Install g\+\+, or name a compiler"):
            load_model(model_file)


def test_unknown_kernel_is_refused(monkeypatch):
    monkeypatch.setenv("MIMYRIA_KERNEL", "fortran")
    with pytest.raises(
        SettingsError, match="'fortran'; it may be auto, cpp, triton, torch"
    ):
        backend_name(CPU)


def test_torch_can_be_chosen_and_is_what_other_devices_have(fresh, tmp_path):
    no_compiler(fresh, tmp_path)
    assert backend_name(torch.device("cuda")) == "torch"
    fresh.setenv("MIMYRIA_KERNEL", "torch")
    assert backend_name(CPU) == "torch"


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo 'kernel.cpp:1: error: no such thing' >&2; exit 1", "error: no such"),
        ("exit 3", "no message"),
        ('while [ "$1" != -o ]; do shift; done; echo no > "$2"', "cannot be loaded"),
    ],
)
def test_compiler_that_fails_is_named_with_its_reason(fresh, tmp_path, script, reason):
    compiler = tmp_path / "bad-c++"
    compiler.write_text(
        f'#!/bin/sh\nif [ "$1" = --version ]; then echo 1; exit; fi\n{script}\n'
    )
    compiler.chmod(0o755)
    fresh.setenv("CXX", str(compiler))
    with pytest.raises(KernelError, match=reason):
        building.load_kernel()


def test_kernel_is_built_once_and_then_found(quick_compiler):
    for _ in range(2):
        building.load_kernel()
    assert quick_compiler.read_text().count("built") == 1
    (library,) = building.cache_folder().iterdir()
    assert library.suffix == ".so"


def test_damaged_library_is_built_again(quick_compiler, fresh, tmp_path):
    building.load_kernel()
    (good,) = building.cache_folder().iterdir()
    fresh.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    damaged = building.cache_folder() / good.name
    # Mapping it would end the process with a bus error.
    damaged.write_bytes(good.read_bytes()[:1000])
    building.load_kernel()
    assert quick_compiler.read_text().count("built") == 2
    assert damaged.stat().st_size == good.stat().st_size


def test_cache_that_cannot_be_written_does_not_matter(quick_compiler, fresh, tmp_path):
    (tmp_path / "file").write_text("")
    fresh.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert building.cache_folder() is None
    building.load_kernel()
    # Or it takes no more files, as where a quota is spent.
    fresh.setattr(building, "cache_folder", lambda: tmp_path / "not there")
    building.load_kernel()
    assert quick_compiler.read_text().count("built") == 2


def test_two_processes_may_build_at_the_same_time(quick_compiler):
    code = "from mimyria.models.fused import building; print(building.load_kernel())"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in processes:
        output, errors = process.communicate(timeout=200)
        assert process.returncode == 0, errors
        assert "CDLL" in output
    assert [path.suffix for path in building.cache_folder().iterdir()] == [".so"]


def test_importing_builds_nothing(quick_compiler, tmp_path):
    subprocess.run(
        [sys.executable, "-c", "import mimyria.models.fused, mimyria.models.model"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
        timeout=200,
    )
    assert not Path(tmp_path / "cache").exists()
