from __future__ import annotations

from dataclasses import replace

import pytest

import instruments.errors
from envs.step import Decision, ExposureRecord, Fault, Kind, Purpose, Score, Step
from instruments.types import Exposure, Footprint, Optics, StagePosition
from surveys.recovery import BLANK, DRIFT, LATCHING, TABLE, Recovery, RecoverySettings, Verb


def burst(dwell_us):
    """Two frames of 128 × 128 pixels of 0.5 nm."""
    return ExposureRecord(
        exposure=Exposure(field_of_view_nm=64.0, shape=(128, 128), dwell_us=dwell_us, frames=2, id=1),
        purpose=Purpose.DETAIL,
        tags=(),
        footprint=Footprint(x_nm=0.0, y_nm=0.0, width_nm=64.0, height_nm=64.0),
        stage=StagePosition(),
        optics=Optics(),
        start_s=0.0,
        end_s=1.0,
        electrons=0.0,
        committed=True,
    )


def step(
    error=None,
    *,
    message="it failed",
    electrons=0.0,
    quality=None,
    target=4,
    latching=False,
    until_s=None,
    dwell_us=10.0,
):
    fault = error and Fault(error=error, message=message, latching=latching, until_s=until_s)
    score = Score(cells=(), descriptors=(), interest=(), quality=quality or {})
    return Step(
        number=0,
        specimen="a",
        kind=Kind.LOOK,
        decision=Decision(action=0),
        target=target,
        look="detail",
        exposures=(burst(dwell_us),),
        score=None if fault else score,
        fault=fault,
        start_s=0.0,
        end_s=1.0,
        electrons=electrons,
    )


@pytest.fixture
def recovery():
    return Recovery(RecoverySettings())


def test_every_error_of_an_instrument_has_its_row():
    errors = {
        name
        for name, kind in vars(instruments.errors).items()
        if isinstance(kind, type) and issubclass(kind, instruments.errors.InstrumentError)
    }
    assert errors - {"InstrumentError"} <= set(TABLE)


def test_a_good_step_is_carried_on_from(recovery):
    assert recovery.reply(step(), 1.0).verb is Verb.CARRY_ON


def test_a_stage_that_does_not_arrive_is_tried_after_1_2_4_s_then_skipped_then_parked(recovery):
    replies = [recovery.reply(step("ReachError"), 1.0) for _ in range(12)]
    one_target = [(Verb.RETRY, 1.0), (Verb.RETRY, 2.0), (Verb.RETRY, 4.0), (Verb.SKIP, 0.0)]
    assert [(r.verb, r.wait_s) for r in replies] == [*one_target, *one_target, *one_target[:3], (Verb.PARK, 30.0)]
    assert all(r.again for r in replies if r.verb is Verb.RETRY)
    assert [r.give_up for r in replies if r.verb in (Verb.SKIP, Verb.PARK)] == [True, True, True]


@pytest.mark.parametrize("error", sorted(set(TABLE) - {"Held"}))
def test_what_may_have_been_exposed_is_never_tried_again(recovery, error):
    replies = [recovery.reply(step(error, electrons=1e6), 1.0) for _ in range(10)]
    assert not any(reply.again for reply in replies)
    assert all(reply.give_up for reply in replies)


def test_what_a_stop_held_off_is_no_trouble_unless_it_was_booked(recovery):
    assert recovery.reply(step("Held"), 1.0).verb is Verb.CARRY_ON
    assert recovery.reply(step("Held", electrons=1e6), 1.0).verb is Verb.CARRY_ON  # of frames that were kept
    booked = replace(burst(10.0), committed=False, electrons=1e6)
    reply = recovery.reply(replace(step("Held", electrons=1e6), exposures=(booked,)), 1.0)
    assert (reply.give_up, reply.again) == (True, False)


