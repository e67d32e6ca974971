"""What ``SurveyEnv.apply`` does at the instrument, and what it writes down."""

from __future__ import annotations

import numpy as np
import pytest
from envs_helpers import (
    SETTINGS,
    SITES,
    TASK,
    Diary,
    Focus,
    columns,
    detail,
    overview,
    scalars,
    survey,
)

from envs.step import Decision, Kind, Purpose, Stream
from envs.survey_env import SurveyEnv
from envs.tasks import Budget
from instruments.simulated.settings import Fault

STOP = 40


def faulty(kind: str, duration_s: float = 1e6, at_s: float = 0.0):
    return SETTINGS.model_copy(update={"faults": (Fault(kind=kind, at_s=at_s, duration_s=duration_s),)})


def test_an_overview_describes_its_sites_and_goes_to_the_record_in_order():
    diary = Diary()
    env = survey(recorder=diary)
    step = env.apply(overview(2))
    assert diary.verbs == ["intent", "commit", "step"]
    assert step.kind is Kind.LOOK
    assert (step.target, step.look, step.fault, step.number) == (2, "overview", None, 0)
    [record] = step.exposures
    assert record.committed
    assert record.exposure.id == diary.rows[1][1]
    assert record.purpose is Purpose.SURVEY
    assert [tag.stream for tag in record.tags] == [Stream.POLICY]
    target = TASK.tree[2]
    assert record.footprint.contains(target.x_nm, target.y_nm)
    assert step.stage is not None
    assert abs(step.stage.achieved.x_nm - target.x_nm) < 20.0
    assert step.score.cells == tuple(TASK.tree.children(2))
    assert np.array(step.score.descriptors).shape == (4, 2)
    assert step.electrons == record.electrons == env.situation.guard.ledger.electrons() > 0
    assert columns(env)["looks_done"].tolist() == [0, 0, 1] + [0] * 17
    assert not env.action_masks()[overview(2)]


def test_a_detail_look_is_seen_and_rewarded_within_bounds():
    env = survey()
    rewards = [env.apply(detail(site)).reward for site in SITES[:10]]
    assert all(reward == 0 for reward in rewards[:6])  # the background is too young to tell
    assert any(0 < reward < 1 for reward in rewards[6:])
    seen = columns(env)["interest_seen"]
    assert seen[4:14].any()
    assert not seen[14:].any()
    assert env.observation()["belief"][3].sum() == 10


def test_interest_from_above_is_judged_again_when_the_background_grows():
    env = survey()
    env.apply(overview(0))
    assert not columns(env)["above_known"].any()
    env.apply(overview(1))
    children = np.concatenate([TASK.tree.children(0), TASK.tree.children(1)])
    known = columns(env)
    assert np.flatnonzero(known["above_known"]).tolist() == sorted(children)
    scorer = env.situation.scorer
    now = scorer.interest("overview", np.array(env.last_step.score.descriptors))
    assert known["interest_above"][list(env.last_step.score.cells)] == pytest.approx(now)


@pytest.mark.parametrize("action", [-1, 41, 10**9, float("nan"), float("inf"), 0.5, None, "stop", True])
def test_what_is_no_action_moves_nothing(action):
    env = survey(recorder=(diary := Diary()))
    before = env.situation.guard.state().stage
    step = env.apply(action, Decision(action=action))
    assert step.fault.error == "LimitError"
    assert step.fault.message.startswith("masked: ")
    assert diary.verbs == ["step"]
    assert env.situation.guard.state().stage.x_nm == pytest.approx(before.x_nm, abs=30.0)
    assert step.decision.action == -1 or step.decision.action == action


@pytest.mark.parametrize(
    ("action", "words"),
    [(detail(0), "another level"), (overview(8), "another level"), (overview(1), "blocked"), (overview(0), "already")],
)
def test_masked_actions_are_refused_with_their_reason(action, words):
    env = survey()
    env.apply(overview(0))
    env.block(1)
    assert not env.action_masks()[action]
    step = env.apply(action)
    assert words in step.fault.message
    assert not step.exposures
    assert columns(env)["failed"].sum() == 0


