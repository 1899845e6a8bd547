"""A small model file and its deployed twin, made once."""

import numpy as np
import pytest

from mimyria.frame import Frame
from mimyria.models import export_model
from tests.random_models import save_random_model


def water(numbers=(8, 1, 1)):
    positions = np.array([[0.0, 0, 0], [0.76, 0.59, 0], [-0.76, 0.59, 0]])
    return Frame(np.array(numbers), positions, np.eye(3) * 8, None, 0)


@pytest.fixture(scope="session")
def model_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "tiny.mimyria"
    return save_random_model(path, water(), name="tiny", seed=7, neighbours=2.0)


@pytest.fixture(scope="session")
def deployed_file(model_file):
    path = model_file.with_suffix(".pt")
    export_model(model_file, path)
    return path


@pytest.fixture(params=["model", "deployed"])
def either_file(request, model_file, deployed_file):
    return model_file if request.param == "model" else deployed_file


@pytest.fixture
def tiny_water():
    return water()
