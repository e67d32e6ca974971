"""The counting law: moments, tails, and the same numbers however it is asked."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra 'simulate' is not installed")

import torch
from scipy import stats

from instruments.simulated.poisson import count_, count_tensors

MEANS = (0.004, 0.1, 0.37, 1.0, 3.3, 7.9, 12.6, 15.99, 16.0, 41.0, 230.0, 9000.0)


def counts(mean: float, pixels: int = 1 << 20) -> np.ndarray:
    frames = torch.full((16, 1, pixels // 16), mean)
    return count_(frames, torch.arange(16) + 5).numpy().ravel().astype(np.int64)


@pytest.mark.parametrize("mean", MEANS)
def test_mean_variance_and_skewness_are_those_of_poisson(mean):
    found = counts(mean)
    n = len(found)
    assert found.mean() == pytest.approx(mean, abs=4.5 * np.sqrt(mean / n))
    # the variance of a sample variance of Poisson numbers is (m + 2 m²) / n
    assert found.var() == pytest.approx(mean, abs=4.5 * np.sqrt((mean + 2 * mean**2) / n) + 0.006 * mean)
    assert stats.skew(found) == pytest.approx(mean**-0.5, abs=4.5 * np.sqrt(15 / n) * max(1, mean**-1))


@pytest.mark.parametrize("mean", [m for m in MEANS if m < 1000])
def test_every_number_comes_as_often_as_it_should_far_into_the_tails(mean):
    found = counts(mean)
    n = len(found)
    for probability in (1e-2, 1e-3, 1e-4, 2e-5):
        high, low = int(stats.poisson.isf(probability, mean)), int(stats.poisson.ppf(probability, mean))
        for seen, expected in (
            ((found > high).sum(), n * stats.poisson.sf(high, mean)),
            ((found < low).sum(), n * stats.poisson.cdf(low - 1, mean)),
        ):
            # a table has steps: it may be off by an eighth, beside the luck of the draw
            assert abs(seen - expected) <= 5 * np.sqrt(expected) + expected / 8 + 2


@pytest.mark.parametrize("mean", (0.3, 3.3, 12.6, 41.0))
def test_the_whole_distribution_fits(mean):
    found = counts(mean)
    numbers = np.arange(int(stats.poisson.ppf(1e-3, mean)), int(stats.poisson.isf(1e-3, mean)) + 1)
    expected = len(found) * stats.poisson.pmf(numbers, mean)
    seen = np.array([(found == number).sum() for number in numbers])
    # 1 % of each probability is allowed for the table's steps
    assert np.all(np.abs(seen - expected) <= 5 * np.sqrt(expected) + 0.01 * expected + 250)


def test_the_two_implementations_agree_in_every_count():
    mean = torch.from_numpy(np.random.default_rng(1).uniform(0, 40, (4, 64, 64)).astype(np.float32))
    seeds = torch.tensor([0, 1, -5, 2**62])
    assert torch.equal(count_(mean.clone(), seeds), count_tensors(mean.clone(), seeds))
    for low, high in ((0, 15.9), (16, 300)):  # frames with few everywhere, and with many, take shorter ways
        part = mean[:, :37, :41].clamp(low, high).contiguous()
        assert torch.equal(count_(part.clone(), seeds), count_tensors(part.clone(), seeds))


def test_a_frame_does_not_depend_on_its_batch():
    mean = torch.full((3, 32, 32), 5.0)
    together = count_(mean.clone(), torch.tensor([4, 8, 15]))
    alone = count_(mean[:1].clone(), torch.tensor([8]))
    assert torch.equal(together[1:2], alone)
    assert not torch.equal(together[0], together[1])


def test_what_is_no_mean_counts_nothing():
    assert count_(torch.tensor([[[float("nan"), -3.0, 0.0]]]), torch.tensor([1])).tolist() == [[[0.0, 0.0, 0.0]]]


def test_only_single_precision_is_taken():
    with pytest.raises(TypeError, match="float32"):
        count_(torch.full((1, 2, 2), 3), torch.tensor([1]))
