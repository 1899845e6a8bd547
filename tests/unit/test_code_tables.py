"""`[code]` of a campaign: kinds, settings, identity, packages that are missing."""

import dataclasses
import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mimyria.errors import CalculationError, SettingsError
from mimyria.io.extxyz import read_extxyz
from mimyria.reference.codes import KINDS, code_from_table, settings_class
from mimyria.reference.codes.common import imported

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

REPOSITORY = Path(__file__).resolve().parents[2]
PYSCF = {"kind": "pyscf", "method": "pbe0", "basis": "def2-svp"}


def code(table, folder=Path(".")):
    return code_from_table(table, folder)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_setting_has_a_sentence_and_every_kind_its_parts(kind):
    for entry in dataclasses.fields(settings_class(kind)):
        assert entry.metadata["sentence"].endswith((".", '"')), entry.name
    module, _, name = KINDS[kind]
    made = getattr(importlib.import_module(module), name)
    for member in ("identity", "version", "check", "single_point"):
        assert hasattr(made, member)


def test_a_kind_or_a_key_that_is_not_known_is_named_with_the_nearest(tmp_path):
    with pytest.raises(SettingsError, match=r"is 'pyscff'\. Did you mean 'pyscf'\?"):
        code({**PYSCF, "kind": "pyscff"})
    with pytest.raises(SettingsError, match=r"code\.kind must be one of .*is missing"):
        code({"method": "hf"})
    with pytest.raises(SettingsError, match="is the whole number 3"):
        code({"kind": 3})
    with pytest.raises(SettingsError, match=r"Did you mean 'code\.max_cycle'\?"):
        code({**PYSCF, "max_cycles": 3})
    with pytest.raises(SettingsError, match=r"code\.basis is missing: Basis set"):
        code({"kind": "pyscf", "method": "hf"})
    with pytest.raises(SettingsError, match=r"code\.spin must be a whole number"):
        code({**PYSCF, "spin": 0.5})


@pytest.mark.parametrize(
    ("table", "text"),
    [({**PYSCF, "grid_level": 10}, "grid_level must be 0 to 9, but is 10"),
     ({**PYSCF, "conv_tol_grad": 0.0}, "conv_tol_grad must be above 0"),
     ({**PYSCF, "threads": 0}, "threads must be above 0"),
     ({**PYSCF, "spin": -1}, "spin must be 0 or more"),
     ({"kind": "tblite", "method": "GFN3-xTB"}, "must be one of GFN1-xTB, GFN2-xTB"),
     ({"kind": "tblite", "method": "GFN2-xTB", "accuracy": 0}, "must be above 0")],
)  # fmt: skip
def test_values_outside_their_limits_are_refused(table, text):
    with pytest.raises(SettingsError, match=text):
        code(table)


def test_the_identity_has_what_changes_the_numbers_and_nothing_else():
    one = code(PYSCF).identity
    assert one == code({**PYSCF, "threads": 7, "max_memory": 100}).identity
    assert "\n" not in one
    for change in ({"basis": "sto-3g"}, {"charge": 1}, {"conv_tol": 1e-9}):
        assert code({**PYSCF, **change}).identity != one
    tight = {"kind": "tblite", "method": "GFN1-xTB"}
    assert code(tight).identity != code({**tight, "accuracy": 1e-5}).identity


def test_versions_are_those_that_are_installed():
    from importlib.metadata import version

    assert code(PYSCF).version() == version("pyscf")
    tight = {"kind": "tblite", "method": "GFN1-xTB"}
    assert code(tight).version() == version("tblite")


def test_a_package_that_is_missing_is_one_line_with_its_cure():
    with pytest.raises(
        CalculationError, match=r"No module named 'not_there'.*mimyria\[pyscf\]"
    ) as caught:
        imported("not_there", "pyscf")
    assert "\n" not in str(caught.value)


def test_tables_are_read_without_loading_the_programs():
    text = (
        "import sys; from pathlib import Path;"
        "from mimyria.reference.codes import code_from_table as make;"
        "make({'kind': 'pyscf', 'method': 'hf', 'basis': 'x'}, Path());"
        "make({'kind': 'tblite', 'method': 'GFN2-xTB'}, Path());"
        "make({'kind': 'ase', 'factory': 'a:b'}, Path());"
        "heavy = {'ase', 'pyscf', 'tblite', 'torch'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    done = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["pyscf", "tblite"])
def test_the_inputs_that_ship_give_one_point(name, tmp_path):
    folder = REPOSITORY / "inputs" / name
    campaign = tomllib.loads((folder / "campaign.toml").read_text())
    made = code_from_table(campaign["code"], folder)
    (labelled,) = read_extxyz(folder / campaign["campaign"]["frames"][0])
    frame = labelled.frame
    made.check(frame)
    point = made.single_point(frame, np.array([2e-3, 0.0, 0.0]), tmp_path, None)
    assert point.forces.shape == (3, 3)
    assert np.abs(point.forces.sum(axis=0)).max() < 1e-9
