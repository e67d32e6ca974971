"""A new specimen, reward and agent, written outside the repository in under 60 lines: trained, evaluated, flown."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from configs.errors import ConfigError
from configs.named import named
from console.main import app

OWN = """\
from agent.view import View
from envs.actions import LookAt, Stop
from envs.step import Decision


def per_minute(new, count, cost_s):  # what a minute at the microscope brings
    return new / (cost_s / 60)


def rods():  # oxide on carbon, and a few rods of gold
    return {
        "title": "gold rods among oxide",
        "materials": {"carbon": {"atoms_per_nm3": {"C": 100}}, "oxide": {"crystal": "MgO"}, "gold": {"crystal": "Au"}},
        "film": {"material": "carbon", "thickness_nm": 8},
        "populations": {
            "grain": {"material": "oxide", "per_um2": 300, "radius_nm": 6},
            "rod": {"material": "gold", "per_um2": 20, "radius_nm": 4, "shape": "rod", "aspect": 4, "rare": True},
        },
    }


class Brightest:  # opens every patch, then looks where the view from above is most unusual
    name = "brightest"

    def __init__(self, options, task, catalogue, skills, seed):
        self.catalogue = catalogue

    def act(self, observation):
        view = View.of(observation, self.catalogue)
        for look in range(len(self.catalogue.looks)):
            slots = view.fresh(look)
            if len(slots):
                best = slots[view.columns["interest_above"][slots].argmax()]
                return Decision(action=self.catalogue.encode(LookAt(int(best), look)), policy=self.name)
        return Decision(action=self.catalogue.encode(Stop()), policy=self.name)

    def observe(self, step): ...
    def state(self): return {}
    def restore(self, state): ...
"""
CONFIG = """\
name: own
out: runs
episode: {sites: 8, pixels: 64}
worlds: {kinds: {rods: own.py:rods}, specimens: 1}
network: {width: 8}
teacher: {kind: plugin, name: "own.py:Brightest"}
reward: own.py:per_minute
imitation: {rounds: 1, episodes: 2, epochs: 1}
updates: 1
critic_updates: 0
select_episodes: 2
ppo: {episodes: 2, epochs: 1}
"""


SURVEY = """\
name: flown
instrument: {kind: simulated, specimen: own.py:rods}
specimens: [{area: {width_nm: 512, height_nm: 512}}]
current_pA: 50
looks: {overview: {sites: 4, shape: [64, 64]}, detail: {field_of_view_nm: 64, shape: [64, 64]}}
budget: {hours: 0.1, electrons: 1.0e+10, detail_fraction: 0.3}
limits: {backlash_nm: 80, stage_uncertainty_nm: 15, max_current_pA: 60, max_fluence_e_per_A2: 10000}
agent: AGENT
"""


def adaptem(*words: str) -> str:
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    return done.output


def test_specimen_reward_and_agent_of_ones_own_train_evaluate_and_survey(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert (OWN + CONFIG + SURVEY).count("\n") < 60
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "own.yaml").write_text(CONFIG)
    assert "runs/own/policy.safetensors" in adaptem("train", "own.yaml")
    told = adaptem("evaluate", "own.yaml", "--specimens", "1", "--workers", "1")
    assert "learned" in told and "rods" in told
    trained = "{kind: learned, weights: runs/own/policy.safetensors, sample: true}"
    for agent in (trained, "{kind: plugin, name: 'own.py:Brightest'}"):
        (tmp_path / "survey.yaml").write_text(SURVEY.replace("AGENT", agent))
        adaptem("survey", "survey.yaml", "--out", f"nights/{len(agent)}")
        assert (tmp_path / "nights" / f"{len(agent)}").is_dir()


def test_what_is_not_there_is_named(tmp_path):
    (tmp_path / "mine.py").write_text("here = 1\n")
    (tmp_path / "broken.py").write_text("import nothing_of_this_name\n")
    assert named(f"{tmp_path}/mine.py:here", "adaptem.agents") == 1
    for reference, words in {
        f"{tmp_path}/mine.py:there": "has no there, only here",
        f"{tmp_path}/absent.py:here": "no such file",
        f"{tmp_path}/broken.py:here": "nothing_of_this_name",
        "installed nowhere": "entry points in adaptem.agents are none",
    }.items():
        with pytest.raises(ConfigError, match=words):
            named(reference, "adaptem.agents")
