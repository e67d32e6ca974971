"""New contrasts from a survey that kept its patterns and spectra."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tifffile
from archive_samples import intent
from PIL import Image
from survey_samples import small

pytest.importorskip("torch", reason="the extra 'simulate' is not installed")

from archive.reader import SurveyReader
from configs.errors import ConfigError
from instruments.annuli import Annulus, mask
from instruments.errors import NoRoom
from review.signals import make_signals, read_detector
from surveys.dryrun import plan
from surveys.night import open_night
from surveys.runner import run_survey
from surveys.task import survey_looks

INSTRUMENT = {
    "specimen": "srtio3_on_ge",
    "bf": None,
    "camera": {"pixels": 32},
    "eels": {"channels": 256, "step_eV": 4.0},
    "eds": {"channels": 256, "step_eV": 40.0},
    "column": {"source_size_nm": 0.035, "focus_offset_nm": 0.0, "stig_offset_nm": 0.0},
}


def settings(signals=("HAADF", "camera", "EELS", "EDS")):
    return small(
        2,
        instrument=INSTRUMENT,
        specimens=[{"name": "a", "area": {"width_nm": 4.0, "height_nm": 4.0}}],
        looks={
            "overview": {"sites": 2, "shape": [32, 32], "dwell_us": 2.0},
            "detail": {"field_of_view_nm": 2.0, "shape": [12, 12], "dwell_us": 100.0, "signals": signals},
        },
        limits={"max_fluence_e_per_A2": 1e9, "field_of_view_nm": [1.0, 1000.0]},
        controls={"count": 0},
    )


@pytest.fixture(scope="module")
def survey(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kept") / "s"
    night = open_night(settings(), folder)
    run_survey(night)
    night.close()
    return folder


def kept(folder):
    """Every file of the frames, and those beside them that are no database, with its size."""
    files = (path for path in folder.rglob("*") if path.is_file() and ".sqlite" not in path.name)
    return sorted((path, path.stat().st_size) for path in files)


def test_a_ring_over_what_was_kept_is_the_sum_of_its_pixels(survey, tmp_path):
    before = kept(survey)
    ring, moved = make_signals(survey, ["annulus:30-60", "com"], tmp_path)
    assert kept(survey) == before
    assert len(ring.files) == len(moved.files) == 4
    with SurveyReader(survey) as reader:
        identity = int(ring.files[0].name[:6])
        patterns = reader.frame(identity)["camera"].astype(float)
        axes = reader.recorded(identity).signals["camera"].axes
    assert (axes[2].name, axes[2].unit, axes[2].offset) == ("ky", "mrad", -64.0)
    weights = mask(Annulus(30.0, 60.0), (32, 32), (4.0, 4.0), (16.0, 16.0))
    image = tifffile.imread(ring.files[0])
    np.testing.assert_allclose(image, (patterns * weights).sum((2, 3)), rtol=1e-5)
    with tifffile.TiffFile(ring.files[0]) as file:
        assert file.imagej_metadata["unit"] == "nm"
        assert file.pages[0].resolution[0] == pytest.approx(6.0, rel=1e-3)
    assert tifffile.imread(moved.files[0]).shape == (2, 12, 12)
    with Image.open(ring.picture) as picture:
        assert picture.width > 200


def test_a_window_of_energies_over_spectra(survey, tmp_path):
    (made,) = make_signals(survey, ["energy:456-528"], tmp_path, exposure=None)
    with SurveyReader(survey) as reader:
        spectra = reader.frame(int(made.files[0].name[:6]))["EELS"]
    first, last = round((456 + 20) / 4), round((528 + 20) / 4)
    np.testing.assert_array_equal(tifffile.imread(made.files[0]), spectra[..., first:last].sum(-1))


def test_a_window_that_only_one_spectrometer_reaches_is_taken_from_that_one(survey, tmp_path):
    (made,) = make_signals(survey, ["energy:5000-6000"], tmp_path)
    assert {file.name.split("_")[1] for file in made.files} == {"EDS"}


def test_one_exposure_and_the_beams_own_middle(survey, tmp_path):
    every = make_signals(survey, ["bf:10"], tmp_path / "all")[0]
    identity = int(every.files[-1].name[:6])
    (one,) = make_signals(survey, ["bf:10"], tmp_path / "one", exposure=identity, centre=True)
    assert len(one.files) == 1
    np.testing.assert_allclose(tifffile.imread(one.files[0]), tifffile.imread(every.files[-1]), rtol=0.1)


@pytest.mark.parametrize(
    ("detector", "told"),
    [
        ("annulus:60-30", "annulus:30-60"),
        ("ring:3-4", "energy:280-330"),
        ("energy:9-3", "energy:FROM-TO"),
        ("energy:50000-60000", "EELS goes from -20 to 1000 eV"),
        ("annulus:30-90", "up to"),
    ],
)
def test_what_cannot_be_made_is_told(survey, tmp_path, detector, told):
    with pytest.raises(ConfigError, match=told):
        make_signals(survey, [detector], tmp_path)


def test_a_survey_without_patterns_says_how_to_keep_them(tmp_path):
    night = open_night(small(2), tmp_path / "s")
    run_survey(night)
    night.close()
    with pytest.raises(ConfigError, match=r"looks\.detail\.signals"):
        make_signals(tmp_path / "s", ["bf:10"], tmp_path / "out")
    with pytest.raises(ConfigError, match="no virtual detector"):
        read_detector("bf:x")


def test_their_room_is_reckoned_before_and_booked_with_the_exposure(tmp_path):
    plain, large = plan(settings(("HAADF",))), plan(settings())
    assert large.looks[1].bytes - plain.looks[1].bytes == 12 * 12 * 2 * (32 * 32 + 256 + 256)
    told: list[int] = [1 << 40]
    night = open_night(settings(), tmp_path / "s", free_bytes=lambda _: told[0])
    exposure = survey_looks(settings())[1].exposure
    told[0] = (64 << 20) + (1 << 20) + 12 * 12 * 16 + 1000  # enough for images, not for patterns
    with pytest.raises(NoRoom):
        intent(night.record, exposure)
    intent(night.record, replace(exposure, signals=("HAADF",)))
    night.close()
