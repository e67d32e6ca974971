"""The night of `make night`: what its report lists is really there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from configs.load import load
from instruments.clock import SimulatedClock
from instruments.simulated.settings import SimulatedSettings
from instruments.simulated.world import World
from instruments.types import Footprint
from review.report import write_report
from surveys.night import open_night
from surveys.runner import run_survey
from surveys.settings import SurveySettings

if TYPE_CHECKING:
    from pathlib import Path


def test_the_demos_flags_are_features_of_its_world(root: Path, tmp_path: Path) -> None:
    settings = load(root / "configs" / "survey_demo.yaml", SurveySettings)
    run_survey(open_night(settings, tmp_path / "demo"))
    page = write_report(tmp_path / "demo").read_text(encoding="utf-8")
    flags = json.loads((tmp_path / "demo" / "report.json").read_text(encoding="utf-8"))["flags"]
    assert isinstance(settings.instrument, SimulatedSettings)
    area = settings.specimens[0].area
    world = World(settings.instrument, settings.seed, SimulatedClock())
    features = world.features(Footprint(x_nm=0.0, y_nm=0.0, width_nm=area.width_nm, height_nm=area.height_nm))
    true = [
        any(
            abs(f.x_nm - site["x_nm"]) < site["width_nm"] / 2 + f.size_nm / 4
            and abs(f.y_nm - site["y_nm"]) < site["height_nm"] / 2 + f.size_nm / 4
            for f in features
            for site in flag["sites"]
        )
        for flag in flags
    ]
    assert len(flags) >= 5
    assert sum(true) >= 0.8 * len(true)
    assert all(flag["reason"].split(";")[0][:60] in page for flag in flags[:3])