def test_a_decision_about_another_action_is_an_error():
    with pytest.raises(ValueError, match="decision for action 2"):
        survey().apply(0, Decision(action=2))


def test_a_persons_choice_is_in_the_operators_stream():
    step = survey().apply(0, Decision(action=0, decided_by="person", person="Ada"))
    assert [tag.stream for tag in step.exposures[0].tags] == [Stream.OPERATOR]


def test_a_stuck_stage_is_a_fault_that_counts_against_the_place_until_it_is_left_alone():
    env = survey(settings=faulty("stage_stuck"), recorder=(diary := Diary()))
    for failures in range(1, TASK.tries + 1):
        step = env.apply(overview(3))
        assert step.fault.error == "ReachError"
        assert step.stage is not None
        assert columns(env)["failed"][3] == failures
    assert "intent" not in diary.verbs
    assert columns(env)["looks_done"].sum() == 0
    assert not env.action_masks()[overview(3)]
    assert env.action_masks()[overview(2)]


def test_a_frame_lost_after_the_beam_is_booked():
    env = survey(settings=faulty("camera_timeout", duration_s=0.0), recorder=(diary := Diary()))
    step = env.apply(detail(7))
    assert step.fault.error == "Timeout"
    assert diary.verbs == ["intent", "fail", "step"]
    assert diary.rows[1][2] is True
    [record] = step.exposures
    assert not record.committed
    assert record.error == step.fault.message
    assert step.electrons > 0
    assert columns(env)["fluence_e_per_A2"][7] > 0
    assert scalars(env)["electrons_left_ratio"] < 1
    assert env.apply(detail(7)).fault is None


def test_a_busy_instrument_says_until_when_and_blames_no_place():
    env = survey(settings=faulty("dewar_refill", duration_s=50.0))
    step = env.apply(overview(0))
    assert step.fault.error == "BusyError"
    assert step.fault.until_s == pytest.approx(50.0)
    assert step.electrons == 0
    assert columns(env)["failed"].sum() == 0
    env.situation.clock.wait(60.0)
    assert env.apply(overview(0)).fault is None


def test_what_the_guard_refuses_before_the_beam_is_not_spent():
    env = survey(limits={"max_fluence_e_per_A2": 1e-3}, recorder=(diary := Diary()))
    assert not env.action_masks()[:-1].any()
    step = env.control(5, 0.1)
    assert "fluence limit" in step.fault.message
    assert diary.verbs == ["step"]
    env = survey(limits={"max_electrons": 1.0}, recorder=(diary := Diary()))
    step = env.apply(overview(0))
    assert step.fault.error == "BudgetError"
    assert diary.rows[1][2] is False
    assert step.electrons == 0
    assert not columns(env)["fluence_e_per_A2"].any()


def test_a_control_costs_but_tells_nothing():
    env = survey(recorder=(diary := Diary()))
    step = env.control(9, 0.25)
    assert step.kind is Kind.CONTROL
    assert step.score is None
    assert step.decision.decided_by == "runner"
    [record] = step.exposures
    assert record.purpose is Purpose.CONTROL
    assert [(tag.stream, tag.inclusion_probability) for tag in record.tags] == [(Stream.CONTROL, 0.25)]
    assert env.situation.scorer.background == {}
    now = columns(env)
    assert now["looks_done"].sum() == 0
    assert now["fluence_e_per_A2"][9] > 0
    assert env.action_masks()[detail(9)]
    assert scalars(env)["electrons_left_ratio"] < 1
    assert env.apply(detail(9)).fault is None
    assert diary.verbs == ["intent", "commit", "step"] * 2


def test_a_control_of_a_place_already_seen_only_tags_it():
    env = survey(recorder=(diary := Diary()))
    seen = env.apply(detail(9))
    step = env.control(9, 0.25)
    assert diary.verbs.count("intent") == 1
    assert not step.exposures
    [(exposure_id, tag)] = step.retagged
    assert exposure_id == seen.exposures[0].exposure.id
    assert tag.stream is Stream.CONTROL


