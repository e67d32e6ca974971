from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError
from survey_samples import small

from configs.load import ConfigError, load
from surveys.dryrun import plan
from surveys.night import default_folder
from surveys.settings import SurveySettings


def test_the_limits_of_the_plan_are_filled_in_and_survive_being_stored():
    settings = small()
    assert settings.limits.x_nm == (-180.0, 100.0)
    assert settings.limits.max_electrons == 1e12
    assert settings.limits.max_time_s == pytest.approx(3960.0)
    assert SurveySettings.model_validate(settings.model_dump(mode="json")) == settings


def test_limits_that_are_given_are_kept():
    assert small(limits={"x_nm": [-5.0, 5.0]}).limits.x_nm == (-5.0, 5.0)


def test_all_problems_are_told_at_once_with_their_places():
    with pytest.raises(ValidationError) as caught:
        small(
            instrument={"kind": "simulated", "specimen": {"film": 3}},
            looks={"detail": {"field_of_view_nm": 50.0, "dwell_ms": 1}},
            budget={"hours": -1},
        )
    places = {".".join(map(str, error["loc"])) for error in caught.value.errors()}
    assert {"instrument.specimen.film", "looks.detail.dwell_ms", "budget.hours"} <= places


def test_an_unknown_instrument_is_refused_by_name():
    with pytest.raises(ValidationError, match="simulatd"):
        small(instrument={"kind": "simulatd"})


@pytest.mark.parametrize(
    ("looks", "told"),
    [
        ({"overview": {"sites": 4, "shape": [32, 64]}}, "shows a site 8 pixels wide and needs 12"),
        ({"detail": {"field_of_view_nm": 50.0, "shape": [64, 8]}}, "is 8 pixels wide and needs 12"),
    ],
)
def test_sites_of_too_few_pixels_are_refused(looks, told):
    with pytest.raises(ValidationError, match=told):
        small(looks=looks)


def test_specimens_need_names_of_their_own():
    area = {"width_nm": 200.0, "height_nm": 200.0}
    with pytest.raises(ValidationError, match="names of their own"):
        small(specimens=[{"name": "a", "area": area}, {"name": "a", "area": area}])


@pytest.mark.parametrize("name", ["survey_demo.yaml", "survey_atoms.yaml"])
def test_the_shipped_configs_can_be_planned(root, name):
    text = plan(load(root / "configs" / name, SurveySettings)).as_text()
    assert "detail looks until" in text


def image_of(path, width=640, height=480):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (height, width), dtype=np.uint8)).save(path)
    return path


def replay(root, image, *sets):
    return load(root / "configs" / "survey_replay.yaml", SurveySettings, [f"instrument.image={image}", *sets])


def test_an_image_is_cut_into_sites_of_whole_pixels(root, tmp_path):
    settings = replay(root, image_of(tmp_path / "i.png"), "instrument.pixel_size_nm=0.5", "looks.overview.sites=4")
    assert settings.looks.detail.shape == (64, 64)
    assert settings.looks.detail.field_of_view_nm == 32.0
    area = settings.specimens[0].area
    assert (area.width_nm, area.height_nm) == (10 * 32.0, 7 * 32.0)
    assert plan(settings).specimens[0].sites == 70


@pytest.mark.parametrize(
    ("sets", "told"),
    [
        (["instrument.image=nowhere.png"], "there is no such image"),
        (["instrument.pixel_size_nm=null"], "does not tell its pixel size"),
    ],
)
def test_an_image_that_cannot_be_used_is_told_in_one_line(root, tmp_path, sets, told):
    with pytest.raises(ConfigError, match=told):
        replay(root, image_of(tmp_path / "i.png"), *sets)


def test_a_budget_that_cannot_pay_for_one_look_is_refused_with_what_to_do():
    with pytest.raises(ConfigError) as caught:
        plan(small(budget={"hours": 1e-5, "electrons": 1.0}))
    told = "\n".join(caught.value.problems)
    assert "budget.electrons: 1 cannot pay for one overview look" in told
    assert "budget.hours: 1e-05 h cannot pay for one detail look" in told
    assert "raise it, or lower looks.detail.dwell_us" in told


