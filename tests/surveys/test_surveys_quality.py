"""Quality of a recorded survey, and surveys side by side."""

from __future__ import annotations

import numpy as np
import pytest
from survey_samples import small

from archive.reader import SurveyReader
from review.forest import forest
from surveys.comparing import compare, random_effects
from surveys.night import open_night
from surveys.quality import frames_of, survey_quality
from surveys.quality_terms import TERMS
from surveys.runner import run_survey


def ran(folder, seed=3, **detail):
    looks = {"overview": {"sites": 2, "shape": [32, 32], "dwell_us": 2.0},
             "detail": {"field_of_view_nm": 50.0, "shape": [64, 64], "dwell_us": 10.0, "frames": 2}}  # fmt: skip
    looks["detail"] |= detail
    run_survey(open_night(small(seed=seed, looks=looks), folder))
    return folder


@pytest.fixture(scope="module")
def surveys(tmp_path_factory):
    base = tmp_path_factory.mktemp("quality")
    return [ran(base / "a", 3), ran(base / "b", 4), ran(base / "c", 3, dwell_us=2.0)]


def test_measures_of_a_survey_agree_with_its_record(surveys):
    with SurveyReader(surveys[0]) as reader:
        frames = frames_of(reader)
        told = {(m.signal, m.name): m for m in survey_quality(reader, frames)}
        rows = [row for row in reader.exposures() if row.frame is not None]
        detail = next(row for row in rows if row.exposure.field_of_view_nm == 50.0)
        close = [row for row in rows if row.purpose in ("detail", "control")]
    own = {name: m for (signal, name), m in told.items() if signal == ""}
    assert own["recorded_ratio"].value == 1.0
    assert own["seen_ratio"].value > 0.9
    assert 0.5 < own["coverage_ratio"].value <= 1.0  # sixteen sites, all looked at, the stage a little off
    fluence = told["HAADF 0.781 nm", "fluence_e_per_A2"]
    assert fluence.value == pytest.approx(detail.frame.electrons / (50.0**2 * 100), rel=1e-6)
    snr = told["HAADF 0.781 nm", "snr"]
    assert snr.n == len(close)
    assert 0 < snr.value < 20
    assert told["HAADF 0.781 nm", "frc_resolution_nm"].value >= 2 * 0.78
    assert {name for _, name in told} <= set(TERMS)
    assert all(np.isfinite(m.value) for m in told.values())
    usable = [f.usable for f in frames if f.signal == "HAADF" and f.purpose in ("detail", "control")]
    hours = (max(r.frame.end_s for r in rows) - min(r.frame.start_s for r in rows)) / 3600
    assert own["usable_per_hour"].value >= sum(usable) / hours * 0.99


def test_like_surveys_are_pooled_and_unlike_ones_are_named(surveys):
    from contextlib import ExitStack

    with ExitStack() as opened:
        a, b, c = (opened.enter_context(SurveyReader(folder)) for folder in surveys)
        like = {(each.signal, each.name): each for each in compare([a, b])}
        unlike = {(each.signal, each.name): each for each in compare([a, c])}
    snr = like["HAADF 0.781 nm", "snr"]
    assert snr.surveys == ("a", "b")
    if snr.comparable:
        assert snr.low <= snr.pooled <= snr.high
    assert any(each.pooled is not None for each in like.values())
    apart = unlike["HAADF 0.781 nm", "snr"]
    assert not apart.comparable
    assert "dwell_us 10 and 2" in apart.why
    assert apart.pooled is None
    assert not unlike["HAADF 0.781 nm", "fluence_e_per_A2"].comparable
    assert forest([*like.values(), *unlike.values()]).get_axes()


def test_random_effects_are_those_of_the_textbook():
    """The seven trials of Cochran's example in DerSimonian & Laird's notation: by hand for two, by limits for many."""
    two = random_effects([1.0, 2.0], [0.1, 0.1])
    assert two.mean == pytest.approx(1.5)
    assert two.tau == pytest.approx(np.sqrt((50 - 1) / (200 - 100)))
    assert two.inconsistency == pytest.approx(49 / 50)
    same = random_effects([1.0, 1.0, 1.0], [0.3, 0.3, 0.3])
    assert (same.mean, same.tau, same.inconsistency) == (1.0, 0.0, 0.0)
    assert same.p_value == pytest.approx(1.0)
    for wrong in (([1.0], [0.1]), ([1.0, 2.0], [0.1, 0.0]), ([1.0, np.nan], [0.1, 0.1])):
        with pytest.raises(ValueError, match="pooled"):
            random_effects(*wrong)


def test_the_interval_covers_as_often_as_it_says():
    random = np.random.default_rng(6)
    hits = 0
    for _ in range(400):
        std = random.uniform(0.1, 0.4, 6)
        found = random_effects(random.normal(random.normal(2.0, 0.3, 6), std), std)
        hits += found.low <= 2.0 <= found.high
    assert 0.92 < hits / 400 <= 0.99  # 0.95 is promised


def test_the_commands(surveys, tmp_path):
    import json

    from typer.testing import CliRunner

    from console.main import app

    told = json.loads(CliRunner().invoke(app, ["quality", str(surveys[0]), "--json"]).output)
    assert {"measures", "frames", "definitions"} == set(told)
    text = CliRunner().invoke(app, ["quality", str(surveys[0]), "--define"])
    assert "usable_per_hour" in text.output
    picture = tmp_path / "forest.png"
    both = CliRunner().invoke(app, ["compare", *map(str, surveys[::2]), "--picture", str(picture)])
    assert both.exit_code == 0, both.output
    assert "not comparable by" in both.output
    assert picture.stat().st_size > 5000
    assert CliRunner().invoke(app, ["compare", str(surveys[0])]).exit_code == 2
    assert CliRunner().invoke(app, ["compare", str(surveys[0]), str(tmp_path)]).exit_code == 2
