from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.targets import Area, footprint, grid_tree, pixel_of_place, place_of_pixel, windows
from instruments.types import Exposure, StagePosition

ORIGIN = Area(x_nm=0.0, y_nm=0.0, width_nm=4096.0, height_nm=4096.0)
lengths_nm = st.floats(1.0, 1e4)
numbers = st.floats(-1e5, 1e5)


@given(
    x_nm=numbers,
    y_nm=numbers,
    width=st.floats(1.0, 9.0),
    height=st.floats(1.0, 9.0),
    patch_nm=st.floats(50.0, 2000.0),
    ratio=st.floats(1.0, 6.0),
)
def test_grids_cover_the_area_evenly_and_stay_inside(x_nm, y_nm, width, height, patch_nm, ratio):
    area = Area(x_nm=x_nm, y_nm=y_nm, width_nm=width * patch_nm, height_nm=height * patch_nm)
    tree = grid_tree(area, patch_nm, patch_nm / ratio)
    for kind in tree.kinds:
        ids = tree.of_kind(kind)
        for centres, size, middle, length in (
            (tree.x_nm[ids], tree.width_nm[ids][0], area.x_nm, area.width_nm),
            (tree.y_nm[ids], tree.height_nm[ids][0], area.y_nm, area.height_nm),
        ):
            edges = np.unique(np.round(centres, 6))
            assert edges[0] - size / 2 == pytest.approx(middle - length / 2, abs=1e-4)
            assert edges[-1] + size / 2 == pytest.approx(middle + length / 2, abs=1e-4)
            steps = np.diff(edges)
            assert (steps <= size + 1e-4).all()  # no gap
            assert np.ptp(steps) < 1e-4 if len(steps) else True


@given(width=st.floats(1.0, 5.0), patch_nm=st.floats(50.0, 2000.0), ratio=st.floats(1.0, 6.0))
def test_every_site_lies_at_least_half_in_its_patch(width, patch_nm, ratio):
    area = Area(x_nm=0.0, y_nm=0.0, width_nm=width * patch_nm, height_nm=patch_nm)
    tree = grid_tree(area, patch_nm, patch_nm / ratio)
    parent = tree.parent[tree.leaves]
    assert (np.abs(tree.x_nm[tree.leaves] - tree.x_nm[parent]) <= tree.width_nm[parent] / 2 + 1e-6).all()
    assert sorted(np.concatenate([tree.children(p) for p in tree.of_kind("patch")])) == tree.leaves.tolist()


def test_ids_are_slots_patches_first_and_cells_are_row_major():
    tree = grid_tree(ORIGIN, 1024.0, 256.0)
    assert len(tree) == 16 + 256
    assert tree.shape == (16, 16)
    assert tree[0].kind == "patch"
    assert tree[0].parent is None
    assert tree[16].kind == "site"
    assert tree[16].parent == 0
    assert (tree[16].row, tree[16].column) == (0, 0)
    assert tree.cell[:16].tolist() == [-1] * 16
    assert tree.cell[16:].tolist() == list(range(256))
    assert tree[17].x_nm > tree[16].x_nm
    with pytest.raises(IndexError, match="272, numbered from 0"):
        tree[272]


@pytest.mark.parametrize(
    ("patch_nm", "site_nm", "words"),
    [
        (5000.0, 256.0, "smaller than one frame of 5000 nm"),
        (1024.0, 2048.0, "larger than its patch"),
        (1024.0, 0.0, "above 0"),
        (float("nan"), 10.0, "above 0"),
        (1024.0, 1.0, "over 100000"),
    ],
)
def test_impossible_grids_are_refused_with_advice(patch_nm, site_nm, words):
    with pytest.raises(ValueError, match=words):
        grid_tree(ORIGIN, patch_nm, site_nm)


@given(
    angle=st.floats(-np.pi, np.pi),
    scales=st.tuples(st.floats(0.5, 2.0), st.floats(0.5, 2.0)),
    flip=st.booleans(),
    stage=st.tuples(numbers, numbers),
    pixel=st.tuples(st.floats(-500, 500), st.floats(-500, 500)),
    pixel_size_nm=st.floats(0.01, 100.0),
)
def test_place_of_pixel_and_back(angle, scales, flip, stage, pixel, pixel_size_nm):
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn @ np.diag([scales[0], -scales[1] if flip else scales[1]])
    position = StagePosition(x_nm=stage[0], y_nm=stage[1])
    place = place_of_pixel(position, pixel_size_nm, *pixel, stage_to_image=matrix)
    back = pixel_of_place(position, pixel_size_nm, *place, stage_to_image=matrix)
    assert back == pytest.approx(pixel, abs=1e-4 / pixel_size_nm + 1e-6)


