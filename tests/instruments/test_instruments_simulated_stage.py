"""A stage with play, creep and drift: what it says, where it is, how long it takes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instruments.simulated.stage import Stage
from instruments.simulated.stage_settings import StageSettings
from instruments.types import StagePosition

EXACT = StageSettings(reach_nm=0, readback_nm=0, creep_nm=0, drift_nm=0, backlash_nm=60, approach=False)
moves = st.lists(st.tuples(st.floats(-5000, 5000), st.floats(-5000, 5000)), min_size=1, max_size=8)


def go(stage: Stage, now_s: float, **axes: float) -> float:
    return stage.go(StagePosition(**axes), now_s) + stage._settings.settle_s


def test_play_depends_on_the_direction_of_approach() -> None:
    stage = Stage(EXACT, 1)
    now_s = go(stage, 0.0, x_nm=1000.0)
    assert stage.position(now_s)[0] == 1000
    now_s = go(stage, now_s, x_nm=500.0)
    assert stage.readback(now_s).x_nm == 500
    assert stage.position(now_s)[0] == 560  # coming down, the specimen hangs behind
    now_s = go(stage, now_s, x_nm=530.0)
    assert stage.position(now_s)[0] == 560  # the drive runs through its play
    now_s = go(stage, now_s, x_nm=700.0)
    assert stage.position(now_s)[0] == 700


@settings(max_examples=50, deadline=None)
@given(moves)
def test_approach_takes_up_the_play(targets: list[tuple[float, float]]) -> None:
    stage, now_s = Stage(StageSettings(), 5), 0.0
    limits = StageSettings()
    worst = limits.reach_nm + limits.creep_nm + limits.drift_nm
    for x, y in targets:
        now_s = go(stage, now_s, x_nm=x, y_nm=y)
        place = stage.position(now_s)
        assert abs(place[0] - x) <= worst
        assert abs(place[1] - y) <= worst
        assert abs((stage.readback(now_s).x_nm or 0) - x) <= limits.reach_nm + limits.readback_nm


@settings(max_examples=50, deadline=None)
@given(moves, st.floats(0, 1))
def test_without_approach_the_play_is_never_more_than_the_backlash(
    targets: list[tuple[float, float]], part: float
) -> None:
    stage, now_s = Stage(EXACT, 5), 0.0
    for x, y in targets:
        there_s = stage.go(StagePosition(x_nm=x, y_nm=y), now_s, part=part)
        for at_s in (now_s, (now_s + there_s) / 2, there_s):
            place, drive = stage.position(at_s), stage.readback(at_s)
            assert -1e-6 <= place[0] - (drive.x_nm or 0) <= 60 + 1e-6
            assert -1e-6 <= place[1] - (drive.y_nm or 0) <= 60 + 1e-6
        now_s = there_s


def test_travel_takes_time_with_distance() -> None:
    stage = Stage(EXACT, 1)
    near_s = stage.go(StagePosition(x_nm=100.0), 0.0)
    far_s = stage.go(StagePosition(x_nm=5100.0), near_s) - near_s
    assert near_s == pytest.approx(0.3 + 0.1)
    assert far_s == pytest.approx(0.3 + 5.0)
    assert stage.position(near_s + far_s / 2)[0] == pytest.approx(2600)


def test_axes_that_are_none_stay() -> None:
    stage = Stage(EXACT, 1)
    now_s = go(stage, 0.0, x_nm=200.0, y_nm=300.0, z_nm=50.0, alpha_deg=5.0)
    now_s = go(stage, now_s, y_nm=400.0)
    assert stage.position(now_s) == (200, 400, 50, 5)


def test_creep_dies_away() -> None:
    stage = Stage(StageSettings(reach_nm=0, readback_nm=0, drift_nm=0, creep_nm=4), 2)
    there_s = stage.go(StagePosition(x_nm=500.0), 0.0)
    left = [abs(stage.position(there_s + wait_s)[0] - 500) for wait_s in (0.0, 0.4, 1.0, 10.0)]
    assert 0.3 < left[0] <= 4
    assert left[1] == pytest.approx(left[0] / 2.718, rel=0.01)
    assert left[3] < 1e-6


def test_drift_wanders_within_its_amplitude() -> None:
    stage = Stage(StageSettings(reach_nm=0, readback_nm=0, creep_nm=0, drift_nm=6), 4)
    xs = [stage.position(60.0 * minute)[0] for minute in range(480)]
    assert max(map(abs, xs)) <= 6
    assert max(xs) - min(xs) > 3
    assert max(abs(b - a) for a, b in itertools.pairwise(xs)) < 1.5


def test_snapshot_restores_all() -> None:
    one, two = Stage(StageSettings(), 3), Stage(StageSettings(), 3)
    there_s = one.go(StagePosition(x_nm=-400.0, alpha_deg=3.0), 5.0)
    two.restore(one.snapshot())
    for at_s in (5.1, there_s, there_s + 0.2):
        assert one.position(at_s) == two.position(at_s)
        assert one.readback(at_s) == two.readback(at_s)


def test_a_holder_that_was_just_put_in_drifts_less_and_less() -> None:
    quiet = {"reach_nm": 0, "readback_nm": 0, "creep_nm": 0, "drift_nm": 0}
    stage = Stage(StageSettings(**quiet, insertion_drift_nm=400, insertion_decay_s=600), 4)
    places = np.array([stage.position(600.0 * n)[:2] for n in range(8)])
    moved = np.linalg.norm(np.diff(places, axis=0), axis=1)
    assert moved[0] > 10
    assert moved[1:] / moved[:-1] == pytest.approx(np.exp(-1), rel=1e-4)
    assert np.abs(places[-1]).max() <= 400
