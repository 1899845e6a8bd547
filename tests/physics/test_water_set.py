"""The water set of the repository: made by the command, and what it says of itself."""

from pathlib import Path

import numpy as np
import pytest

from mimyria.io.extxyz import read_extxyz
from mimyria.reference.campaign import configurations, load_campaign_settings
from mimyria.reference.campaign.plan import identity_digest
from mimyria.reference.datasheet import data_sheet
from mimyria.reference.referenceset import read_reference_set

FOLDER = Path(__file__).parents[1] / "data" / "water16-rpbe"
SET = FOLDER / "water16-rpbe.extxyz"


@pytest.fixture(scope="module")
def frames():
    return read_reference_set(SET)


def test_the_forces_give_the_stored_tensors(frames):
    for frame, stored in zip(frames, read_extxyz(SET), strict=True):
        fit = frame.fit()
        assert np.abs(fit.apt - stored.tensors.apt).max() < 1e-12
        assert np.abs(fit.pgt - stored.tensors.pgt).max() < 1e-10


def test_the_first_seven_are_those_that_the_shipped_models_learned(frames):
    old = {
        f"{int(each.info['id']):04d}": each
        for each in read_extxyz(FOLDER / "configurations.extxyz")
    }
    for frame in frames[:7]:
        tensors = old[frame.name].tensors
        assert np.abs(frame.fit().apt - tensors.apt).max() < 1e-8
        assert np.abs(frame.fit().pgt - tensors.pgt).max() < 1e-8
        assert np.array_equal(frame.frame.positions, old[frame.name].frame.positions)


def test_every_frame_is_sound_and_follows_the_field(frames):
    for frame in frames:
        assert frame.quality().verdict.level == "sound", frame.name
        response = frame.response()
        assert response.finding == ""
        assert 110 < np.trace(response.alpha) / 3 < 170
        if frame.energies is not None:
            assert response.difference < 1e-3


def test_the_data_sheet_is_that_of_the_set(frames):
    written = (FOLDER / "water16-rpbe.md").read_text()
    title = load_campaign_settings(FOLDER / "grow.toml").campaign.title
    assert written.rstrip() == data_sheet(frames, title).rstrip()


def test_tensors_of_displaced_atoms_agree(frames):
    checks = [check for check in (frame.check() for frame in frames) if check]
    assert len(checks) >= 2
    for check in checks:
        assert {each.name for each in check.agreements} == {"apt", "pgt"}
        assert check.agrees
        assert all(each.sees_order for each in check.agreements)


def test_the_campaign_that_adds_to_it_goes_on_with_the_same_settings(frames):
    settings = load_campaign_settings(FOLDER / "grow.toml")
    left = configurations(settings)
    assert len(frames) + len(left) >= 24
    digests = {frame.info.get("settings_sha256") for frame in frames} - {None}
    assert digests == {identity_digest(settings.code())}
