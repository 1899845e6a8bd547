"""Loading models: the same numbers from either kind of file, and what is refused."""

import io
import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from mimyria.errors import DeviceError, FrameError, ModelError
from mimyria.frame import Frame
from mimyria.models import (
    export_model,
    load_model,
    model_card,
    read_metadata,
    read_model,
    resolve_model,
    save_model,
)
from mimyria.models.archive import add_members
from mimyria.targets import APT

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
CONVENTION = {key: getattr(APT, key) for key in ("unit", "order", "formula")}


def convention(**changes):
    """The targets of an APT model with another convention."""
    return {"targets": [{"name": "apt", **CONVENTION, **changes}]}


def rewritten(path, changes):
    """The archive with some members changed, dropped (None) or added, no new digest."""
    stream = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(stream, "w") as new:
        for name in old.namelist():
            content = changes.get(name.split("/")[-1], old.read(name))
            if content is not None:
                new.writestr(name, content)
    return stream.getvalue()


def member_place(path, ending):
    """First byte of the content of a member, and its length."""
    with zipfile.ZipFile(path) as file:
        name = next(n for n in file.namelist() if n.endswith(ending))
        info = file.getinfo(name)
    header = path.read_bytes()[info.header_offset : info.header_offset + 30]
    name_length = int.from_bytes(header[26:28], "little")
    extra_length = int.from_bytes(header[28:30], "little")
    return info.header_offset + 30 + name_length + extra_length, info.file_size


def assert_refused(tmp_path, content, message):
    path = tmp_path / "bad.mimyria"
    path.write_bytes(content)
    for action in (load_model, read_metadata):
        with pytest.raises(ModelError, match=message) as caught:
            action(path)
        assert "\n" not in str(caught.value)
        assert "bad.mimyria" in str(caught.value)


def test_both_kinds_of_file_give_the_same_numbers(
    model_file, deployed_file, tiny_water
):
    (eager,), (scripted,) = (
        load_model(path).predict([tiny_water]) for path in (model_file, deployed_file)
    )
    assert np.abs(eager.apt - scripted.apt).max() < 1e-6
    assert eager.apt.dtype == np.float64


def test_both_kinds_of_file_carry_the_same_metadata(model_file, deployed_file):
    first, second = read_metadata(model_file), read_metadata(deployed_file)
    assert first.as_dict() == second.as_dict()
    assert len(first.sha256) == 64
    assert load_model(deployed_file).metadata.sha256 == first.sha256


def test_equal_content_gives_equal_bytes_and_digest(model_file, tmp_path):
    file = read_model(model_file)
    copy = tmp_path / "copy.mimyria"
    metadata = save_model(copy, file.metadata, file.weights, file.example)
    assert copy.read_bytes() == model_file.read_bytes()
    assert metadata.sha256 == file.metadata.sha256


def test_model_can_compute_in_double_precision(model_file, tmp_path, tiny_water):
    double = load_model(model_file, dtype="float64")
    deployed = tmp_path / "double.pt"
    assert export_model(model_file, deployed, "float64").dtype == "float64"
    assert (
        np.abs(
            double.predict([tiny_water])[0].apt
            - load_model(deployed).predict([tiny_water])[0].apt
        ).max()
        < 1e-13
    )


def test_deployed_file_cannot_change_its_precision(deployed_file):
    with pytest.raises(ModelError, match="deployed for float32, not float64"):
        load_model(deployed_file, dtype="float64")


@pytest.mark.parametrize("dtype", ["float16", "double"])
def test_unknown_precision_is_refused(model_file, tmp_path, dtype):
    with pytest.raises(ModelError, match=f"Cannot compute in '{dtype}'"):
        load_model(model_file, dtype=dtype)
    with pytest.raises(ModelError, match=f"Cannot export as '{dtype}'"):
        export_model(model_file, tmp_path / "x.pt", dtype)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"There is no model file .*nowhere\.mimyria"):
        load_model(tmp_path / "nowhere.mimyria")
    with pytest.raises(ModelError, match="Cannot read the model"):
        load_model(tmp_path)


def test_random_bytes_are_refused(tmp_path):
    noise = np.random.default_rng(0).bytes(4000)
    assert_refused(tmp_path, noise, "is not a model of mimyria")
    assert_refused(tmp_path, b"", "is not a model of mimyria")


def test_pickle_and_pickle_archives_are_refused_unopened(tmp_path):
    assert_refused(tmp_path, b"\x80\x04}\x8c\x01aK\x01s.", "is not a model of mimyria")
    stream = io.BytesIO()
    torch.save({"weights": torch.zeros(3)}, stream)
    assert_refused(tmp_path, stream.getvalue(), "not a model of mimyria")


def test_truncated_file_is_refused_wherever_it_is_cut(either_file, tmp_path):
    whole = either_file.read_bytes()
    for part in (0.1, 0.5, 0.9, 0.999):
        assert_refused(tmp_path, whole[: int(part * len(whole))], "cut short|altered")


@pytest.mark.parametrize("position", [0, 0.37, 0.99])
def test_flipped_bit_in_the_weights_is_refused(either_file, tmp_path, position):
    ending = ".safetensors" if either_file.suffix == ".mimyria" else "/data/0"
    if either_file.suffix == ".mimyria":
        ending = "weights" + ending
    start, size = member_place(either_file, ending)
    content = bytearray(either_file.read_bytes())
    content[start + int(position * (size - 1))] ^= 0x10
    assert_refused(tmp_path, bytes(content), "was altered or damaged")


