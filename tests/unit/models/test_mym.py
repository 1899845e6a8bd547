"""Models of the older program: the same numbers, and clear words for anything else."""

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from e3nn.math import soft_one_hot_linspace

sys.path.insert(0, str(Path(__file__).parent))
from mym_cases import (
    PARAMETERS,
    members,
    old_answer,
    old_network,
    saved,
    write_mym,
)

from mimyria.cli import main
from mimyria.errors import ModelError, UnitError
from mimyria.frame import Frame
from mimyria.models import export_model, load_model, model_card, read_model
from mimyria.models.coupling import float64_default
from mimyria.models.fused.fusing import fuse_network
from mimyria.models.layers import BumpBasis
from mimyria.models.model import TensorModel
from mimyria.models.modelfile import network_from_file
from mimyria.models.mym import import_mym, read_mym
from mimyria.units import BOHR_PER_ANGSTROM

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "mym"
NAMES = ("apt-irreps", "apt-last", "pgt-irreps", "pgt-last")
TRICLINIC = np.array([[5.6, 0.3, -0.4], [1.9, 5.1, 0.2], [-0.7, 1.1, 4.9]])

# What is changed from PARAMETERS.
ARCHITECTURES = {
    "usual": ("apt", {}),
    "pgt of both parities": ("pgt", {"lmax": 1, "num_layers": 1}),
    "natural, l = 3": (
        "pgt",
        {"lmax": 3, "natural_parities_only": True, "num_layers": 1},
    ),
    "equal channels, no normalisation": (
        "apt",
        {
            "equal_num_features_per_channel": True,
            "num_features": 3,
            "num_layers": 1,
            "lmax": 1,
            "normalization": "NORM_NONE",
        },
    ),
    "scalars": ("apt", {"lmax": 0}),
    "no gate, more elements": (
        "pgt",
        {"num_layers": 0, "atom_kinds": ["O", "Na", "H"], "num_features": 2},
    ),
}


def frame(numbers=(8, 1, 1, 8, 1, 1, 8, 1)):
    rng = np.random.default_rng(9)
    positions = rng.random((len(numbers), 3)) @ TRICLINIC
    return Frame(np.array(numbers), positions, TRICLINIC, None, 0)


def apt_in_our_order(columns):
    return columns.reshape(-1, 3, 3).transpose(0, 2, 1)


@pytest.fixture(scope="module")
def usual():
    """Members of a small APT model with random weights, and the network."""
    parameters = {**PARAMETERS, "lmax": 1, "num_layers": 1}
    network = old_network("apt", parameters)
    return members("apt", parameters, network), parameters, network


@pytest.mark.parametrize("case", ARCHITECTURES)
def test_imported_network_gives_the_numbers_of_e3nns(case, tmp_path):
    learns, changes = ARCHITECTURES[case]
    parameters = {**PARAMETERS, **changes}
    network = old_network(learns, parameters)
    path = write_mym(tmp_path / "old.mym", members(learns, parameters, network))
    import_mym(read_mym(path), tmp_path / "new.mimyria")
    file = read_model(tmp_path / "new.mimyria")
    network_of_file = network_from_file(file, "float64")
    wanted = old_answer(learns, parameters, network, frame())
    (trained,), (fused,) = (
        TensorModel(each, file.metadata, torch.device("cpu")).predict([frame()])
        for each in (network_of_file, fuse_network(network_of_file, torch.float64))
    )
    for answer, tolerance in ((trained, 1e-10), (fused, 1e-8)):
        if learns == "apt":
            found, expected = answer.apt, apt_in_our_order(wanted)
        else:
            found, expected = answer.pgt, wanted.reshape(-1, 3, 3, 3)
        assert np.abs(found - expected).max() < tolerance * np.abs(expected).max()


