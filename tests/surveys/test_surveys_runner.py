from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from survey_samples import small, stop_after

import surveys.session
from archive.reader import SurveyReader
from configs.load import ConfigError
from envs.step import Kind, Stream
from instruments.clock import SimulatedClock
from instruments.simulated.microscope import SimulatedMicroscope
from surveys.asking import ask
from surveys.endings import Reason
from surveys.night import open_night, resume_night
from surveys.runner import run_survey


def run(settings, folder, on_step=None, before=None):
    night = open_night(settings, folder, people=SimulatedClock())
    if before:
        before(night)
    return run_survey(night, on_step or (lambda step, progress: None))


def events(folder, kind):
    with SurveyReader(folder) as reader:
        return reader.events(kind)


def steps(folder):
    with SurveyReader(folder) as reader:
        return list(reader.steps())


def test_a_night_ends_complete_with_every_site_seen_and_a_record(tmp_path):
    summary = run(small(), tmp_path / "n")
    assert (summary.reason, summary.exit_code) == (Reason.COMPLETE, 0)
    made = steps(tmp_path / "n")
    seen = {s.target for s in made if s.look == "detail"}
    assert len(seen) == 16
    assert [s.number for s in made] == list(range(len(made)))
    assert events(tmp_path / "n", "end")[-1].data["reason"] == "complete"
    assert not list(tmp_path.glob("n/*.jsonl")), "the world's truth stays outside the survey's folder"


def test_detail_fraction_ends_the_survey_controls_included(tmp_path):
    run(small(8, budget={"detail_fraction": 0.25}, controls={"count": 4}), tmp_path / "n")
    made = steps(tmp_path / "n")
    controls = {s.target for s in made if s.kind is Kind.CONTROL}
    seen = {s.target for s in made if s.look == "detail" and s.fault is None}
    assert len(controls) == 4
    assert len(seen | controls) <= 16
    tags = {t for s in made if s.kind is Kind.CONTROL for r in s.exposures for t in r.tags}
    assert {(t.stream, t.inclusion_probability) for t in tags} <= {(Stream.CONTROL, 4 / 64)}


def test_two_specimens_one_after_the_other(tmp_path):
    area = {"width_nm": 200.0, "height_nm": 200.0}
    run(small(specimens=[{"name": "a", "area": area}, {"name": "b", "area": {**area, "x_nm": 900.0}}]), tmp_path / "n")
    names = [s.specimen for s in steps(tmp_path / "n")]
    assert names == sorted(names)
    assert set(names) == {"a", "b"}


def test_a_loader_that_is_not_there_is_said_before_anything_moves(tmp_path):
    area = {"width_nm": 200.0, "height_nm": 200.0}
    with pytest.raises(ConfigError, match="has no loader"):
        run(small(specimens=[{"name": "a", "area": area, "position": "slot 3"}]), tmp_path / "n")
    assert list(tmp_path.iterdir()) == []


class Hanging:
    """Decides like the raster agent, except at some steps."""

    def __init__(self, agent, at, how):
        self._agent, self._at, self._how = agent, at, how
        self.name = "hanging"

    def act(self, observation):
        number = int(observation["globals"][8])
        return self._how(self._agent.act(observation)) if number in self._at else self._agent.act(observation)

    def observe(self, step):
        self._agent.observe(step)


def hang(decision):
    threading.Event().wait(60)


def crash(decision):
    raise RuntimeError("no idea")


def nonsense(decision):
    return replace(decision, action=10**9)


@pytest.mark.parametrize(("how", "what"), [(hang, "no answer"), (crash, "no idea"), (nonsense, "outside 0")])
def test_an_agent_that_fails_is_replaced_for_that_step(tmp_path, monkeypatch, how, what):
    real = surveys.session.make_agent
    monkeypatch.setattr(surveys.session, "make_agent", lambda *a: Hanging(real(*a), {3, 7}, how))
    summary = run(small(decision_deadline_s=0.2), tmp_path / "n")
    assert summary.reason is Reason.COMPLETE
    by = [s.decision.decided_by for s in steps(tmp_path / "n")]
    assert by.count("fallback") == 2
    faults, replies = events(tmp_path / "n", "fault"), events(tmp_path / "n", "reply")
    assert len([f for f in faults if what in f.message]) == 2
    assert len([r for r in replies if r.message.startswith("fallback")]) == 2


