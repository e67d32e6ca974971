"""Virtual detectors of stored patterns."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from instruments.aberrations import NAMES
from instruments.annuli import Annulus, mask, reach_mrad
from instruments.physics import wavelength_nm
from instruments.simulated.coherent import PhaseObject
from instruments.simulated.patches import Window
from instruments.simulated.patterns import detect, masks_of, moments_of, patterns
from models.virtual import (
    Camera,
    centre_of_mass,
    find_centre,
    integrate,
    mean_pattern,
    parse,
    virtual_image,
)

WINDOW = Window(32, 0.03, 200.0, 15.0)
CAMERA = Camera(*WINDOW.frame)
SHAPE = (6, 9)


def scan_px() -> torch.Tensor:
    rows, columns = torch.meshgrid(torch.arange(6) * 2.5 + 30, torch.arange(9) * 2.5 + 28, indexing="ij")
    return torch.stack([rows.flatten(), columns.flatten()], dim=1)


def specimen() -> PhaseObject:
    noise = torch.randn(1, 80, 80, generator=torch.Generator().manual_seed(6))
    k = torch.fft.fftfreq(80)
    return PhaseObject(4 * torch.fft.ifft2(torch.fft.fft2(noise) * (torch.hypot(k[:, None], k[None, :]) < 0.15)).real)


@pytest.fixture(scope="module")
def stored() -> np.ndarray:
    found = patterns(specimen(), scan_px(), torch.zeros(1, len(NAMES)), WINDOW)
    return found[0].reshape(*SHAPE, 32, 32).numpy()


@pytest.mark.parametrize(
    ("text", "detector"),
    [
        ("annulus:30-60", Annulus(30, 60)),
        ("disc:0-10", Annulus(0, 10)),
        ("bf:10", Annulus(0, 10)),
        ("segment:30-60.5:0-90", Annulus(30, 60.5, (0, 90))),
        ("segment:30-60:-45-45", Annulus(30, 60, (-45, 45))),
        ("com", None),
    ],
)
def test_the_forms_are_read(text: str, detector: Annulus | None) -> None:
    assert parse(text).detector == detector


@pytest.mark.parametrize(
    "text",
    ["haadf", "", "annulus:30", "annulus:60-30", "annulus:nan-30", "disc:5-10", "bf:-3", "bf:0", "segment:30-60",
     "segment:30-60:90-0", "segment:30-60:0-400", "com:3", "annulus:30-60mrad", "ring:30-60"],
)  # fmt: skip
def test_what_is_no_form_is_refused_with_the_right_ones(text: str) -> None:
    with pytest.raises(ValueError, match="annulus:"):
        parse(text)


@pytest.mark.parametrize("text", ["bf:8", "annulus:10-25", "segment:5-25:20-110"])
def test_stored_patterns_give_what_the_live_detector_gave(stored: np.ndarray, text: str) -> None:
    spec = parse(text)
    assert spec.detector is not None
    masks = masks_of(WINDOW, [spec.detector])
    live = detect(specimen(), scan_px(), torch.zeros(1, len(NAMES)), WINDOW, masks)[0, :, 0].reshape(SHAPE).numpy()
    assert np.ptp(live) > 1e-3
    np.testing.assert_allclose(virtual_image(stored, CAMERA, spec), live, atol=1e-5)


def test_the_stored_centre_of_mass_is_the_live_one(stored: np.ndarray) -> None:
    sums = detect(specimen(), scan_px(), torch.zeros(1, len(NAMES)), WINDOW, moments_of(WINDOW))[0]
    live = (sums[:, :2] / sums[:, 2:]).reshape(*SHAPE, 2).numpy()
    assert np.abs(live).max() > 0.5
    np.testing.assert_allclose(virtual_image(stored, CAMERA, parse("com")), live, atol=1e-3)


def test_rows_may_come_in_blocks(stored: np.ndarray) -> None:
    spec = parse("annulus:10-25")
    blocks = (stored[first : first + 4] for first in range(0, 6, 4))
    np.testing.assert_array_equal(virtual_image(blocks, CAMERA, spec), virtual_image(stored, CAMERA, spec))
    np.testing.assert_allclose(mean_pattern(iter([stored[:1], stored[1:]])), stored.mean((0, 1)), atol=1e-8)


def test_segments_make_up_their_ring(stored: np.ndarray) -> None:
    parts = [parse(f"segment:5-25:{first}-{first + 90}") for first in (-10, 80, 170, 260)]
    together = sum(virtual_image(stored, CAMERA, part) for part in parts)
    np.testing.assert_allclose(together, virtual_image(stored, CAMERA, parse("annulus:5-25")), atol=1e-12)


def test_a_mask_has_its_area_and_its_side() -> None:
    ring = mask(Annulus(7.3, 20.8), (64, 64), (1.0, 1.5), (31.4, 33.2))
    assert ring.sum() * 1.5 == pytest.approx(math.pi * (20.8**2 - 7.3**2), rel=2e-3)
    quarter = mask(Annulus(0, 20, (0, 90)), (64, 64), (1.0, 1.0), (32.0, 32.0))
    assert quarter[40, 40] == 1.0 and quarter[24, 40] == quarter[40, 24] == quarter[24, 24] == 0.0
    assert reach_mrad((64, 64), (1.0, 1.0), (31.5, 31.5)) == 32.0


def test_the_beam_is_found_beside_a_bright_dark_field() -> None:
    disc = 100 * mask(Annulus(0, 7.5), (40, 48), (1.0, 1.0), (17.3, 25.6))
    rows, columns = np.mgrid[:40, :48]
    stray = 12.0 * np.exp(-np.hypot(rows - 17.3, columns - 25.6) / 15) * (columns > 25)
    counts = np.random.default_rng(3).poisson(disc + stray)
    assert find_centre(counts.astype(float)) == pytest.approx((17.3, 25.6), abs=0.15)
    with pytest.raises(ValueError, match="centre the beam"):
        find_centre(np.roll(disc, 20, axis=1))
    with pytest.raises(ValueError, match="centre the beam"):
        find_centre(np.zeros((16, 16)))


def test_the_phase_comes_back_from_its_slope() -> None:
    """Centre of mass = λ / 2π · ∇φ, so that the integral is the phase, sign and size."""
    rows, columns = np.mgrid[:32, :24]
    phase = 0.7 * np.cos(2 * math.pi * (rows * 2 / 32 + columns / 24)) + 0.2 * np.sin(2 * math.pi * columns * 3 / 24)
    step_nm, wavelength = 0.05, wavelength_nm(200.0)
    k = np.meshgrid(np.fft.fftfreq(32, step_nm), np.fft.fftfreq(24, step_nm), indexing="ij")
    com_mrad = np.stack([np.fft.ifft2(np.fft.fft2(phase) * 1j * axis).real * wavelength * 1e3 for axis in k], axis=-1)
    np.testing.assert_allclose(integrate(com_mrad, step_nm, wavelength), phase - phase.mean(), atol=1e-9)


def test_empty_patterns_have_no_centre() -> None:
    data = np.zeros((1, 2, 8, 8), dtype=np.uint16)
    data[0, 0, 3, 6] = 5
    found = centre_of_mass(data, Camera((8, 8), (2.0, 3.0), (4.0, 4.0)))
    assert found[0, 0].tolist() == [-2.0, 6.0]
    assert np.isnan(found[0, 1]).all()


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda data: virtual_image(data, Camera((16, 32), (1.0, 1.0), (8.0, 8.0)), parse("bf:3")), "camera of"),
        (lambda data: virtual_image(data, CAMERA, parse("bf:90")), "beyond"),
        (lambda data: virtual_image(data * np.nan, CAMERA, parse("com")), "NaN"),
        (lambda data: virtual_image(iter(()), CAMERA, parse("com")), "no pattern"),
        (lambda data: virtual_image(data, Camera((32, 32), (0.0, 1.0), (8.0, 8.0)), parse("com")), "calibrate"),
        (lambda data: mean_pattern(data * np.nan), "NaN"),
        (lambda data: mean_pattern(iter(())), "no pattern"),
        (lambda data: integrate(np.full((4, 4, 2), np.nan), 0.1, 0.0025), "NaN"),
        (lambda data: integrate(np.zeros((4, 4, 2)), 0.0, 0.0025), "positive"),
    ],
)
def test_what_does_not_fit_is_refused(stored: np.ndarray, call: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        call(stored)  # type: ignore[operator]
