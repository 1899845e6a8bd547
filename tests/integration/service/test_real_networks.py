"""The service with real networks (of random weights) in its evaluator, and torch."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from analytic import (
    ScriptedSource,
    arrivals,
    description,
    make_settings,
    serve,
    trajectory,
)

from mimyria.correlators import Correlator
from mimyria.currents import currents
from mimyria.errors import ModelError, SettingsError
from mimyria.models import (
    load_model,
    preset,
)
from mimyria.storage import read_result
from mimyria.targets import APT, TARGET_SETS
from mimyria.tensors import joined
from mimyria_driver import service
from mimyria_driver.evaluator.canary import Canary
from mimyria_driver.evaluator.loading import load_sources
from mimyria_driver.sources import Ended, Started
from tests.random_models import save_random_model

N_FRAMES = 30


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """Model files of each target, and of both."""
    folder = tmp_path_factory.mktemp("networks")
    frame = trajectory(1)[0]
    return {
        learns: save_random_model(
            folder / f"{learns}.mimyria", frame, targets, preset("compact", learns)
        )
        for learns, targets in TARGET_SETS.items()
    }


def whole_run():
    return [Started(description()), *arrivals(trajectory(N_FRAMES)), Ended("the end")]


def models_section(networks, names):
    """The section of run.toml that names these models and no others."""
    everything = dict.fromkeys(("apt", "pgt", "joint"))
    return everything | {name: str(networks[name]) for name in names}


@pytest.mark.parametrize("names", [("apt", "pgt"), ("joint",)], ids="+".join)
def test_service_gives_what_the_networks_give_offline(tmp_path, networks, names):
    settings = make_settings(tmp_path, models=models_section(networks, names))
    assert serve(settings, ScriptedSource(whole_run())) == 0
    result = read_result(tmp_path / "spectrum.h5")
    models = {name: load_model(networks[name]) for name in names}
    dipole = Correlator(3, result.dipole.n_lags, 2.0, "")
    polarizability = Correlator(6, result.dipole.n_lags, 2.0, "")
    for frame in trajectory(N_FRAMES):
        tensors = joined(model.predict([frame])[0] for model in models.values())
        sample = currents(frame, tensors)
        dipole.push(sample.dipole)
        polarizability.push(sample.polarizability)
    for found, expected in (
        (result.dipole, dipole.result()),
        (result.polarizability, polarizability.result()),
    ):
        scale = np.abs(expected.values).max()
        assert scale > 0
        np.testing.assert_allclose(found.values, expected.values, atol=1e-5 * scale)
    assert result.provenance["model_apt"].startswith("random ")


def test_interrupted_run_with_networks_is_bit_identical(tmp_path, networks):
    """The first call of a new process must round as the others do."""
    models = models_section(networks, ("apt", "pgt"))
    for name, parts in (("whole", (N_FRAMES,)), ("cut", (11, N_FRAMES))):
        for n_frames in parts:
            events = [Started(description()), *arrivals(trajectory(n_frames))]
            settings = make_settings(tmp_path / name, models=models)
            source = ScriptedSource([*events, Ended("")])
            serve(settings, source)
    header = (tmp_path / "whole" / "journal").read_bytes()
    assert header == (tmp_path / "cut" / "journal").read_bytes()


def test_sum_rules_are_kept_for_the_charge_of_the_run(tmp_path):
    frame = trajectory(1)[0]
    settings = replace(preset("compact", "apt"), sum_rule="project")
    path = save_random_model(tmp_path / "kept.mimyria", frame, (APT,), settings)
    models = {"apt": str(path), "pgt": None, "charge": -2.0}
    section = make_settings(tmp_path / "run", models=models).models
    sent = {"device": "cpu", "threads": 1, "search": ".", **models}
    sources, _ = load_sources({**sent, "charge": section.charge})
    (tensors,) = sources["apt"].predict([frame])
    np.testing.assert_allclose(tensors.apt.sum(axis=0), -2 * np.eye(3), atol=1e-6)
    assert (
        serve(
            make_settings(tmp_path / "run", models=models), ScriptedSource(whole_run())
        )
        == 0
    )


def test_exchanged_models_are_refused(tmp_path, networks):
    settings = make_settings(
        tmp_path, models={"apt": str(networks["pgt"]), "pgt": None}
    )
    with pytest.raises(ModelError, match=r"is a model of 'pgt', but models.apt wants"):
        serve(settings, ScriptedSource(whole_run()))


def test_a_joint_model_takes_no_others_beside_it(tmp_path, networks):
    with pytest.raises(SettingsError, match=r"models.joint must be alone, without"):
        make_settings(tmp_path, models=models_section(networks, ("apt", "joint")))


def test_altered_model_is_refused(tmp_path, networks):
    data = bytearray(networks["apt"].read_bytes())
    data[len(data) // 2] ^= 1
    path = tmp_path / "apt.mimyria"
    path.write_bytes(data)
    settings = make_settings(tmp_path / "run", models={"apt": str(path), "pgt": None})
    with pytest.raises(ModelError):
        serve(settings, ScriptedSource(whole_run()))


def test_absent_model_is_named(tmp_path):
    settings = make_settings(tmp_path, models={"apt": "no-such-model", "pgt": None})
    with pytest.raises(ModelError, match="no-such-model"):
        serve(settings, ScriptedSource(whole_run()))


def test_one_bit_of_a_weight_is_seen_by_the_canary(networks):
    model = load_model(networks["joint"])
    canary = Canary({"apt": model, "pgt": model})
    model.predict(trajectory(3))
    assert canary.check() == ""
    state = model._network.state_dict()
    weight = max(
        (value for value in state.values() if value.is_floating_point()),
        key=lambda value: value.numel(),
    )
    bits = weight.view(torch.int32).flatten()
    bits ^= 1 << 22  # the first digit of each, as numbers, not as bits
    assert "example" in canary.check()
    bits ^= 1 << 22
    assert canary.check() == ""


@pytest.mark.slow
def test_batches_do_not_depend_on_how_frames_arrive(tmp_path, networks, monkeypatch):
    """Batches are those of the steps: an engine that is slow gives the same bits."""
    monkeypatch.setattr(service, "_SILENCE", 60.0)
    models = {**models_section(networks, ("joint",)), "batch": 4}
    for name, pause in (("fast", 0.0), ("slow", 0.1)):
        settings = make_settings(tmp_path / name, models=models)
        source = ScriptedSource(whole_run(), pause=pause)
        assert serve(settings, source) == 0
    fast, slow = (tmp_path / name / "journal" for name in ("fast", "slow"))
    assert fast.read_bytes() == slow.read_bytes()


@pytest.mark.gpu
def test_service_uses_the_gpu_where_there_is_one(tmp_path, networks):
    models = {name: str(path) for name, path in networks.items()}
    results = {}
    for device in ("auto", "cpu"):
        settings = make_settings(tmp_path / device, models={**models, "device": device})
        serve(settings, ScriptedSource(whole_run()))
        results[device] = read_result(tmp_path / device / "spectrum.h5").dipole.values
    scale = np.abs(results["cpu"]).max()
    np.testing.assert_allclose(results["auto"], results["cpu"], atol=1e-4 * scale)
    assert "cuda" in (tmp_path / "auto" / "status.json").read_text()
