"""Two processes that train together give the weights of one that trains alone."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from mimyria.models import read_model

WATER = Path(__file__).parents[1] / "data" / "water16-rpbe" / "configurations.extxyz"


def trained(folder, n_processes):
    folder.mkdir()
    start = [sys.executable, "-m"]
    if n_processes > 1:
        start += ["torch.distributed.run", "--nproc-per-node", str(n_processes), "-m"]
    # Five training frames in batches of two: in the last step one process has nothing.
    command = [
        *start, "mimyria", "train", WATER, "--target", "apt", "--output", "a.mimyria",
        "--epochs", "2", "--batch-size", "2", "--cutoff", "2.5", "--device", "cpu",
        "--validation-frames", "1", "--validate-every", "1",
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return read_model(folder / "a.mimyria"), done.stdout


@pytest.mark.timeout(600)
def test_two_processes_give_the_weights_of_one(tmp_path):
    (alone, _), (together, said) = (
        trained(tmp_path / str(count), count) for count in (1, 2)
    )
    assert said.count("5 training frames, 1 validation frames, 1 test frames") == 1
    for name, value in alone.weights.items():
        difference = np.abs(together.weights[name] - value).max()
        assert difference < 1e-4 * max(np.abs(value).max(), 1e-2), name
    curves = [
        (tmp_path / count / "a.work" / "learning-curve.csv").read_text().splitlines()
        for count in ("1", "2")
    ]
    for one, other in zip(*curves, strict=True):
        if one[0].isdigit() and "," in one[2:]:
            numbers = [[float(word) for word in row.split(",")] for row in (one, other)]
            assert numbers[0] == pytest.approx(numbers[1], rel=1e-4)
    checkpoint = tmp_path / "2" / "a.work" / "checkpoint.safetensors"
    assert safetensors.numpy.load(checkpoint.read_bytes())
    assert together.metadata.training["best_epoch"] in (1, 2)
