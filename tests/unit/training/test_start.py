"""A training that begins with the weights of an earlier one."""

from dataclasses import replace

import numpy as np
import pytest

from mimyria.errors import IncompatibleError, ModelError
from mimyria.training import Training, TrainingSettings
from tests.unit.training.conftest import TINY

SHORT = TrainingSettings(epochs=4, batch_size=2, checkpoint_every=2)


def begun(water, start=None, **changes):
    network = replace(TINY, **changes)
    return Training(water, water.species, network, SHORT, start=start)


@pytest.fixture(scope="module")
def earlier(water, tmp_path_factory):
    training = begun(water)
    training.run(tmp_path_factory.mktemp("earlier"))
    return {name: value.numpy() for name, value in training.weights.items()}


def test_it_begins_with_those_weights_and_their_loss(water, earlier, tmp_path):
    training = begun(water, earlier)
    for name, value in training.averages.items():
        assert np.array_equal(value.numpy(), earlier[name])
    anew = begun(water)
    anew.run(tmp_path, until=1)
    training.run(tmp_path, until=1)
    assert training.curve[0].loss < anew.curve[0].loss


def test_interrupted_it_equals_the_uninterrupted_one(water, earlier, tmp_path):
    straight, folder = begun(water, earlier), tmp_path / "interrupted"
    straight.run(tmp_path)
    folder.mkdir()
    begun(water, earlier).run(folder, until=2)
    resumed = begun(water, earlier)
    resumed.resume(folder)
    resumed.run(folder)
    for name, value in straight.weights.items():
        assert np.array_equal(value.numpy(), resumed.weights[name].numpy())


def test_a_checkpoint_of_another_beginning_is_refused(water, earlier, tmp_path):
    begun(water).run(tmp_path, until=2)
    with pytest.raises(IncompatibleError, match="start is None there and"):
        begun(water, earlier).resume(tmp_path)


def test_weights_of_another_architecture_are_refused(water, earlier):
    with pytest.raises(ModelError, match="do not fit the network: "):
        begun(water, earlier, radial_width=6)
