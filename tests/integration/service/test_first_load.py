"""A deployed file that this machine does not know is tried in a sandbox first."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from analytic import ScriptedSource, arrivals, description, make_settings, trajectory
from analytic import serve as serve_run

sys.path.insert(0, str(Path(__file__).parents[2] / "unit" / "models"))
import programs

from mimyria.errors import ModelError
from mimyria.models import (
    Example,
    export_model,
)
from mimyria.targets import APT
from mimyria_driver.evaluator import firstload, sandbox
from mimyria_driver.evaluator.firstload import known_models, require_harmless
from mimyria_driver.sources import Ended, Started
from tests.random_models import save_random_model


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    """Nothing is known yet."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "tiny.mimyria"
    frame = trajectory(1)[0]
    return save_random_model(path, frame, name="tiny", seed=7, neighbours=2.0)


@pytest.fixture(scope="module")
def deployed_file(model_file):
    path = model_file.with_suffix(".pt")
    export_model(model_file, path)
    return path


def test_program_that_passes_is_known_from_then_on(deployed_file, monkeypatch):
    notes = []
    require_harmless(deployed_file, 60.0, notes.append)
    assert notes == []
    assert len(known_models().read_text().splitlines()) == 1
    assert known_models().stat().st_mode & 0o777 == 0o600
    assert known_models().parent.stat().st_mode & 0o777 == 0o700
    monkeypatch.setattr(firstload, "_try", None)  # would be called
    require_harmless(deployed_file, 60.0, notes.append)


def test_model_file_holds_no_program_and_is_not_tried(model_file, monkeypatch):
    monkeypatch.setattr(firstload, "_try", None)
    require_harmless(model_file, 60.0, print)
    assert not known_models().exists()


def test_endless_program_is_stopped(model_file, tmp_path):
    path = programs.program(tmp_path / "endless.pt", model_file, programs.Endless())
    begun = time.monotonic()
    with pytest.raises(ModelError, match=r"did not answer its own example in 1 s"):
        require_harmless(path, 1.0, print)
    assert time.monotonic() - begun < 100
    assert not known_models().exists()


def test_program_that_brings_the_process_down_is_refused(deployed_file, monkeypatch):
    """Whatever kills it: here it has no room to start in."""
    monkeypatch.setattr(firstload, "_environment", lambda: {"PYTHONHOME": "/nowhere"})
    with pytest.raises(ModelError, match=r"brought the process down .*\(code 1\)"):
        require_harmless(deployed_file, 60.0, print)
    assert not known_models().exists()


def test_run_with_a_hostile_program_ends_before_an_engine_is_spoken_to(
    model_file, tmp_path
):
    path = programs.program(tmp_path / "spy.pt", model_file, programs.ReadsFiles())
    models = {"apt": str(path), "pgt": None}
    settings = make_settings(tmp_path / "run", models=models)
    source = ScriptedSource([Started(description()), *arrivals(trajectory(4))])
    with pytest.raises(ModelError, match="aten::from_file") as raised:
        serve_run(settings, source)
    assert raised.value.exit_code == 66
    assert not source.accepted
    assert not (tmp_path / "run" / "journal").exists()


@pytest.mark.slow
def test_deployed_file_serves_a_run(deployed_file, tmp_path):
    models = {"apt": str(deployed_file), "pgt": None}
    settings = make_settings(tmp_path / "run", models=models)
    frames = arrivals(trajectory(6))
    source = ScriptedSource([Started(description()), *frames, Ended("")])
    assert serve_run(settings, source) == 0
    assert known_models().exists()


RIGHTS = """
import os, socket, sys
from pathlib import Path
from mimyria_driver.evaluator import sandbox
from tests.random_models import save_random_model

left = sandbox._leave_the_network()
sandbox._lower_limits(30.0)
found = {}
try:
    Path(sys.argv[1]).write_bytes(b"x")
    found["file"] = "written"
except OSError as error:
    found["file"] = type(error).__name__
try:
    with socket.create_connection(("127.0.0.1", int(sys.argv[2])), 5):
        found["network"] = "reached"
except OSError as error:
    found["network"] = type(error).__name__
try:
    bytearray(64 << 30)
    found["memory"] = "taken"
except MemoryError:
    found["memory"] = "refused"
if os.geteuid():  # root may start what it likes
    try:
        if os.fork() == 0:
            os._exit(0)
        found["process"] = "started"
    except OSError as error:
        found["process"] = type(error).__name__
print(left, found)
"""


def test_sandbox_has_no_rights(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-c", RIGHTS, str(tmp_path / "file"), str(port)],
            capture_output=True,
            text=True,
            check=True,
            timeout=100,
            env=dict(os.environ),
        )
    assert "'file': 'OSError'" in done.stdout
    assert "'memory': 'refused'" in done.stdout
    assert "'process': 'started'" not in done.stdout
    if done.stdout.startswith("True"):  # where the kernel allows it
        assert "'network': 'OSError'" in done.stdout
    assert (tmp_path / "file").stat().st_size == 0


class Turned:
    """A model whose answer does not turn with the atoms."""

    targets = (APT,)

    def __init__(self, equivariant):
        self.example = Example(trajectory(1)[0], None)
        self._equivariant = equivariant

    def predict(self, frames, charges):
        from mimyria.tensors import Tensors

        r = frames[0].positions
        apt = r[:, :, None] * r[:, None, :]
        if not self._equivariant:
            apt[:, 0] *= 1.5
        return [Tensors(apt=apt)]


def test_answer_that_does_not_turn_along_is_noted():
    assert sandbox._is_equivariant(Turned(True)) == ""
    assert "its tensors should turn along" in sandbox._is_equivariant(Turned(False))
