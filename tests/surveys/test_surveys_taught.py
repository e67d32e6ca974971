"""Labels of earlier surveys steer a share of the close looks."""

from __future__ import annotations

import pytest
from learning_samples import flagged, judged, made
from survey_samples import small, stop_after

from archive.reader import SurveyReader
from instruments.clock import SimulatedClock
from surveys.learned import load_learned
from surveys.night import open_night, resume_night
from surveys.portraits import Portraits
from surveys.runner import run_survey
from surveys.sights import sights
from surveys.taught import surprise_of
from training.feedback import lessons
from training.learning import learn


def steps(folder):
    with SurveyReader(folder) as reader:
        return list(reader.steps())


@pytest.fixture(scope="module")
def version(tmp_path_factory):
    """What people taught who wanted every third site."""
    place = tmp_path_factory.mktemp("taught")
    old = flagged(made(place / "made", 3), place / "old", 30)
    judged(old, lambda place: 5 if place.target % 3 == 0 else 1).close()
    return learn(lessons([old]), place / "learned").folder


def test_one_close_look_in_four_goes_where_labels_promise_most(tmp_path, version):
    settings = small(8, seed=5, flagging={"learned": version}, budget={"detail_fraction": 0.5}, taught_share=0.25)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run_survey(open_night(settings, whole, people=SimulatedClock()))
    done = steps(whole)
    close = [step for step in done if step.look == "detail" and step.decision.decided_by == "agent"]
    turns = [n for n, step in enumerate(close, start=1) if "labels@" in step.decision.policy]
    assert turns and turns == list(range(4, len(close) + 1, 4))[: len(turns)]

    first = close[turns[0] - 1]
    before = done[: done.index(first)]
    learned, seen = load_learned(version), sights(before)
    names = tuple(name.removeprefix("overview: ") for name in learned.columns[: len(learned.columns) // 2])
    above = sorted({sight.target for sight in seen if not sight.own})
    portraits, later = Portraits(seen, names), {step.target for step in close[turns[0] - 1 :]}
    surprise = surprise_of(portraits.rows(above)[:, : len(names)])
    verdicts = learned.verdicts_from_above(portraits, above, surprise)
    best = max((verdict, site) for verdict, site in zip(verdicts, above, strict=True) if site in later)[1]
    assert first.target == best and "labels of earlier surveys promise" in first.decision.reason
    assert first.decision.candidates[0].action == first.decision.action

    night = open_night(settings, parts, people=SimulatedClock())
    run_survey(night, stop_after(night, 40))
    run_survey(resume_night(parts, people=SimulatedClock()))
    assert [step.decision.action for step in steps(parts)] == [step.decision.action for step in done]


def test_without_a_share_the_agent_alone_decides(tmp_path, version):
    settings = small(4, flagging={"learned": version})
    run_survey(open_night(settings, tmp_path / "n", people=SimulatedClock()))
    assert not any("labels@" in step.decision.policy for step in steps(tmp_path / "n"))
