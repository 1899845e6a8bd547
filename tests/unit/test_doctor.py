"""The doctor: real parts of this machine, and parts with a fault."""

import json
import os
import sys
import time

import numpy as np
import pytest

from mimyria.cli import doctor as command
from mimyria.cli import main
from mimyria.doctor import (
    Check,
    Finding,
    as_document,
    as_lines,
    ask,
    ask_python,
    box,
    machine,
    packages,
    programs,
    run_checks,
    selftest,
    summary,
    worst,
)
from mimyria.doctor.checks import all_checks
from mimyria.doctor.report import scrubbed
from mimyria.doctor.service import look_at_service
from mimyria.errors import FormatError
from mimyria.models import Example
from mimyria.targets import APT
from mimyria.tensors import Tensors


def boom():
    yield Finding("first", "fine")
    raise RuntimeError("a bug\nof two lines")


# -- running and reporting ------------------------------------------------------------


def test_check_that_fails_costs_one_line_and_no_other_check():
    said = []
    checks = [
        Check("a", boom),
        Check("b", boom, vital=True),
        Check("c", lambda: [Finding("c", "1")]),
    ]
    found = list(run_checks(checks, said.append))
    assert said == ["a", "b", "c"]
    first, failed = found[0].findings
    assert first.verdict == "ok"
    assert failed.verdict == "warning"
    assert failed.found == "RuntimeError: a bug of two lines"
    assert found[1].findings[1].verdict == "problem"
    assert found[2].findings == (Finding("c", "1"),)


def test_exit_code_and_last_line_say_whether_a_spectrum_can_be_made(capsys):
    good = [Check("a", boom)]
    bad = [Check("b", boom, vital=True)]
    assert command.report(good, json_wanted=False) == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        "1 ok, 1 warning: spectra can be made here"
    )
    assert command.report(bad, json_wanted=False) == 69
    assert "1 problem: no spectrum can be made" in capsys.readouterr().out
    assert command.report(bad, json_wanted=True) == 69
    document = json.loads(capsys.readouterr().out)
    assert document["verdict"] == "problem"
    (part,) = document["parts"]
    assert [Finding.from_dict(f).name for f in part["findings"]] == [
        "first",
        "check of b",
    ]


def test_lines_say_what_was_wanted_and_what_to_do():
    finding = Finding("disk", "slow", "fast", "warning", "take another one")
    (part,) = run_checks([Check("disks", lambda: [finding])])
    title, line, advice = as_lines(part)
    assert title.startswith("disks (0.")
    assert line.split() == ["warning", "disk", "slow;", "wanted:", "fast"]
    assert advice.strip() == "→ take another one"
    assert worst([]) == "ok"
    assert summary([]).endswith(": spectra can be made here")
    with pytest.raises(FormatError, match=r"must be one of .* but is 'fine'"):
        Finding("a", "b", verdict="fine")
    with pytest.raises(FormatError, match="this is no finding"):
        Finding.from_dict({"nome": 1})


def test_names_of_users_and_homes_do_not_go_into_a_ticket(monkeypatch):
    monkeypatch.setenv("HOME", "/home/marie")
    monkeypatch.setenv("LOGNAME", "marie")
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    text = "/home/marie/runs, /scratch/marie/x, mariechen, marie-1"
    assert scrubbed(text) == "~/runs, /scratch/USER/x, mariechen, marie-1"
    parts = run_checks([Check("a", lambda: [Finding("path", text)])])
    document = json.dumps(as_document(list(parts)))
    assert "/marie" not in document
    assert "hunter2" not in document


# -- asking ---------------------------------------------------------------------------


def test_program_that_hangs_is_ended_with_its_children(tmp_path):
    mark = tmp_path / "mark"
    begin = time.monotonic()
    answer = ask(["sh", "-c", f"(sleep 6; touch {mark}) & echo here; wait"], 3.0)
    seconds = time.monotonic() - begin
    assert seconds < 6
    assert (answer.code, answer.text) == (None, "here\n")
    assert answer.reason == "no answer within 3 s"
    time.sleep(max(0.0, 6.5 - seconds))
    assert not mark.exists()


def test_program_that_crashes_or_is_not_there_is_an_answer():
    crashed = ask_python(
        "import os, sys; print('x'); sys.stderr.write('oh'); os.abort()"
    )
    assert not crashed.good
    assert crashed.reason == "it was ended by signal 6 (oh)"
    missing = ask(["/no/such/program"])
    assert missing.reason.startswith("cannot be started: ")
    assert ask_python("print(1)").text == "1\n"


# -- packages -------------------------------------------------------------------------


def put_package(folder, name, code="", version="1.0", requires=()):
    (folder / f"{name}.py").write_text(code)
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir()
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    lines += [f"Requires-Dist: {each}" for each in requires]
    lines += ["Requires-Python: >=3.10", "Provides-Extra: driver", ""]
    (info / "METADATA").write_text("\n".join(lines))
    (info / "RECORD").write_text(f"{name}.py,,\n")


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A folder whose packages come first, here and in other processes."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{before}")
    return tmp_path