def test_changed_member_with_a_right_checksum_is_refused(either_file, tmp_path):
    # A careful hand writes a valid zip with new CRCs; the digests still tell.
    with zipfile.ZipFile(either_file) as file:
        name = next(n for n in file.namelist() if n.endswith("model.json"))
        text = file.read(name).replace(b'"cutoff": 3.0', b'"cutoff": 9.0')
    content = rewritten(either_file, {"model.json": text})
    assert_refused(tmp_path, content, "the digest of .*model.json does not match")


def test_missing_or_foreign_member_is_refused(either_file, tmp_path):
    content = rewritten(either_file, {"example.safetensors": None})
    assert_refused(tmp_path, content, "the digest of .*example.safetensors")
    content = rewritten(either_file, {"sha256.json": None})
    assert_refused(tmp_path, content, "it has no sha256.json")
    content = rewritten(either_file, {"sha256.json": b"{"})
    assert_refused(tmp_path, content, "sha256.json is not JSON")


def remade(path, **changes):
    """A whole and rightly digested model file with other metadata."""
    with zipfile.ZipFile(path) as file:
        members = {n: file.read(n) for n in file.namelist() if n != "sha256.json"}
    values = json.loads(members["model.json"])
    values.update(changes)
    members["model.json"] = json.dumps(values).encode()
    return add_members(b"", members)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (convention(unit="Debye"), "with unit 'Debye', but mimyria works with 'e'"),
        (convention(order="dM_b/dr_a"), "with order 'dM_b/dr_a'"),
        ({"format_version": 4}, "format version 4"),
    ],
)
def test_wrong_unit_order_or_version_is_refused(model_file, tmp_path, changes, message):
    assert_refused(tmp_path, remade(model_file, **changes), message)


def test_network_that_answers_otherwise_fails_its_self_test(model_file, tmp_path):
    path = tmp_path / "other.mimyria"
    path.write_bytes(remade(model_file, n_neighbours=3.0))
    with pytest.raises(ModelError, match=r"'tiny' fails its self-test: .* is off by"):
        load_model(path)


def test_weights_of_another_architecture_are_refused(model_file, tmp_path):
    settings = read_model(model_file).metadata.settings.as_dict()
    path = tmp_path / "other.mimyria"
    path.write_bytes(remade(model_file, settings={**settings, "radial_width": 9}))
    with pytest.raises(ModelError, match=r"weights do not fit the network: .*radial"):
        load_model(path)


def test_torchscript_that_torch_cannot_load_is_refused(deployed_file, tmp_path):
    with zipfile.ZipFile(deployed_file) as file:
        names = [n for n in file.namelist() if not n.endswith("sha256.json")]
        members = {n: file.read(n) for n in names}
    root = names[0].split("/")[0]
    extra = {
        n.split("/")[-1]: members.pop(n)
        for n in names
        if n.startswith(f"{root}/extra/")
    }
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for name, content in members.items():
            if "/code/" not in name:
                file.writestr(name, content)
    path = tmp_path / "broken.pt"
    path.write_bytes(add_members(stream.getvalue(), extra, f"{root}/extra/"))
    with pytest.raises(ModelError, match="cannot load this TorchScript file") as caught:
        load_model(path)
    assert "\n" not in str(caught.value)


def test_deployed_file_is_no_source_for_an_export(deployed_file, tmp_path):
    with pytest.raises(ModelError, match="is a deployed model"):
        export_model(deployed_file, tmp_path / "again.pt")


def test_unknown_element_is_refused(either_file, tiny_water):
    salt = Frame(np.array([8, 1, 11]), tiny_water.positions, tiny_water.cell, None, 0)
    with pytest.raises(
        ModelError, match="knows the elements H, O, but the frame also holds Na"
    ):
        load_model(either_file).predict([tiny_water, salt])


def test_positions_that_are_not_finite_are_refused(model_file, tiny_water):
    positions = tiny_water.positions.copy()
    positions[1, 0] = np.nan
    broken = Frame(tiny_water.numbers, positions, tiny_water.cell, None, 12)
    with pytest.raises(FrameError, match="step 12: positions must be finite"):
        load_model(model_file).predict([broken])


def test_no_frames_give_no_tensors(model_file):
    assert load_model(model_file).predict([]) == []


def test_devices_that_are_not_there_are_refused(model_file, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert load_model(model_file, "auto").device.type == "cpu"
    with pytest.raises(DeviceError, match="torch finds no CUDA device"):
        load_model(model_file, "cuda")
    with pytest.raises(DeviceError, match=re.escape("'abacus' is no compute device")):
        load_model(model_file, "abacus")


def test_unknown_name_is_taken_for_a_path():
    assert str(resolve_model("no-such-model")) == "no-such-model"


@pytest.mark.gpu
def test_cuda_gives_the_numbers_of_the_cpu(either_file, tiny_water):
    (here,), (there,) = (
        load_model(either_file, device).predict([tiny_water])
        for device in ("cpu", "cuda")
    )
    assert np.abs(here.apt - there.apt).max() < 1e-5


@pytest.mark.parametrize(
    ("version", "targets", "members"),
    [(1, ("apt",), 1), (2, ("apt", "pgt"), 1), (3, ("apt", "pgt"), 2)],
)
def test_files_of_every_format_keep_loading(version, targets, members):
    """Each was written by the program of its time; loading runs the self-test."""
    path = GOLDEN / f"model-v{version}.mimyria"
    with zipfile.ZipFile(path) as file:
        stored = json.loads(file.read("model.json"))
    assert stored["format_version"] == version
    model = load_model(path)
    assert model.metadata.name == f"tiny of format {version}"
    assert model.metadata.target_names == targets
    assert model.metadata.members == members
    assert model_card(model.metadata).count("## Uncertainty") == members - 1
