import sys
from pathlib import Path

import pytest

HERE = str(Path(__file__).parent)


@pytest.fixture(autouse=True)
def analytic_models_are_importable(monkeypatch):
    """The tests find `analytic` by name; the child process by `models.search`."""
    monkeypatch.syspath_prepend(HERE)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


sys.path.insert(0, HERE)