class Unteachable:
    """Decides, and breaks or hangs over a step it is to learn from."""

    def __init__(self, agent, how):
        self._agent, self._how = agent, how
        self.name, self.act = "unteachable", agent.act

    def observe(self, step):
        if step.number == 4:
            self._how(step)


@pytest.mark.parametrize(("how", "what"), [(hang, "no answer within 0.2 s"), (crash, "RuntimeError: no idea")])
def test_an_agent_that_cannot_learn_is_given_up_and_the_night_completes(tmp_path, monkeypatch, how, what):
    real = surveys.session.make_agent
    monkeypatch.setattr(surveys.session, "make_agent", lambda *a: Unteachable(real(*a), how))
    summary = run(small(decision_deadline_s=0.2), tmp_path / "n")
    assert summary.reason is Reason.COMPLETE
    made = steps(tmp_path / "n")
    by = [s.decision.decided_by for s in made]
    assert by[:5] == ["agent"] * 5
    assert "fallback" in by
    assert all(what in s.decision.reason for s in made if s.decision.decided_by == "fallback")
    faults, replies = events(tmp_path / "n", "fault"), events(tmp_path / "n", "reply")
    assert [r.id for r in replies] == [f.id + 1 for f in faults]


def test_a_person_pauses_looks_skips_and_stops(tmp_path):
    folder = tmp_path / "n"
    said = []

    def on_step(step, progress):
        said.append(step)
        if len(said) == 6:
            ask(folder, "skip", {"target": 12}, person="Ada")
            ask(folder, "look_here", {"x_nm": 75.0, "y_nm": 75.0}, person="Ada")
            for kind in ("look_here", "skip"):
                ask(folder, kind, {"x_nm": 0.0, "y_nm": 0.0, "target": 13, "specimen": "another"}, person="Bo")
        if len(said) == 9:
            ask(folder, "look_here", {"x_nm": -75.0, "y_nm": 75.0}, person="Cy")
            ask(folder, "pause", person="Ada")
            ask(folder, "resume", person="Ada")
            ask(folder, "stop", person="Ada")

    summary = run(small(), folder, on_step)
    assert (summary.reason, summary.exit_code) == (Reason.STOPPED, 5)
    wished = next(s for s in said if s.decision.decided_by == "person")
    assert wished.decision.person == "Ada"
    assert wished.exposures[0].tags[0].stream is Stream.OPERATOR
    assert wished.stage is None or abs(wished.stage.requested.x_nm - 75.0) < 26
    assert len(said) == 9
    with SurveyReader(folder) as reader:
        answers = {(row.person, row.kind): (row.state, row.reply) for row in reader.requests()}
        refused = ("refused", f"it is a place of another, and now it is {said[0].specimen}")
        assert answers.pop(("Bo", "look_here")) == answers.pop(("Bo", "skip")) == refused
        assert answers.pop(("Cy", "look_here")) == ("too late", f"{said[0].specimen} was over before")
        assert {state for state, _ in answers.values()} <= {"done", "accepted"}
        assert [e.data["target"] for e in reader.events("block")] == [12]


def test_confirm_waits_for_a_person_and_parks_after_the_deadline(tmp_path):
    folder = tmp_path / "n"
    night = open_night(small(autonomy="confirm", confirm_deadline_s=5.0), folder, people=SimulatedClock())
    polls = []

    class People(SimulatedClock):
        def wait(self, duration_s):
            super().wait(duration_s)
            polls.append(duration_s)
            if len(polls) == 60:
                ask(folder, "approve", {"proposal": 1}, person="Ada")
            if len(polls) == 65:
                ask(folder, "reject", {"proposal": 2}, person="Ada")
            if len(polls) == 70:
                ask(folder, "stop", person="Ada")

    summary = run_survey(replace(night, people=People()), lambda step, progress: None)
    assert summary.reason is Reason.STOPPED
    assert len(events(folder, "park")) == 1
    approved, refused = steps(folder)
    assert approved.exposures and not refused.exposures and "Ada turned it down" in refused.fault.message
    rejected = events(folder, "block")
    assert len(rejected) == 1
    assert "Ada rejected" in rejected[0].message
    assert [event.data["proposal"] for event in events(folder, "answered")] == [1, 2, 3]


