"""An agent behind a deadline: nobody waits longer, nothing that it is told is lost, and what it fails at is known."""

from __future__ import annotations

import time

from agent.tracking_mission import Choice
from surveys.tracking_mind import FollowingMind


class Slow:
    """An agent that takes its time, or breaks, at the decisions that are named."""

    def __init__(self, late=(), broken=(), unsettled=()):
        self.late, self.broken, self.unsettled, self.asked, self.heard = late, broken, unsettled, 0, []

    def wait(self, duration_s, conditions):
        self.heard.append(("wait", duration_s))

    def observe(self, reading):
        self.heard.append(("reading", reading))

    def failed(self, look, place, electrons, *, lasting):
        self.heard.append(("failed", look, place, electrons, lasting))

    def settle(self):
        self.heard.append(("settled", self.asked))
        if self.asked in self.unsettled:
            raise RuntimeError("no bet")

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
    assert [each for each in agent.heard if each[0] != "settled"] == [("wait", 5.0), ("reading", None)]
    mind.close()


def test_what_no_choice_depends_on_is_done_after_each_and_at_the_end_and_where_it_fails_that_is_known():
    agent = Slow(unsettled={2})
    mind = FollowingMind(agent, deadline_s=None)
    mind.wait(1.0, {})
    mind.act()
    mind.wait(2.0, {})
    assert mind.act().why == "answer 2"
    mind.act()
    assert mind.settle(10.0)
    mind.close()
    assert agent.heard == [
        ("wait", 1.0),
        ("settled", 1),
        ("wait", 2.0),
        ("settled", 2),
        *[("settled", 3)] * len(agent.heard[4:]),
    ]
    assert mind.failures == ["the agent failed: RuntimeError: no bet"]