def test_a_control_needs_a_detail_look_and_a_probability():
    with pytest.raises(ValueError, match="no detail look for a patch"):
        survey().control(0, 0.5)
    with pytest.raises(ValueError, match=r"\(0, 1\]"):
        survey().control(9, 0.0)


def test_a_skill_exposes_through_the_record_and_resets_the_focus():
    env = survey(skills=(Focus(),), recorder=(diary := Diary()))
    env.apply(detail(4))
    step = env.apply(40)
    assert step.kind is Kind.SKILL
    assert (step.skill, step.target) == ("refocus", None)
    assert diary.verbs[-3:] == ["intent", "commit", "step"]
    assert step.exposures[0].purpose is Purpose.FOCUS
    assert step.skill_data == {"electrons": step.electrons}
    assert scalars(env)["steps_since_focus"] == 0
    env.apply(detail(5))
    assert scalars(env)["steps_since_focus"] == 1


def test_a_skill_that_reached_nothing_is_a_fault():
    env = survey(skills=(Focus(ok=False),))
    step = env.apply(40)
    assert step.fault.error == "ReachError"
    assert "refocus: no contrast" in step.fault.message
    assert scalars(env)["steps_since_focus"] == 1


def test_sharpness_is_told_against_the_first_frames_after_focusing():
    env = survey(skills=(Focus(),))
    found = []
    for site in SITES[:8]:
        found.append(env.apply(detail(site)).score.quality["sharpness"])
        expected = 1.0 if len(found) < 2 else found[-1] / np.median(found[:5])
        assert scalars(env)["sharpness_ratio"] == pytest.approx(expected)
    env.apply(40)
    assert scalars(env)["sharpness_ratio"] == 1.0


def test_stop_ends_the_survey():
    step = survey().apply(STOP)
    assert (step.kind, step.terminated, step.truncated) == (Kind.STOP, True, False)


def test_the_aim_is_met_when_every_site_is_seen_or_given_up():
    env = survey()
    env.block(SITES[-1])
    steps = [env.apply(detail(site)) for site in SITES[:-1]]
    assert [step.terminated for step in steps] == [False] * 14 + [True]


def test_a_spent_budget_truncates_and_no_look_is_begun_that_it_cannot_pay():
    one = TASK.looks[1].exposure.electrons(50.0)
    env = survey(budget=Budget(time_s=3600.0, electrons=2.3 * one))
    assert [env.apply(detail(site)).truncated for site in SITES[:2]] == [False, True]
    assert not env.action_masks()[:-1].any()
    assert env.situation.guard.ledger.electrons() == pytest.approx(2 * one)
    env = survey(budget=Budget(time_s=15.0, electrons=1e12), decision_time_s=1.0)
    while not (step := env.apply(int(np.flatnonzero(env.action_masks())[0]))).truncated:
        assert not step.terminated
    assert env.situation.clock.now_s() <= 15.0


def test_steps_follow_without_a_gap_in_number_and_time():
    env = survey(decision_time_s=2.0, recorder=(diary := Diary()))
    for action in (overview(0), detail(4), overview(0), detail(5)):
        env.apply(action)
        env.situation.clock.wait(0.5)  # somebody else's business between two steps counts as well
    env.control(6, 1.0)
    steps = diary.steps
    assert [step.number for step in steps] == list(range(5))
    assert [step.start_s for step in steps[1:]] == [step.end_s for step in steps[:-1]]
    assert all(step.end_s - step.start_s >= 2.0 for step in steps[:4])
    assert scalars(env)["time_left_s"] == pytest.approx(3600.0 - env.situation.clock.now_s())


def test_a_look_at_the_present_place_moves_nothing():
    steady = SETTINGS.model_copy(
        update={"stage": SETTINGS.stage.model_copy(update={"readback_nm": 0.0, "creep_nm": 0.0, "reach_nm": 0.0})}
    )
    env = survey(settings=steady, skills=(Focus(),))
    env.apply(detail(4))
    env.situation.guard.state()
    again = SurveyEnv(env.situation).apply(detail(4))
    assert again.stage is None
    assert again.fault is None