def test_a_busy_instrument_is_left_alone_until_the_time_it_names(recovery):
    reply = recovery.reply(step("BusyError", until_s=700.0), 100.0)
    assert (reply.verb, reply.wait_s, reply.again) == (Verb.PARK, 600.0, True)


def waited_for(recovery, trouble, now_s, calm_s):
    """Seconds waited, the step after each wait a success, the next trouble ``calm_s`` after it."""
    waits = []
    while (reply := recovery.reply(step(trouble), now_s)).verb is Verb.PARK:
        waits.append(reply.wait_s)
        assert recovery.reply(step(), now_s + reply.wait_s).verb is Verb.CARRY_ON
        now_s += reply.wait_s + calm_s
        if len(waits) == 20:
            break
    return waits, reply


def test_the_hold_off_doubles_up_to_its_cap_and_calm_resets_it(recovery):
    waits = [recovery.reply(step("BusyError"), 1.0).wait_s for _ in range(7)]
    assert waits == [30.0, 60.0, 120.0, 240.0, 480.0, 900.0, 900.0]
    recovery.reply(step(), 1.0)
    assert recovery.reply(step("NoRoom"), 1.0).wait_s == 30.0  # another trouble has its own
    assert recovery.reply(step("NoRoom"), 400.0).wait_s == 30.0


def test_what_flaps_is_waited_for_ever_longer_and_then_left_to_a_person(recovery):
    """A vacuum at its threshold: good again after every wait, and bad again a minute later."""
    waits, reply = waited_for(recovery, "BusyError", 0.0, 60.0)
    assert waits == [30.0, 60.0, 120.0, 240.0, 480.0] + [900.0] * 6
    assert reply.verb is Verb.STOP
    assert "come back 11 times" in reply.reason
    waits, _ = waited_for(Recovery(RecoverySettings()), "BusyError", 0.0, 600.0)
    assert waits == [30.0] * 20


def test_a_latch_stops(recovery):
    reply = recovery.reply(step("HardwareFault", latching=True), 1.0)
    assert (reply.verb, reply.trouble) == (Verb.STOP, LATCHING)


def test_hours_without_success_stop(recovery):
    assert recovery.reply(step("BusyError"), 1.0).verb is Verb.PARK
    assert recovery.reply(step("BusyError"), 5 * 3600.0).verb is Verb.STOP


def test_an_unknown_error_is_parked_upon(recovery):
    assert recovery.reply(step("Surprise"), 1.0).verb is Verb.PARK


def test_a_blank_frame_parks_and_costs_the_place_nothing_more(recovery):
    reply = recovery.reply(step(quality={"blank": 1.0}, electrons=1e6), 1.0)
    assert (reply.verb, reply.trouble, reply.again, reply.give_up) == (Verb.PARK, BLANK, False, False)


def test_three_drifting_frames_in_a_row_wait_for_the_drift(recovery):
    drifting, still, silent = ({"drift_nm_per_s": 4.0}, {"drift_nm_per_s": 0.3}, {})
    told = [
        recovery.reply(step(quality=q), 1.0).trouble
        for q in (*[drifting] * 2, still, *[drifting] * 2, silent, drifting)
    ]
    assert told == [*[""] * 6, DRIFT]
    assert recovery.reply(step(quality=drifting), 1.0).wait_s == 120.0


def test_a_drift_too_slow_for_quick_frames_blurs_slow_ones(recovery):
    slow, quick = {"quality": {"drift_nm_per_s": 1.5}, "dwell_us": 400.0}, {"quality": {"drift_nm_per_s": 1.5}}
    assert [recovery.reply(step(**quick), 1.0).trouble for _ in range(4)] == [""] * 4
    assert [recovery.reply(step(**slow), 1.0).trouble for _ in range(3)] == ["", "", DRIFT]


def test_a_masked_action_says_nothing_about_the_place(recovery):
    reply = recovery.reply(step("LimitError", message="masked: too far"), 1.0)
    assert (reply.verb, reply.again) == (Verb.SKIP, False)
