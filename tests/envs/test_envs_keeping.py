"""Keeping places in view: drift is read from images, by its rate, and a stage with the wrong sign is found out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from envs.keeping import Keeper
from instruments.types import StagePosition

PLACES = ((0.0, 0.0), (600.0, 0.0))
PIXEL_nm, SIZE = 3.0, 128
RATE = np.array([0.5, -0.3])


def specimen(seed: int = 0) -> np.ndarray:
    """Blobs over a field four frames wide, (rows, columns), its middle at the place (0, 0) without drift."""
    points = np.random.default_rng(seed).random((4 * SIZE, 8 * SIZE)) < 2e-3
    return ndimage.gaussian_filter(points.astype(np.float32), 2.0)


def seen(field: np.ndarray, stage_nm: np.ndarray, drift_nm: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What the beam shows: a place that drifted lies at another stage position; column right is +x, row down is +y.

    A feature (dr, dc) below and right of the middle lies at stage − pixel · (dc, dr).
    """
    columns, rows = (stage_nm - drift_nm) / PIXEL_nm
    middle = field.shape[0] // 2 - rows, field.shape[1] // 2 - columns
    moved = ndimage.shift(field, (SIZE / 2 - middle[0], SIZE / 2 - middle[1]), order=1, mode="wrap")[:SIZE, :SIZE]
    return (moved + 0.02 * rng.standard_normal(moved.shape)).astype(np.float32)


def kept(sign: float = 1.0, looks: int = 24, *, blank: bool = False) -> tuple[Keeper, list[float]]:
    """Looks in turn, each where the keeper aims; how far each place then stood off, in nm."""
    keeper, field, rng, off = Keeper(len(PLACES), 10.0), specimen(), np.random.default_rng(1), []
    for n in range(looks):
        at_s, place = 10.0 * n, n % 2
        drift = RATE * at_s
        stage = np.array(keeper.aim_nm(PLACES[place], at_s, place))
        nominal = np.array(PLACES[place])
        shown = nominal + sign * (stage - nominal)  # how the stage really moves the image
        image = seen(np.zeros_like(field) if blank else field, shown, drift, rng)
        keeper.learn((place, "image"), image, PIXEL_nm, StagePosition(x_nm=stage[0], y_nm=stage[1]), at_s, n)
        off.append(float(np.hypot(*(shown - nominal - drift))))
    return keeper, off


def test_a_place_stays_in_view_at_a_steady_drift():
    keeper, off = kept()
    assert max(off[:2]) < 20.0  # before anything was told
    assert max(off[6:]) < 12.0
    assert np.hypot(*RATE) * 230 > 130.0  # and this is how far it went
    np.testing.assert_allclose(keeper.mean[:, 0], RATE, atol=0.06)
    assert (keeper.sure, keeper.unsure, keeper.trouble) == (22, 0, "")


def test_one_place_tells_where_the_other_has_gone():
    keeper, field, rng = Keeper(2, 10.0), specimen(), np.random.default_rng(2)
    for n in range(12):
        at_s, place = 10.0 * n, 1 if n == 0 else 0
        aim = np.array(keeper.aim_nm(PLACES[place], at_s, place))
        image = seen(field, aim, RATE * at_s, rng)
        keeper.learn((place, "image"), image, PIXEL_nm, StagePosition(x_nm=aim[0], y_nm=aim[1]), at_s, n)
    there = np.array(keeper.aim_nm(PLACES[1], 120.0, 1)) - PLACES[1]
    assert np.hypot(*(there - RATE * 120.0)) < 12.0


def test_a_stage_that_moves_the_image_the_other_way_is_found_out_and_left_alone():
    keeper, _ = kept(sign=-1.0)
    assert "calibrate stage_to_image" in keeper.trouble
    assert keeper.aim_nm(PLACES[0], 1e4, 0) == PLACES[0]


def test_frames_that_show_nothing_move_nothing():
    keeper, _ = kept(blank=True)
    assert keeper.sure == 0
    assert keeper.unsure == 22
    assert keeper.aim_nm(PLACES[1], 500.0, 1) == PLACES[1]


def test_what_was_kept_goes_on_from_plain_values():
    keeper, _ = kept(looks=9)
    images = {each.exposure: each.image for each in keeper._anchors.values() if each.exposure is not None}
    again = Keeper.restored(10.0, keeper.state(), images)
    field, rng = specimen(), np.random.default_rng(3)
    for each in (keeper, again):
        assert each.aim_nm(PLACES[0], 100.0, 0) == pytest.approx(keeper.aim_nm(PLACES[0], 100.0, 0))
    stage = np.array(keeper.aim_nm(PLACES[0], 100.0, 0))
    image = seen(field, stage, RATE * 100.0, rng)
    told = [
        each.learn((0, "image"), image, PIXEL_nm, StagePosition(x_nm=stage[0], y_nm=stage[1]), 100.0, 99)
        for each in (keeper, again)
    ]
    assert told[0] == told[1]
    assert told[0] is not None


def test_a_stage_that_is_not_read_is_not_corrected_for():
    keeper = Keeper(1, 10.0)
    image = np.zeros((8, 8), np.float32)
    assert keeper.learn((0, "image"), image, 1.0, StagePosition(), 0.0, None) is None
    assert keeper.state()["anchors"] == []
