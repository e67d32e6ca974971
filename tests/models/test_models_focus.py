from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import fft

from instruments.aberrations import Aperture, transfer
from models.focus import Search, estimate
from models.focus_optics import Probe, frequencies, is_wide

SIDE, PIXEL_nm, SOURCE_nm = 128, 0.02, 0.04
FINE = Aperture((SIDE, SIDE), PIXEL_nm, 200.0, 21.4)
WIDE = Aperture((SIDE, SIDE), 0.2, 200.0, 21.4)


def columns(generator, side, pixel_nm, scattered):
    """A SrTiO3-like lattice, turned and shifted at random: the fraction of electrons scattered from each pixel."""
    period, width = 0.3905, side * pixel_nm
    reach = int(width / period) + 3
    cell = np.stack(np.meshgrid(np.arange(-reach, reach), np.arange(-reach, reach)), -1).reshape(-1, 2)
    angle, shift = generator.uniform(0, math.pi / 2), generator.uniform(0, period, 2)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    spectrum = 0
    ky, kx = np.fft.fftfreq(side, pixel_nm)[:, None], np.fft.rfftfreq(side, pixel_nm)[None, :]
    for place, bright in (((0, 0), 1.0), ((0.5, 0.5), 0.45), ((0.5, 0), 0.06), ((0, 0.5), 0.06)):
        at = (cell + place) @ turn.T * period + shift + width / 2
        at = at[(at > 0).all(1) & (at < width - pixel_nm).all(1)]
        painted = np.zeros((side, side))
        np.add.at(painted, tuple((at / pixel_nm).round().astype(int).T), bright)
        spectrum = spectrum + fft.rfft2(painted)
    thing = fft.irfft2(spectrum * np.exp(-2 * math.pi**2 * 0.012**2 * (kx**2 + ky**2)), s=(side, side))
    return thing * scattered / thing.mean()


def blobs(generator, side, pixel_nm, scattered):
    """Spheres of 1.6 to 4.4 nm on a film."""
    y, x = np.mgrid[:side, :side] * pixel_nm
    thing = np.full((side, side), 0.15)
    for _ in range(int((side * pixel_nm) ** 2 * 0.015)):
        (cy, cx), radius = generator.uniform(0, side * pixel_nm, 2), generator.uniform(0.8, 2.2)
        thing += np.sqrt(np.clip(radius**2 - (x - cx) ** 2 - (y - cy) ** 2, 0, None))
    return thing * scattered / thing.mean()


def lens_transfer(coefficients_nm, aperture, source_size_nm):
    """``transfer`` of C10 and C12 alone, by quadrature: the phase is quadratic, so what two shifted apertures share is
    to be integrated over a plane wave. For canvases on which wave optics takes seconds."""
    wavelength, alpha = 0.00250793, aperture.convergence_mrad * 1e-3
    ky = np.fft.fftfreq(aperture.shape[0], aperture.pixel_nm)[:, None]
    kx = np.fft.rfftfreq(aperture.shape[1], aperture.pixel_nm)[None, :]
    k = np.maximum(np.hypot(ky, kx), 1e-9)
    half = np.minimum(k * wavelength / (2 * alpha), 1)
    nodes, weights = np.polynomial.legendre.leggauss(24)
    top = np.arccos(half)[..., None]
    angle = top * (nodes + 1) / 2
    width, height = np.cos(angle) - half[..., None], np.sin(angle)
    found = []
    for c10, c12a, c12b in coefficients_nm[:, :3]:
        mx, my = (c10 + c12a) * kx + c12b * ky, c12b * kx + (c10 - c12a) * ky
        along, across = (2 * math.pi * alpha * part / k for part in (mx * kx + my * ky, my * kx - mx * ky))
        waves = width * np.sinc(along[..., None] * width / math.pi) * np.cos(across[..., None] * height)
        found.append((waves * np.cos(angle) * top @ weights) * 2 / math.pi)
    return np.array(found) * np.exp(-2 * math.pi**2 * source_size_nm**2 * k**2)


