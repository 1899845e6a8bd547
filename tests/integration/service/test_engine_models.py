"""The service where the engine asks the networks: the same journal, no evaluator."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from analytic import (
    MASSES,
    NUMBERS,
    ScriptedSource,
    arrivals,
    description,
    make_settings,
    tensor,
    trajectory,
)
from instant import InstantEvaluator, serve_here

from mimyria.domainsums import domain_sums
from mimyria.errors import IncompatibleError, SettingsError
from mimyria.storage import read_result
from mimyria.tensors import Tensors
from mimyria_driver.journal import read_journal
from mimyria_driver.sources import Ended, EngineModels, Started, Summed

N_FRAMES = 60
KINDS = np.where(NUMBERS == 8, 0, 1)
DIGESTS = {"apt": "c" * 64, "pgt": "c" * 64}
MODELS = EngineModels(DIGESTS, {"apt": None, "pgt": None}, ("O", "H"), MASSES[[0, 1]])


class IdleEvaluator(InstantEvaluator):
    """It has the networks, and nothing to do."""

    def submit(self, frames):
        raise AssertionError("the driver asked its own networks")


def summed(frame):
    """By two ranks."""
    total = None
    for atoms in (slice(0, 2), slice(2, None)):
        own = Tensors(*(tensor(target, frame)[atoms] for target in ("apt", "pgt")))
        part = domain_sums(frame.velocities[atoms], KINDS[atoms], 2, own)
        total = part if total is None else total + part
    return Summed(total, 0.0)


def with_sums(frames):
    return [replace(each, summed=summed(each.frame)) for each in arrivals(frames)]


def run(directory, events, evaluator=None, **sections):
    models = {"where": "engine", **sections.pop("models", {})}
    settings = make_settings(directory, models=models, **sections)
    source = ScriptedSource(events)
    code = serve_here(settings, source, evaluator or IdleEvaluator())
    return code, source


def whole_run(frames, models=MODELS):
    events = with_sums(frames) if models else arrivals(frames)
    return [Started(description(models=models)), *events, Ended("the end")]


@pytest.mark.parametrize("kind", ["species", "none"])
def test_the_journal_is_that_of_the_drivers_own_networks(tmp_path, kind):
    frames = trajectory(N_FRAMES)
    groups = {"kind": kind}
    code, source = run(tmp_path / "engine", whole_run(frames), groups=groups)
    assert code == 0
    assert source.acknowledged[-1] == frames[-1].step
    plain = make_settings(tmp_path / "driver", groups=groups)
    serve_here(plain, ScriptedSource(whole_run(frames, None)))
    found, wanted = (
        list(read_journal(tmp_path / name / "journal")) for name in ("engine", "driver")
    )
    assert len(found) == len(wanted) == N_FRAMES
    for one, other in zip(found, wanted, strict=True):
        assert one.step == other.step
        assert one.previous_step == other.previous_step
        assert one.digest == other.digest
        assert one.kinetic_temperature == other.kinetic_temperature
        for name in ("dipole", "polarizability"):
            np.testing.assert_allclose(
                getattr(one.currents, name),
                getattr(other.currents, name),
                rtol=1e-10,
                atol=1e-14,
            )
        if kind == "none":
            assert one.contributions is None
            continue
        np.testing.assert_allclose(
            one.contributions, other.contributions, rtol=1e-5, atol=1e-9
        )
    results = [
        read_result(tmp_path / name / "spectrum.h5") for name in ("engine", "driver")
    ]
    assert [each.provenance["networks"] for each in results] == ["engine", "driver"]
    spectra = [each.spectra["ir"].intensity for each in results]
    np.testing.assert_allclose(spectra[0], spectra[1], rtol=1e-8)


def test_a_driver_that_comes_back_goes_on_without_a_border(tmp_path):
    """The engine sends again what was not confirmed, sums and all."""
    frames = trajectory(N_FRAMES)
    events = whole_run(frames)
    run(tmp_path / "once", events)
    run(tmp_path / "twice", [*events[:31], Ended("away")])
    again = [Started(description(models=MODELS)), *events[21:]]
    code, _ = run(tmp_path / "twice", again)
    assert code == 0
    records = [
        list(read_journal(tmp_path / name / "journal")) for name in ("once", "twice")
    ]
    assert [each.step for each in records[1]] == [frame.step for frame in frames]
    for one, other in zip(*records, strict=True):
        np.testing.assert_array_equal(one.currents.dipole, other.currents.dipole)
        assert one.previous_step == other.previous_step


@pytest.mark.parametrize(
    ("changes", "models", "error", "text"),
    [
        (
            {"models": {"where": "driver"}},
            MODELS,
            SettingsError,
            "models.where is 'driver', but this engine leaves the networks to the eng",
        ),
        (
            {},
            None,
            SettingsError,
            "models.where is 'engine', but this engine leaves the networks to the dri",
        ),
        (
            {},
            replace(MODELS, digests={**DIGESTS, "pgt": "d" * 64}),
            IncompatibleError,
            "pgt model of the driver is cccccccccccc, but that of the engine is dddd",
        ),
        (
            {},
            replace(MODELS, digests={"apt": "c" * 64}),
            IncompatibleError,
            "pgt model of the driver is cccccccccccc, but that of the engine is absent",
        ),
        (
            {"groups": {"kind": "molecules"}},
            MODELS,
            SettingsError,
            "adds up by element: groups.kind must be one of species, none without",
        ),
        (
            {"groups": {"velocity_probes": 4}},
            MODELS,
            SettingsError,
            "without velocity_probes, but is 'species' with 4",
        ),
    ],
)
def test_runs_that_cannot_be_served_are_refused_before_the_first_frame(
    tmp_path, changes, models, error, text
):
    settings = make_settings(
        tmp_path / "run",
        **{**changes, "models": {"where": "engine"} | changes.get("models", {})},
    )
    source = ScriptedSource(whole_run(trajectory(5), models))
    with pytest.raises(error, match=text):
        serve_here(settings, source)
    assert text in source.refused
    assert not (tmp_path / "run" / "journal").exists()
