"""What people choose beside an agent becomes Steps: approved, turned down, redirected, or done by hand."""

from __future__ import annotations

from dataclasses import replace

from survey_samples import small

from archive.reader import SurveyReader
from envs.step import BY_HAND, REFUSED
from instruments.clock import SimulatedClock
from instruments.simulated.microscope import SimulatedMicroscope
from review.report import write_report
from review.summary import summarise
from surveys.asking import ask
from surveys.endings import Reason
from surveys.night import open_night, resume_night
from surveys.runner import run_survey
from training.nights import lived


def read(folder):
    with SurveyReader(folder) as reader:
        return list(reader.steps()), summarise(reader.meta, reader.rows, running=False)["agreement"], reader.meta


def taught(folder):
    """What a policy learns of it, as (action) in turn."""
    with SurveyReader(folder) as reader:
        names = tuple(reader.meta.config["looks"])
    (night,) = lived([folder], (names, ("refocus",)), lambda seen: {"mask": seen["action_mask"]})
    return [action for _, action, _ in night.rows]


def test_answers_to_proposals_are_steps_that_teach(tmp_path):
    folder = tmp_path / "n"
    night = open_night(small(autonomy="confirm"), folder, people=SimulatedClock())
    answered = []

    class People(SimulatedClock):
        def wait(self, duration_s):
            super().wait(duration_s)
            with SurveyReader(folder) as reader:
                waiting = reader.rows.open_proposal()
            number = None if waiting is None else waiting.data["proposal"]
            if number is None or number in answered:
                return
            answered.append(number)
            if number == 2:
                ask(folder, "look_here", {"x_nm": 75.0, "y_nm": 75.0}, person="Ada")
            elif number == 5:
                ask(folder, "stop", person="Ada")
            else:
                ask(folder, "reject" if number == 1 else "approve", {"proposal": number}, person="Ada")

    assert run_survey(replace(night, people=People())).reason is Reason.STOPPED
    (refused, instead, *agreed), agreement, _ = read(folder)
    assert refused.fault.error == REFUSED and "Ada" in refused.fault.message and not refused.exposures
    assert (refused.decision.decided_by, refused.decision.person) == ("agent", "Ada")
    assert (instead.decision.decided_by, instead.decision.person) == ("person", "Ada") and instead.exposures
    first, *_, last = instead.decision.candidates
    assert first.action != instead.decision.action == last.action and first.action == agreed[0].decision.action
    assert [(step.decision.decided_by, step.decision.person) for step in agreed] == [("agent", "Ada")] * 2
    assert agreement == {"approved": 2, "rejected": 1, "redirected": 1, "advised": 0, "followed": 0}
    assert "agreed with 2 of 4" in write_report(folder).read_text("utf-8")
    assert taught(folder) == [step.decision.action for step in (instead, *agreed)]
    again = resume_night(folder, people=SimulatedClock())
    session = again.begin(0)
    assert session.env.step_number == 4 and not session.closed
    session.mind.close()
    again.close()


def test_a_place_that_is_asked_for_comes_before_a_control_that_is_due(tmp_path):
    folder = tmp_path / "n"
    night = open_night(small(autonomy="confirm", controls={"count": 4}), folder, people=SimulatedClock())
    at_a_control, answered = [], []

    class People(SimulatedClock):
        asked = 0

        def now_s(self):
            self.asked += 1
            if self.asked > 500:
                night.stop.set()  # it goes round without a step
            return super().now_s()

        def wait(self, duration_s):
            super().wait(duration_s)
            with SurveyReader(folder) as reader:
                waiting = reader.rows.open_proposal()
            if waiting is None or waiting.data["proposal"] in answered:
                return
            answered.append(waiting.data["proposal"])
            if at_a_control:
                ask(folder, "stop", person="Ada")
            elif waiting.message == "a random control":
                at_a_control.append(waiting)
                ask(folder, "look_here", {"x_nm": 75.0, "y_nm": 75.0}, person="Ada")
            else:
                ask(folder, "approve", {"proposal": answered[-1]}, person="Ada")

    assert run_survey(replace(night, people=People())).reason is Reason.STOPPED
    steps, *_ = read(folder)
    assert at_a_control and steps[-1].decision.person == "Ada" and steps[-1].decision.decided_by == "person"
    assert steps[-1].exposures and "asked for x 75 nm" in steps[-1].decision.reason
    with SurveyReader(folder) as reader:
        proposals = reader.rows.events("proposal")
    assert proposals[-1].message == "a random control" and len(proposals) == len(answered)  # it is asked again after


def test_where_an_operator_rests_is_a_choice_beside_the_advice(tmp_path, monkeypatch):
    places = [(-75.0, 75.0)] * 6 + [(75.0, -75.0)] * 2 + [(25.0, 25.0)] * 6 + [(9000.0, 0.0)] * 6
    state = SimulatedMicroscope.state
    asked = iter(places)
    at = [places[0]]

    class People(SimulatedClock):
        def wait(self, duration_s):
            super().wait(duration_s)
            at[0] = next(asked, at[0])

    def read_back(self):
        found = state(self)
        stage = replace(found.stage, x_nm=at[0][0], y_nm=at[0][1])
        return replace(found, stage=stage, blanked=False)

    monkeypatch.setattr(SimulatedMicroscope, "state", read_back)
    settings = small(autonomy="advise", budget={"hours": 20 / 3600.0}, who={"operator": "Bo"})
    night = open_night(settings, tmp_path / "n", people=People())
    assert run_survey(night).reason is Reason.COMPLETE
    made, agreement, _ = read(tmp_path / "n")
    assert [(step.decision.person, step.decision.policy) for step in made] == [("Bo", BY_HAND)] * 2
    assert made[0].target != made[1].target  # neither in passing nor outside
    assert all(not step.exposures and step.electrons == 0 and step.fault is None for step in made)
    assert all(len(step.decision.candidates) >= 2 for step in made)
    assert agreement["advised"] == 2 and agreement["followed"] == 0
    assert "Advised, the operator looked at 2 places, 0 of them" in write_report(tmp_path / "n").read_text("utf-8")
    assert taught(tmp_path / "n") == [step.decision.action for step in made]
