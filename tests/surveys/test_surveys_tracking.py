"""Following a specimen from a config: deadlines, controls, records, and what is said where it cannot be done."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra 'simulate' is not installed")

from agent.tracking import Tracker
from agent.tracking_mission import Choice
from archive.reader import SurveyReader
from configs.load import ConfigError, load
from envs.particles import Measured
from models.kinetics import View
from models.kinetics_filter import KineticFilter
from models.kinetics_nuisance import Reading
from review.tracking import write_tracking_report
from surveys.tracking import run_tracking
from surveys.tracking_dose import Share, explained_by_dose
from surveys.tracking_holder import Holder, divided
from surveys.tracking_mind import FollowingMind
from surveys.tracking_prepare import expected_conditions, prepare, rehearsed
from surveys.tracking_settings import TrackSettings

CONFIG = "configs/track_liquid_cell.yaml"
SHORT = (
    "horizon_s=150",
    "tick_s=10",
    "electrons=1.5e8",
    "sets=48",
    "places=[{x_nm: 0, y_nm: 0}, {x_nm: 600, y_nm: 0}]",
    "controls.places=[{x_nm: 0, y_nm: 1500}]",
    "program=[{at_s: 10, condition: concentration_mM, value: 4.0}]",
    "looks={quick: {signal: HAADF, field_of_view_nm: 400, pixels: 128, dwell_us: 1}}",
    "controls.look=quick",
)


FIRST = np.array([4.0, 1.5, 0.2, -1.5, np.nan]), np.array([0.1, 0.05, 0.05, 0.05, np.nan])


class Slow:
    """An agent that takes its time, or breaks, at the decisions that are named."""

    def __init__(self, late=(), broken=()):
        self.late, self.broken, self.asked, self.heard = late, broken, 0, []

    def wait(self, duration_s, conditions):
        self.heard.append(("wait", duration_s))

    def observe(self, reading):
        self.heard.append(("reading", reading))

    def failed(self, look, place, electrons, *, lasting):
        self.heard.append(("failed", look, place, electrons, lasting))

    def act(self):
        self.asked += 1
        if self.asked in self.broken:
            raise RuntimeError("no idea")
        if self.asked in self.late:
            time.sleep(0.4)
        return Choice(None, 0, 0.0, 0.0, f"answer {self.asked}")


def test_nobody_waits_for_an_agent_beyond_its_deadline_and_late_answers_are_not_used():
    mind = FollowingMind(Slow(late={2}), deadline_s=0.15)
    assert mind.act().why == "answer 1"
    began_s = time.monotonic()
    assert mind.act() is None
    assert time.monotonic() - began_s < 0.35
    assert "no answer within 0.15 s" in mind.trouble
    time.sleep(0.5)
    assert mind.act().why == "answer 3"
    mind.close()


def test_a_late_answer_to_an_earlier_question_does_not_begin_the_deadline_anew():
    agent = Slow(late={1})
    mind = FollowingMind(agent, deadline_s=0.3)
    assert mind.act() is None
    began_s = time.monotonic()
    mind.act()  # meanwhile the first answer comes
    assert time.monotonic() - began_s < 0.5
    for _ in range(3):
        mind.act()
    mind.close()


def test_what_nobody_waits_for_any_more_is_not_worked_out():
    agent = Slow(late={1})
    mind = FollowingMind(agent, deadline_s=0.05)
    for _ in range(5):  # 0.25 s, and the first answer takes 0.4 s
        assert mind.act() is None
        assert mind.late
    time.sleep(0.5)
    assert agent.asked <= 2
    mind.close()


def test_an_agent_that_breaks_is_told_of_and_hears_everything_all_the_same():
    agent = Slow(broken={1})
    mind = FollowingMind(agent, deadline_s=1.0)
    assert mind.act() is None
    assert "RuntimeError: no idea" in mind.trouble
    mind.wait(5.0, {})
    mind.observe(None)
    assert mind.act() is not None
    assert agent.heard == [("wait", 5.0), ("reading", None)]
    mind.close()


@pytest.fixture(scope="module")
def following():
    return prepare(load(CONFIG, TrackSettings, SHORT))


def test_a_run_keeps_every_frame_with_its_conditions_and_ends_in_a_report(following, tmp_path):
    folder = tmp_path / "run"
    told: list[str] = []
    found = run_tracking(following, folder, told.append)
    rows = [json.loads(line) for line in (folder / "tracking.jsonl").read_text().splitlines()]
    looked = [row for row in rows if row["look"]]
    assert found["looks"] == sum(row["decided_by"] == "agent" for row in looked) > 3
    assert sum(row["decided_by"] == "runner" for row in looked) == 2
    assert found["electrons"] <= 1.5e8
    assert rows[-1]["held"]["concentration_mM"] > 3.5
    assert rows[0]["held"]["concentration_mM"] < 0.2
    with SurveyReader(folder) as reader:
        exposures = list(reader.exposures())
        assert len(exposures) == len(looked)
        kept = reader.frame(looked[-1]["exposures"][0] if looked[-1]["exposures"] else 1)
        assert next(iter(kept.values())).shape == (128, 128)
        assert any(event.kind == "holder" for event in reader.events())
    page = write_tracking_report(folder).read_text()
    assert "data:image/png" in page
    assert found["dose_told"][:20].lower() in page.lower()
    assert any("nats" in line for line in told)


def test_late_decisions_are_taken_in_turn_and_counted(following, tmp_path, monkeypatch):
    """In real time, with a real deadline."""
    act = Tracker.act

    def slowly(tracker):
        time.sleep(0.4)
        return act(tracker)

    monkeypatch.setattr(Tracker, "act", slowly)
    settings = following.settings
    quick = settings.model_copy(
        update={
            "instrument": settings.instrument.model_copy(update={"real_time": True}),
            "horizon_s": 8.0,
            "tick_s": 1.0,
            "decision_deadline_s": 0.05,
            "program": (),
            "controls": settings.controls.model_copy(update={"places": ()}),
        }
    )
    mission = replace(following.mission, horizon_s=8.0, tick_s=1.0)
    found = run_tracking(replace(following, settings=quick, mission=mission), tmp_path / "late", lambda _: None)
    assert found["late"] >= 5
    assert found["broken"] == 0
    assert any("came too late" in line for line in found["trouble"])
    rows = [json.loads(line) for line in (tmp_path / "late" / "tracking.jsonl").read_text().splitlines()]
    fallen = [row for row in rows if row["decided_by"] == "fallback" and row["look"]]
    assert {row["place"] for row in fallen} == {0, 1}
    assert found["electrons"] <= 1.5e8


def test_a_simulated_run_repeats_however_long_the_agent_takes(following, tmp_path, monkeypatch):
    settings = following.settings.model_copy(update={"decision_deadline_s": 1e-3})
    short = replace(following, settings=settings)
    runs = [run_tracking(short, tmp_path / name, lambda _: None) for name in ("one", "other")]
    assert runs[0] == runs[1]
    assert runs[0]["late"] == 0


def test_readings_that_the_agent_failed_to_take_up_are_told(following, tmp_path, monkeypatch):
    learn, heard = KineticFilter._learn, []

    def sometimes(known, reading):
        heard.append(reading)
        learn(known, reading)
        if len(heard) > 2:
            raise np.linalg.LinAlgError("Singular matrix")

    monkeypatch.setattr(KineticFilter, "_learn", sometimes)
    found = run_tracking(following, tmp_path / "deaf", lambda _: None)
    assert len(found["not_learned"]) == len(heard) - 2 > 0
    assert any("did not take up" in line and "Singular matrix" in line for line in found["trouble"])


def test_what_a_reading_broke_is_as_it_was_before(following, monkeypatch):
    known = Tracker(following.mission, lambda a, b: [])
    seen = known.mission.reading(known.mission.looks[0], 0, 0.0, Measured(*FIRST, 0, 1.0, 1e-3))
    known.observe(seen)
    before = known.filter.probabilities().copy(), len(known.filter.lived)
    monkeypatch.setattr(KineticFilter, "_take", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        known.observe(seen)
    monkeypatch.undo()
    np.testing.assert_array_equal(known.filter.probabilities(), before[0])
    known.wait(5.0, {"concentration_mM": 1.0})
    known.observe(seen)  # and it goes on


def test_half_times_are_those_of_what_the_holder_read_not_of_what_it_was_ordered(following, tmp_path):
    """The order never comes about: nothing grows, and no half-time of a growth that did not happen is told."""
    settings = following.settings.model_copy(
        update={"program": (following.settings.program[0].model_copy(update={"value": 50.0}),)}
    )
    told: list[str] = []
    found = run_tracking(replace(following, settings=settings), tmp_path / "refused", told.append)
    assert found["orders_refused"]
    assert any("concentration_mM = 50 was not carried out" in line for line in found["trouble"])
    assert any("was not carried out" in line for line in told)
    rows = [json.loads(line) for line in (tmp_path / "refused" / "tracking.jsonl").read_text().splitlines()]
    assert sum("was not carried out" in (row["fault"] or "") for row in rows) == 1
    assert "was not carried out" in write_tracking_report(tmp_path / "refused").read_text()
    middle = np.array(found["laws"][0]["courses"][0]["middle"])
    assert middle[-1, 3] - middle[0, 3] < 0.7  # with the 4 mM of the order the volume grows a hundredfold


def test_the_dose_is_judged_before_the_start(following):
    poor = replace(following, mission=replace(following.mission, electrons=1.2e7))
    told = list(rehearsed(poor))
    assert not all(each.told for each in told)
    assert all(each.looks == 2 for each in told)


def test_the_programme_is_what_is_expected(following):
    settings = following.settings
    assert expected_conditions(settings, {"concentration_mM": 0.0}, 0.0, 50.0) == [
        (10.0, {"concentration_mM": 0.0}),
        (40.0, {"concentration_mM": 4.0}),
    ]
    assert expected_conditions(settings, {"concentration_mM": 3.9}, 20.0, 50.0) == [(30.0, {"concentration_mM": 3.9})]


def test_a_reading_within_the_noise_changes_nothing_and_gaps_are_counted():
    holder = Holder({"temperature_K": 2.0})
    assert holder.read({"temperature_K": 300.0}, ["temperature_K"]) == {"temperature_K": 300.0}
    assert holder.read({"temperature_K": 301.5}, ["temperature_K"]) == {"temperature_K": 300.0}
    assert holder.read({}, ["temperature_K"]) == {"temperature_K": 300.0}
    assert holder.read({"temperature_K": 303.0}, ["temperature_K"]) == {"temperature_K": 303.0}
    assert holder.gaps == {"temperature_K": 1}


def test_a_holder_that_lags_is_followed_from_half_way_between_two_samples():
    holder, names = Holder({"temperature_K": 2.0}), ["temperature_K"]
    assert holder.passed({"temperature_K": (300.0, 0.0)}, names, 0.0, 0.0)[-1][1] == {"temperature_K": 300.0}
    passed = holder.passed({"temperature_K": (340.0, 8.0)}, names, 0.0, 10.0)
    assert passed == [(4.0, {"temperature_K": 300.0}), (6.0, {"temperature_K": 340.0})]
    assert holder.passed({"temperature_K": (340.5, 18.0)}, names, 10.0, 20.0) == [(10.0, {"temperature_K": 340.0})]
    assert divided(passed, 5.0) == (
        [(4.0, {"temperature_K": 300.0}), (1.0, {"temperature_K": 340.0})],
        [(5.0, {"temperature_K": 340.0})],
    )
    assert divided(passed, 0.0) == ([], passed)


def reading(place, t_s, number, electrons):
    values = np.array([number, np.nan, np.nan, np.nan, np.nan])
    return Reading(t_s, View(place, 0.0, 400.0), "image", values, np.where(np.isnan(values), np.nan, 0.02), electrons)


FLOOR = View(0, 0.0, 400.0).number_floor_per_um2


def counted(place, t_s, number, electrons):
    return reading(place, t_s, np.log(number + FLOOR), electrons)


@pytest.mark.parametrize("from_none", [False, True])
@pytest.mark.parametrize("share", [0.9, 0.5, 0.0])
def test_what_the_beam_explains_is_a_part_of_what_changed_not_of_its_logarithm(share, from_none):
    start, end = (0.0, 300.0) if from_none else (400.0, 100.0)
    watched = [
        counted(p, t, start + (end - start) * t / 600.0, 1e7) for p in (0, 1) for t in (0.0, 200.0, 400.0, 600.0)
    ]
    controls = [counted(5, t, start + (1 - share) * (end - start) * t / 600.0, 1e6) for t in (0.0, 600.0)]
    found = explained_by_dose(watched, controls, [0.02] * 5)
    low, high = found.interval
    assert found.explained == pytest.approx(share, abs=1e-6)
    assert low < share < high < low + 0.25
    assert found.fluence_e_per_A2 > 10 * found.control_fluence_e_per_A2


def test_the_interval_of_the_beams_part_holds_as_often_as_it_says():
    rng, held = np.random.default_rng(0), 0
    for _ in range(300):
        watched, control = 1.0 + 0.15 * rng.standard_normal(), 0.6 + 0.2 * rng.standard_normal()
        low, high = Share("number", watched, 0.15, control, 0.2, 10.0, 1.0).interval or (-9.0, 9.0)
        held += low <= 0.4 <= high
    assert 0.85 <= held / 300 <= 0.95


def test_what_the_beam_holds_up_is_told():
    watched = [counted(p, t, 200.0, 1e7) for p in (0, 1) for t in (0.0, 300.0, 600.0)]
    controls = [counted(5, t, 200.0 + 200.0 * t / 600.0, 1e6) for t in (0.0, 600.0)]
    found = explained_by_dose(watched, controls, [0.02] * 5)
    assert found.explained is None
    assert "the beam holds the change up" in str(found)


def test_without_controls_or_a_change_nothing_is_said_of_dose():
    still = [reading(0, t, 5.0, 1e7) for t in (0.0, 600.0)]
    assert explained_by_dose(still, [], [0.02] * 5) is None
    assert explained_by_dose(still, [reading(5, t, 5.0, 1e6) for t in (0.0, 600.0)], [0.02] * 5) is None


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("expected.supply=null", "names neither temperature_K nor supply"),
        ("program=[{at_s: 1, condition: bias_V, value: 1}]", "limits.conditions does not allow"),
        ("controls.look=close", "the looks are"),
        ("controls.times=1", "two exposures at least"),
        ("tick_s=1e4", "longer than horizon_s"),
        ("program=[{at_s: 1, condition: concentration_mM, value: 8}]", "allows 0 to 5"),
        ("places=[{x_nm: 3000, y_nm: 0}]", r"places\[0\].x_nm is 3000"),
        ("controls.places=[{x_nm: 0, y_nm: -3000}]", r"controls.places\[0\].y_nm is -3000"),
        ("looks.image.signal=", "signal"),
    ],
)
def test_what_cannot_be_followed_is_told_at_once(change, told):
    with pytest.raises(ConfigError, match=told):
        load(CONFIG, TrackSettings, (change,))


def test_a_signal_that_is_not_there_and_a_budget_that_pays_nothing_are_told():
    with pytest.raises(ConfigError, match="this instrument has HAADF, EELS"):
        prepare(load(CONFIG, TrackSettings, ("looks.image.signal=ADF",)))
    with pytest.raises(ConfigError, match="no look can be paid"):
        prepare(load(CONFIG, TrackSettings, (*SHORT, "electrons=1.1e7")))
    with pytest.raises(ConfigError, match="bias_V drives the process, and this holder reads concentration_mM"):
        prepare(load(CONFIG, TrackSettings, ("expected.supply=bias_V",)))