def shoot(generator, thing, coefficients_nm, aperture, fluence_e_per_A2, drift_px=1.5, gain=0.02, made_by=transfer):
    """Counts (K, H, W) of the middle of a larger canvas: nothing repeats at the frame's edges."""
    side, crop = len(thing), aperture.shape[0]
    spectra = made_by(
        coefficients_nm,
        Aperture((side, side), aperture.pixel_nm, aperture.voltage_kV, aperture.convergence_mrad),
        source_size_nm=SOURCE_nm,
    ) * fft.rfft2(thing)
    ky, kx = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None, :]
    drift = generator.normal(0, drift_px, (len(spectra), 2))
    drift[0] = 0
    low = (side - crop) // 2
    images = []
    for spectrum, (dy, dx) in zip(spectra, drift, strict=True):
        image = fft.irfft2(spectrum * np.exp(-2j * math.pi * (ky * dy + kx * dx)), s=(side, side))
        mean = np.clip(image[low : low + crop, low : low + crop], 0, None) * (aperture.pixel_nm * 10) ** 2
        images.append(generator.poisson(mean * fluence_e_per_A2 / len(spectra) * math.exp(generator.normal(0, gain))))
    return np.array(images, dtype=float), drift


def defoci(*c10_nm):
    settings = np.zeros((len(c10_nm), 8))
    settings[:, 0] = c10_nm
    return settings


@pytest.mark.parametrize("seed", [1000, 1001, 1002])
def test_lattice_is_brought_to_half_a_nanometre(seed):
    generator = np.random.default_rng(seed)
    truth = np.zeros(8)
    truth[:3] = generator.uniform(-10, 10), *generator.uniform(-3.5, 3.5, 2)
    settings = defoci(0, 8, -8)
    images, _ = shoot(
        generator, columns(generator, 2 * SIDE, PIXEL_nm, 0.007), truth + settings, FINE, fluence_e_per_A2=1e4
    )
    found = estimate(images, settings, FINE, search=Search(c10_nm=10, c12_nm=5), source_size_nm=SOURCE_nm)
    assert found.settled, found.reason
    assert abs(found.coefficients_nm - truth).max() < 0.6
    assert (found.std_nm[:3] > 0).all() and found.std_nm[:3].max() < 0.6 and not found.std_nm[3:].any()


def test_doubt_about_the_thickness_adds_to_the_uncertainty():
    generator = np.random.default_rng(1000)
    settings, thin, thick = defoci(0, 8, -8), (0.0,), (-4.0, 0.0, 4.0)
    thing = columns(generator, 2 * SIDE, PIXEL_nm, 0.007)
    images, _ = shoot(generator, thing, settings + np.array([3.0, 1, -1, 0, 0, 0, 0, 0]), FINE, fluence_e_per_A2=1e4)

    def found(depths_nm, depth_error):
        return estimate(
            images,
            settings,
            FINE,
            search=Search(c10_nm=10, c12_nm=5),
            source_size_nm=SOURCE_nm,
            depths_nm=depths_nm,
            depth_error=depth_error,
        )

    sure, doubtful = found(thick, 0.0), found(thick, 0.3)
    assert (doubtful.coefficients_nm == sure.coefficients_nm).all()
    assert (doubtful.std_nm[:3] >= sure.std_nm[:3]).all() and doubtful.std_nm[0] > 1.02 * sure.std_nm[0]
    assert (found(thin, 0.3).covariance_nm2 == found(thin, 0.0).covariance_nm2).all()


def test_slopes_are_the_differences_of_transfers():
    at = frequencies(FINE, lowest=2)
    probe = Probe(FINE, at, SOURCE_nm, (0.0, 3.0))
    centre = np.array([[4.0, 1, -2, 40, -30, 20, 50, 900], [-6.0, 0, 1, 0, 0, 0, 0, 0]])
    value, slopes = probe.slopes(centre, tuple(range(8)))
    full = transfer(centre, FINE, source_size_nm=SOURCE_nm, depths_nm=(0.0, 3.0))[:, at.row, at.column]
    np.testing.assert_allclose(value, full, atol=2e-6)
    for name in range(8):
        step = np.zeros(8)
        step[name] = (0.01, 0.01, 0.01, 0.3, 0.3, 0.3, 0.3, 3.0)[name]
        back, ahead = (
            transfer(centre + sign * step, FINE, source_size_nm=SOURCE_nm, depths_nm=(0.0, 3.0)) for sign in (-1, 1)
        )
        difference = (ahead - back)[:, at.row, at.column] / (2 * step[name])
        np.testing.assert_allclose(slopes[name], difference, atol=2e-4 * np.abs(difference).max())