def test_package_that_raises_or_kills_python_is_named(elsewhere):
    put_package(elsewhere, "soundone")
    put_package(elsewhere, "brokenone", "raise OSError('libfoo.so: no such file')")
    put_package(elsewhere, "deadlyone", "import os; os.abort()")
    put_package(elsewhere, "lastone", "import soundone")
    names = ["soundone", "brokenone", "deadlyone", "lastone"]
    found = packages.loading_troubles(names)
    assert set(found) == {"brokenone", "deadlyone"}
    assert found["brokenone"] == "OSError libfoo.so: no such file"
    assert "ended by signal 6" in found["deadlyone"]


def test_ranges_are_those_of_our_metadata(elsewhere):
    put_package(elsewhere, "oldone")
    put_package(elsewhere, "brokenone", "raise ImportError('torn')")
    requires = ["oldone>=2", "brokenone", "notthere>=3; extra == 'driver'"]
    requires += ["elsewhere>=1; sys_platform == 'plan9'"]
    put_package(elsewhere, "mimyria-fake", requires=requires)
    text = (elsewhere / "mimyria-fake-1.0.dist-info" / "METADATA").read_text()
    info = elsewhere / "mimyria-99.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(text.replace("Name: mimyria-fake", "Name: mimyria"))
    found = {f.name: f for f in packages.look_at_packages()}
    assert set(found) == {"oldone", "brokenone", "notthere"}
    old, broken, missing = (found[n] for n in ("oldone", "brokenone", "notthere"))
    assert (old.verdict, old.found, old.wanted) == ("warning", "1.0", "oldone>=2")
    assert broken.verdict == "problem"
    assert "does not load: ImportError torn" in broken.found
    assert missing.verdict == "problem"
    assert missing.advice == "pip install 'mimyria[driver]'"
    _, version = packages.look_at_python()
    assert version.verdict == "warning"


def test_modules_of_real_packages_are_known():
    for name, module in (("numpy", "numpy"), ("pyzmq", "zmq"), ("torch", "torch")):
        assert packages.module_of(name) == module
    assert packages.module_of("no-such-thing") == "no-such-thing"
    needed = packages.requirements()
    assert needed[""]["numpy"].fits
    assert needed["driver"]["pyzmq"].requirement.specifier.contains("26.1")
    python, _ = packages.look_at_python()
    assert python.verdict == "ok"


# -- machine and programs -------------------------------------------------------------


def test_no_compiler_on_path_is_a_warning_that_says_what_to_install(
    tmp_path, monkeypatch
):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    (found,) = programs.look_at_compiler()
    assert found.verdict == "warning"
    assert "no C++ compiler was found" in found.found
    assert "apt install g++" in found.advice
    (codes,) = programs.look_at_codes()
    (slurm,) = programs.look_at_scheduler()
    assert {codes.verdict, slurm.verdict} == {"absent"}


