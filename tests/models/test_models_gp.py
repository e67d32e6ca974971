from __future__ import annotations

import numpy as np
import pytest

from models.gp import matern32, neighbour_correlation, predict


def exact(seen, values, query, length, signal, noise):
    """The textbook formula, with every point (Rasmussen & Williams 2006, eq. 2.25 and 2.26)."""
    distance = np.linalg.norm(seen[:, None] - seen[None], axis=-1)
    covariance = signal * matern32(distance / length) + noise * np.eye(len(seen))
    cross = signal * matern32(np.linalg.norm(query[:, None] - seen[None], axis=-1) / length)
    solved = np.linalg.solve(covariance, cross.T)
    return values @ solved, signal - np.einsum("qm,mq->q", cross, solved)


@pytest.fixture
def scene():
    generator = np.random.default_rng(0)
    seen, query = generator.uniform(0, 12, (80, 2)), generator.uniform(0, 12, (50, 2))
    return seen, np.sin(seen[:, 0]) + generator.normal(0, 0.1, 80), query


def test_with_all_neighbours_it_is_exact(scene):
    seen, values, query = scene
    found = predict(seen, values, query, length=2.0, signal=1.3, noise=0.2, neighbours=80)
    for ours, theirs in zip(found, exact(seen, values, query, 2.0, 1.3, 0.2), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-9)


def test_twelve_neighbours_are_nearly_exact_and_never_surer(scene):
    seen, values, query = scene
    mean, variance = predict(seen, values, query, length=2.0, signal=1.0, noise=0.1)
    true_mean, true_variance = exact(seen, values, query, 2.0, 1.0, 0.1)
    assert np.abs(mean - true_mean).max() < 0.2
    assert (variance >= true_variance - 1e-12).all() and (variance - true_variance).max() < 0.05


def test_nothing_seen_is_the_prior_and_far_away_is_too():
    query = np.array([[0.0, 0.0], [100.0, 0.0]])
    mean, variance = predict(np.empty((0, 2)), np.empty(0), query, length=1.0, signal=2.0, noise=0.1)
    assert (mean == 0).all() and (variance == 2.0).all()
    mean, variance = predict(np.zeros((1, 2)), np.array([5.0]), query, length=1.0, signal=2.0, noise=0.1)
    assert mean[0] > 4 and variance[0] < 0.2
    assert mean[1] == pytest.approx(0, abs=1e-9) and variance[1] == pytest.approx(2.0)


@pytest.mark.parametrize("bad", [{"length": 0.0}, {"noise": 0.0}, {"signal": -1.0}, {"length": float("nan")}])
def test_impossible_settings_are_refused(bad):
    with pytest.raises(ValueError, match="length > 0"):
        predict(np.zeros((1, 2)), np.zeros(1), np.zeros((1, 2)), **{"length": 1.0, "signal": 1.0, "noise": 1.0, **bad})


def test_neighbours_tell_clusters_from_chance():
    generator = np.random.default_rng(0)
    points = np.stack(np.meshgrid(range(16), range(16)), -1).reshape(-1, 2).astype(float)
    clustered = np.sign(np.sin(points[:, 0] / 3) * np.sin(points[:, 1] / 3))
    options = {"reach": 1.5, "prior": 0.3, "weight": 8.0}
    assert neighbour_correlation(points, clustered, **options) > 0.5
    assert neighbour_correlation(points, generator.permutation(clustered), **options) < 0.15
    assert neighbour_correlation(points[:1], clustered[:1], **options) == pytest.approx(0.3)
