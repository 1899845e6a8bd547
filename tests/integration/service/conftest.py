import os
import sys
from pathlib import Path

import pytest

HERE = str(Path(__file__).parent)


@pytest.fixture(autouse=True)
def analytic_models_are_importable(monkeypatch):
    """The child process and the tests find `analytic` by name."""
    monkeypatch.syspath_prepend(HERE)
    paths = [HERE, os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


sys.path.insert(0, HERE)
