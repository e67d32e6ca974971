from __future__ import annotations

import numpy as np
import pytest

from agent.settings import PlannerSettings, RasterSettings
from console.train import _compared
from instruments.simulated.settings import SimulatedSettings, SpecimenSettings
from surveys.controls import ControlSettings
from training.episode import ORACLE, EpisodeSettings, Trace
from training.evaluate import evaluate, found_at, interval, ratio_interval
from training.judge import table

SMALL = EpisodeSettings(
    instrument=SimulatedSettings(specimen=SpecimenSettings(rare_layout="uniform", rare_fraction=0.01)),
    sites=8,
    pixels=64,
    dose_ratio=0.6,
    controls=ControlSettings(count=2),
)
ENTRANTS = {"raster": RasterSettings(), "planner": PlannerSettings(first_sites=16), ORACLE: ORACLE}


@pytest.fixture(scope="module")
def traces():
    return evaluate(SMALL, ENTRANTS, [5, 6], workers=1)


def test_every_agent_meets_the_same_specimens_within_the_same_budget(traces):
    for seed in (0, 1):
        of_seed = [made[seed] for made in traces.values()]
        assert len({(trace.seed, trace.features) for trace in of_seed}) == 1
        assert all(trace.features > 0 and trace.rare_area < 0.02 for trace in of_seed)
    for made in traces.values():
        for trace in made:
            assert trace.dose[-1] <= SMALL.dose_ratio + 1e-9
            assert trace.faults == 0
            for series in (trace.dose, trace.time_s, trace.area, trace.found):
                assert (np.diff(series) >= 0).all() and len(series) == len(trace.dose)


def test_the_atlas_the_focus_and_the_controls_are_paid_for(traces):
    trace = traces["raster"][0]
    looks = trace.area[-1]
    atlas = 4 * SMALL.overview_dwell_us / SMALL.detail_dwell_us / SMALL.sites**2
    controls = 2 / SMALL.sites**2
    assert trace.refocused >= 1
    assert trace.dose[-1] > looks + atlas + controls


def test_the_oracle_finds_everything_it_can_pay_for(traces):
    for trace in traces[ORACLE]:
        assert trace.found[-1] == 1.0


def test_two_processes_find_what_one_does(traces):
    again = evaluate(SMALL, {"raster": RasterSettings()}, [5, 6], workers=2)
    for ours, theirs in zip(traces["raster"], again["raster"], strict=True):
        np.testing.assert_array_equal(ours.found, theirs.found)
        np.testing.assert_array_equal(ours.dose, theirs.dose)


def _trace(found: list[float], dose: list[float], features: int = 4) -> Trace:
    made = np.array(found)
    return Trace(
        agent="a", seed=0, features=features, rare_area=0.01, dose=np.array(dose), time_s=made, area=made, found=made,
        flagged=0.0, called=0.0, precision=0.0, refocused=0, faults=0,
    )  # fmt: skip


def test_found_at_takes_the_last_step_that_is_paid_for():
    trace = _trace([0.0, 0.5, 1.0], [0.1, 0.2, 0.3])
    assert found_at([trace], "dose", np.array([0.0, 0.1, 0.25, 0.3, 9.0])).tolist() == [[0.0, 0.0, 0.5, 1.0, 1.0]]


def test_a_specimen_without_features_counts_for_nothing():
    found = found_at([_trace([0.5], [0.1]), _trace([0.0], [0.1], features=0)], "dose", np.array([1.0]))[:, 0]
    assert interval(found)[0] == 0.5


def test_one_specimen_gives_no_interval():
    assert interval(np.array([0.5, np.nan]))[0] == 0.5
    assert np.isnan(interval(np.array([0.5, np.nan]))[1:]).all() and np.isnan(interval(np.array([np.nan]))).all()
    assert ratio_interval(np.array([1.0]), np.array([4.0]))[0] == 0.25
    assert np.isnan(ratio_interval(np.array([1.0]), np.array([4.0]))[1:]).all()


def test_specimens_without_features_are_not_counted():
    """Of two kinds: one with a single specimen that has some, one with none."""
    none, some = _trace([0.0], [0.05], features=0), _trace([0.5], [0.05])
    rows = table(
        {"poor": {"learned": [some, none], "planner": [some, none]}, "bare": {"learned": [none], "planner": [none]}}
    )
    told = {(row["specimens"], row["agent"]): (row["n"], row["empty"]) for row in rows}
    assert told["poor", "planner"] == (1, 1) and told["bare", "learned"] == (0, 1) and told["all", "learned"] == (1, 2)
    said = [_compared(row) for row in rows]
    assert "poor (1, 1 more without any rare feature): learned finds 0.500 (no interval from one)" in said[0]
    assert "the policy +0.000 (no interval from one) more" in said[1]
    assert said[2] == "bare: no rare feature in any of 1, so nothing that learned could find"
    assert "nan" not in "".join(said)


def test_intervals_cover_the_truth_as_often_as_they_say():
    generator, covered = np.random.default_rng(0), 0
    for _ in range(200):
        _, low, high = interval(generator.normal(1.0, 0.5, 24))
        covered += low <= 1.0 <= high
    assert 0.87 <= covered / 200 <= 0.99


def test_a_paired_ratio_is_narrower_than_its_parts():
    generator = np.random.default_rng(0)
    hard = generator.uniform(0.1, 1.0, 24)
    ratio, low, high = ratio_interval(3 * hard, hard)
    assert ratio == pytest.approx(3.0) and low == pytest.approx(3.0) and high == pytest.approx(3.0)
