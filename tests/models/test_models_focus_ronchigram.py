from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from models.focus_ronchigram import shadow_fit

SIDE, MRAD_PER_PX = 96, 0.5
BLOBS_nm, WIDTH_nm = 0.8, 60.0


def shadows(generator, found_nm, changes_nm, electrons=400.0):
    """Counts (K, H, W): a film of blobs seen along rays that meet it at H θ, a little further from image to image."""
    pixels = 1024
    film = ndimage.gaussian_filter(generator.normal(size=(pixels, pixels)), BLOBS_nm * pixels / WIDTH_nm, mode="wrap")
    film = 1 + 0.3 * film / film.std()
    theta = (np.indices((SIDE, SIDE)) - (SIDE - 1) / 2) * MRAD_PER_PX * 1e-3
    c10, c12a, c12b = found_nm
    images = []
    for change in changes_nm:
        lens = np.array([[c10 + change - c12a, c12b], [c12b, c10 + change + c12a]])
        places = np.tensordot(lens, theta, 1) + generator.normal(0, 0.3, 2)[:, None, None]
        seen = ndimage.map_coordinates(film, places * pixels / WIDTH_nm + pixels / 2, order=1, mode="wrap")
        images.append(generator.poisson(np.clip(electrons * seen, 0, None)))
    return np.array(images, dtype=float)


@pytest.mark.parametrize(("seed", "c10_nm", "changes_nm"), [(1000, -180.0, (400, 550)), (1001, 12.0, (-150, 150))])
def test_two_shadows_tell_focus_and_astigmatism(seed, c10_nm, changes_nm):
    generator = np.random.default_rng(seed)
    truth = np.array([c10_nm, *generator.uniform(-15, 15, 2)])
    patterns = shadows(generator, truth, changes_nm)
    found = shadow_fit(patterns, changes_nm, mrad_per_px=MRAD_PER_PX, aperture_mrad=23, c10_nm=300, c12_nm=25)
    assert found.settled, found.reason
    assert np.abs(found.found_nm - truth).max() < 6
    assert (np.abs(found.found_nm - truth) < 5 * found.std_nm).all()


def test_an_unknown_c30_makes_the_focus_less_sure():
    patterns = shadows(np.random.default_rng(1001), (12.0, 5.0, -5.0), (-150, 150))
    about = {"mrad_per_px": MRAD_PER_PX, "aperture_mrad": 23, "c10_nm": 300, "c12_nm": 25}
    known, unknown = (shadow_fit(patterns, (-150, 150), c30_std_nm=std, **about) for std in (0.0, 3e3))
    added = unknown.covariance_nm2 - known.covariance_nm2
    assert added[0, 0] == pytest.approx((2 / 3 * 3e3 * 0.023**2) ** 2) and not added[1:].any()
    np.testing.assert_array_equal(unknown.found_nm, known.found_nm)


def test_shadows_of_different_places_are_refused():
    generator = np.random.default_rng(1000)
    one, other = (shadows(generator, (50, 0, 0), (150.0,))[0] for _ in range(2))
    found = shadow_fit([one, other], (400, 550), mrad_per_px=MRAD_PER_PX, aperture_mrad=23, c10_nm=300)
    assert not found.settled


def test_a_pattern_too_near_focus_is_refused():
    generator = np.random.default_rng(1000)
    patterns = shadows(generator, (100, 3, 0), (-105, 200))
    found = shadow_fit(patterns, (-105, 200), mrad_per_px=MRAD_PER_PX, aperture_mrad=23, c10_nm=300, c12_nm=10)
    assert not found.settled


def test_bad_input_is_refused():
    for patterns, changes, says in (
        (np.ones((2, 8, 8)), (1.0,), "give finite"),
        (np.ones((2, 8, 8)) * np.nan, (0.0, 1.0), "give finite"),
        (np.ones((2, 8, 8)), (1.0, 1.0), "another defocus"),
    ):
        with pytest.raises(ValueError, match=says):
            shadow_fit(patterns, changes, mrad_per_px=1.0, aperture_mrad=3.0, c10_nm=100)
