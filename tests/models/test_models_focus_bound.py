from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from instruments.aberrations import Aperture
from instruments.simulated.optics import image
from models.focus import Search, estimate
from models.focus_bound import expected_counts, information_per_nm2, std_nm

PIXEL_nm, SOURCE_nm = 0.03, 0.04
CANVAS = Aperture((160, 160), PIXEL_nm, 200.0, 21.4)
MARGIN = 32
FRAME = Aperture((96, 96), PIXEL_nm, 200.0, 21.4)


def atoms(seed, share=0.01):
    """A disordered lattice on the canvas: what each pixel scatters, softened by thermal motion."""
    generator = np.random.default_rng(seed)
    cells = np.stack(np.meshgrid(np.arange(12), np.arange(12)), -1).reshape(-1, 2) * 0.39 + 0.1
    places = (cells + generator.normal(0, 0.03, cells.shape)) / PIXEL_nm
    y, x = np.mgrid[: CANVAS.shape[0], : CANVAS.shape[1]]
    thing = sum(np.exp(-((y - row) ** 2 + (x - column) ** 2) / 2) for row, column in places)
    return thing * share / thing.mean()


def probes(truth, *changes):
    coefficients = np.tile(np.asarray(truth, dtype=float), (len(changes), 1))
    coefficients[:, 0] += changes
    return coefficients


def test_bound_is_that_of_the_renderers_own_differences():
    thing, electrons = atoms(1000), np.array([500.0, 400.0, 600.0])
    coefficients = probes((3, 2, -1, 30, -20, 10, 40, 300), 0, 8, -8)
    depths = (1.0, 3.0)
    free = (0, 1, 2, 3, 6, 7)
    expected, slopes = expected_counts(
        thing, electrons, coefficients, free, CANVAS, source_size_nm=SOURCE_nm, depths_nm=depths, margin_px=MARGIN
    )
    found = information_per_nm2(expected, slopes)

    def rendered(change):
        objects = torch.from_numpy(np.tile(thing, (3, 1, 1, 1))).float()
        optics = torch.from_numpy(coefficients + change).float()
        images = image(objects, optics, CANVAS, blur_nm=SOURCE_nm, depths_nm=depths)[:, 0].double().numpy()
        return images[:, MARGIN:-MARGIN, MARGIN:-MARGIN] * electrons[:, None, None]

    differences = []
    for name in free:
        step = np.zeros(8)
        step[name] = {0: 0.1, 1: 0.1, 2: 0.1, 7: 100.0}.get(name, 3.0)
        differences.append((rendered(step) - rendered(-step)) / (2 * step[name]))
    numeric = information_per_nm2(rendered(np.zeros(8)), np.array(differences))
    np.testing.assert_allclose(std_nm(found), std_nm(numeric), rtol=0.035)


def test_information_of_counts_is_slope_squared_over_mean():
    expected, slopes = np.full((1, 1, 2), 4.0), np.array([[[[2.0, 0.0]]], [[[0.0, 6.0]]]])
    np.testing.assert_allclose(information_per_nm2(expected, slopes), [[1.0, 0.0], [0.0, 9.0]])
    np.testing.assert_allclose(std_nm([[1.0, 0.0], [0.0, 9.0]]), [1.0, 1 / 3])


def test_what_is_not_determined_has_no_finite_bound():
    assert std_nm([[4.0, 0.0], [0.0, 0.0]]).tolist() == [0.5, math.inf]
    assert np.isinf(std_nm([[1.0, 1.0], [1.0, 1.0]])).all()
    assert np.isinf(std_nm([[0.0]])).all()


def test_estimator_does_not_beat_the_bound():
    """The sum of 10 squared errors over the bound is above chi2's 1 in 1000, and the estimator is within 6 times it."""
    settings, electrons, free = probes(np.zeros(8), 0, 8, -8), np.full(3, 300.0), (0, 1, 2)
    ratios = []
    for seed in range(1000, 1010):
        generator = np.random.default_rng(seed)
        truth = np.zeros(8)
        truth[:3] = generator.uniform(-5, 5), *generator.uniform(-2, 2, 2)
        expected, slopes = expected_counts(
            atoms(seed), electrons, settings + truth, free, CANVAS, source_size_nm=SOURCE_nm, margin_px=MARGIN
        )
        bound = std_nm(information_per_nm2(expected, slopes))
        counted = generator.poisson(expected).astype(float)
        found = estimate(counted, settings, FRAME, search=Search(c10_nm=8, c12_nm=4), source_size_nm=SOURCE_nm)
        assert found.settled, found.reason
        assert (found.std_nm[:3] > bound).all()
        ratios.append((found.coefficients_nm - truth)[:3] / bound)
    squares = np.square(ratios).sum(0)
    assert (squares > stats.chi2(10).ppf(0.001)).all()
    assert (np.sqrt(squares / 10) < 6).all()


def test_what_does_not_fit_is_refused():
    thing = atoms(1000)
    with pytest.raises(ValueError, match="do not fit frames"):
        expected_counts(thing[:8], [1.0], probes(np.zeros(8), 0), (0,), CANVAS)
    with pytest.raises(ValueError, match="not finite"):
        expected_counts(thing * np.nan, [1.0], probes(np.zeros(8), 0), (0,), CANVAS)
    with pytest.raises(ValueError, match="do not fit images"):
        information_per_nm2(np.ones((1, 2, 2)), np.ones((1, 1, 2, 3)))
    with pytest.raises(ValueError, match="not finite"):
        information_per_nm2(np.ones((1, 2, 2)), np.full((1, 1, 2, 2), np.nan))
