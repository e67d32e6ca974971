"""Quality of a recorded survey, and surveys side by side."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from survey_samples import small

from archive.reader import SurveyReader
from review.forest import forest
from surveys.comparing import compare, differing, random_effects
from surveys.night import open_night
from surveys.quality import frames_of, survey_quality
from surveys.quality_survey import _found, share_std
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


@pytest.mark.parametrize("frames", [3, 4, 10])
def test_like_surveys_of_few_frames_are_told_to_differ_as_seldom_as_promised(frames):
    random = np.random.default_rng(9)
    wrong = 0
    for _ in range(600):
        values = random.normal(size=(8, 2, frames))
        means, stds = values.mean(axis=2), values.std(axis=2, ddof=1) / np.sqrt(frames)
        wrong += bool(differing([random_effects(m, s, [frames] * 2).p_value for m, s in zip(means, stds, strict=True)]))
    assert wrong / 600 < 0.08  # 0.05 is promised; Cochran's Q gave 0.2 and more


def test_of_two_welch_is_the_t_test_without_equal_variances():
    random = np.random.default_rng(2)
    one, two, three = random.normal(0, 1, 5), random.normal(1, 4, 9), random.normal(0, 2, 7)
    means = [np.mean(x) for x in (one, two)]
    errors = [np.std(x, ddof=1) / np.sqrt(len(x)) for x in (one, two)]
    expected = stats.ttest_ind(one, two, equal_var=False).pvalue
    assert random_effects(means, errors, [5, 9]).p_value == pytest.approx(expected)
    means.append(np.mean(three))
    errors.append(np.std(three, ddof=1) / np.sqrt(7))
    w = 1 / np.square(errors)  # by Welch's own formula
    centre = np.sum(w * means) / w.sum()
    unsure = np.sum((1 - w / w.sum()) ** 2 / np.array([4, 8, 6]))
    f = np.sum(w * (np.array(means) - centre) ** 2) / 2 / (1 + 2 / 8 * unsure)
    assert random_effects(means, errors, [5, 9, 7]).p_value == pytest.approx(stats.f.sf(f, 2, 8 / (3 * unsure)))


class Altered:
    """A survey's reader whose exposures are told otherwise."""

    def __init__(self, reader, count=None, **exposure):
        self._reader, self._count, self._exposure = reader, count, exposure

    def __getattr__(self, name):
        return getattr(self._reader, name)

    def exposures(self):
        rows = list(self._reader.exposures())
        scale = self._exposure.get("scale", 1.0)
        if self._count is not None:
            rows = [row for row in rows if row.frame is not None and str(row.purpose) == "detail"][: self._count]
        for row in rows:
            exposure = replace(row.exposure, field_of_view_nm=row.exposure.field_of_view_nm * scale)
            yield replace(row, exposure=exposure)


def by_name(compared):
    return {(each.signal, each.name): each for each in compared}


def test_pixel_sizes_that_are_alike_are_matched_and_others_are_told(surveys):
    with SurveyReader(surveys[0]) as a, SurveyReader(surveys[1]) as b:
        near = by_name(compare([a, Altered(b, scale=1.004)]))
        far = by_name(compare([a, Altered(b, scale=1.3)]))
    both = near["HAADF 0.781 to 0.784 nm", "snr"]
    assert len(both.values) == 2
    assert not [each for each in near.values() if each.signal and len(each.values) == 1]
    lone = far["HAADF 0.781 nm", "snr"]
    assert (lone.surveys, lone.comparable) == (("a",), False)
    assert "no other has HAADF 0.781 nm" in lone.why
    assert far["HAADF 1.02 nm", "snr"].surveys == ("b",)
    assert "taken unlike" in far["", "usable_per_hour"].why


def test_usable_looks_are_compared_under_like_conditions_only(surveys):
    with SurveyReader(surveys[0]) as a, SurveyReader(surveys[2]) as c:
        unlike = by_name(compare([a, c]))
    for where in (("HAADF 0.781 nm", "usable_ratio"), ("", "usable_per_hour"), ("", "usable_per_1e9_electrons")):
        assert "dwell_us 10 and 2" in unlike[where].why
        assert unlike[where].pooled is None


def test_of_two_frames_nothing_is_tested(surveys):
    with SurveyReader(surveys[0]) as a, SurveyReader(surveys[1]) as b:
        few = by_name(compare([a, Altered(b, count=2)]))
    assert "3 are needed" in few["HAADF 0.781 nm", "snr"].why
    assert few["HAADF 0.781 nm", "snr"].p_value is None


def test_a_share_found_of_one_control_is_not_sure():
    share, std, controls = _found([{"tags": ["policy", "control"]}])
    assert (share, controls) == (1.0, 1)
    assert std == pytest.approx(share_std(1.0, 1)) and std > 0.1


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