def test_radial_functions_are_those_of_e3nn():
    lengths = torch.linspace(0.0, 4.4, 1001, dtype=torch.float64)
    with float64_default():  # e3nn makes its constant e² in torch's default type
        wanted = soft_one_hot_linspace(lengths, 0.0, 4.0, 7, "smooth_finite", True)
    wanted *= 7**0.5
    assert torch.allclose(BumpBasis(7, 4.0)(lengths), wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_predictions_are_those_of_the_program_that_made_the_file(name, tmp_path):
    stored = np.load(GOLDEN / "predictions.npz")
    frames = [
        Frame(stored["numbers"], positions, stored["cell"], None, 0)
        for positions in stored["positions"]
    ]
    files = [tmp_path / "new.mimyria"]
    import_mym(read_mym(GOLDEN / f"{name}.mym"), files[0])
    if name == "pgt-irreps":
        files.append(tmp_path / "new.pt")
        export_model(*files)
    for file in files:
        for answer, columns in zip(
            load_model(file).predict(frames), stored[name], strict=True
        ):
            if name.startswith("apt"):
                found, wanted = answer.apt, apt_in_our_order(columns)
            else:
                found, wanted = answer.pgt, columns.reshape(-1, 3, 3, 3)
            assert np.abs(wanted).max() > 1
            assert np.abs(found - wanted).max() < 1e-9


def test_order_and_unit_are_those_that_are_said(usual, tmp_path):
    contents, parameters, network = usual
    path = write_mym(tmp_path / "old.mym", contents)
    import_mym(
        read_mym(path),
        tmp_path / "new.mimyria",
        order="dM_a/dr_b",
        unit="Debye/Angstrom",
    )
    (answer,) = load_model(tmp_path / "new.mimyria").predict([frame()])
    wanted = old_answer("apt", parameters, network, frame()).reshape(-1, 3, 3)
    assert np.allclose(answer.apt, wanted * 0.20819434, rtol=1e-6)
    with pytest.raises(UnitError, match=r'apt_order must be one of "dM_a/dr_b"'):
        import_mym(read_mym(path), tmp_path / "x", order="dalpha_ab/dr_c")


def test_pgt_of_forces_for_each_bohr_is_converted(tmp_path):
    file = read_mym(GOLDEN / "pgt-irreps.mym")
    one, other = (
        import_mym(file, tmp_path / "new.mimyria", unit=unit).scaling.scale
        for unit in (None, "e^2 a0 Eh^-1")
    )
    assert np.allclose(other / one, BOHR_PER_ANGSTROM)
    with pytest.raises(ModelError, match="basis of irreps is not that of e3nn"):
        import_mym(file, tmp_path / "x", order="dalpha_bc/dr_a")


class Harmful:
    """What a pickle could do."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def with_json(contents, name, **changes):
    values = json.loads(contents[name])
    kept = {k: v for k, v in {**values, **changes}.items() if v is not None}
    return {**contents, name: json.dumps(kept).encode()}


def with_tensors(contents, name, change):
    values = torch.load(io.BytesIO(contents[name]), weights_only=True)
    change(values)
    return {**contents, name: saved(values)}


def refused(tmp_path, contents):
    """The message; it is one line, and nothing is written."""
    path = write_mym(tmp_path / "old.mym", contents)
    with pytest.raises(ModelError) as error:
        import_mym(read_mym(path), tmp_path / "new.mimyria")
    message = str(error.value)
    assert "old.mym cannot be imported: " in message
    assert "\n" not in message
    assert not (tmp_path / "new.mimyria").exists()
    return message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colour": 1}, r"missing [], unknown ['colour']"),
        ({"lmax": None}, "missing ['lmax'], unknown []"),
        ({"lmax": 12}, "lmax is 12, but must be a whole number from 0 to 11"),
        ({"num_layers": True}, "num_layers is True, but must be a whole number"),
        ({"natural_parities_only": 1}, "must be true or false"),
        ({"normalization": "NORM_ALL"}, "normalization is 'NORM_ALL', but must be"),
        ({"radial_cutoff": -1}, "radial_cutoff is -1, but must be a positive number"),
        ({"num_neighbors": "many"}, "num_neighbors is 'many', but must be a positive"),
        ({"atom_kinds": []}, "atom_kinds is [], but must be a list of elements"),
        ({"atom_kinds": ["O", "H2"]}, "labels of atoms cannot be taken over"),
        ({"atom_kinds": ["O", "O"]}, "each of them once"),
        ({"atom_kinds": ["O", "Na"]}, "normalize_mean does not have all of O, Na"),
        ({"num_radial_basis": 7}, "fc.layer0.weight has the shape (5, 100)"),
        ({"num_features": 9}, "it is not the network of its parameters"),
        ({"num_layers": 2}, "the network has no mp.layers.1.first.fc.layer0.weight"),
    ],
)
def test_other_parameters_are_refused(changes, message, usual, tmp_path):
    contents = with_json(usual[0], "params.json", **changes)
    assert message in refused(tmp_path, contents)


def test_models_of_something_else_are_refused(usual, tmp_path):
    contents = with_json(usual[0], "info.json", class_name="DipoleNetwork")
    assert "it holds a 'DipoleNetwork', but only" in refused(tmp_path, contents)
    contents = with_json(usual[0], "info.json", class_name="PGTNetwork")
    assert "change_of_basis must have the shape (18," in refused(tmp_path, contents)


@pytest.mark.parametrize("member", ["info.json", "params.json", "net.torch"])
def test_missing_and_damaged_members_are_refused(member, usual, tmp_path):
    rest = {name: content for name, content in usual[0].items() if name != member}
    assert f"it has no {member}" in refused(tmp_path, rest)
    message = refused(tmp_path, {**rest, member: b"\x00 no such thing"})
    assert f"{member} " in message
    assert f"{member} does not hold" in refused(
        tmp_path, {**rest, member: b"[1]" if "json" in member else saved([1])}
    )


def test_a_pickle_is_refused_and_never_run(usual, tmp_path):
    touched = tmp_path / "touched"
    for member in ("net.torch", "state.torch"):
        contents = {**usual[0], member: saved({"key": Harmful(touched)})}
        message = refused(tmp_path, contents)
        assert f"{member} holds something else than weights" in message
    assert not touched.exists()


@pytest.mark.parametrize(
    ("member", "change", "message"),
    [
        ("net.torch", lambda t: t.update(more=torch.ones(1)), "not known: more"),
        (
            "net.torch",
            lambda t: t.pop("mp.layers.1.alpha.weight"),
            "the network has no mp.layers.1.alpha.weight",
        ),
        (
            "net.torch",
            lambda t: t["mp.layers.1.alpha.weight"].fill_(np.nan),
            "mp.layers.1.alpha.weight has numbers that are not finite",
        ),
        (
            "net.torch",
            lambda t: t.update({"mp.layers.1.tp.weight": torch.ones(2)}),
            "not known: mp.layers.1.tp.weight",
        ),
        ("net.torch", lambda t: t.update(a=[1.0]), "a is no tensor of real numbers"),
        ("state.torch", lambda t: t.update(more=1), "state.torch must hold"),
        (
            "state.torch",
            lambda t: t["change_of_basis"].mul_(1.1),
            "basis of irreps is not that of e3nn",
        ),
        (
            "state.torch",
            lambda t: t["normalize_std"].update(H=torch.ones(8)),
            "normalize_std of H must have the shape (9,), but has (8,)",
        ),
    ],
)
def test_other_tensors_are_refused(member, change, message, usual, tmp_path):
    assert message in refused(tmp_path, with_tensors(usual[0], member, change))


def test_basis_with_other_signs_gives_the_same_tensors(usual, tmp_path):
    """Irreps are defined up to signs; a file says with which it was made."""

    def turned(tensors):
        tensors["change_of_basis"][1:4] *= -1

    contents, _, _ = usual
    answers = []
    for each in (contents, with_tensors(contents, "state.torch", turned)):
        path = write_mym(tmp_path / "old.mym", each)
        metadata = import_mym(read_mym(path), tmp_path / "new.mimyria")
        (answer,) = load_model(tmp_path / "new.mimyria").predict([frame()])
        assert (metadata.scaling.scale > 0).all()
        answers.append(answer.apt)
    symmetric = [apt + apt.transpose(0, 2, 1) for apt in answers]
    skew = [apt - apt.transpose(0, 2, 1) for apt in answers]
    assert np.allclose(symmetric[0], symmetric[1])
    assert np.allclose(skew[0], -skew[1])
    assert np.abs(skew[0]).max() > 0.1


def test_command_says_what_it_read_and_what_nobody_knows(tmp_path, capsys):
    path = tmp_path / "water.mimyria"
    command = ["import", "model", str(GOLDEN / "apt-last.mym"), "--output", str(path)]
    assert main(command) == 0
    said = capsys.readouterr().out
    for line in (
        "apt-last.mym: atomic polar tensor of O, Na, H",
        "cutoff 4 Å, 6 radial functions, 7 neighbours counting the atom itself",
        "2 convolutions, channels 4, 4 for l = 0 to 1, natural parity",
        "normalisation NORM_LAST",
        "index order dM_b/dr_a, as its program makes it of forces in a field",
        "not in such files: training data, errors, index order, unit",
        f"wrote {path}",
    ):
        assert line in said.splitlines()
    card = model_card(load_model(path).metadata)
    assert "Neither its training data nor its errors are known" in card
    assert "(NORM_LAST), so its tensors do not turn exactly" in card
    assert "bumps as radial functions, weighed messages" in card
    assert "trained on 2 frames, with 1 to watch it" in card


def test_command_ends_with_one_line_for_anything_else(tmp_path, capsys):
    other = tmp_path / "other.mym"
    other.write_bytes(b"no archive")
    command = ["import", "model", "--output", str(tmp_path / "x.mimyria")]
    for path in (other, tmp_path / "missing.mym"):
        assert main([*command, str(path)]) == ModelError.exit_code
        assert len(capsys.readouterr().err.strip().splitlines()) == 1
