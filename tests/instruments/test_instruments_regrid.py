"""Recorded rows on a frame's pixels: nothing is made up, nothing is lost, and counting stays counting."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instruments.regrid import averaged, shares, thinned

RNG = np.random.default_rng(0)
CUBE = RNG.poisson(40, (12, 16, 5)).astype(np.uint16)


def rows(row: int, columns: slice) -> np.ndarray:
    return CUBE[row, columns]


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 4), st.floats(1, 3), st.integers(1, 3))
def test_shares_are_areas(first: float, step: float, count: int) -> None:
    found = shares(first + step * np.arange(count + 1), 16).toarray()
    assert found.min() >= 0 and found.max() <= 1 + 1e-12
    np.testing.assert_allclose(found.sum(axis=1), step, rtol=1e-9)
    assert found.sum(axis=0).max() <= 1 + 1e-9  # no pixel is given twice


def test_larger_pixels_are_means_of_the_area() -> None:
    means = averaged(rows, shares(np.array([1.0, 4, 7]), 12), shares(np.array([2.0, 4, 6, 8]), 16), 5)
    np.testing.assert_allclose(means, CUBE[1:7, 2:8].reshape(2, 3, 3, 2, 5).mean(axis=(1, 3)), rtol=1e-6)
    half = averaged(rows, shares(np.array([0.5, 2.0]), 12), shares(np.array([3.0, 4.0]), 16), 5)
    np.testing.assert_allclose(half[0, 0], (0.5 * CUBE[0, 3] + CUBE[1, 3]) / 1.5, rtol=1e-6)


def test_counts_that_are_all_kept_are_the_recorded_ones() -> None:
    whole = thinned(rows, shares(np.arange(13.0), 12), shares(np.arange(17.0), 16), 5, 1.0, np.random.default_rng(1))
    np.testing.assert_array_equal(whole, CUBE)
    cut = np.linspace(0, 12, 8), np.linspace(0, 16, 6)  # across pixels
    found = thinned(rows, shares(cut[0], 12), shares(cut[1], 16), 5, 1.0, np.random.default_rng(1))
    np.testing.assert_array_equal(found.sum(axis=(0, 1)), CUBE.sum(axis=(0, 1)))  # each counted once


@pytest.mark.parametrize("kept", [0.05, 0.5])
def test_thinned_counts_have_the_statistics_of_a_shorter_exposure(kept: float) -> None:
    rng = np.random.default_rng(2)
    cube = rng.poisson(9.0, (40, 40, 6))
    edges = np.linspace(0, 40, 28)  # frame pixels of 1.48 recorded ones
    found = thinned(lambda row, columns: cube[row, columns], shares(edges, 40), shares(edges, 40), 6, kept, rng)
    expected = 9.0 * kept * (40 / 27) ** 2
    assert found.dtype == np.uint32
    assert found.mean() == pytest.approx(expected, rel=0.03)
    assert found.var() == pytest.approx(expected, rel=0.08)
    near = np.corrcoef(found[:, :-1].ravel(), found[:, 1:].ravel())[0, 1]
    assert abs(near) < 0.06  # neighbours share no count
