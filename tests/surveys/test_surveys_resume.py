"""What must outlive a process: damages told, the world's truth kept apart, a clock that only goes forward."""

from __future__ import annotations

import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from survey_samples import small, stop_after

from archive.reader import SurveyReader
from configs.load import ConfigError, load
from instruments.clock import SimulatedClock
from surveys.night import default_folder, open_night, resume_night
from surveys.runner import run_survey
from surveys.settings import SurveySettings


def test_a_damaged_frame_is_told_once_on_resume(tmp_path):
    folder = tmp_path / "n"
    night = open_night(small(), folder)
    run_survey(night, stop_after(night, 3))
    chunk = next(path for path in sorted((folder / "frames").rglob("c.*")) if path.is_file())
    chunk.unlink()
    for _ in range(2):
        resume_night(folder, people=SimulatedClock()).close()
        with SurveyReader(folder) as reader:
            faults = [event for event in reader.events("fault") if event.data["error"] == "DamagedFrame"]
        assert len(faults) == 1
        assert "missing" in faults[0].message


def test_a_new_survey_takes_no_other_worlds_truth(tmp_path):
    settings = small(out=str(tmp_path))
    first = default_folder(settings)
    run_survey(open_night(settings, first))
    shutil.rmtree(first)
    assert default_folder(settings) == tmp_path / "small-002"
    with pytest.raises(ConfigError, match="another survey's world"):
        open_night(settings, first)
    assert not first.exists()
    assert first.with_name(f"{first.name}.truth.jsonl").exists()


def test_the_clock_of_a_recorded_image_goes_on_over_a_resume(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (640, 640), dtype=np.uint8)).save(tmp_path / "i.png")
    settings = load(
        Path(__file__).parents[2] / "configs" / "survey_replay.yaml",
        SurveySettings,
        [f"instrument.image={tmp_path / 'i.png'}", "looks.overview.sites=2"],
    )
    night = open_night(settings, tmp_path / "n")
    run_survey(night, stop_after(night, 5))
    run_survey(resume_night(tmp_path / "n"))
    with SurveyReader(tmp_path / "n") as reader:
        made = list(reader.steps())
    assert len(made) > 8
    assert all(before.end_s <= after.start_s for before, after in pairwise(made))
