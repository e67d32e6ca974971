"""The atlas: the picture is where the places are, boxes tell no stream too early, what is broken is told."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi", reason="the extra 'review' is not installed")

from review_browser import event, served, survey

from envs.targets import Area, grid_tree
from review.atlas import TILE_PX, Mosaic

VENDOR = Path(__file__).resolve().parents[2] / "review" / "static" / "vendor"
HASHES = {"openseadragon.min.js": "4e6fe442742db946dfbe1e748486552078e28ba617412e91b81146443465d2c4"}


def opened(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("L"), dtype=float)


def test_what_is_vendored_is_what_was_taken_and_has_its_licence():
    for name, digest in HASHES.items():
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest
    assert "OpenSeadragon contributors" in (VENDOR / "openseadragon.LICENSE.txt").read_text()
    assert {path.name for path in VENDOR.iterdir()} == {*HASHES, "openseadragon.LICENSE.txt"}


def test_a_place_is_drawn_where_its_box_is():
    """Stage + is towards the left and the top of the picture, as the frames show the specimen."""
    tree = grid_tree(Area(x_nm=100.0, y_nm=-50.0, width_nm=2000.0, height_nm=1000.0), patch_nm=200.0, site_nm=50.0)
    mosaic = Mosaic(tree, 1.0)
    assert (mosaic.width_px, mosaic.height_px) == (2000, 1000)
    mosaic.paste(np.full((200, 200), 255, np.uint8), 800.0, 300.0, 200.0, 200.0)
    left, top, width, height = mosaic.box_px(800.0, 300.0, 200.0, 200.0)
    assert (left, top, width, height) == (200.0, 50.0, 200.0, 200.0)
    whole = np.zeros((1000, 2000))
    for row in range(4):
        for column in range(8):
            tile = opened(mosaic.tile(mosaic.levels, column, row))
            whole[row * TILE_PX :, column * TILE_PX :][: tile.shape[0], : tile.shape[1]] = tile
    assert (whole[60:240, 210:390] > 200).all() and (whole > 200).sum() < 1.1 * 200 * 200
    small = opened(mosaic.tile(mosaic.levels - 3, 0, 0))
    assert small.shape == (125, 250) and small[18, 37] > 200 and small[80, 200] < 100


@pytest.mark.parametrize("at", [(99, 0, 0), (0, 1, 0), (-1, 0, 0), (11, 8, 0), (11, 0, -1)])
def test_there_is_no_tile_beyond_the_picture(at):
    mosaic = Mosaic(grid_tree(Area(x_nm=0.0, y_nm=0.0, width_nm=2000.0, height_nm=2000.0), 200.0, 50.0), 1.0)
    assert mosaic.levels == 11 and mosaic.tile(*at) is None


def test_a_large_specimen_is_shown_coarser():
    mosaic = Mosaic(grid_tree(Area(x_nm=0.0, y_nm=0.0, width_nm=1e5, height_nm=5e4), 1e4, 5e3), 0.5)
    assert (mosaic.width_px, mosaic.height_px) == (8192, 4096) and mosaic.pixel_nm == pytest.approx(1e5 / 8192)


def test_boxes_tell_no_stream_before_the_place_is_judged(tmp_path):
    with served(survey(tmp_path / "night"), size=6) as (study, _, browser):

        def marks():
            answer = json.loads(browser.ask("/api/atlas/gridspecimen")[2])
            assert set(answer["sites"][0]) == {"target", "mark", "box"}
            return {site["target"]: site["mark"] for site in answer["sites"]}

        before = marks()
        assert set(before.values()) == {"visited"} and len(before) == 13
        batch = browser.batch()
        places = [place for place in study.places if place.key in {i.place for i in study.journal.batch(batch).items}]
        browser.post(event(batch, None, "lock"))
        after = marks()
        told = {
            place.target: "flagged" if place.flag else "control" if "control" in place.streams else "visited"
            for place in places
        }
        assert set(told.values()) >= {"flagged", "control"}
        assert after == {target: told.get(target, "visited") for target in before}
        browser.cookie += "; adaptem_reviewer=" + b"Grace".hex()  # who has judged nothing
        assert set(marks().values()) == {"visited"}


def test_tiles_pictures_and_pages_of_what_is_not_there_are_404(tmp_path):
    with served(survey(tmp_path / "night")) as (_, _, browser):
        assert browser.ask("/atlas/gridspecimen/tile/0/0/0")[:1] == (200,)
        for path in (
            "/atlas/nothing", "/atlas/..%2f..%2fetc", "/atlas/gridspecimen/tile/0/1/0", "/atlas/gridspecimen/site/9999",
            "/atlas/gridspecimen/tile/99/0/0", "/api/atlas/%2e%2e",
        ):  # fmt: skip
            assert browser.ask(path)[0] in (404, 422), path
        assert browser.ask("/atlas")[1]["location"] == "/atlas/gridspecimen"


def test_a_missing_frame_is_counted_and_the_rest_is_drawn(tmp_path):
    folder = survey(tmp_path / "night")
    shutil.rmtree(folder / "frames")
    (folder / "frames").mkdir()
    with served(folder) as (_, _, browser):
        answer = json.loads(browser.ask("/api/atlas/gridspecimen")[2])
        assert (answer["total"], answer["pasted"], answer["missing"]) == (1, 0, 1)
        assert browser.ask("/atlas/gridspecimen/tile/0/0/0")[0] == 200