def test_only_what_waits_can_be_approved(tmp_path):
    """Answers without a number, to another proposal, or many at once approve nothing that nobody has seen."""
    folder = tmp_path / "n"
    night = open_night(small(autonomy="confirm"), folder, people=SimulatedClock())
    polls = []

    class People(SimulatedClock):
        def wait(self, duration_s):
            super().wait(duration_s)
            polls.append(duration_s)
            if len(polls) == 2:
                for data in ({}, {"proposal": 2}, {"proposal": 1}, {"proposal": 1}, {}):
                    ask(folder, "approve", data, person="Ada")
            if len(polls) == 8:
                ask(folder, "stop", person="Ada")

    run_survey(replace(night, people=People()), lambda step, progress: None)
    assert len(steps(folder)) == 1
    with SurveyReader(folder) as reader:
        states = [row.state for row in reader.requests() if row.kind == "approve"]
    assert states == ["refused", "refused", "done", "done", "refused"]


def test_controls_wait_for_a_person_too(tmp_path):
    folder = tmp_path / "n"
    night = open_night(small(autonomy="confirm", controls={"count": 3}), folder, people=SimulatedClock())

    class People(SimulatedClock):
        def wait(self, duration_s):
            super().wait(duration_s)
            with SurveyReader(folder) as reader:
                waiting = reader.rows.open_proposal()
            if waiting is not None:
                verdict = "reject" if "control" in waiting.message else "approve"
                ask(folder, verdict, {"proposal": waiting.data["proposal"]}, person="Ada")

    summary = run_survey(replace(night, people=People()), lambda step, progress: None)
    assert summary.reason is Reason.COMPLETE
    assert not any(step.kind is Kind.CONTROL for step in steps(folder))
    asked = [event for event in events(folder, "proposal") if "control" in event.message]
    assert len(asked) == len(events(folder, "block")) == 3


@pytest.mark.parametrize("blanked", [True, False])
def test_advice_leaves_a_beam_that_is_on_to_the_operator(tmp_path, monkeypatch, blanked):
    written = []
    for verb in ("move", "tune", "acquire", "blank"):
        monkeypatch.setattr(SimulatedMicroscope, verb, lambda self, *a, verb=verb: written.append(verb))
    state = SimulatedMicroscope.state
    monkeypatch.setattr(SimulatedMicroscope, "state", lambda self: replace(state(self), blanked=blanked))
    night = open_night(small(autonomy="advise", budget={"hours": 5 / 3600.0}), tmp_path / "n", people=SimulatedClock())
    night.guard.hold("a signal")
    summary = run_survey(night)
    assert summary.reason is Reason.COMPLETE
    assert written == []
    assert events(tmp_path / "n", "advice")[0].data["operator"]["blanked"] is blanked


@pytest.mark.parametrize("proposals", [500, pytest.param(10_000, marks=pytest.mark.slow)])
def test_advice_writes_nothing_to_the_driver(tmp_path, proposals):
    settings = small(autonomy="advise", budget={"hours": proposals / 3600.0})
    night = open_night(settings, tmp_path / "n", people=SimulatedClock())
    calls = []
    driver = night.guard._microscope._microscope
    for verb in ("move", "tune", "acquire", "blank", "close"):
        setattr(driver, verb, lambda *a, verb=verb: calls.append(verb))
    summary = run_survey(night)
    assert f"after {proposals} proposals" in summary.message
    assert calls == []
    advice = events(tmp_path / "n", "advice")
    assert advice
    assert {"x_nm", "y_nm"} <= set(advice[0].data["operator"])


def test_what_is_resumed_equals_what_was_never_stopped(tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run(small(), whole)
    night = open_night(small(), parts, people=SimulatedClock())

    assert run_survey(night, stop_after(night, 7)).exit_code == 130
    night = resume_night(parts, people=SimulatedClock())
    assert run_survey(night, stop_after(night, 13)).exit_code == 130
    assert run_survey(resume_night(parts, people=SimulatedClock())).reason is Reason.COMPLETE

    def deeds(folder):
        return [(s.number, s.kind, s.target, s.look, s.decision.action) for s in steps(folder)]

    assert deeds(parts) == deeds(whole)
    read_out = [s.score.descriptors for s in steps(whole) if s.score]
    assert [s.score.descriptors for s in steps(parts) if s.score][:8] == read_out[:8]
