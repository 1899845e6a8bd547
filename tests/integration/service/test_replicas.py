"""Many replicas in one driver: each is the single run that it would be."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from many import Engines, ensemble, settings_for, single_runs

from mimyria.merging import merge_results
from mimyria.storage import read_result, write_result
from mimyria_driver.cli import main
from mimyria_driver.labels import replica_folder
from mimyria_driver.monitor import read_status

N = 16


@pytest.fixture(scope="module")
def singles(tmp_path_factory):
    """Sixteen single runs."""
    return single_runs(tmp_path_factory.mktemp("singles"), N)


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """The same sixteen in one driver."""
    folder = tmp_path_factory.mktemp("together")
    assert ensemble(settings_for(folder, N)).run() == 0
    return folder


def test_sixteen_replicas_at_once_have_the_journals_of_single_runs(together, singles):
    for number, single in enumerate(singles):
        found = (replica_folder(together, number) / "journal").read_bytes()
        assert found == (single / "journal").read_bytes()


def test_sixteen_replicas_at_once_are_exactly_the_sum_of_single_runs(together, singles):
    """To the bit: sums and counts are added in the order of the replicas."""
    found = read_result(together / "spectrum.h5")
    results = [read_result(single / "spectrum.h5") for single in singles]
    for name in ("dipole", "polarizability"):
        parts = [getattr(result, name) for result in results]
        counts, sums = np.zeros_like(parts[0].counts), np.zeros_like(parts[0].values)
        for part in parts:
            counts = counts + part.counts
            sums = sums + part.values * part.counts[:, np.newaxis]
        correlation = getattr(found, name)
        np.testing.assert_array_equal(correlation.counts, counts)
        means = sums / np.maximum(counts, 1)[:, np.newaxis]
        np.testing.assert_array_equal(correlation.values, means)
        assert correlation.n_samples == sum(part.n_samples for part in parts)
    merged = merge_results(results, [str(single) for single in singles]).result
    for name in ("dipole", "isotropic", "anisotropic"):
        one, other = getattr(found.parts, name), getattr(merged.parts, name)
        np.testing.assert_array_equal(one.values, other.values)
    assert found.provenance["frames"] == sum(60 + number for number in range(N))
    np.testing.assert_array_equal(
        found.spectra["ir"].intensity, merged.spectra["ir"].intensity
    )


def test_status_of_all_adds_up(together):
    status = read_status(together)
    assert status["state"] == "ended"
    assert status["durable"] == sum(60 + number for number in range(N))
    assert status["replicas"]["number"] == N
    assert status["replicas"]["states"] == {"ended": N}
    assert read_status(replica_folder(together, 3))["durable"] == 63


def test_verify_finds_the_sum_of_the_journals(together, capsys):
    assert main(["verify", str(together)]) == 0
    said = capsys.readouterr().out
    assert "replica 007: journal: 67 sound records" in said
    assert f"spectrum.h5: is the sum of {N} journals, to the bit" in said


def test_verify_finds_a_result_that_is_not_the_sum(together, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(together, folder)
    result = read_result(folder / "spectrum.h5")
    values = result.dipole.values.copy()
    values[3, 1] = np.nextafter(values[3, 1], 1.0)
    changed = replace(result, dipole=replace(result.dipole, values=values))
    write_result(folder / "spectrum.h5", changed)
    assert main(["verify", str(folder)]) == 74
    assert "is not the sum of the journals: dipole differ" in capsys.readouterr().err


def test_rebuild_makes_the_result_of_all_again(together, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(together, folder)
    for path in folder.glob("**/spectrum.h5"):
        path.unlink()
    assert main(["rebuild", str(folder), "--resolution", "200"]) == 0
    assert f"1080 frames of {N} replicas" in capsys.readouterr().out
    before, after = (read_result(f / "spectrum.h5") for f in (together, folder))
    for name in ("dipole", "polarizability"):
        one, other = getattr(before, name), getattr(after, name)
        np.testing.assert_array_equal(one.values, other.values)
        np.testing.assert_array_equal(one.blocks.values, other.blocks.values)
    np.testing.assert_array_equal(before.spectra["ir"].error, after.spectra["ir"].error)
    assert (replica_folder(folder, 5) / "spectrum.h5").exists()
    assert main(["verify", str(folder)]) == 0