def test_quadrature_agrees_with_wave_optics():
    centre = np.array([[c10, 3.0, -4.0, 0, 0, 0, 0, 0] for c10 in (0.0, 20.0, -70.0)])
    at = frequencies(WIDE, lowest=2)
    exact, found = (made(centre, WIDE, source_size_nm=SOURCE_nm) for made in (transfer, lens_transfer))
    np.testing.assert_allclose(found[:, at.row, at.column], exact[:, at.row, at.column], atol=2e-3)


def test_ray_optics_agrees_with_wave_optics_where_it_is_used():
    assert is_wide(WIDE) and not is_wide(FINE)
    at = frequencies(WIDE, lowest=2)
    centre = np.array([[c10, 3.0, -4.0, 0, 0, 0, 0, 0] for c10 in (0.0, 20.0, -70.0, 200.0)])
    probe = Probe(WIDE, at, SOURCE_nm, (0.0,))
    exact = transfer(centre, WIDE, source_size_nm=SOURCE_nm)[:, at.row, at.column]
    value, slopes = probe.slopes(centre, (0, 1, 2))
    assert np.abs(value - exact).max() < 0.01
    for name in range(3):
        step = np.zeros(8)
        step[name] = 1e-3
        difference = (probe.transfer(centre + step) - probe.transfer(centre - step)) / 2e-3
        np.testing.assert_allclose(slopes[name], difference, atol=1e-6)


def far_focus(seed, pixel_nm, c10_nm=None):
    """An estimate over ±200 nm on a frame of 128 pixels, and how far it is off."""
    generator = np.random.default_rng(seed)
    truth, settings = np.zeros(8), defoci(0, 60, -60)
    truth[:3] = (
        generator.uniform(-200, 200) if c10_nm is None else c10_nm,
        *generator.uniform(-3.5, 3.5, 2),
    )
    aperture = Aperture((SIDE, SIDE), pixel_nm, 200.0, 21.4)
    thing = blobs(generator, 2 * SIDE, pixel_nm, 0.007)
    images, _ = shoot(generator, thing, truth + settings, aperture, fluence_e_per_A2=300, made_by=lens_transfer)
    found = estimate(images, settings, aperture, search=Search(c10_nm=200, c12_nm=5), source_size_nm=SOURCE_nm)
    return found, (found.coefficients_nm - truth)[:3]


def test_wide_frames_find_a_far_focus_and_say_how_well():
    """Over 6 worlds the width of z is within what 18 numbers allow: chi of 18 degrees of freedom at 1 in 1000."""
    z = []
    for seed in range(1000, 1006):
        found, error = far_focus(seed, 0.4)
        assert found.settled, found.reason
        assert abs(error[0]) < 5
        z.append(error / found.std_nm[:3])
    assert 0.5 < np.sqrt(np.mean(np.square(z))) < 1.53


def test_a_frame_too_narrow_for_its_blur_is_refused():
    found, _ = far_focus(1000, 0.2, c10_nm=-150)
    assert not found.settled and "too narrow" in found.reason


def test_noise_alone_is_refused():
    images = np.random.default_rng(1000).poisson(2.0, (3, SIDE, SIDE))
    found = estimate(images, defoci(0, 8, -8), FINE, search=Search(c10_nm=10))
    assert not found.settled and "no structure" in found.reason


def test_one_image_cannot_tell_the_sign():
    generator = np.random.default_rng(1001)
    truth = np.zeros(8)
    truth[0] = 6
    images, _ = shoot(generator, columns(generator, 2 * SIDE, PIXEL_nm, 0.007), truth + defoci(0), FINE, 1e4)
    found = estimate(images, defoci(0), FINE, search=Search(c10_nm=10))
    assert not found.settled


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda images, settings: (images[:, :64], settings), "do not fit"),
        (lambda images, settings: (images, settings[:1]), "do not fit"),
        (lambda images, settings: (images * np.nan, settings), "not finite"),
        (lambda images, settings: (images * 0, settings), "counted nothing"),
    ],
)
def test_bad_input_is_refused(change, says):
    images, settings = change(np.ones((2, SIDE, SIDE)), defoci(0, 5))
    with pytest.raises(ValueError, match=says):
        estimate(images, settings, FINE, search=Search(c10_nm=10))


def test_searches_must_be_sensible():
    few, none = Search(c10_nm=1, believed_nm=(0.0,)), Search(c10_nm=1, asked=("C12a",))
    for wrong in (Search(), Search(c10_nm=-1), Search(c10_nm=math.inf), few, none):
        with pytest.raises(ValueError, match=r"search must|believed_nm must|asked must"):
            wrong.ranges_nm()
