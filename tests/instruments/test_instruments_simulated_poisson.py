"""The counting law: moments, tails, and the same numbers however it is asked."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra 'simulate' is not installed")

import torch
from scipy import stats

from instruments.simulated.poisson import count_, count_tensors

MEANS = (1e-6, 1e-5, 1e-4, 1e-3, 0.004, 0.1, 0.37, 1.0, 3.3, 5.999, 6.0, 7.9, 12.6, 41.0, 230.0, 9000.0)


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
    if mean >= 0.004:  # of fewer counts than some thousands a skewness tells nothing
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
            # an expansion is off by a few per cent there, beside the luck of the draw
            assert abs(seen - expected) <= 5 * np.sqrt(expected) + expected / 20 + 2


@pytest.mark.parametrize("mean", [1e-6, 1e-5, 1e-4])
def test_next_to_nothing_is_counted_as_often_as_it_should(mean):
    pixels = 1 << 21
    frames = (count_(torch.full((1, 1, pixels), mean), torch.tensor([seed])) for seed in range(32))
    expected = 32 * pixels * mean
    assert sum(float(frame.sum()) for frame in frames) == pytest.approx(expected, abs=4 * np.sqrt(expected))


@pytest.mark.parametrize("mean", (0.3, 3.3, 6.0, 12.6, 41.0))
def test_the_whole_distribution_fits(mean):
    found = counts(mean)
    numbers = np.arange(int(stats.poisson.ppf(1e-3, mean)), int(stats.poisson.isf(1e-3, mean)) + 1)
    expected = len(found) * stats.poisson.pmf(numbers, mean)
    seen = np.array([(found == number).sum() for number in numbers])
    # 1 % of each probability is allowed for what the expansion leaves out
    assert np.all(np.abs(seen - expected) <= 5 * np.sqrt(expected) + 0.01 * expected + 250)


def test_the_two_implementations_agree_in_every_count():
    mean = torch.from_numpy(np.random.default_rng(1).uniform(0, 40, (4, 64, 64)).astype(np.float32))
    seeds = torch.tensor([0, 1, -5, 2**62])
    assert torch.equal(count_(mean.clone(), seeds), count_tensors(mean.clone(), seeds))
    for low, high in ((0, 5.9), (6, 300)):  # frames with few everywhere, and with many, take shorter ways
        part = mean[:, :37, :41].clamp(low, high).contiguous()
        assert torch.equal(count_(part.clone(), seeds), count_tensors(part.clone(), seeds))
    little = (mean * 1e-4).contiguous()
    assert torch.equal(counted := count_(little.clone(), seeds), count_tensors(little.clone(), seeds))
    assert counted.any()


def test_a_frame_does_not_depend_on_its_batch():
    mean = torch.full((3, 32, 32), 5.0)
    together = count_(mean.clone(), torch.tensor([4, 8, 15]))
    alone = count_(mean[:1].clone(), torch.tensor([8]))
    assert torch.equal(together[1:2], alone)
    assert not torch.equal(together[0], together[1])


@pytest.mark.parametrize("mean", [0.7, 5.0, 40.0])
def test_neighbours_and_frames_of_neighbouring_seeds_know_nothing_of_each_other(mean):
    found = (count_(torch.full((16, 256, 256), mean), torch.arange(16)) - mean) / mean**0.5
    pairs = {
        "columns": (found[..., 1:], found[..., :-1]), "rows": (found[:, 1:], found[:, :-1]),
        "far": (found[:, 128:], found[:, :128]), "frames": (found[1:], found[:-1]),
        "moved frames": (found[1:, :, 1:], found[:-1, :, :-1]),
    }  # fmt: skip
    for name, (one, other) in pairs.items():
        assert abs(float((one * other).mean())) < 4.5 / one.numel() ** 0.5, name


def test_scales_multiply_the_means():
    mean, seeds = torch.rand(3, 40, 40) * 9, torch.tensor([1, 2, 3])
    scales = torch.tensor([0.5, 1.0, 4.0])
    expected = count_(mean * scales[:, None, None], seeds)
    assert torch.equal(count_(mean.clone(), seeds, scales), expected)
    assert torch.equal(count_tensors(mean.clone(), seeds, scales), expected)


def test_what_is_no_mean_counts_nothing():
    assert count_(torch.tensor([[[float("nan"), -3.0, 0.0]]]), torch.tensor([1])).tolist() == [[[0.0, 0.0, 0.0]]]


def test_only_single_precision_is_taken():
    with pytest.raises(TypeError, match="float32"):
        count_(torch.full((1, 2, 2), 3), torch.tensor([1]))
