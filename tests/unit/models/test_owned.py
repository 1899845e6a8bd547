"""Atoms of a subdomain with ghosts around them get the tensors of the periodic cell."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from mimyria.data.graph import neighbour_edges
from mimyria.data.subdomain import Subdomain, subdomain_graph
from mimyria.errors import FrameError, ModelError, ShapeError
from mimyria.frame import Frame
from mimyria.models import (
    export_model,
    load_model,
    preset,
    read_metadata,
    resolve_model,
)
from mimyria.targets import APT, PGT
from tests.random_models import TINY, save_random_model
from tests.subdomains import shared_between

CELLS = {
    "cubic": 9.0 * np.eye(3),
    "triclinic": np.array([[10.0, 0.0, 0.0], [2.5, 9.0, 0.0], [-3.0, 1.5, 8.0]]),
}
LAYERS = 2


def disordered(cell, n_atoms=60, seed=3):
    """Oxygens and hydrogens anywhere, some of them far outside the cell."""
    rng = np.random.default_rng(seed)
    numbers = rng.choice([1, 8], n_atoms)
    places = rng.uniform(-1.2, 2.3, (n_atoms, 3))
    velocities = rng.normal(scale=0.01, size=(n_atoms, 3))
    return Frame(numbers, places @ cell, cell, velocities, step=7)


@pytest.fixture(params=sorted(CELLS))
def frame(request):
    return disordered(CELLS[request.param])


def gathered(model, frame, processes, reach=None):
    """(n_members, n_atoms, n_components) — the answers of all processes, in order."""
    answers = None
    reach = model.metadata.reach + 1e-9 if reach is None else reach
    for subdomain, own in shared_between(frame, processes, reach):
        found = model.predict_owned(subdomain)
        if answers is None:
            answers = np.full((found.shape[0], frame.n_atoms, found.shape[2]), np.nan)
        answers[:, own] = found
    return answers


@pytest.mark.parametrize("deployed", [False, True])
def test_owned_atoms_get_the_tensors_of_the_periodic_cell(tmp_path, frame, deployed):
    path = save_random_model(tmp_path / "m.mimyria", frame, (APT, PGT))
    if deployed:
        export_model(path, tmp_path / "m.pt", "float64")
        model = load_model(tmp_path / "m.pt")
    else:
        model = load_model(path, dtype="float64")
    (wanted,) = model.predict_members([frame])
    largest = abs(wanted).max()
    for processes in ((1, 1, 1), (2, 1, 1), (2, 2, 1), (3, 2, 2)):
        found = gathered(model, frame, processes)
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12 * largest)


def test_members_of_a_committee_get_theirs():
    frame = disordered(CELLS["triclinic"])
    model = load_model("water-compact-committee", dtype="float64")
    (wanted,) = model.predict_members([frame])
    assert len(wanted) == 4
    found = gathered(model, frame, (2, 1, 1))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-11 * abs(wanted).max())
    empty = Subdomain(frame.numbers, frame.positions, 0)
    assert model.predict_owned(empty).shape == (4, 0, 36)


def test_a_network_of_another_kind_is_asked_about_all_atoms(tmp_path, frame):
    """Deployed files of before are no fused networks."""
    path = save_random_model(tmp_path / "m.mimyria", frame, (APT,))
    model = load_model(path, dtype="float64")
    fused = model._network
    (wanted,) = model.predict_members([frame])
    asked = []

    class Other(torch.nn.Module):
        def forward(self, species, receivers, senders, vectors):
            asked.append(len(species))
            return fused(species, receivers, senders, vectors)

    model._network = Other()
    found = gathered(model, frame, (2, 1, 1))
    assert len(asked) == 2
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12 * abs(wanted).max())


def test_a_shell_that_is_too_thin_gives_other_numbers(tmp_path, frame):
    path = save_random_model(tmp_path / "m.mimyria", frame, (APT,))
    model = load_model(path, dtype="float64")
    (wanted,) = model.predict_members([frame])
    thin = gathered(model, frame, (2, 1, 1), reach=0.6 * model.metadata.reach)
    assert abs(thin - wanted).max() > 1e-6 * abs(wanted).max()


def test_the_reach_is_layers_times_cutoff():
    metadata = read_metadata(resolve_model("water-compact-apt"))
    assert metadata.reach == 12.0
    reference = metadata.with_changes(settings=preset("reference", "apt"))
    assert reference.reach == 18.0


def test_edges_are_those_of_the_periodic_cell_for_all_but_the_last_hop(frame):
    cutoff = TINY.cutoff
    i, _, _ = neighbour_edges(frame, cutoff)
    n_neighbours = np.bincount(i, minlength=frame.n_atoms)
    for subdomain, own in shared_between(frame, (2, 2, 1), LAYERS * cutoff + 1e-9):
        found = subdomain_graph(subdomain, (1, 8), cutoff, LAYERS)
        graph, reached = found.graph, found.reached
        assert reached[0] == len(own)
        assert list(reached) == sorted(reached)
        assert reached[-1] == graph.n_atoms <= len(subdomain.numbers)
        assert (np.diff(graph.receivers) >= 0).all()
        counts = np.bincount(graph.receivers, minlength=graph.n_atoms)
        np.testing.assert_array_equal(counts[: len(own)], n_neighbours[own])
        assert (counts[reached[-2] :] == 0).all()
        lengths = np.linalg.norm(graph.vectors, axis=1)
        assert (lengths > 0).all()
        assert (lengths < cutoff).all()
        # Whoever is within n hops sends to one within n - 1.
        hops = np.searchsorted(reached, np.arange(graph.n_atoms), side="right")
        assert (hops[graph.senders] <= hops[graph.receivers] + 1).all()


def test_unknown_elements_and_numbers_that_are_not_finite_are_refused(tmp_path, frame):
    path = save_random_model(tmp_path / "m.mimyria", frame, (APT,))
    model = load_model(path)
    subdomain, _ = next(shared_between(frame, (1, 1, 1), 2.0))
    numbers = subdomain.numbers.copy()
    numbers[0] = 26
    with pytest.raises(ModelError, match="the frame also holds Fe"):
        model.predict_owned(dataclasses.replace(subdomain, numbers=numbers))
    positions = subdomain.positions.copy()
    positions[-1] = np.inf
    with pytest.raises(FrameError, match="those of a subdomain are not"):
        model.predict_owned(dataclasses.replace(subdomain, positions=positions))


def test_more_owned_atoms_than_atoms_are_refused():
    with pytest.raises(ShapeError, match="at most 4 owned atoms"):
        Subdomain(np.full(4, 8), np.zeros((4, 3)), 5)
