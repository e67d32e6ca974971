"""A matched filter's threshold and detection, against counted frames."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import signal, stats

from surveys.design_statistics import ROSE, Search, bends_per_nm2, filtered

PIXEL_NM = 0.1
AREA = PIXEL_NM**2


def blob(width_px: float, half: int = 6) -> np.ndarray:
    r2 = sum(grid**2 for grid in np.mgrid[-half : half + 1, -half : half + 1])
    return np.exp(-r2 / (2 * width_px**2))


def test_one_pixel_counts_as_poisson_says() -> None:
    curve = filtered(
        np.ones((1, 1)), np.full((1, 1), 0.2), np.full((1, 1), 0.1), PIXEL_NM, Search(places=1), false_alarm=0.05
    )
    fluence = 5000.0
    dark, lit = (fluence * 100 * AREA * share for share in (0.2, 0.3))
    level = dark + curve.threshold(fluence)
    assert stats.poisson.sf(level, dark) == pytest.approx(0.05, abs=0.01)
    assert curve.probability(fluence) == pytest.approx(stats.poisson.sf(level, lit), abs=0.02)
    assert curve.snr(curve.rose_e_per_A2()) == pytest.approx(ROSE, rel=1e-3)


@pytest.mark.parametrize(("share", "contrast", "fluence"), [(0.5, 0.05, 1000.0), (0.01, 0.01, 700.0)])
def test_frames_of_noise_alone_are_called_as_often_as_accepted(share: float, contrast: float, fluence: float) -> None:
    """Smooth filter, 64 × 64 pixels, many and few counts a pixel; and the feature is seen as often as foretold."""
    change = contrast * blob(1.5)
    weights = change / (share + change / 2)
    size = 64 - len(weights) + 1
    search = Search(places=size**2, bends=(size * PIXEL_NM) ** 2 * bends_per_nm2(weights, PIXEL_NM))
    curve = filtered(weights, np.full(change.shape, share), change, PIXEL_NM, search, 0.05)
    rng, sent = np.random.default_rng(5), fluence * 100 * AREA
    mean = np.full((64, 64), share)
    lit = mean.copy()
    lit[26:39, 26:39] += change
    threshold, frames = curve.threshold(fluence) + sent * np.sum(weights * share), 400

    def outputs(of: np.ndarray) -> np.ndarray:
        return signal.correlate(rng.poisson(sent * of).astype(float), weights, mode="valid", method="fft")

    false = sum(outputs(mean).max() > threshold for _ in range(frames))
    found = sum(outputs(lit)[26, 26] > threshold for _ in range(frames))
    assert 0.02 < false / frames < 0.09
    assert found / frames == pytest.approx(curve.probability(fluence), abs=0.07)
    assert 0.05 < found / frames < 0.999, "the test must ask where it is not yet certain"


def test_more_electrons_help_until_the_specimen_itself_is_the_noise() -> None:
    change, share = 0.02 * blob(1.5), 0.1
    weights = change / share
    made = {
        "weights": weights, "background": np.full(change.shape, share), "signal": change, "pixel_nm": PIXEL_NM,
        "search": Search(places=1000), "false_alarm": 0.05,
    }  # fmt: skip
    quiet = filtered(**made)
    doses = np.geomspace(10, 1e6, 20)
    assert (np.diff([quiet.probability(dose) for dose in doses]) >= -1e-9).all()
    needed = quiet.dose_e_per_A2(0.9)
    assert quiet.probability(needed) == pytest.approx(0.9, abs=1e-3)
    loud = filtered(**made, structure=(quiet.shift / 2) ** 2)
    assert math.isinf(loud.dose_e_per_A2(0.9))
    assert loud.snr(1e12) == pytest.approx(2.0, rel=1e-3)


def test_a_wider_search_asks_for_more() -> None:
    tails = [Search(places=n).tail(0.05) for n in (1, 100, 10000)]
    assert tails[0] == pytest.approx(-math.log(0.95), rel=1e-6)
    assert tails[0] > 50 * tails[1] > 2500 * tails[2]
    assert Search(places=10000, bends=10.0).tail(0.05) > tails[2], "a smooth field has fewer places of its own"
