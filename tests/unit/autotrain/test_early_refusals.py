"""What could only fail after days of calculations is refused before the first one."""

import re

import numpy as np
import pytest

from mimyria.autotrain.settings import load_settings
from mimyria.autotrain.starting import first_start, require_start
from mimyria.autotrain.state import RunFolder
from mimyria.cli import main
from mimyria.errors import IncompatibleError, ModelError
from mimyria.frame import Frame
from mimyria.io import LabelledFrame, write_extxyz
from mimyria.models import shipped_models
from mimyria.tensors import Tensors

COMMITTEE = "water-compact-committee"
SETTINGS = """\
[autotrain]
trajectories = ["a.extxyz"]
directory = "run"
[dynamics]
interval = 2.0
[training]
start = ""
[spectra]
resolution = 200.0
[code]
kind = "tblite"
method = "GFN1-xTB"
"""


@pytest.fixture
def settings_with(tmp_path, rng):
    """Settings with a change, beside a trajectory of 40 frames with a gap."""
    steps = [*range(10), *range(20, 50)]
    frames = [
        Frame(
            np.array([8, 1, 1]),
            rng.uniform(0, 3, (3, 3)),
            10 * np.eye(3),
            1e-3 * rng.normal(size=(3, 3)),
            step,
        )
        for step in steps
    ]
    write_extxyz(tmp_path / "a.extxyz", [LabelledFrame(f, Tensors()) for f in frames])

    def write(old="", new=""):
        assert old in SETTINGS
        path = tmp_path / "run.toml"
        path.write_text(SETTINGS.replace(old, new) if old else SETTINGS)
        return path

    return write


def start(name):
    return 'start = ""', f'start = "{name}"'


@pytest.mark.parametrize(
    ("change", "code", "text"),
    [
        (start("nowhere.mimyria"), 66, "There is no model file .*nowhere.mimyria"),
        (("[code]", 'experiment = "wine"\n[code]'), 78, "experiment 'wine'"),
        (("200.0", "20.0"), 78, r"takes \d+ frames .* longest stretch has 30"),
    ],
)
def test_nothing_is_done_yet_and_the_setting_can_be_put_right(
    settings_with, tmp_path, capsys, change, code, text
):
    assert main(["autotrain", str(settings_with(*change))]) == code
    assert re.search(text, capsys.readouterr().err)
    assert not RunFolder(tmp_path / "run").marks()


def test_a_committee_is_held_against_the_settings(settings_with):
    settings = load_settings(settings_with(*start(COMMITTEE)))
    assert first_start(settings, "joint") == shipped_models()[COMMITTEE]
    require_start(settings, [8, 1, 1])
    with pytest.raises(IncompatibleError, match=r"its elements are \(1, 8\), not \(1,"):
        require_start(settings, [16, 8, 8, 8, 8, 8, 1, 1])
    wider = load_settings(settings_with("[training]\nstart = ", "[training]\n"
                          f'cutoff = 7.0\nstart = "{COMMITTEE}" #'))  # fmt: skip
    with pytest.raises(IncompatibleError, match="its network settings are"):
        require_start(wider, [8, 1, 1])
    apart = load_settings(settings_with("[dynamics]", 'model = "separate"\n[dynamics]'))
    object.__setattr__(apart.training, "start", COMMITTEE)
    with pytest.raises(IncompatibleError, match="its targets are"):
        require_start(apart, [8, 1, 1])


def test_one_name_stands_for_the_models_of_both_tensors(settings_with, tmp_path):
    apart = load_settings(settings_with("[dynamics]", 'model = "separate"\n[dynamics]'))
    object.__setattr__(apart.training, "start", "old.mimyria")
    for name in ("apt", "pgt"):
        (tmp_path / f"old-{name}.mimyria").write_bytes(b"")
        assert first_start(apart, name) == tmp_path / f"old-{name}.mimyria"
    (tmp_path / "old-pgt.mimyria").unlink()
    assert first_start(apart, "pgt") == tmp_path / "old.mimyria"
    with pytest.raises(ModelError, match="old"):
        require_start(apart, [8, 1, 1])
