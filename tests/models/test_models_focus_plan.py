from __future__ import annotations

import math

import numpy as np
import pytest

from instruments.aberrations import NAMES, Aperture
from models.focus import Search
from models.focus_bound import expected_counts
from models.focus_plan import ASTIGMATISM_nm, correct, phase_rad, settings_of_round_nm

PIXEL_nm, SOURCE_nm, MARGIN = 0.03, 0.04, 32
CANVAS, FRAME = (Aperture((side, side), PIXEL_nm, 200.0, 21.4) for side in (160, 96))
SEARCH = Search(c10_nm=8, c12_nm=4, c21_nm=80, c23_nm=80)


def atoms(generator, share=0.01):
    """A disordered lattice: what each pixel of the canvas scatters, softened by thermal motion."""
    cells = np.stack(np.meshgrid(np.arange(12), np.arange(12)), -1).reshape(-1, 2) * 0.39 + 0.1
    places = (cells + generator.normal(0, 0.03, cells.shape)) / PIXEL_nm
    y, x = np.mgrid[: CANVAS.shape[0], : CANVAS.shape[1]]
    thing = sum(np.exp(-((y - row) ** 2 + (x - column) ** 2) / 2) for row, column in places)
    return thing * share / thing.mean()


@pytest.mark.parametrize("seed", [1000, 1001])
def test_seven_coefficients_are_corrected_in_fifteen_images(seed):
    generator = np.random.default_rng(seed)
    truth = generator.uniform(-1, 1, 8) * (7, 3, 3, 70, 70, 70, 70, 0)
    thing = atoms(generator)

    def expose(settings):
        images, _ = expected_counts(
            thing,
            np.full(len(settings), 200.0),
            truth + settings,
            (),
            CANVAS,
            source_size_nm=SOURCE_nm,
            margin_px=MARGIN,
        )
        return generator.poisson(images).astype(float)

    found = correct(expose, FRAME, search=SEARCH, source_size_nm=SOURCE_nm)
    assert found.settled and found.images == 15
    assert phase_rad(truth, FRAME)[1] > math.pi / 4
    assert phase_rad(truth + found.settings_nm, FRAME)[1] < math.pi / 4


def test_where_nothing_is_seen_nothing_is_changed():
    generator = np.random.default_rng(1000)
    found = correct(
        lambda settings: generator.poisson(2.0, (len(settings), *FRAME.shape)).astype(float),
        FRAME,
        search=SEARCH,
        most_images=5,
    )
    assert not found.settled and not found.settings_nm.any() and "no structure" in found.last.reason


def test_rounds_turn_their_astigmatism():
    first, second = settings_of_round_nm(0), settings_of_round_nm(1)
    np.testing.assert_allclose(np.hypot(first[:, 1], first[:, 2]), ASTIGMATISM_nm)
    assert np.abs(first[:, 1:3] - second[:, 1:3]).max() > 1 and not first[:, 3:].any()


def test_a_tilt_is_no_phase_and_coma_loses_its_tilt():
    coma = np.zeros(len(NAMES))
    coma[NAMES.index("C21a")] = 50.0
    # What is left of r³ cos φ is r³ − 2r/3: its mean square over the disc is 1/72 of the edge's phase squared.
    edge = 2 * math.pi / 0.0025079 * 50.0 * 0.0214**3 / 3
    assert phase_rad(coma, FRAME)[0] == pytest.approx(edge / math.sqrt(72), rel=0.02)


def test_a_round_must_be_allowed():
    with pytest.raises(ValueError, match="a round takes 5"):
        correct(lambda settings: settings, FRAME, search=SEARCH, most_images=4)
