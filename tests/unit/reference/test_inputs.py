"""The shipped inputs: their campaigns can be planned, their READMEs can be followed.

No electronic-structure code runs here; planning checks every frame against its input.
"""

from __future__ import annotations

import importlib.util
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

from mimyria import cli
from mimyria.errors import SettingsError
from mimyria.io.extxyz import read_extxyz
from mimyria.reference.campaign import (
    configurations,
    load_campaign_settings,
    plan_campaign,
)
from mimyria_driver import cli as driver_cli

INPUTS = Path(__file__).parents[3] / "inputs"
CAMPAIGNS = sorted(path.parent for path in INPUTS.rglob("campaign.toml"))
READMES = sorted(INPUTS.rglob("README.md"))
PARSERS = {"mimyria": cli.build_parser, "mimyria-driver": driver_cli.build_parser}


def name_of(path):
    return path.relative_to(INPUTS).as_posix()


@pytest.fixture(params=CAMPAIGNS, ids=name_of)
def copied(request, tmp_path):
    """A copy of the folder of a campaign, as a user would make it."""
    return Path(shutil.copytree(request.param, tmp_path / "campaign"))


def commands(readme):
    """Indented lines of a README, and what it calls `mimyria …` within its text."""
    text = readme.read_text(encoding="utf-8").replace("\\\n", " ")
    inline = re.findall(r"`(mimyria(?:-driver)? [^`]+)`", text)
    for line in re.findall(r"^    (\S.*)$", text, re.M) + inline:
        for command in re.split(r"\s+&&\s+", line):
            yield [word for word in shlex.split(command, comments=True) if word != "&"]


def test_the_campaigns_of_every_code_are_found():
    assert {name_of(folder) for folder in CAMPAIGNS} >= {
        "cp2k/sulfate", "cp2k/water", "cp2k/water-xtb", "pyscf", "tblite",
    }  # fmt: skip
    for folder in CAMPAIGNS:
        assert folder / "README.md" in READMES


def test_every_campaign_can_be_planned_from_a_copy_of_its_folder(copied):
    settings = load_campaign_settings(copied / "campaign.toml")
    chosen = configurations(settings)
    plan, new = plan_campaign(settings, settings.code(), chosen)
    tasks = {task.name: task for task in plan.tasks()}
    assert tasks.keys() == new.keys()
    assert len(tasks) == len(chosen) > 0
    assert len(plan.fields) == 13
    for name, configuration in new.items():
        task = tasks[name]
        kept = task.configuration().frame
        np.testing.assert_array_equal(kept.positions, configuration.frame.positions)


def test_sulfate_is_computed_with_its_charge(tmp_path):
    folder = shutil.copytree(INPUTS / "cp2k" / "sulfate", tmp_path / "sulfate")
    settings = load_campaign_settings(folder / "campaign.toml")
    chosen = configurations(settings)
    assert settings.code().charge == -2
    assert {each.info["charge"] for each in chosen} == {-2}

    template = folder / "sulfate.inp"
    text = template.read_text()
    assert text.count("CHARGE -2") == 1
    template.write_text(text.replace("CHARGE -2", "CHARGE 0"))
    with pytest.raises(SettingsError, match=r"has the charge -2 e, but CP2K computes"):
        plan_campaign(settings, settings.code(), chosen)


def test_sulfate_is_one_whole_ion_in_whole_waters_of_the_right_density():
    frames = list(read_extxyz(INPUTS / "cp2k" / "sulfate" / "configurations.extxyz"))
    assert len(frames) == 4
    for labelled in frames:
        frame = labelled.frame
        waters = (frame.n_atoms - 5) // 3
        assert frame.numbers.tolist() == [16, 8, 8, 8, 8] + waters * [8, 1, 1]
        ion, solvent = frame.positions[:5], frame.positions[5:].reshape(-1, 3, 3)
        sulfur_oxygen = np.linalg.norm(ion[1:] - ion[0], axis=1)
        assert np.all((sulfur_oxygen > 1.35) & (sulfur_oxygen < 1.65))
        bonds = np.linalg.norm(solvent[:, 1:] - solvent[:, :1], axis=2)
        assert np.all((bonds > 0.8) & (bonds < 1.15))
        # Waters at 0.997 g/cm3 and 18 cm3/mol for the ion, in Å3.
        volume = (waters * 18.015 / 0.997 + 18.0) / 0.602214
        assert frame.volume == pytest.approx(volume, rel=1e-3)


def test_water_is_what_the_test_data_was_made_of():
    shipped = read_extxyz(INPUTS / "cp2k" / "water" / "configurations.extxyz")
    data = INPUTS.parent / "tests" / "data" / "water16-rpbe" / "configurations.extxyz"
    known = {each.info["id"]: each.frame for each in read_extxyz(data)}
    for each in shipped:
        original = known[each.info["id"]]
        np.testing.assert_array_equal(each.frame.positions, original.positions)
        np.testing.assert_array_equal(each.frame.cell, original.cell)
        np.testing.assert_array_equal(each.frame.numbers, original.numbers)
        assert each.tensors.apt is None
        assert each.tensors.pgt is None


@pytest.mark.parametrize("readme", READMES, ids=name_of)
def test_a_readme_names_only_commands_and_options_that_exist(readme):
    found = list(commands(readme))
    assert found, "no command in it"
    for program, *words in found:
        if program == "mpirun":
            assert words[0] == "-np"
            program, *words = words[2:]
        if program in PARSERS:
            PARSERS[program]().parse_args(words)
        elif program == "python" and words[0] == "-m":
            assert importlib.util.find_spec(words[1]) is not None
        elif program == "python":
            assert (readme.parent / words[0]).is_file()
        elif program in ("cp", "sbatch"):
            sources = [word for word in words if not word.startswith("-")]
            assert (readme.parent / sources[0]).exists()
        elif program == "cd":
            continue
        elif program == "lmp":
            assert (readme.parent / words[words.index("-in") + 1]).is_file()
        elif program == "i-pi":
            assert (readme.parent / words[0]).is_file()
        else:
            assert program.startswith("./"), f"an unknown program: {program}"
            assert (readme.parent / program).is_file()


@pytest.mark.parametrize("readme", READMES, ids=name_of)
def test_a_readme_links_to_what_is_there(readme):
    for target in re.findall(r"\]\((?!http)(.*?)\)", readme.read_text("utf-8")):
        assert (readme.parent / target.split("#")[0]).exists(), target


@pytest.mark.parametrize("folder", CAMPAIGNS, ids=name_of)
def test_a_readme_takes_a_campaign_from_the_plan_to_the_set(folder):
    steps = [
        words[1]
        for program, *words in commands(folder / "README.md")
        if program == "mimyria" and words[0] == "reference"
    ]
    assert steps[:4] == ["plan", "run", "status", "collect"]


def test_the_inputs_stay_small_enough_for_the_wheel():
    files = [path for path in INPUTS.rglob("*") if path.is_file()]
    for path in files:
        size = path.stat().st_size
        assert size < 100_000, f"{path} would be shipped; run campaigns in a copy"
