"""Deployed files: they need the operator, no e3nn, and old ones keep loading."""

import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from mimyria.errors import ModelError
from mimyria.models import load_model
from mimyria.models.archive import add_members

GOLDEN = Path(__file__).resolve().parents[2] / "golden"

BLOCKER = "import sys; sys.modules['e3nn'] = None\n"


def run(code, *arguments):
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )


def test_deployed_file_predicts_where_e3nn_is_not_installed(
    deployed_file, tiny_water, tmp_path
):
    code = BLOCKER + (
        "import numpy as np\n"
        "from mimyria.frame import Frame\n"
        "from mimyria.models.model import load_model\n"
        "positions = np.array([[0.0, 0, 0], [0.76, 0.59, 0], [-0.76, 0.59, 0]])\n"
        "water = Frame(np.array([8, 1, 1]), positions, np.eye(3) * 8, None, 0)\n"
        "(answer,) = load_model(sys.argv[1]).predict([water])\n"
        "np.save(sys.argv[2], answer.apt)\n"
    )
    done = run(code, str(deployed_file), str(tmp_path / "answer.npy"))
    assert done.returncode == 0, done.stderr
    (wanted,) = load_model(deployed_file).predict([tiny_water])
    assert np.array_equal(np.load(tmp_path / "answer.npy"), wanted.apt)


def test_public_names_that_need_no_e3nn_are_there_without_it():
    code = BLOCKER + (
        "import mimyria.models as models\n"
        "needing = {'TensorNetwork', 'build_network'}\n"
        "for name in set(models.__all__) - needing: getattr(models, name)\n"
    )
    done = run(code)
    assert done.returncode == 0, done.stderr


def test_deployed_file_from_before_the_operator_keeps_loading(tiny_water):
    # Written when networks were deployed with e3nn's products inside; loading it runs
    # its self-test.
    model = load_model(GOLDEN / "deployed-without-operator.pt")
    assert model.metadata.name == "tiny"
    assert model.predict([tiny_water])[0].apt.shape == (3, 3, 3)


def test_file_that_needs_another_operator_is_refused(deployed_file, tmp_path):
    with zipfile.ZipFile(deployed_file) as file:
        members = {n: file.read(n) for n in file.namelist()}
    root = next(iter(members)).split("/")[0]
    extra, code = {}, {}
    for name, content in members.items():
        if name.endswith("sha256.json"):
            continue
        if name.startswith(f"{root}/extra/"):
            extra[name.split("/")[-1]] = content
        else:
            code[name] = content.replace(b"convolve_v1", b"convolve_v7")
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for name, content in code.items():
            file.writestr(name, content)
    path = tmp_path / "future.pt"
    path.write_bytes(add_members(stream.getvalue(), extra, f"{root}/extra/"))
    with pytest.raises(
        ModelError,
        match=r"future\.pt needs the operator mimyria::convolve_v7, but this mimyria "
        r"has mimyria::convolve_v1\. Export it again",
    ) as caught:
        load_model(path)
    assert "\n" not in str(caught.value)
