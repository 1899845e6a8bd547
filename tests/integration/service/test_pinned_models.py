"""A model file that run.toml names by its digest is used, and no other one."""

import hashlib
import subprocess

import pytest
from analytic import (
    ScriptedSource,
    arrivals,
    description,
    make_settings,
    serve,
    trajectory,
)

from mimyria.cli import main
from mimyria.errors import ModelError, SettingsError
from mimyria_driver.evaluator import loading
from mimyria_driver.evaluator.pinning import require_pinned
from mimyria_driver.sources import Ended, Started
from tests.random_models import save_random_model

OTHER = "0123456789abcdef" * 4


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "tiny.mimyria"
    return save_random_model(path, trajectory(1)[0], seed=7, neighbours=2.0)


def sha256sum(path):
    words = subprocess.check_output(["sha256sum", str(path)], text=True)
    return words.split()[0]


def run_with(folder, model, digest):
    models = {"apt": str(model), "pgt": None, "apt_sha256": digest, "search": None}
    settings = make_settings(folder, models=models)
    frames = arrivals(trajectory(6))
    source = ScriptedSource([Started(description()), *frames, Ended("")])
    return source, lambda: serve(settings, source)


def test_run_with_another_file_ends_before_an_engine_is_spoken_to(model_file, tmp_path):
    source, run = run_with(tmp_path / "run", model_file, OTHER)
    with pytest.raises(ModelError, match="It was not loaded") as raised:
        run()
    assert raised.value.exit_code == 66
    for part in (sha256sum(model_file), OTHER, "models.apt_sha256", "sha256sum"):
        assert part in str(raised.value)
    assert not source.accepted
    assert not (tmp_path / "run" / "journal").exists()


@pytest.mark.slow
def test_run_with_the_very_file_is_served(model_file, tmp_path, capsys):
    assert main(["info", str(model_file)]) == 0
    digest = capsys.readouterr().out.split()[-1]
    assert digest == sha256sum(model_file)
    source, run = run_with(tmp_path / "run", model_file, digest.upper())
    assert run() == 0
    assert source.acknowledged


def test_file_that_is_exchanged_while_it_is_loaded_is_refused(
    model_file, tmp_path, monkeypatch
):
    path = tmp_path / "apt.mimyria"
    path.write_bytes(model_file.read_bytes())
    load = loading._load

    def exchanged(*arguments):
        source = load(*arguments)
        path.write_bytes(b"another one")
        return source

    monkeypatch.setattr(loading, "_load", exchanged)
    settings = {"apt": str(path), "pgt": None, "device": "cpu", "threads": 1}
    settings |= {"charge": 0.0, "apt_sha256": sha256sum(path)}
    another = hashlib.sha256(b"another one").hexdigest()
    with pytest.raises(ModelError, match=f"its SHA-256 is {another}"):
        loading.load_sources(settings)


def test_file_that_is_not_there_is_left_to_who_loads_it(tmp_path):
    require_pinned(tmp_path / "none", OTHER, "models.apt_sha256")


def test_digest_of_a_joint_model_is_that_of_both(tmp_path):
    models = {"apt": None, "pgt": None, "joint": "joint.pt", "joint_sha256": OTHER}
    section = make_settings(tmp_path, models=models).models
    assert (section.apt_sha256, section.pgt_sha256) == (OTHER, OTHER)


@pytest.mark.parametrize(
    ("models", "text"),
    [
        ({"apt_sha256": "beef"}, "models.apt_sha256 must be 64 hexadecimal digits"),
        ({"pgt": None, "pgt_sha256": OTHER}, "beside a file in models.pgt"),
        ({"apt": "python:analytic:make_model", "apt_sha256": OTHER}, "beside a file"),
        ({"joint_sha256": OTHER}, "models.joint_sha256 must be beside a file"),
    ],
)
def test_digest_without_a_file_is_refused(models, text, tmp_path):
    with pytest.raises(SettingsError, match=text) as raised:
        make_settings(tmp_path, models={"apt": "apt.pt", **models})
    assert raised.value.exit_code == 78
