"""Fixtures that more than one part of the suite needs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import numpy as np
import pytest

from mimyria.frame import Frame

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = REPOSITORY.parent / "shared"

# How long an example takes says something about the machine, nothing about the code.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


def pytest_collection_modifyitems(items):
    """GPU tests need a GPU; there is no way to fake one."""
    if not any(item.get_closest_marker("gpu") for item in items):
        return
    import torch

    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="no CUDA device here"))


@pytest.fixture(scope="session", autouse=True)
def own_folder_of_open_mpi() -> Iterator[None]:
    """For what this worker starts.

    Open MPI removes a folder that all jobs of a user share when one of them ends, and
    another that begins just then fails.
    """
    with (
        tempfile.TemporaryDirectory(prefix="mim-", ignore_cleanup_errors=True) as path,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("OMPI_MCA_orte_tmpdir_base", path)
        yield


@pytest.fixture(scope="session")
def peer_fixtures() -> Path:
    """Known inputs and what the existing program printed for them."""
    folder = SHARED / "data" / "peer-fixtures"
    if not folder.is_dir():
        pytest.skip("the peer fixtures are not beside this checkout")
    return folder


@pytest.fixture
def rng() -> np.random.Generator:
    """A random generator that gives the same numbers in every run."""
    return np.random.default_rng(20261123)


@pytest.fixture
def water_molecule() -> Frame:
    """One distorted H2O in a triclinic cell, with velocities."""
    return Frame(
        numbers=np.array([8, 1, 1]),
        positions=np.array(
            [[0.1, 0.05, -0.02], [1.057, 0.06, 0.03], [-0.14, 0.93, 0.1]]
        ),
        cell=np.array([[9.0, 0.0, 0.0], [1.5, 8.5, 0.0], [-0.7, 1.1, 8.0]]),
        velocities=np.array(
            [[1e-3, -2e-3, 5e-4], [8e-3, 1e-3, -3e-3], [-6e-3, 4e-3, 2e-3]]
        ),
        step=0,
    )


@pytest.fixture
def rotation() -> np.ndarray:
    """A proper rotation that mixes all three axes."""
    from scipy.spatial.transform import Rotation

    return Rotation.from_euler("xyz", [0.3, -1.1, 2.0]).as_matrix()
