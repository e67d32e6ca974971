"""Watching a stream: alarms at the rate that is set, and what happens is found within a few sums."""

from __future__ import annotations

import numpy as np
import pytest

from agent.watching import StreamWatch


def picture(seed: int, size: int = 64) -> np.ndarray:
    """A bright support with brighter particles, in electrons a pixel and sum."""
    rng = np.random.default_rng(seed)
    image = np.full((size, size), 20.0)
    for row, column in rng.integers(4, size - 4, (12, 2)):
        image[row - 3 : row + 3, column - 3 : column + 3] = 35.0
    return image


def alarms(pictures: list[np.ndarray], seed: int, gain: float = 3.0, rate: float = 0.05) -> list[int]:
    rng, watch = np.random.default_rng(seed), StreamWatch(len(pictures), rate)
    return [n for n, each in enumerate(pictures) if watch.watch((gain * rng.poisson(each)).astype(np.float32))]


def test_nothing_happens_in_nearly_all_streams_in_which_nothing_does():
    false = sum(bool(alarms([picture(n)] * 60, n)) for n in range(200))
    assert false <= 18  # 10 of 200 are expected at most; 18 or fewer in 99 % then


@pytest.mark.parametrize("gain", [1.0, 40.0])
def test_a_particle_that_goes_is_found_within_three_sums(gain):
    found = 0
    for seed in range(20):
        before = picture(seed)
        after = before.copy()
        rows, columns = np.where(before > 30)
        after[rows[0] : rows[0] + 6, max(columns[0] - 6, 0) : columns[0] + 7] = 20.0
        at = alarms([before] * 30 + [after] * 30, 100 + seed, gain)
        found += any(30 <= n < 33 for n in at)
    assert found >= 17


def test_a_recording_without_noise_is_told_by_any_difference():
    still, moved = picture(0), picture(1)
    watch = StreamWatch(40, 0.05)
    told = [watch.watch(each.astype(np.float32)) for each in [still] * 10 + [moved] * 10]
    assert told == [False] * 10 + [True] + [False] * 9