def test_looks_outside_the_limits_are_refused():
    with pytest.raises(ConfigError, match=r"limits\.max_fluence_e_per_A2"):
        plan(small(limits={"max_fluence_e_per_A2": 1e-3}))
    with pytest.raises(ConfigError, match=r"outside limits\.dwell_us"):
        plan(small(limits={"dwell_us": [0.1, 1.0]}))


def test_a_tilt_series_needs_limits_that_allow_it_and_is_priced_whole():
    looks = small().looks.model_dump()
    looks["detail"]["tilts_deg"] = [-20.0, 0.0, 20.0]
    with pytest.raises(ConfigError, match="holder is not to tilt"):
        plan(small(looks=looks))
    with pytest.raises(ConfigError, match=r"\[-20.0\] outside limits.alpha_deg, -10 to 30"):
        plan(small(looks=looks, limits={"alpha_deg": [-10.0, 30.0], "off_axis_nm": 0.0}))
    series, single = plan(small(looks=looks, limits={"alpha_deg": [-30.0, 30.0], "off_axis_nm": 0.0})), plan(small())
    assert series.looks[1].electrons == pytest.approx(3 * single.looks[1].electrons)
    assert series.looks[1].bytes == 3 * single.looks[1].bytes
    assert series.looks[1].whole_s > 3 * single.looks[1].whole_s


def test_a_budget_over_the_limits_is_refused():
    with pytest.raises(ConfigError, match=r"more than limits\.max_time_s"):
        plan(small(limits={"max_time_s": 60.0}))
    with pytest.raises(ConfigError, match=r"more than limits\.max_electrons"):
        plan(small(limits={"max_electrons": 1e9}))


def test_an_area_smaller_than_a_frame_is_refused():
    with pytest.raises(ConfigError, match=r"specimens.0 \(a\)"):
        plan(small(specimens=[{"name": "a", "area": {"width_nm": 60.0, "height_nm": 60.0}}]))


def test_the_plan_is_what_the_looks_cost():
    planned = plan(small(budget={"detail_fraction": 0.5}))
    detail, specimen = planned.looks[1], planned.specimens[0]
    assert detail.beam_on_s == pytest.approx(32 * 32 * 10e-6)
    assert detail.electrons == pytest.approx(50e-12 / 1.602176634e-19 * 32 * 32 * 10e-6)
    assert (specimen.patches, specimen.sites, specimen.detail_looks, specimen.ends_by) == (4, 16, 8, "area")
    assert planned.as_dict()["specimens"][0]["controls"] == 2


def test_every_run_gets_a_folder_of_its_own(tmp_path):
    settings = small(out=str(tmp_path))
    assert default_folder(settings) == tmp_path / "small-001"
    (tmp_path / "small-001").mkdir()
    assert default_folder(settings) == tmp_path / "small-002"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"looks": {"detail": {"signals": ["HADF"]}}}, r"looks\.detail\.signals: 'HADF'.*did you mean HAADF"),
        ({"looks": {"detail": {"signals": ["camera"]}}}, r"looks\.detail\.signals: 'camera'.*known here: HAADF, BF"),
        ({"limits": {"detectors": ["HAADF"]}, "looks": {"overview": {"signals": ["BF"]}}}, "known here: HAADF"),
        ({"scorer": {"signal": "BF"}, "looks": {"detail": {"signals": ["HAADF"]}}}, "give no image of BF"),
        ({"skills": {"zone_axis": {}}}, r"skills\.zone_axis: 'camera'"),
        (
            {
                "instrument": {"specimen": "graphene", "camera": {}},
                "looks": {"detail": {"signals": ["camera"]}},
            },
            r"looks\.detail\.signals: camera give no image",
        ),
    ],
)
def test_a_detector_that_is_not_there_is_told_before_the_night(changes, told):
    looks = {"overview": {"sites": 2, "shape": [32, 32]}, "detail": {"field_of_view_nm": 50.0, "shape": [32, 32]}}
    merged = {name: {**block, **changes.get("looks", {}).get(name, {})} for name, block in looks.items()}
    with pytest.raises(ConfigError, match=told):
        plan(small(2, **{**changes, "looks": merged}))
