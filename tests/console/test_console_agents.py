"""An agent that cannot decide is refused before the night; one that is gone at a resume costs the night its choices."""

from __future__ import annotations

import shutil

import pytest
from console_helpers import adaptem, config, refused
from survey_samples import small, stop_after

from agent.features import FEATURES, SCALARS
from archive.reader import SurveyReader
from models.checkpoint import SHIPPED, make_policy, save_policy
from models.policy import PolicySpec
from surveys.night import open_night
from surveys.runner import run_survey

OWN = """
def broken(options, task, catalogue, skills, seed):
    return options["beam"]


def none(options, task, catalogue, skills, seed):
    return None
"""


def policy(path, looks=("overview", "detail"), skills=("refocus",), columns=FEATURES["map"][1]):
    spec = PolicySpec(kind="map", columns=columns, scalars=SCALARS, looks=looks, skills=skills, width=4)
    save_policy(make_policy(spec), path, {"name": "mine"})


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fake.safetensors").write_text("a letter")
    (tmp_path / "own.py").write_text(OWN)
    policy(tmp_path / "looks.safetensors", looks=("overview", "closer"))
    policy(tmp_path / "skills.safetensors", skills=())
    policy(tmp_path / "sight.safetensors", columns=("colour",))
    return tmp_path


@pytest.mark.parametrize("words", [["survey", "--out", "night"], ["survey", "--dry-run"], ["config"]])
@pytest.mark.parametrize(
    ("agent", "says"),
    [
        ("{kind: learned, weights: fake.safetensors}", "not safetensors"),
        ("{kind: learned, weights: gone.safetensors}", "is not there"),
        ("{kind: learned, weights: nothere}", "none that comes with adaptem"),
        ("{kind: learned, weights: looks.safetensors}", "knows no detail"),
        ("{kind: learned, weights: skills.safetensors}", "knows no refocus"),
        ("{kind: learned, weights: sight.safetensors}", "was trained to see the columns colour"),
        ('{kind: plugin, name: "nofile.py:X"}', "no such file"),
        ('{kind: plugin, name: "own.py:best"}', "has no best, only broken, none"),
        ('{kind: plugin, name: "own.py:broken"}', "makes no agent (KeyError: 'beam'; own.py, line 3)"),
        ('{kind: plugin, name: "own.py:none"}', "gave a NoneType, which is no agent: no name, act, observe"),
    ],
)
def test_an_agent_that_cannot_decide_is_refused_before_anything_begins(words, agent, says, place):
    told = refused(adaptem(words[0], config(place), *words[1:], "--set", f"agent={agent}"))
    assert told.startswith("configuration: agent: ") and says in told
    assert not (place / "night").exists()


@pytest.fixture
def stopped(place):
    """A survey that flew a trained policy for four steps, and its weights."""
    weights = shutil.copy(SHIPPED / "survey.safetensors", place / "mine.safetensors")
    night = open_night(small(agent={"kind": "learned", "weights": str(weights)}), place / "night")
    run_survey(night, on_step=stop_after(night, 3))
    return place / "night", weights


def test_a_resume_without_its_weights_flies_on_and_says_so(stopped):
    night, weights = stopped
    weights.unlink()
    resumed = adaptem("resume", night)
    assert resumed.exit_code == 0
    reason = f"the agent cannot be made: policy {weights} is not there"
    assert "in serpentine order, without the agent" in resumed.stdout and reason in resumed.stdout
    assert "last fault: no agent's decision at step 4" in resumed.stdout
    with SurveyReader(night) as survey:
        steps = [step for step in survey.steps() if step.decision.decided_by in ("agent", "fallback")]
        faults = [event.message for event in survey.events("fault")]
        replies = [event.message for event in survey.events("reply")]
    by = [step.decision.decided_by for step in steps]
    assert by == sorted(by) and {"agent", "fallback"} == set(by)
    assert all(reason in step.decision.reason for step in steps if step.decision.decided_by == "fallback")
    assert 0 < len(faults) == len(replies) < 8 < by.count("fallback"), "told once, not at every step"
    assert all(reason in fault for fault in faults)


def test_a_resume_with_its_weights_asks_the_agent(stopped):
    resumed = adaptem("resume", stopped[0])
    assert resumed.exit_code == 0 and "without the agent" not in resumed.stdout