def test_images_are_point_reflected_against_places():
    stage = StagePosition(x_nm=100.0, y_nm=200.0)
    assert place_of_pixel(stage, 2.0, 10, 30) == (40.0, 180.0)
    assert pixel_of_place(stage, 2.0, 40.0, 180.0) == (10.0, 30.0)


def test_moving_the_stage_to_the_place_brings_it_to_the_centre_through_any_matrix():
    matrix = np.array([[0.0, -1.1], [0.9, 0.0]])  # columns follow −y, rows follow +x
    stage = StagePosition(x_nm=5.0, y_nm=-3.0)
    x_nm, y_nm = place_of_pixel(stage, 1.5, 7.0, 11.0, matrix)
    moved_px = matrix @ np.array([x_nm - 5.0, y_nm + 3.0]) / 1.5
    assert moved_px == pytest.approx([-11.0, -7.0])


def test_a_matrix_that_cannot_be_inverted_and_an_unknown_stage_are_refused():
    with pytest.raises(ValueError, match="calibrate the stage again"):
        place_of_pixel(StagePosition(x_nm=0.0, y_nm=0.0), 1.0, 1, 1, np.ones((2, 2)))
    with pytest.raises(ValueError, match="read the stage again"):
        footprint(StagePosition(x_nm=0.0), Exposure(field_of_view_nm=1.0, shape=(2, 2), dwell_us=1.0))


def test_windows_of_a_patch_tile_its_frame():
    tree = grid_tree(ORIGIN, 1024.0, 256.0)
    exposure = Exposure(field_of_view_nm=1024.0, shape=(128, 128), dwell_us=1.0)
    covered = np.zeros((128, 128), dtype=int)
    for cell, window in windows(tree, 5, exposure):
        covered[slice(*window.rows_px), slice(*window.columns_px)] += 1
        middle = (sum(window.rows_px) / 2 - 64, sum(window.columns_px) / 2 - 64)
        stage = StagePosition(x_nm=tree[5].x_nm, y_nm=tree[5].y_nm)
        assert place_of_pixel(stage, 8.0, *middle) == (tree[cell].x_nm, tree[cell].y_nm)
    assert (covered == 1).all()


def test_windows_follow_where_the_frame_was_really_taken_and_are_cut_to_it():
    tree = grid_tree(ORIGIN, 1024.0, 256.0)
    exposure = Exposure(field_of_view_nm=1024.0, shape=(128, 128), dwell_us=1.0)
    stage = StagePosition(x_nm=tree[5].x_nm + 40.0, y_nm=tree[5].y_nm)
    planned, real = dict(windows(tree, 5, exposure)), dict(windows(tree, 5, exposure, stage))
    child = int(tree.children(5)[1])
    assert real[child].columns_px == tuple(c + 5 for c in planned[child].columns_px)
    assert max(window.columns_px[1] for window in real.values()) == 128
    far = StagePosition(x_nm=tree[5].x_nm + 300.0, y_nm=tree[5].y_nm)
    assert len(windows(tree, 5, exposure, far)) == 12  # a column of sites has left the frame


@pytest.mark.parametrize("rotation_deg", [0.0, 90.0, 180.0, -90.0])
def test_windows_turn_with_the_scan(rotation_deg):
    tree = grid_tree(ORIGIN, 1024.0, 256.0)
    exposure = Exposure(field_of_view_nm=1024.0, shape=(128, 128), dwell_us=1.0, rotation_deg=rotation_deg)
    place = footprint(StagePosition(x_nm=tree[5].x_nm, y_nm=tree[5].y_nm), exposure)
    angle = np.deg2rad(place.rotation_deg)
    across, down = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    for cell, window in windows(tree, 5, exposure):
        middle_nm = 8.0 * np.array([sum(window.columns_px) / 2 - 64, sum(window.rows_px) / 2 - 64])
        expected = np.array([place.x_nm, place.y_nm]) - middle_nm[0] * across - middle_nm[1] * down
        assert expected == pytest.approx([tree[cell].x_nm, tree[cell].y_nm])


def test_a_site_is_its_whole_frame():
    tree = grid_tree(ORIGIN, 1024.0, 256.0)
    [(cell, window)] = windows(tree, 20, Exposure(field_of_view_nm=256.0, shape=(64, 32), dwell_us=1.0))
    assert cell == 20
    assert (window.rows_px, window.columns_px) == ((0, 64), (0, 32))
