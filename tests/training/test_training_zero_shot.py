"""A recorded image as a world to try a policy on: what a person outlined, and who finds it."""

import numpy as np
from PIL import Image

from agent.settings import RasterSettings
from benchmarks.detwin_picture import sites_of
from benchmarks.recorded_truth import Box, covered_sites
from benchmarks.zero_shot import Picture, flown, opened
from envs.targets import Area, grid_tree
from training.episode import ORACLE

SITE_PX, ACROSS = 32, 16


def test_a_box_covers_the_sites_that_it_lies_on() -> None:
    tree = grid_tree(Area(x_nm=0.0, y_nm=0.0, width_nm=64.0, height_nm=64.0), 64.0, 16.0)
    # Pixels of 2 nm: sites of 8 pixels. Column 0 lies at the largest x, row 0 at the largest y.
    corner = Box("corner", rows_px=(0, 8), columns_px=(0, 10))
    (site,) = covered_sites([corner], tree, (32, 32), 2.0, 8)
    assert (tree.x_nm[site], tree.y_nm[site]) == (24.0, 24.0)
    third = Box("a third of the next is enough", rows_px=(0, 8), columns_px=(0, 11))
    assert len(covered_sites([third], tree, (32, 32), 2.0, 8)) == 2


def test_who_is_told_finds_what_an_image_holds(tmp_path) -> None:
    rng = np.random.default_rng(0)
    image = rng.normal(100, 8, (SITE_PX * ACROSS,) * 2)
    box = Box("bright", rows_px=(96, 160), columns_px=(320, 416))
    image[96:160, 320:416] += 60
    path = tmp_path / "image.png"
    Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(path)
    picture = Picture("drawn", path, (box,), SITE_PX, 1.0)
    env, true = opened(picture, 1)
    assert len(true) == 6
    env.close()
    told, blind = flown(picture, ORACLE, 1), flown(picture, RasterSettings(), 1)
    assert told["found"] == 1.0
    assert blind["found"] < 0.7
    assert told["looks"] <= 0.1 * ACROSS**2


def test_a_site_is_rare_where_a_large_particle_has_its_middle() -> None:
    particles = np.array([[70.0, 10.0, 150.0], [100.0, 20.0, 120.0], [5.0, 5.0, 119.0], [200.0, 130.0, 300.0]])
    assert sites_of(particles) == [(64, 0), (192, 128)]
