"""Transforms of many columns against numpy's."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba", reason="the extra 'simulate' is not installed")

from instruments.simulated.fourier import plan, room, smooth, transform, turn_some
from instruments.simulated.lanes import LANES


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 30, 32, 64, 75, 96, 128, 160, 288, 450])
def test_a_block_of_columns_is_transformed_there_and_back(n):
    columns = np.random.default_rng(n).standard_normal((n, 2, LANES)).astype(np.float32)
    rest = np.full(columns.size, np.nan, dtype=np.float32)  # what lies in the second array is never read
    found, other = transform(columns.ravel().copy(), rest, plan(n))
    exact = np.fft.fft(columns[:, 0] + 1j * columns[:, 1], axis=0)
    real, imaginary = np.moveaxis(found.reshape(n, 2, LANES), 1, 0)
    assert np.abs(real + 1j * imaginary - exact).max() < 4e-7 * np.sqrt(n) * np.abs(exact).max()
    back, _ = transform(found.reshape(n, 2, LANES)[:, ::-1].ravel().copy(), other, plan(n))
    assert back.reshape(n, 2, LANES)[:, ::-1] / n == pytest.approx(columns, abs=4e-6)


def test_room_begins_where_a_line_of_the_cache_does():
    for size in (1, 37, 4096):
        made = room(size)
        assert made.size == size and made.ctypes.data % 64 == 0


@pytest.mark.parametrize("count", [LANES, 5])
def test_as_many_rows_are_turned_as_are_asked(count):
    source, target = np.arange(LANES * 40, dtype=np.float32), np.zeros(LANES * LANES, dtype=np.float32)
    turn_some(source, 3, 40, target, 0, LANES, count, np.empty(LANES * LANES, dtype=np.float32))
    expected = np.zeros((LANES, LANES), dtype=np.float32)
    expected[:count] = source.reshape(LANES, 40)[:, 3 : 3 + count].T
    assert np.array_equal(target.reshape(LANES, LANES), expected)


def test_a_length_with_another_factor_is_refused():
    assert not smooth(0)
    with pytest.raises(ValueError, match="a transform of 77 numbers"):
        plan(77)
