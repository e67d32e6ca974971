from __future__ import annotations

import numpy as np
import pytest

from models.focus_mismatch import widened


def fit(residuals, parts):
    """A line's slope from residuals (N,): its variance by their scatter, and the pulls of parts."""
    x = np.linspace(-1, 1, len(residuals))
    noise = float(np.mean(residuals**2))
    pulls = np.array([part.sum() for part in np.array_split(x * residuals / noise, parts)])[:, None]
    return np.array([[noise / (x @ x)]]), pulls


def test_residuals_without_order_widen_little():
    rng = np.random.default_rng(0)
    ratios = [float(widened(c, p)[0, 0] / c[0, 0]) for c, p in (fit(rng.normal(size=800), 16) for _ in range(200))]
    assert min(ratios) == 1.0 and np.mean(ratios) < 1.35


def test_residuals_that_hang_together_widen_much():
    rng = np.random.default_rng(0)
    # each value stands for 20 neighbours: the slope's variance is 20 times what their scatter says
    ratios = [
        float(widened(c, p)[0, 0] / c[0, 0]) for c, p in (fit(np.repeat(rng.normal(size=40), 20), 8) for _ in range(50))
    ]
    assert np.median(ratios) == pytest.approx(20, rel=0.35)
