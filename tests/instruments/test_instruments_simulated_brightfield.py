"""Bright field by reciprocity against the same specimen scanned pattern by pattern."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra 'simulate' is not installed")

import torch

from configs.errors import ConfigError
from instruments.aberrations import Aperture
from instruments.annuli import Annulus
from instruments.simulated import brightfield
from instruments.simulated.brightfield import bright, oversampling
from instruments.simulated.coherent import PhaseObject
from instruments.simulated.patches import Window
from instruments.simulated.patterns import detect, masks_of

N, PIXEL = 96, 0.02
COEFFICIENTS = torch.tensor([[5.0, 1.0, 0.5, 20.0, 0.0, 10.0, 0.0, 0.0], [-3.0, 0, 0, 0, 0, 0, 0, 1000.0]])
RINGS = (Annulus(0.0, 10.0), Annulus(11.0, 22.0), Annulus(25.0, 30.0))


@pytest.fixture
def phase() -> torch.Tensor:
    made = torch.from_numpy(np.random.default_rng(1).standard_normal((2, N, N))).float()
    low = torch.hypot(torch.fft.fftfreq(N)[:, None], torch.fft.rfftfreq(N)[None, :]) < 0.12
    return torch.fft.irfft2(torch.fft.rfft2(made) * low, s=(N, N)) * 2


@pytest.mark.parametrize("slices", [1, 3])
@pytest.mark.parametrize("ring", RINGS, ids=str)
def test_it_is_what_detectors_get_of_the_patterns(monkeypatch, phase, slices, ring):
    monkeypatch.setattr(brightfield, "_POINTS", 10**6)  # every point of the detector
    brightfield._points.cache_clear()
    window = Window(N, PIXEL, 200.0, 21.4)
    every = torch.arange(0, N, 12).float()
    positions = torch.cartesian_prod(every, every)
    stack = (phase / slices)[:, None].expand(-1, slices, -1, -1)
    specimen = PhaseObject(stack.contiguous(), slice_nm=1.5, periodic=True)
    expected = detect(specimen, positions, COEFFICIENTS, window, masks_of(window, (ring,)))[..., 0]
    aperture = Aperture((N, N), PIXEL, 200.0, 21.4)
    found = bright(phase, COEFFICIENTS, aperture, ring, slices=slices, slice_nm=1.5)[:, ::12, ::12].reshape(2, -1)
    # the two apply the band limit in different places where there are slices
    np.testing.assert_allclose(found, expected, atol=1e-6 if slices == 1 else 1e-3)
    assert float(expected.std()) > 0.005
    brightfield._points.cache_clear()


def test_few_points_of_a_detector_stand_for_all(phase):
    aperture = Aperture((N, N), PIXEL, 200.0, 21.4)
    few = bright(phase[:1], COEFFICIENTS[:1], aperture, RINGS[1])
    assert float(few.mean()) == pytest.approx((22.0**2 - 11.0**2) / 21.4**2 * 0.9, rel=0.15)


def test_vacuum_shows_the_share_of_the_cone():
    aperture = Aperture((N, N), PIXEL, 200.0, 21.4)
    empty = bright(torch.zeros(1, N, N), COEFFICIENTS[:1], aperture, RINGS[0], source_size_nm=0.05)
    np.testing.assert_allclose(empty, float(empty.mean()), atol=1e-6)
    assert float(empty.mean()) == pytest.approx((10 / 21.4) ** 2, rel=0.03)


def test_pixels_too_large_for_the_angles_are_refused(phase):
    with pytest.raises(ConfigError, match="take smaller pixels"):
        bright(phase, COEFFICIENTS, Aperture((N, N), 0.05, 200.0, 21.4), RINGS[1])
    assert oversampling(0.05, 200.0, 43.4) % 2 == 1
