"""Wave optics: the pupil, the phase over it, and what it makes of an image."""

from __future__ import annotations

import math

import numpy as np
import pytest

from instruments.aberrations import NAMES, Aperture, basis, pupil, residual_rad, rows_kept, transfer
from instruments.physics import wavelength_nm

FRAME = Aperture((128, 128), 0.02, 200.0, 21.4)


def one(**coefficients_nm: float) -> np.ndarray:
    return np.array([[coefficients_nm.get(name, 0.0) for name in NAMES]])


def point_image(coefficients: np.ndarray, aperture: Aperture, **how: object) -> np.ndarray:
    """What a point at pixel (0, 0) looks like, moved to the middle."""
    return np.fft.fftshift(np.fft.irfft2(transfer(coefficients, aperture, **how), s=aperture.shape)[0])


def covariance_nm2(image: np.ndarray, pixel_nm: float) -> np.ndarray:
    rows, columns = (np.arange(n) - n // 2 for n in image.shape)
    y, x = np.meshgrid(rows * pixel_nm, columns * pixel_nm, indexing="ij")
    return np.array([[(image * a * b).sum() for b in (x, y)] for a in (x, y)]) / image.sum()


def test_defocus_is_half_the_square_of_the_angle():
    phase = one(C10=-30.0) @ basis(np.array([0.02]), np.array([0.0]), 200.0)
    assert phase[0, 0] == pytest.approx(-math.pi * 30.0 * 0.02**2 / wavelength_nm(200.0))


def test_what_coma_only_shifts_is_no_blur():
    alpha = 0.0214
    found = residual_rad(one(C21a=100.0)[0], 1e3 * alpha, 200.0)
    # over the disc of radius 1, r³ cos θ has the rms 1 / √8, and without its tilt, 2/3 r cos θ, 1 / √72
    most = 2 * math.pi / wavelength_nm(200.0) * 100.0 * alpha**3 / 3
    assert found == pytest.approx(most / math.sqrt(72), rel=0.03)


@pytest.mark.parametrize(("name", "fold"), [("C10", 0), ("C12a", 2), ("C12b", 2), ("C21a", 1), ("C23b", 3), ("C30", 0)])
def test_each_coefficient_has_its_symmetry(name, fold):
    angle = np.linspace(0, 2 * math.pi, 64, endpoint=False)
    phase = (one(**{name: 100.0}) @ basis(0.02 * np.cos(angle), 0.02 * np.sin(angle), 200.0))[0]
    strength = np.abs(np.fft.rfft(phase))
    assert np.argmax(strength) == fold
    assert np.delete(strength, fold).max() < 1e-9 * strength.max()


def test_an_image_keeps_its_mean_and_is_never_negative():
    image = point_image(one(C10=-8.0, C12a=3.0, C21b=60.0, C30=2000.0), FRAME)
    assert image.sum() == pytest.approx(1.0, abs=1e-9)
    assert image.min() > -1e-4 * image.max()


def test_the_transfer_function_is_the_pupils_autocorrelation():
    lens, coefficients = pupil(FRAME), one(C10=6.0, C12b=-2.0, C23a=40.0)
    wave = np.zeros(lens.shape, dtype=complex)
    wave.ravel()[lens.inside] = lens.amplitude * np.exp(-1j * (coefficients @ lens.basis)[0])
    whole = transfer(coefficients, FRAME)[0]
    for row, column in ((0, 0), (3, 5), (-7, 12), (20, 1)):
        shifted = np.roll(wave, (-row, -column), axis=(0, 1))
        assert whole[row, column] == pytest.approx((np.conj(wave) * shifted).sum(), abs=1e-9) or whole[
            row, column
        ] == pytest.approx((wave * np.conj(shifted)).sum(), abs=1e-9)


def test_far_from_focus_the_probe_is_as_wide_as_its_rays():
    wide = Aperture((512, 512), 0.05, 200.0, 21.4)
    found = [covariance_nm2(point_image(one(C10=c, C12a=15.0), wide), 0.05) for c in (250.0, 350.0)]
    rays = [[((c + a) * 0.0214 / 2) ** 2 for a in (15.0, -15.0)] for c in (250.0, 350.0)]
    # diffraction at the aperture's edge adds the same to both
    for axis in range(2):
        assert found[1][axis, axis] - found[0][axis, axis] == pytest.approx(rays[1][axis] - rays[0][axis], rel=0.05)


def test_averaging_over_depth_moves_the_best_focus_into_the_slab():
    peak = {c: point_image(one(C10=c), FRAME, depths_nm=(1.0, 3.0, 5.0)).max() for c in (-6.0, -3.0, 0.0)}
    assert peak[-3.0] > peak[0.0]
    assert peak[-3.0] > peak[-6.0]


def test_the_source_blurs_by_its_own_size():
    coefficients = one(C10=300.0)
    wide = Aperture((512, 512), 0.05, 200.0, 21.4)
    with_source = covariance_nm2(point_image(coefficients, wide, source_size_nm=1.0), 0.05)
    without = covariance_nm2(point_image(coefficients, wide), 0.05)
    assert with_source[0, 0] - without[0, 0] == pytest.approx(1.0, rel=0.02)


def test_a_frame_too_narrow_for_the_probe_is_refused():
    with pytest.raises(ValueError, match="give it a larger field of view"):
        pupil(Aperture((8, 8), 0.01, 200.0, 21.4))


@pytest.mark.parametrize(("small", "shape"), [(6, 10), (5, 10), (6, 6), (9, 9), (12, 8)])
def test_a_smaller_spectrum_is_pasted_by_frequency(small, shape):
    low, high, wide = rows_kept((small, small), (shape, shape))
    of_small, of_large = np.fft.fftfreq(small, 1 / small), np.fft.fftfreq(shape, 1 / shape)
    assert np.array_equal(of_small[:low], of_large[:low])
    assert high == 0 or np.array_equal(of_small[-high:], of_large[-high:])
    assert wide <= shape // 2 + 1
