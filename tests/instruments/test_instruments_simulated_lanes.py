"""Vectors of compiled code against numpy, number by number."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba", reason="the extra 'simulate' is not installed")

import numba

from instruments.simulated import lanes
from instruments.simulated.lanes import LANES

RNG = np.random.default_rng(1)
ONE, OTHER = RNG.uniform(0.5, 4.0, (2, LANES)).astype(np.float32)
COEFFICIENTS = tuple(np.float32(c) for c in (0.25, -1.5, 3.0))


@numba.njit
def arithmetic(one, other, out):
    a, b = lanes.load(one, 0), lanes.load(other, 0)
    results = (
        a + b, a - b, a * b, a / b, np.float32(2) * a, a - np.float32(3), lanes.minus(a), lanes.root(a),
        lanes.floored(a), lanes.chosen(a > b, a, b), lanes.chosen(a >= np.float32(2), a, b),
        lanes.polynomial(COEFFICIENTS, a), lanes.real(lanes.whole(a)), lanes.as_real(lanes.as_words(a)),
    )  # fmt: skip
    for n in range(len(results)):
        lanes.store(out, n * LANES, results[n])
    return lanes.total(a), lanes.how_many(a > b)


def test_lanes_reckon_as_single_numbers_do():
    out = np.empty(14 * LANES, dtype=np.float32)
    total, larger = arithmetic(ONE, OTHER, out)
    a, b, two = ONE, OTHER, np.float32(2)
    c = COEFFICIENTS
    expected = [
        a + b, a - b, a * b, a / b, two * a, a - np.float32(3), -a, np.sqrt(a), np.floor(a), np.maximum(a, b),
        np.where(a >= two, a, b), (c[0] * a + c[1]) * a + c[2], np.trunc(a), a,
    ]  # fmt: skip
    assert np.array_equal(out.reshape(14, LANES), np.array(expected))
    assert total == pytest.approx(float(a.sum()), rel=1e-6)
    assert larger == int((a > b).sum())


@numba.njit
def words(low, out):
    z = (lanes.counting() + low) * np.uint32(0x9E3779B1)
    z = (z ^ (z >> np.uint32(15))) & np.uint32(0x7FFFFF)
    one, none = lanes.spread(np.float32(1)), lanes.spread(np.float32(0))
    lanes.store(out, 0, lanes.real(z))
    lanes.store(out, LANES, lanes.chosen(lanes.odd(z), one, none))
    lanes.store(out, 2 * LANES, lanes.real((z | np.uint32(1)) << np.uint32(2)))


def test_words_wrap_and_shift_as_those_of_32_bits():
    out = np.empty(3 * LANES, dtype=np.float32)
    words(np.uint32(77), out)
    z = (np.arange(LANES, dtype=np.uint32) + np.uint32(77)) * np.uint32(0x9E3779B1)
    z = (z ^ (z >> np.uint32(15))) & np.uint32(0x7FFFFF)
    expected = [z, z & np.uint32(1), (z | np.uint32(1)) << np.uint32(2)]
    assert np.array_equal(out.reshape(3, LANES), np.array(expected).astype(np.float32))


@numba.njit
def combined(one, other, out):
    lanes.store(out, 0, lanes.muladd(lanes.load(one, 0), lanes.load(other, 0), lanes.load(one, 0)))


def test_a_product_and_a_sum_are_off_by_one_rounding_at_most():
    out = np.empty(LANES, dtype=np.float32)
    combined(ONE, OTHER, out)
    assert out == pytest.approx(ONE.astype(np.float64) * OTHER + ONE, rel=2e-7)
