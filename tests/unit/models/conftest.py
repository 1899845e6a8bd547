"""A small model file and its deployed twin, made once."""

import numpy as np
import pytest
import torch

from mimyria.data import Scaling
from mimyria.frame import Frame
from mimyria.models import (
    Example,
    ModelMetadata,
    NetworkSettings,
    TensorModel,
    build_network,
    export_model,
    save_model,
)
from mimyria.models.modelfile import network_weights
from mimyria.targets import APT

TINY = NetworkSettings(
    channels=(4, 3, 2),
    lmax_sphere=2,
    parity="natural",
    n_layers=2,
    cutoff=3.0,
    n_radial=4,
    radial_width=8,
)


def water(numbers=(8, 1, 1)):
    positions = np.array([[0.0, 0, 0], [0.76, 0.59, 0], [-0.76, 0.59, 0]])
    return Frame(np.array(numbers), positions, np.eye(3) * 8, None, 0)


@pytest.fixture(scope="session")
def model_file(tmp_path_factory):
    network = build_network((APT,), TINY, 2, 2.0, seed=7).eval()
    metadata = ModelMetadata("tiny", (APT,), TINY, (1, 8), 2.0, Scaling.neutral(2, 9))
    model = TensorModel(network, metadata, torch.device("cpu"))
    example = Example(water(), model.predict([water()])[0].columns((APT,)))
    path = tmp_path_factory.mktemp("model") / "tiny.mimyria"
    save_model(path, metadata, network_weights(network), example)
    return path


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
