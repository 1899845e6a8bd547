"""The backends of the fused convolution; helpers are in `fused_cases`."""

import importlib.util
import os
import sys
from pathlib import Path

import pytest

from mimyria.models.fused import availability, compiled, specialised

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def compiler():
    """Tests that use it need a C++ compiler."""
    if not compiled.is_available(demanded=False):
        pytest.skip("no C++ compiler here")


@pytest.fixture(scope="session")
def triton():
    """Tests that use it need Triton, but no GPU."""
    if importlib.util.find_spec("triton") is None:
        if os.environ.get("CI") == "true" and sys.platform == "linux":
            pytest.fail("Triton is not installed, but CI=true")
        pytest.skip("Triton is not installed")


@pytest.fixture
def interpreter(triton, monkeypatch):
    """Tests that use it run Triton's kernels in Python, on the CPU; slowly."""
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    # What was loaded for a GPU is no good here, and the other way round.
    monkeypatch.setattr(specialised, "_prepared", {})
    monkeypatch.setattr(availability, "_reasons", {})
    specialised.load_source.cache_clear()
    yield
    specialised.load_source.cache_clear()


@pytest.fixture(params=["torch", "cpp"])
def backend(request, monkeypatch):
    """Each code that can do the convolution on this machine."""
    if request.param == "cpp":
        request.getfixturevalue("compiler")
    monkeypatch.setenv("MIMYRIA_KERNEL", request.param)
    return request.param
