"""Transforms of many columns against numpy's."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba", reason="the extra 'simulate' is not installed")

from instruments.simulated.fourier import plan, smooth, transform


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 30, 64, 75, 96, 128, 160, 288, 450])
@pytest.mark.parametrize("lanes", [1, 7, 48, 64])
def test_columns_are_transformed_there_and_back(n, lanes):
    columns = np.random.default_rng(n).standard_normal((2, n, lanes)).astype(np.float32)
    given = columns.reshape(2, -1).copy()
    rest = np.full_like(given, np.nan)  # what lies in the second pair is never read
    real, imaginary, *other = transform(given[0], given[1], rest[0], rest[1], lanes, plan(n))
    exact = np.fft.fft(columns[0] + 1j * columns[1], axis=0).ravel()
    assert np.abs(real + 1j * imaginary - exact).max() < 4e-7 * np.sqrt(n) * np.abs(exact).max()
    imaginary, real, *_ = transform(imaginary, real, other[1], other[0], lanes, plan(n))
    assert np.stack([real, imaginary]) / n == pytest.approx(columns.reshape(2, -1), abs=4e-6)


def test_a_length_with_another_factor_is_refused():
    assert not smooth(0)
    with pytest.raises(ValueError, match="a transform of 77 numbers"):
        plan(77)
