"""Network settings and metadata: values in, the same values out, errors that help."""

import json
from dataclasses import replace

import pytest

from mimyria.data import Scaling
from mimyria.errors import ModelError, SettingsError
from mimyria.models import ModelMetadata, NetworkSettings, build_network, preset
from mimyria.models import metadata as metadata_module
from mimyria.targets import APT, PGT


def example_metadata():
    return ModelMetadata(
        "some", (APT,), preset("compact", "apt"), (1, 8), 20.0, Scaling.neutral(2, 9)
    )


def convention(**changes):
    """The targets of the example with another convention."""
    (target,) = example_metadata().as_dict()["targets"]
    return {"targets": [{**target, **changes}]}


def test_reference_architecture_is_that_of_the_publication():
    for target, channels in ((APT, (20, 10, 6, 5)), (PGT, (40, 20, 13, 10))):
        settings = preset("reference", target.name)
        assert settings.channels == channels
        assert (settings.lmax, settings.n_layers, settings.cutoff) == (3, 3, 6.0)
        assert (settings.n_radial, settings.radial_width) == (10, 100)
        assert settings.parity == "both"


@pytest.mark.parametrize(
    "changes",
    [{}, {"radial_basis": "bumps", "weighed_messages": True, "embedding_channels": 3}],
)
def test_settings_survive_json(changes):
    settings = replace(preset("compact", "pgt"), **changes)
    values = json.loads(json.dumps(settings.as_dict()))
    assert NetworkSettings.from_dict(values) == settings
    # Files of networks without them stay as they were before there were these.
    assert {"radial_basis", "weighed_messages", "embedding_channels"} & {*values} == {
        *changes
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"parity": "odd"}, "parity must be 'both' or 'natural', but is 'odd'"),
        ({"cutoff": 0.0}, "cutoff must be positive"),
        ({"n_layers": 0}, "n_layers must be at least 1"),
        ({"channels": []}, "channels must be positive"),
        ({"lmax_sphere": -1}, "lmax_sphere must not be negative"),
        ({"radial_basis": "spikes"}, "radial_basis must be one of"),
        ({"embedding_channels": 0}, "embedding_width must be at least 1"),
        ({"colour": 1}, r"Unknown network settings \['colour'\]"),
    ],
)
def test_bad_settings_are_refused(change, message):
    values = {**preset("compact", "apt").as_dict(), **change}
    with pytest.raises(SettingsError, match=message):
        NetworkSettings.from_dict(values)


def test_incomplete_settings_and_unknown_presets_are_refused():
    with pytest.raises(SettingsError, match="incomplete"):
        NetworkSettings.from_dict({"channels": [4]})
    with pytest.raises(SettingsError, match="known presets: compact, reference"):
        preset("tiny", "apt")


def test_metadata_survive_json():
    values = example_metadata().as_dict()
    again = ModelMetadata.from_dict(json.loads(json.dumps(values)))
    assert again.as_dict() == values
    assert (again.targets, again.cutoff) == ((APT,), 4.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (convention(unit="e Bohr"), "with unit 'e Bohr', but mimyria works with 'e'"),
        (convention(order="dM_b/dr_a"), "with order 'dM_b/dr_a'"),
        (convention(formula="ij=ji"), "with formula 'ij=ji'"),
        (convention(name="energy"), "predicts 'energy'"),
        ({"dtype": "float16"}, "dtype is 'float16'"),
        ({"format_version": 99}, "format version 99; .* Use a newer mimyria"),
        ({"format_version": None}, "format version None"),
        ({"format_version": 0}, "No way is known to read format version 0"),
        ({"settings": {"parity": "odd"}}, "metadata are not usable"),
        ({"species": ["H"]}, "metadata are not usable"),
    ],
)
def test_metadata_that_cannot_be_used_are_refused(change, message):
    with pytest.raises(ModelError, match=message):
        ModelMetadata.from_dict({**example_metadata().as_dict(), **change})


def test_missing_metadata_are_named():
    values = example_metadata().as_dict()
    del values["n_neighbours"]
    with pytest.raises(ModelError, match="lack 'n_neighbours'"):
        ModelMetadata.from_dict(values)


def test_a_model_of_version_1_had_one_target():
    values = example_metadata().as_dict()
    (target,) = values.pop("targets")
    old = {**values, "format_version": 1, "target": target.pop("name"), **target}
    old["errors"] = {"test": {"rmse": 0.1}}
    again = ModelMetadata.from_dict(old)
    assert again.targets == (APT,)
    assert again.errors == {"test": {"apt": {"rmse": 0.1}}}


def test_a_model_of_version_2_was_a_single_network():
    values = example_metadata().as_dict()
    del values["members"], values["uncertainty"]
    again = ModelMetadata.from_dict({**values, "format_version": 2})
    assert (again.members, again.uncertainty) == (1, {})


def test_old_versions_go_through_their_upgrade_functions(monkeypatch):
    values = example_metadata().as_dict()
    old = {**values, "format_version": 0, "title": values["name"]}
    del old["name"]

    def one_on(content):
        return {**content, "name": content["title"]}

    monkeypatch.setitem(metadata_module.UPGRADES, 0, lambda content: content)
    monkeypatch.setitem(metadata_module.UPGRADES, 1, one_on)
    monkeypatch.setitem(metadata_module.UPGRADES, 2, lambda content: content)
    assert ModelMetadata.from_dict(old).name == "some"


def test_weights_depend_on_the_seed_alone():
    def weights(seed):
        network = build_network((APT,), preset("compact", "apt"), 2, seed=seed)
        return [p.detach().clone() for p in network.parameters()]

    first, again, other = weights(1), weights(1), weights(2)
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert any((a != b).any() for a, b in zip(first, other, strict=True))
