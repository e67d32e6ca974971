"""Two frames of one place: against pairs of which everything is known."""

from __future__ import annotations

import numpy as np
import pytest

from envs.frc import expected_correlation, halves, ring_correlation, split_dose, two_frame_snr


def structure(seed, size=256, sigma_px=2.0, contrast=0.3, mean=50.0):
    """A field with a Gaussian transfer of this width, mean ``mean`` and relative spread ``contrast``."""
    white = np.random.default_rng(seed).normal(size=(size, size))
    ky, kx = np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None]
    field = np.fft.irfft2(np.fft.rfft2(white) * np.exp(-2 * (np.pi * sigma_px) ** 2 * (kx**2 + ky**2)), s=(size, size))
    return np.clip(mean * (1 + contrast * field / field.std()), 0, None)


@pytest.mark.parametrize("mean", [0.5, 5.0, 50.0, 500.0])
def test_snr_is_the_known_one(mean):
    truth = structure(1, mean=mean)
    random = np.random.default_rng(2)
    found = two_frame_snr(random.poisson(truth), random.poisson(truth))
    known = truth.std() / np.sqrt(truth.mean())
    assert found.snr == pytest.approx(known, abs=4 * found.snr_std)
    assert found.snr_std < 0.05 * max(known, 1)


def test_snrs_error_is_what_it_says():
    truth = structure(1, size=64, mean=5.0)
    random = np.random.default_rng(3)
    found = [two_frame_snr(random.poisson(truth), random.poisson(truth)) for _ in range(200)]
    scatter = np.std([each.snr for each in found])
    assert scatter == pytest.approx(np.mean([each.snr_std for each in found]), rel=0.25)


def test_pure_noise_has_no_signal_and_a_drift_is_followed():
    random = np.random.default_rng(4)
    nothing = two_frame_snr(random.poisson(20, (128, 128)), random.poisson(20, (128, 128)))
    assert nothing.snr < 3 * nothing.snr_std
    wide = structure(5, size=320, sigma_px=3.0, mean=200.0)
    still = two_frame_snr(random.poisson(wide[:256, :256]), random.poisson(wide[:256, :256]))
    moved = two_frame_snr(random.poisson(wide[20:276, 9:265]), random.poisson(wide[16:272, 15:271]))
    assert moved.shift_px == pytest.approx((4.0, -6.0), abs=0.5)
    assert moved.snr == pytest.approx(still.snr, rel=0.1)


@pytest.mark.parametrize(("sigma_px", "mean"), [(1.0, 20.0), (2.0, 20.0), (3.0, 200.0)])
def test_the_ring_correlation_falls_where_it_must(sigma_px, mean):
    """Against signal over signal and noise, ring by ring, of the noiseless structure."""
    truth = structure(7, 512, sigma_px, mean=mean)
    random = np.random.default_rng(8)
    found = ring_correlation(random.poisson(truth), random.poisson(truth), 0.1)
    window = np.outer(np.hanning(512), np.hanning(512))
    power = np.abs(np.fft.rfft2((truth - truth.mean()) * window)) ** 2
    noise = truth.mean() * (window**2).sum()
    ring = np.rint(np.hypot(np.fft.fftfreq(512)[:, None], np.fft.rfftfreq(512)[None]) * 512).astype(int)
    rings = np.bincount(ring.ravel(), power.ravel())[1:257] / np.bincount(ring.ravel())[1:257]
    known = expected_correlation(rings, np.full(256, noise))
    strong = slice(2, 200)
    assert np.abs(found.correlation - known)[strong].mean() < 0.06
    cycles = found.cycles_per_px[int(np.argmax(known < 1 / 7))]
    assert found.resolution_nm() == pytest.approx(0.1 / cycles, abs=max(4 * found.resolution_std_nm(), 0.02 / cycles))


def test_equal_frames_are_resolved_to_two_pixels_and_noise_to_nothing():
    image = structure(1)
    assert ring_correlation(image, image, 0.25).resolution_nm() == 0.5
    random = np.random.default_rng(1)
    noise = ring_correlation(random.normal(size=(128, 128)), random.normal(size=(128, 128)), 1.0)
    assert noise.resolution_nm() > 20


def test_half_the_electrons_each_and_independent():
    counts = np.random.default_rng(2).poisson(9.0, (256, 256))
    one, two = split_dose(counts, np.random.default_rng(3))
    np.testing.assert_array_equal(one + two, counts)
    assert one.mean() == pytest.approx(4.5, rel=0.02)
    assert one.var() == pytest.approx(4.5, rel=0.03)
    assert abs(np.corrcoef(one.ravel(), two.ravel())[0, 1]) < 0.02
    with pytest.raises(ValueError, match="not counted"):
        split_dose(counts + 0.5, np.random.default_rng(3))


def test_what_are_no_two_frames_is_refused():
    for one, two in (
        (np.zeros((64, 64)), np.zeros((64, 32))),
        (np.zeros((8, 8)),) * 2,
        (np.full((64, 64), np.nan),) * 2,
    ):
        with pytest.raises(ValueError, match="frame"):
            two_frame_snr(one, two)
    with pytest.raises(ValueError, match="burst"):
        halves(np.zeros((1, 64, 64)))
    even, odd = halves(np.arange(5)[:, None, None] * np.ones((5, 4, 4)))
    assert (even[0, 0], odd[0, 0]) == (1.0, 2.0)
