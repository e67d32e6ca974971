"""State is a fold over Steps: an environment folded from the journal sees what the live one saw."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from envs_helpers import SETTINGS, SITES, Brightness, Diary, Focus, detail, overview, situation
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from envs.novelty import NoveltyScorer, NoveltySettings
from envs.survey_env import SurveyEnv
from instruments.simulated.settings import Fault

FAULTS = (
    Fault(kind="stage_stuck", at_s=4.0, duration_s=3.0),
    Fault(kind="camera_timeout", at_s=22.0),
    Fault(kind="dewar_refill", at_s=30.0, duration_s=5.0),
)
acts = st.lists(
    st.one_of(
        st.tuples(st.just("apply"), st.integers(0, 41)),
        st.tuples(st.just("look"), st.sampled_from([overview(p) for p in range(4)] + [detail(s) for s in SITES])),
        st.tuples(st.just("control"), st.sampled_from(SITES)),
        st.tuples(st.just("block"), st.integers(0, 19)),
    ),
    max_size=30,
)


def played(acts, seed):
    """A live environment, the diary of its steps, and the targets that were blocked after how many steps."""
    diary = Diary()
    faulty = SETTINGS.model_copy(update={"faults": FAULTS})
    env = SurveyEnv(situation(seed=seed, recorder=diary, skills=(Focus(),), settings=faulty, decision_time_s=0.3))
    blocks = []
    for verb, value in acts:
        if verb == "control":
            env.control(value, 0.5)
        elif verb == "block":
            env.block(value)
            blocks.append((env.step_number, value))
        else:
            env.apply(value)
    return env, diary.steps, blocks


def folded(env, steps, blocks):
    """Another environment at the same instrument, which has only read the steps."""
    again = SurveyEnv(replace(env.situation, scorer=Brightness()))
    for number in range(len(steps) + 1):
        for _, target in (block for block in blocks if block[0] == number):
            again.block(target)
        if number < len(steps):
            again.fold(steps[number])
    return again


def assert_equal(one, other):
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(acts=acts, seed=st.integers(0, 3))
def test_folding_the_steps_gives_the_same_observation(acts, seed):
    env, steps, blocks = played(acts, seed)
    again = folded(env, steps, blocks)
    assert_equal(again.observation(), env.observation())
    assert again.step_number == env.step_number == len(steps)
    assert again.situation.scorer.state() == env.situation.scorer.state()
    assert again.belief.detail_exposure == env.belief.detail_exposure


def test_steps_folded_at_once_are_judged_as_one_after_the_other():
    """The background of a look is fitted and all its places are judged again several times on the way."""
    script = [("look", overview(p)) for p in range(4)] + [("look", detail(s)) for s in SITES]
    diary, scorers = Diary(), [NoveltyScorer(NoveltySettings(first_cells=8)) for _ in range(3)]
    live = SurveyEnv(situation(seed=2, recorder=diary, scorer=scorers[0]))
    for _, action in script:
        live.apply(action)
    one_by_one, at_once = (SurveyEnv(replace(live.situation, scorer=scorer)) for scorer in scorers[1:])
    for step in diary.steps:
        one_by_one.fold(step)
    at_once.fold(*diary.steps[:13])
    at_once.fold(*diary.steps[13:])
    assert np.isfinite(live.belief.interest).sum() > len(SITES)
    for again in (one_by_one, at_once):
        np.testing.assert_array_equal(again.belief.interest, live.belief.interest)
        assert again.situation.scorer.state() == live.situation.scorer.state()
        assert_equal(again.observation(), live.observation())


def test_the_folded_environment_goes_on_as_the_live_one_would():
    script = [("look", overview(p)) for p in range(3)] + [("look", detail(s)) for s in range(4, 9)] + [("control", 12)]
    live, _, blocks = played(script, 1)
    other, other_steps, _ = played(script, 1)
    resumed = folded(other, other_steps, blocks)
    for action in (overview(3), detail(12), 40, detail(13)):
        one, two = live.apply(action), resumed.apply(action)
        assert repr(one) == repr(two)
    assert_equal(live.observation(), resumed.observation())


def test_a_missing_step_is_an_error():
    env, steps, _ = played([("look", overview(0)), ("look", overview(1)), ("look", overview(2))], 0)
    again = SurveyEnv(replace(env.situation, scorer=Brightness()))
    again.fold(steps[0])
    with pytest.raises(ValueError, match="step 2 follows step 0"):
        again.fold(steps[2])


def test_an_exposure_cut_off_by_a_crash_is_booked():
    env, steps, _ = played([("look", detail(6))], 0)
    [record] = steps[0].exposures
    again = SurveyEnv(replace(env.situation, scorer=Brightness()))
    again.book(replace(record, committed=False, error="the process ended"))
    observation = again.observation()
    assert observation["targets"][6, 7] > 0
    assert observation["targets"][6, 3] == 0
    assert again.belief.electrons_used == record.electrons