def test_compiler_that_fails_is_told(tmp_path, monkeypatch):
    broken = tmp_path / "c++"
    broken.write_text("#!/bin/sh\necho 'no licence' >&2\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    (found,) = programs.look_at_compiler()
    assert found.verdict == "warning"
    assert "exit code 3: no licence" in found.found


def test_slow_disk_is_told_with_its_numbers(tmp_path, monkeypatch):
    assert 1 <= len(machine.sync_times(tmp_path)) <= 20
    _, well = machine.look_at_disk(tmp_path)
    assert 0 < well.numbers["median_s"] <= well.numbers["longest_s"]
    monkeypatch.setattr(os, "fsync", lambda descriptor: time.sleep(0.12))
    monkeypatch.setattr(machine, "_SYNC_SECONDS", 0.3)
    room, slow = machine.look_at_disk(tmp_path)
    assert room.numbers["free_GiB"] > 0
    assert slow.verdict == "warning"
    assert slow.numbers["median_s"] > 0.1
    assert "local disk" in slow.advice
    assert list(tmp_path.iterdir()) == []


def test_more_threads_than_processors_are_told(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "4096")
    monkeypatch.setenv("MKL_NUM_THREADS", "a secret that is no number")
    _, threads = machine.look_at_processors()
    assert threads.verdict == "warning"
    assert threads.found.startswith("OMP_NUM_THREADS=4096, MKL_NUM_THREADS=…")
    assert len(list(machine.look_at_memory())) >= 1
    assert {f.name for f in machine.look_at_limits()} == {"open files", "locale"}


# -- the self-test --------------------------------------------------------------------


def test_two_lines_come_out_where_they_are_and_as_strong_as_they_are():
    *lines, correlator = selftest.look_at_spectrum()
    assert [line.verdict for line in lines] == ["ok", "ok"]
    for line in lines:
        assert abs(line.numbers["shift_cm-1"]) < 0.05
        assert abs(line.numbers["intensity_error"]) < 5e-4
    assert correlator.numbers["frames_per_s"] > 0


def test_wrong_intensity_is_a_problem(monkeypatch):
    monkeypatch.setattr(selftest, "IR_CONSTANT", 1.01 * selftest.IR_CONSTANT)
    *lines, _ = selftest.look_at_spectrum()
    assert [line.verdict for line in lines] == ["problem", "problem"]
    for line in lines:
        found = line.numbers["intensity_error"]
        assert found == pytest.approx(1 / 1.01 - 1, abs=2e-4)


def test_box_of_water_has_its_density_and_bonds():
    frame = box.water_box(2)
    assert frame.n_atoms == 24
    mass = 8 * 18.015 / 6.02214e23
    assert mass / (frame.volume * 1e-24) == pytest.approx(1.0, abs=0.01)
    bonds = np.linalg.norm(frame.positions[1::3] - frame.positions[::3], axis=1)
    assert bonds == pytest.approx(0.96)
    other, rotation = box.turned(frame)
    assert rotation @ rotation.T == pytest.approx(np.eye(3), abs=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1.0)
    assert other.positions == pytest.approx(frame.positions @ rotation.T)


class PairTensors:
    """P_i = Σ_j exp(−r²/2) r̂ r̂ᵀ over all atoms, and an error that does not turn."""

    targets = (APT,)
    device = "cpu"

    def __init__(self, error):
        self._error = error
        frame = box.water_box(2)
        exact = Tensors(self._exact(frame), None)
        self.example = Example(frame, exact.columns(self.targets))

    def predict(self, frames):
        found = []
        for frame in frames:
            apt = self._exact(frame)
            apt[:, 0, 1] += self._error
            found.append(Tensors(apt, None))
        return found

    def examine(self):
        return self.predict([self.example.frame])[0].columns(self.targets)

    def _exact(self, frame):
        vectors = frame.positions[:, None] - frame.positions[None]
        squares = np.sum(vectors**2, axis=-1) + np.eye(frame.n_atoms)
        weights = np.exp(-squares / 2) / squares
        return np.einsum("ij,ija,ijb->iab", weights, vectors, vectors)


@pytest.mark.parametrize(("error", "verdict"), [(0.0, "ok"), (0.05, "problem")])
def test_tensors_that_are_wrong_are_a_problem(error, verdict, monkeypatch):
    monkeypatch.setattr(selftest, "MODELS", {"IR": "pairs"})
    monkeypatch.setattr(selftest, "shipped_model", lambda kind: PairTensors(error))
    example, _, rotation = selftest.look_at_models()
    assert (example.verdict, rotation.verdict) == (verdict, verdict)
    assert (example.numbers["digits"] > 15) == (error == 0)
    assert (rotation.numbers["deviation"] < 1e-12) == (error == 0)


# -- the command ----------------------------------------------------------------------


def test_service_that_does_not_answer_is_a_problem(tmp_path, monkeypatch):
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\necho 'no module' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    (found,) = look_at_service(tmp_path, quick=True)
    assert found.verdict == "problem"
    assert found.found == "does not answer: exit code 1: no module"


def test_every_check_has_its_function(tmp_path):
    quick, whole = (all_checks(tmp_path, quick=each) for each in (True, False))
    assert len(whole) == len(quick) + 4
    for check in whole:
        look = getattr(check.look, "func", check.look)
        name = look.__closure__[0].cell_contents, look.__closure__[1].cell_contents
        assert any("look_at_" in part for part in name)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_doctor_survives_a_package_that_is_broken(elsewhere):
    """Of torch only a torn copy is left: it is named, and all else is looked at."""
    (elsewhere / "torch").mkdir()
    (elsewhere / "torch" / "__init__.py").write_text("raise OSError('torn')")
    command = [sys.executable, "-m", "mimyria", "doctor", "--json", "--quick"]
    answer = ask(command, 280.0)
    assert answer.code == 69
    document = json.loads(answer.text)
    found = {f["name"]: f for part in document["parts"] for f in part["findings"]}
    assert found["torch"]["verdict"] == "problem"
    assert "does not load: OSError torn" in found["torch"]["found"]
    assert found["sync to disk"]["verdict"] in ("ok", "warning")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_whole_doctor_finds_this_machine_able(tmp_path, capsys):
    assert main(["doctor", "--json", "--directory", str(tmp_path)]) == 0
    document = json.loads(capsys.readouterr().out)
    found = {f["name"]: f for part in document["parts"] for f in part["findings"]}
    assert found["IR model"]["numbers"]["digits"] > 5
    assert found["operator"]["verdict"] == "ok"
    speed = found["IR, 192 atoms"]["numbers"]
    assert speed["ms"] < speed["plain_torch_ms"]
    assert found["pace"]["numbers"]["frames_per_s"] > 0
    assert found["checksums"]["found"] == "a changed byte is noticed"
    assert list(tmp_path.iterdir()) == []
