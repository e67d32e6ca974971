from __future__ import annotations

import numpy as np
import pytest

from instruments.aberrations import Aperture, basis, transfer
from instruments.physics import wavelength_nm
from models.focus_ring_cells import cells_of
from models.focus_rings import incoherent, phase_contrast, ring_fit

SIDE, PIXEL_nm, CS_nm = 512, 0.1, 1.2e6


def film(generator, coefficients_nm, electrons=60.0, turn_rad=0.0):
    """Counts (K, H, W) of a weak phase object without structure of its own, one film under K lenses."""
    ky, kx = np.fft.fftfreq(SIDE, PIXEL_nm)[:, None], np.fft.rfftfreq(SIDE, PIXEL_nm)[None, :]
    y, x = (np.broadcast_to(wavelength_nm(200.0) * k, (SIDE, SIDE // 2 + 1)) for k in (ky, kx))
    thing = np.fft.rfft2(generator.normal(size=(SIDE, SIDE))) * np.exp(-2 * np.pi**2 * 0.03**2 * (kx**2 + ky**2))
    known = coefficients_nm + np.eye(8)[7] * CS_nm
    waves = np.sin(np.tensordot(known, basis(x, y, 200.0), 1) + turn_rad)
    seen = np.fft.irfft2(thing * waves, s=(SIDE, SIDE))
    return generator.poisson(np.clip(electrons * (1 + 0.1 * seen), 0, None)).astype(float)


def defoci(*c10_nm):
    settings = np.zeros((len(c10_nm), 8))
    settings[:, 0] = c10_nm
    return settings


@pytest.mark.parametrize(("seed", "c10_nm"), [(1000, -420.0), (1001, 130.0)])
def test_thon_rings_tell_focus_with_its_sign_and_astigmatism(seed, c10_nm):
    generator, settings = np.random.default_rng(seed), defoci(-300, 300)
    truth = np.array([c10_nm, *generator.uniform(-60, 60, 2)])
    images = film(generator, settings + np.pad(truth, (0, 5)))
    lens = phase_contrast(200.0, c30_nm=CS_nm)
    found = ring_fit(
        images, settings, lens, PIXEL_nm, c10_nm=600, c12_nm=90, step_nm=60, highest_per_nm=2.0, tile_px=256
    )
    assert found.settled, found.reason
    assert np.abs(found.found_nm - truth).max() < 6
    assert (np.abs(found.found_nm - truth) < 5 * found.std_nm).all() and found.std_nm.max() < 5


def test_an_amplitude_contrast_that_is_wrongly_told_is_found_and_moves_no_focus():
    settings, truth = defoci(-300, 300), np.array([60.0, 0.0, 0.0])
    images = film(np.random.default_rng(1000), settings + np.pad(truth, (0, 5)), turn_rad=-0.08)
    search = {"c10_nm": 120, "c12_nm": 0, "step_nm": 60, "highest_per_nm": 2.0, "tile_px": 256}
    lens = phase_contrast(200.0, c30_nm=CS_nm)
    told, found = (ring_fit(images, settings, lens, PIXEL_nm, **search, turn_std_rad=std) for std in (0.0, 0.05))
    assert abs(told.found_nm[0] - 60) > 4 and told.turn_rad == 0
    assert abs(found.found_nm[0] - 60) < min(2 * found.std_nm[0], 2)
    assert found.turn_rad == pytest.approx(-0.08, abs=0.04) and found.settled


def test_a_particle_beside_the_film_does_not_mislead():
    settings, truth = defoci(-300, 300), np.array([-420.0, 0.0, 0.0])
    images = film(np.random.default_rng(1000), settings + np.pad(truth, (0, 5)))
    row, column = np.mgrid[:SIDE, :SIDE]
    images[:, np.hypot(row - SIDE, column - 60) < 110] *= 0.1
    search = {"c10_nm": 600, "c12_nm": 0, "step_nm": 60, "highest_per_nm": 2.0, "tile_px": 128}
    found = ring_fit(images, settings, phase_contrast(200.0, c30_nm=CS_nm), PIXEL_nm, **search)
    assert found.settled and abs(found.found_nm[0] + 420) < 6 and found.misfit < 1.5


def test_where_no_tile_is_quiet_in_every_image_all_are_read():
    images = np.random.default_rng(1000).poisson(20.0, (2, 256, 256)).astype(float)
    images[0, :, :130] *= 3
    images[1, :, 126:] *= 3
    assert (cells_of(images, PIXEL_nm, 128, 2.0).count == cells_of(images[:, ::-1], PIXEL_nm, 128, 2.0).count).all()


def test_one_image_of_pure_phase_contrast_has_two_signs():
    generator = np.random.default_rng(1000)
    images = film(generator, defoci(-400) - np.eye(8)[7] * CS_nm)
    found = ring_fit(
        images, defoci(0), phase_contrast(200.0), PIXEL_nm, c10_nm=600, c12_nm=0, step_nm=40, highest_per_nm=2.0
    )
    assert not found.settled and "two solutions" in found.reason
    assert abs(abs(found.found_nm[0]) - 400) < 6


def test_rings_of_a_scanned_image_tell_a_far_focus():
    generator, pixel_nm, settings = np.random.default_rng(1000), 0.4, defoci(0, 60, -60)
    aperture = Aperture((128, 128), pixel_nm, 200.0, 21.4)
    thing = generator.poisson(0.02, (128, 128)) * 40.0 + 1
    blurred = np.fft.irfft2(np.fft.rfft2(thing) * transfer(settings + 90.0 * np.eye(8)[0], aperture), s=(128, 128))
    images = generator.poisson(np.clip(20 * blurred, 0, None)).astype(float)
    found = ring_fit(
        images,
        settings,
        incoherent(aperture),
        pixel_nm,
        c10_nm=200,
        c12_nm=0,
        step_nm=4,
        highest_per_nm=1.1,
        counted=True,
    )
    assert found.settled, found.reason
    assert abs(found.found_nm[0] - 90) < 5


def test_noise_alone_settles_nothing():
    images = np.random.default_rng(1000).poisson(20.0, (2, 256, 256)).astype(float)
    found = ring_fit(
        images,
        defoci(-300, 300),
        phase_contrast(200.0, c30_nm=CS_nm),
        PIXEL_nm,
        c10_nm=600,
        c12_nm=0,
        step_nm=40,
        highest_per_nm=2.0,
    )
    assert not found.settled


@pytest.mark.parametrize(
    ("images", "settings", "says"),
    [
        (np.ones((2, 64, 64)), defoci(0), "give finite"),
        (np.full((1, 64, 64), np.nan), defoci(0), "give finite"),
        (np.zeros((1, 64, 64)), defoci(0), "counted nothing"),
        (np.ones((1, 6, 6)), defoci(0), "no ring"),
    ],
)
def test_bad_input_is_refused(images, settings, says):
    with pytest.raises(ValueError, match=says):
        ring_fit(images, settings, phase_contrast(200.0), 0.1, c10_nm=100, c12_nm=0, step_nm=20, highest_per_nm=2.0)
