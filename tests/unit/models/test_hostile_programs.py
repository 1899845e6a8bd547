"""Row F1, TorchScript: each file is refused in one line, with code 66."""

import io
import pickle  # noqa: TID251 - to make what has to be refused
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
import programs

from mimyria.errors import ModelError
from mimyria.models import export_model, load_model, read_model, save_model
from mimyria.models.screening import require_arithmetic


def refused(path, message):
    with pytest.raises(ModelError, match=message) as raised:
        load_model(path)
    assert raised.value.exit_code == 66
    assert "\n" not in str(raised.value)
    assert path.name in str(raised.value) or "tiny" in str(raised.value)


WRONG_ANSWERS = {
    programs.Constant: "fails its self-test",
    programs.NotANumber: "fails its self-test: .* is off by nan",
    programs.WrongShape: r"must give torch.float32 of the shape \(3, 9\), but gave "
    r"torch.float32 of the shape \(3, 3\)",
    programs.WrongType: r"but gave torch.int64",
    programs.DoubleType: r"but gave torch.float64",
    programs.OtherDevice: r"on meta|cannot answer its own example",
    programs.Glutton: r"cannot answer its own example: .*memory",
}


@pytest.mark.parametrize("module", WRONG_ANSWERS, ids=lambda module: module.__name__)
def test_program_with_a_wrong_answer_is_refused(module, model_file, tmp_path):
    path = programs.program(tmp_path / "other.pt", model_file, module())
    refused(path, WRONG_ANSWERS[module])


FORBIDDEN = {
    programs.ReadsFiles: "the operator aten::from_file in .*It was not run",
    programs.WritesFiles: "the operator aten::save in .*It was not run",
    programs.ActsWhenLoaded: "the method __[gs]etstate__, which runs while it is",
}


@pytest.mark.parametrize("module", FORBIDDEN, ids=lambda module: module.__name__)
def test_program_that_does_more_than_calculate_is_not_run(
    module, model_file, tmp_path, monkeypatch
):
    path = programs.program(tmp_path / "hostile.pt", model_file, module())
    ran = []
    monkeypatch.setattr(torch.jit, "load", lambda *args, **kwargs: ran.append(args))
    refused(path, FORBIDDEN[module])
    assert not ran
    assert not Path("/tmp/mimyria-was-here").exists()


TEXTS = {
    "custom operator": (b"ops.evil.strike(species)", "evil::strike"),
    "Python function": (b"^strike()(species)", "prim::PythonOp"),
    "other class": (b"__torch__.torch.classes.evil.Thing", r"torch\.classes\.evil"),
    "spaces": (b'torch . from_file("/etc/passwd")', "aten::from_file"),
    "as an operator": (b'ops.aten.from_file("/etc/passwd")', "aten::from_file"),
    "behind a hash in a string": (b'"#" + torch.from_file("/x")', "aten::from_file"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_text_of_a_program_is_read_before_it_is_run(name, model_file, tmp_path):
    text, message = TEXTS[name]
    path = programs.program(
        tmp_path / "hostile.pt",
        model_file,
        programs.Constant(),
        rewrite=(b"return ", b"x = " + text + b"\n    return "),
    )
    refused(path, message)


def test_what_is_checked_is_what_is_run(deployed_file):
    content = io.BytesIO(deployed_file.read_bytes())
    with zipfile.ZipFile(content, "a") as file:
        name = next(name for name in file.namelist() if name.endswith(".py"))
        with pytest.warns(UserWarning, match="Duplicate name"):
            file.writestr(name, "harmless")
    with pytest.raises(ModelError, match="two members of one name"):
        require_arithmetic(content.getvalue(), deployed_file)


def test_networks_of_ours_are_arithmetic(deployed_file):
    require_arithmetic(deployed_file.read_bytes(), deployed_file)
    golden = Path(__file__).parents[2] / "golden" / "deployed-without-operator.pt"
    require_arithmetic(golden.read_bytes(), golden)


def test_weights_that_are_no_numbers_are_refused(model_file, tmp_path):
    file = read_model(model_file)
    weights = {name: value.copy() for name, value in file.weights.items()}
    weights[next(name for name in weights if "radial" not in name)].flat[0] = np.nan
    path = tmp_path / "tiny.mimyria"
    save_model(path, file.metadata, weights, file.example)
    refused(path, "self-test: .* is off by nan")
    export_model(path, tmp_path / "tiny.pt")
    refused(tmp_path / "tiny.pt", "self-test: .* is off by nan")


@pytest.mark.parametrize("part", [0, 1, 20, 0.3, 0.9, -1])
def test_truncated_file_is_refused(part, deployed_file, tmp_path):
    content = deployed_file.read_bytes()
    length = int(part * len(content)) if isinstance(part, float) else part
    path = tmp_path / "cut.pt"
    path.write_bytes(content[:length])
    refused(path, "is not a model of mimyria|altered or damaged")


def test_random_bytes_are_refused(tmp_path, rng):
    path = tmp_path / "noise.pt"
    for n in (1, 100, 100_000):
        path.write_bytes(rng.bytes(n))
        refused(path, "is not a model of mimyria")


def test_flipped_bits_are_refused(deployed_file, tmp_path, rng):
    content = deployed_file.read_bytes()
    path = tmp_path / "flipped.pt"
    refusals = []
    flips = rng.choice(len(content), 300, replace=False)
    for place in flips:
        data = bytearray(content)
        data[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(data)
        refusals.append(refusal(path))
        if not refusals[-1]:  # a byte of the zip that neither we nor torch read
            assert _same_members(data, content)
    assert sum(map(bool, refusals)) > 150
    assert not any("\n" in text for text in refusals)


def refusal(path):
    try:
        load_model(path)
    except ModelError as error:
        return str(error)
    return ""


def test_member_that_grows_when_it_is_read_is_refused(model_file, tmp_path):
    file = read_model(model_file)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model/data.pkl", bytes(80 << 20))
    path = programs.with_metadata(tmp_path / "bomb.pt", stream.getvalue(), file)
    refused(path, "damaged .*bytes that would become")


def _same_members(one, other):
    def members(content):
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            return {name: file.read(name) for name in file.namelist()}

    return members(one) == members(other)


class Payload:
    def __reduce__(self):
        return (Path.touch, (Path("/tmp/mimyria-was-here"),))


@pytest.mark.parametrize("digests", [False, True], ids=["as it is", "with digests"])
def test_pickle_is_refused_and_not_run(digests, model_file, tmp_path):
    stream = io.BytesIO()
    torch.save({"weights": torch.zeros(3), "trap": Payload()}, stream)
    path = tmp_path / "pickle.pt"
    path.write_bytes(stream.getvalue())
    if digests:
        programs.with_metadata(path, stream.getvalue(), read_model(model_file))
    refused(path, "not a model of mimyria|cannot load this TorchScript file")
    path.write_bytes(pickle.dumps(Payload()))
    refused(path, "is not a model of mimyria")
    assert not Path("/tmp/mimyria-was-here").exists()
