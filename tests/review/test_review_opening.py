"""One exposure for other viewers."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
import tifffile
from review_samples import MadeUp
from typer.testing import CliRunner

from archive.reader import SurveyReader
from console.main import app
from envs.step import Purpose
from review.opening import layers_of


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    made = MadeUp(tmp_path_factory.mktemp("opening") / "night")
    made.look(Purpose.SURVEY)
    made.look(x_nm=100.0, y_nm=-40.0, target=6)
    made.close()
    return made.folder.path


def adaptem(*words):
    return CliRunner().invoke(app, list(map(str, words)))


def test_a_tiff_has_every_detector_and_the_size_of_a_pixel(night, tmp_path):
    result = adaptem("open", night, "a/6", "--out", tmp_path / "place.tif")
    assert result.exit_code == 0 and "HAADF, BF of exposure 2" in result.stdout
    with tifffile.TiffFile(tmp_path / "place.tif") as file:
        tags = file.pages[0].tags
        assert file.asarray().shape == (2, 32, 32) and file.imagej_metadata["unit"] == "nm"
        pixels, centimetres = tags["XResolution"].value
        assert 1e7 * centimetres / pixels == pytest.approx(0.5) and tags["ResolutionUnit"].value == 3
        with SurveyReader(night) as reader:
            assert (file.asarray()[0] == reader.frame(2)["HAADF"]).all()


def test_a_layer_lies_where_the_frame_was_taken(night):
    """As the frames show the specimen: stage + is up and left."""
    (first, _) = layers_of(night, 2)
    assert (first.name, first.pixel_nm, first.corner_nm) == ("HAADF", 0.5, (40.0 - 8.0, -100.0 - 8.0))


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("a/7", "had no look of its own"),
        ("b/1", "specimens being a"),
        ("x", "neither"),
        ("99", "found none of that id"),
    ],
)
def test_what_is_not_there_is_told(night, place, told):
    result = adaptem("open", night, place)
    assert result.exit_code in (1, 2) and told in result.stderr and len(result.stderr.splitlines()) == 1


@pytest.mark.skipif(find_spec("napari") is not None, reason="napari is here, and would open a window")
def test_without_napari_it_says_what_to_do(night):
    result = adaptem("open", night, "2")
    assert result.exit_code == 2 and "--out" in result.stderr
