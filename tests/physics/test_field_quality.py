"""Residuals of one frame, what they say, and frames that stand out."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest

from mimyria import Tensors
from mimyria.errors import FormatError, SettingsError
from mimyria.io.extxyz import LabelledFrame, read_extxyz, write_extxyz
from mimyria.reference import (
    BOUNDS,
    FieldQuality,
    apt_stencil,
    field_quality,
    find_outliers,
    fit_tensors,
    fourth_order_stencil,
    pgt_stencil,
)

WATER = Path(__file__).parents[2].parent / "shared" / "data" / "water16-rpbe"
H = 2e-3


def quality_of(fields, forces, charge=0.0):
    return field_quality(fields, forces, fit_tensors(fields, forces), charge)


def noisy(response, seed, sigma=1e-8, fields=None, n_atoms=40, **options):
    fields = pgt_stencil(H) if fields is None else fields
    forces = response(seed, n_atoms, **options).forces(fields)
    return fields, forces + sigma * np.random.default_rng(seed).normal(
        size=forces.shape
    )


@pytest.mark.parametrize(
    "fields",
    [pgt_stencil(H), fourth_order_stencil(H / 2), np.vstack([pgt_stencil(H)] * 2)],
    ids=["13 points", "25 points", "13 points twice"],
)
def test_every_residual_of_noise_is_the_noise(response, fields):
    """Also of each pair: the residuals have one measure, whatever the set."""
    fields, forces = noisy(response, 1, 1e-7, fields, n_atoms=1000)
    found = quality_of(fields, forces)
    assert found.residual == pytest.approx(1e-7, rel=0.03)
    assert found.odd_residual == pytest.approx(1e-7, rel=0.03)
    assert found.odd_left == pytest.approx([1e-7] * len(found.pairs), rel=0.06)
    assert found.odd_free == len(found.pairs) - 3
    if len(fields) == 13:
        assert found.force_noise == pytest.approx(1e-7, rel=0.03)
        assert found.even_free == 0
        assert math.isnan(found.even_residual)
        assert found.even_left == ()
    else:
        assert found.even_residual == pytest.approx(1e-7, rel=0.03)
        assert found.even_left == pytest.approx([1e-7] * len(found.pairs), rel=0.06)


def test_the_two_parts_of_the_residual_add_up_to_that_of_the_fit(response):
    fields, forces = noisy(response, 2, 1e-7, fourth_order_stencil(1e-3))
    found = quality_of(fields, forces)
    assert found.odd_free + found.even_free == 25 - 10
    squares = found.odd_free * found.odd_residual**2
    squares += found.even_free * found.even_residual**2
    assert math.sqrt(squares / 15) == pytest.approx(found.residual, rel=1e-6)


def test_cubic_terms_show_in_the_odd_part_and_quartic_ones_in_the_even(response):
    fields = fourth_order_stencil(5e-3)
    cubic = quality_of(fields, response(3, third=20.0).forces(fields))
    assert cubic.odd_residual > 1e-7
    assert cubic.even_residual < 1e-14
    quartic = quality_of(fields, response(3, fourth=500.0).forces(fields))
    assert quartic.even_residual > 1e-9
    assert quartic.odd_residual < 1e-14
    twice = quality_of(2 * fields, response(3, third=20.0).forces(2 * fields))
    assert twice.odd_residual / cubic.odd_residual == pytest.approx(8.0, rel=1e-6)


def test_pairs_are_named_by_their_direction():
    fields = np.vstack([fourth_order_stencil(1e-3), [[1e-3, -2.5e-3, 0]],
                        [[-1e-3, 2.5e-3, 0]]])  # fmt: skip
    forces = np.repeat(fields[:, np.newaxis], 2, axis=1)
    found = quality_of(fields, forces)
    assert found.pairs == (
        "x", "y", "z", "2x", "2y", "2z", "x+y", "x+z", "y+z",
        "2x+2y", "2x+2z", "2y+2z", "x-2.5y",
    )  # fmt: skip


@pytest.mark.parametrize("point", range(1, 13))
def test_the_pair_with_one_bad_calculation_is_named(response, point):
    fields, forces = noisy(response, 4)
    assert quality_of(fields, forces).verdict.level == "sound"
    name = quality_of(fields, forces).pairs[(point - 1) // 2]
    bad = forces.copy()
    bad[point] += 5e-7 * np.random.default_rng(point).normal(size=bad[point].shape)
    verdict = quality_of(fields, bad).verdict
    assert verdict.level == "suspicious"
    (sentence,) = [each for each in verdict.findings if "do not fit" in each]
    assert sentence.startswith(f"the fields ±({name}) do not fit to the others")
    assert str(verdict).startswith("suspicious: the fields")


def test_a_point_without_its_field_is_wrong(response):
    fields, forces = noisy(response, 5)
    forces[9] = forces[0]
    found = quality_of(fields, forces)
    assert found.verdict.level == "wrong"
    assert "forces in diagonal fields do not follow" in found.verdict.findings[0]
    assert "the fields ±(x+z) do not fit" in found.verdict.findings[1]


def test_a_program_that_ignores_the_field_is_wrong(response):
    fields, forces = noisy(response, 5)
    forces[:] = forces[0]
    verdict = quality_of(fields, forces).verdict
    assert verdict.level == "wrong"
    assert "(ratios nan, nan, nan)" in verdict.findings[0]


def test_noise_too_large_for_the_field_is_named_with_its_size(response):
    fields, forces = noisy(response, 6, 3e-7)
    found = quality_of(fields, forces)
    assert found.verdict.level == "suspicious"
    assert found.pgt_error > BOUNDS["pgt_error"] * found.pgt_rms
    assert found.apt_error < BOUNDS["apt_error"] * found.apt_rms
    (sentence,) = found.verdict.findings
    assert sentence.startswith(f"the PGT is uncertain by {found.pgt_error:.2g} ")
    assert "more than 5%" in sentence
    exact = response(6, 40).pgt * 1.8897261246
    error = fit_tensors(fields, forces).pgt - exact
    assert 0.5 * found.pgt_error < error.std() < found.pgt_error


@pytest.mark.parametrize("charge", [-2.0, 0.0, 1.0])
def test_the_total_charge_belongs_to_the_sum_rules(response, charge):
    """Σ P = Q 1, Σ Q = 0, and a net force Q E in the field."""
    fields, forces = noisy(response, 7, charge=charge)
    right = quality_of(fields, forces, charge)
    assert right.verdict.level == "sound"
    assert right.apt_sum < 1e-4
    assert right.pgt_sum < 0.2
    assert right.net_odd < 1e-6
    assert right.total_charge == charge
    other = quality_of(fields, forces, charge + 1.0)
    assert other.charge_error == pytest.approx(-1.0, abs=1e-4)
    assert other.apt_sum == pytest.approx(1.0, abs=1e-4)
    assert other.apt_sum_per_atom == pytest.approx(math.sqrt(1 / 3) / 40, rel=1e-3)
    assert other.net_odd == pytest.approx(H, rel=1e-3)
    assert other.verdict.findings[0] == (
        f"Σ P − Q has the mean diagonal -1.00 e; is the total charge really "
        f"{charge + 1:g} e?"
    )


def test_a_missed_sum_rule_and_a_net_force_are_named(response):
    fields, forces = noisy(response, 8)
    forces += 3e-3
    shifted = quality_of(fields, forces)
    assert shifted.net_force == pytest.approx(0.12, rel=1e-6)
    assert shifted.verdict.findings == (
        "the forces at zero field do not add up to zero: 3.0e-03 Eh/a0 per atom, more "
        "than 1e-03; a finer grid is needed",
    )
    fields, forces = noisy(response, 8)
    forces[:, :, 2] += 0.5 * fields[:, :1] ** 2
    bent = quality_of(fields, forces)
    assert bent.net_even == pytest.approx(40 * 0.5 * H**2, rel=0.01)
    (sentence,) = bent.verdict.findings
    assert sentence.startswith("the sum rule of the PGT is missed by 0.36 per atom")


def test_a_quadratic_response_too_large_for_a_small_field_is_named(response):
    fields = pgt_stencil(0.05)
    found = quality_of(fields, response(9, 40).forces(fields))
    assert found.curvature > 0.2
    assert "the field is too strong" in str(found.verdict)
    assert found.curvature == pytest.approx(
        25 * quality_of(H * fields / 0.05, response(9, 40).forces(H * fields / 0.05))
        .curvature, rel=1e-6,
    )  # fmt: skip


def test_a_wrong_zero_field_point_is_seen_by_curvature_alone(response):
    """13 points have no spare even part: this must be said, and the outliers see it."""
    rng = np.random.default_rng(10)
    sound = [quality_of(*noisy(response, seed)) for seed in range(20, 30)]
    fields, forces = noisy(response, 31)
    forces[0] += 1e-4 * rng.normal(size=forces[0].shape)
    bad = quality_of(fields, forces)
    assert bad.residual < 2e-8
    assert math.isnan(bad.even_residual)
    found = find_outliers([*sound, bad])
    assert {outlier.frame for outlier in found} == {10}
    assert {"curvature", "pgt_rms", "pgt_sum"} <= {outlier.name for outlier in found}


def test_asymmetry_is_that_of_the_tensors(response):
    fields, forces = noisy(response, 11)
    fit = fit_tensors(fields, forces)
    found = field_quality(fields, forces, fit)
    difference = fit.apt - fit.apt.transpose(0, 2, 1)
    assert found.apt_asymmetry == pytest.approx(0.5 * difference.std(), rel=1e-3)
    assert found.pgt_asymmetry == 0.0
    turned = dataclasses.replace(fit, pgt=fit.pgt.transpose(0, 3, 1, 2))
    assert "its indices are in another order" in str(
        field_quality(fields, forces, turned).verdict
    )


def test_six_points_are_unchecked(response):
    fields, forces = noisy(response, 12, fields=apt_stencil(H))
    found = quality_of(fields, forces)
    assert found.verdict.level == "unchecked"
    assert found.normalisation == "undetermined"
    assert math.isnan(found.residual)
    assert found.apt_sum < 1e-4
    assert FieldQuality.from_info(found.as_info()).pairs == ("x", "y", "z")


def test_fields_without_partners_have_no_parts(response):
    fields = H * np.random.default_rng(0).normal(size=(20, 3))
    found = quality_of(*noisy(response, 13, fields=fields))
    assert found.pairs == found.odd_left == ()
    assert math.isnan(found.odd_residual)
    assert found.residual == pytest.approx(1e-8, rel=0.1)
    assert found.verdict.level == "sound"


def equal(first, second):
    """All numbers to the bit; NaN equals NaN."""
    for entry in dataclasses.fields(FieldQuality):
        values = getattr(first, entry.name), getattr(second, entry.name)
        assert type(values[0]) is type(values[1]), entry.name
        np.testing.assert_array_equal(*values, err_msg=entry.name)


@pytest.mark.parametrize(
    "fields", [pgt_stencil(H), apt_stencil(H), pgt_stencil(H)[:9]],
    ids=["13", "6", "one diagonal pair"],
)  # fmt: skip
def test_the_numbers_survive_the_comment_line_of_a_file(
    response, fields, tmp_path, water_molecule
):
    fields, forces = noisy(response, 14, fields=fields, n_atoms=water_molecule.n_atoms)
    fit = fit_tensors(fields, forces)
    found = field_quality(fields, forces, fit, -1.0)
    info = found.as_info()
    assert all(isinstance(value, (int, float, str)) for value in info.values())
    assert all(key.startswith("quality_") for key in info)
    assert info["quality_verdict"] == str(found.verdict)
    equal(FieldQuality.from_info(info), found)
    path = tmp_path / "frame.extxyz"
    write_extxyz(path, [LabelledFrame(water_molecule, Tensors(fit.apt, fit.pgt), info)])
    (read,) = read_extxyz(path)
    equal(FieldQuality.from_info(read.info), found)
    with pytest.raises(FormatError, match="says nothing of its quality"):
        FieldQuality.from_info({"step": 1})


def test_outliers_are_the_frames_that_stand_out_and_nothing_else(response):
    sound = [quality_of(*noisy(response, seed)) for seed in range(40, 60)]
    assert find_outliers(sound) == ()
    bad = quality_of(*noisy(response, 61, 1e-7))
    found = find_outliers([*sound[:7], bad, *sound[7:]])
    assert {outlier.frame for outlier in found} == {7}
    assert {"residual", "odd_residual", "pgt_error"} <= {each.name for each in found}
    assert [abs(each.deviations) for each in found] == sorted(
        (abs(each.deviations) for each in found), reverse=True
    )
    assert found[-1].deviations > 6
    text = str(next(each for each in found if each.name == "residual"))
    assert text.startswith("frame 7: residual is 1.01e-07, the median ")
    assert text.endswith("deviations)")
    assert find_outliers([*sound[:3], bad]) == ()  # too few to say
    assert find_outliers([*sound, bad], 1000.0) == ()
    with pytest.raises(SettingsError, match="bound must be above 0"):
        find_outliers(sound, 0.0)


@pytest.mark.parametrize("n_frames", [6, 10, 24])
def test_sound_frames_are_rarely_called_outliers(response, n_frames):
    """At most a few reports in a hundred, however few the frames are."""
    rng = np.random.default_rng(n_frames)
    one = quality_of(*noisy(response, 62))
    names = ("residual", "force_noise", "net_force", "apt_sum", "pgt_sum", "net_even")
    alarms = 0
    for _ in range(200):
        scatter = np.exp(0.4 * rng.normal(size=(n_frames, len(names))))
        frames = [
            dataclasses.replace(
                one, **{n: s * getattr(one, n) for n, s in zip(names, row, strict=True)}
            )
            for row in scatter
        ]
        alarms += bool(find_outliers(frames))
    assert alarms <= 8


def test_many_bad_frames_do_not_hide_each_other(response):
    sound = [quality_of(*noisy(response, seed)) for seed in range(70, 82)]
    bad = [quality_of(*noisy(response, seed, 2e-7)) for seed in range(82, 87)]
    found = find_outliers([*bad, *sound])
    assert {o.frame for o in found if o.name == "residual"} == set(range(5))


@pytest.mark.skipif(not WATER.is_dir(), reason=f"no reference data at {WATER}")
def test_dft_water_is_sound_and_no_frame_stands_out():
    with np.load(WATER / "fields_and_forces.npz") as data:
        fields, forces = data["fields"], data["forces"]
    found = [quality_of(fields, values) for values in forces]
    for quality in found:
        assert str(quality.verdict) == "sound"
        assert quality.residual < 6e-8
        assert quality.odd_residual == pytest.approx(quality.residual, rel=1e-4)
        assert max(quality.odd_left) < 1.3 * min(quality.odd_left) + 5e-9
        assert quality.apt_sum < 0.05
        assert quality.pgt_sum < 0.9
        assert 0.008 < quality.curvature < 0.012
    assert find_outliers(found) == ()
    spoiled = forces[3].copy()
    spoiled[11] += 1e-6 * np.random.default_rng(0).normal(size=spoiled[11].shape)
    found[3] = quality_of(fields, spoiled)
    assert "the fields ±(y+z) do not fit" in str(found[3].verdict)
    assert {outlier.frame for outlier in find_outliers(found)} == {3}
