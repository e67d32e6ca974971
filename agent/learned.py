"""An agent whose decisions come from a trained policy: the same protocol, mask and record as the planner's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from agent.features import FEATURES, SCALARS, SHARED
from agent.scripted import focus_is_due
from agent.view import View, skill_number
from configs.errors import ConfigError
from envs.actions import LookAt, Stop, UseSkill
from envs.step import Candidate, Decision
from models.checkpoint import find_policy, load_policy, weights_hash

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt
    from torch import Tensor

    from agent.features import Features
    from agent.settings import LearnedSettings
    from envs.actions import Catalogue
    from envs.step import Step
    from envs.tasks import SurveyTask
    from models.checkpoint import Policy
    from models.policy import PolicySpec

CANDIDATES = 5


class LearnedAgent:
    """Takes the likeliest action, or with ``sample`` one drawn from (seed, step number)."""

    def __init__(
        self,
        policy: Policy,
        task: SurveyTask,
        catalogue: Catalogue,
        *,
        sample: bool = False,
        refocus_every: int | None = None,
    ) -> None:
        """Raises ConfigError for a policy that sees or may do something else than this survey offers."""
        torch.set_num_threads(1)
        self._columns = columns_of(policy.spec, catalogue)
        self._policy, self._task, self._catalogue, self._sample = policy.eval(), task, catalogue, sample
        self._refocus_every = refocus_every
        self._read = FEATURES[policy.spec.kind][0]
        self._name = f"learned@{weights_hash(policy.state_dict())[:8]}"

    @property
    def name(self) -> str:
        return self._name

    def act(self, observation: Mapping[str, npt.NDArray[np.generic]]) -> Decision:
        """Raises ValueError for an observation with numbers that are not finite."""
        features = self._read(observation)
        mask = features["action_mask"].astype(bool)
        features["action_mask"] = np.zeros(self._actions, dtype=bool)
        features["action_mask"][self._columns] = mask
        with torch.no_grad():
            logits, _ = self._policy(batch([features]))
        if not bool(logits[0][torch.from_numpy(features["action_mask"])].isfinite().all()):
            raise ValueError("the policy's answer to this observation is not finite: its numbers lie out of range")
        chance = torch.softmax(logits[0].double(), dim=0).numpy()[self._columns]
        chance /= chance.sum()
        ranked = np.argsort(-chance, kind="stable")[:CANDIDATES]
        view = View.of(observation, self._catalogue)
        refocus = None if self._refocus_every is None else skill_number(self._catalogue, view, "refocus")
        if refocus is not None and self._refocus_every is not None:
            if focus_is_due(view, self._refocus_every):
                due = (self._candidate(view, refocus, 1.0),)
                return Decision(action=refocus, candidates=due, policy=self._name, reason="the focus is due")
            chance[refocus] = 0.0
            chance /= chance.sum()
            ranked = np.argsort(-chance, kind="stable")[:CANDIDATES]
        chosen = int(view.generator().choice(len(chance), p=chance)) if self._sample else int(ranked[0])
        order = [chosen, *[n for n in ranked.tolist() if n != chosen and chance[n] > 0]][:CANDIDATES]
        found = tuple(self._candidate(view, number, float(chance[number])) for number in order)
        why = f"the policy gives it {chance[chosen]:.0%}" + (", drawn" if self._sample else "")
        return Decision(action=chosen, candidates=found, policy=self._name, reason=why)

    @property
    def _actions(self) -> int:
        spec = self._policy.spec
        return self._catalogue.slots * len(spec.looks) + len(spec.skills) + 1

    def _candidate(self, view: View, number: int, probability: float) -> Candidate:
        match self._catalogue.decode(number):
            case LookAt(slot, look):
                wanted = self._task.looks[look]
                value = float(view.columns["interest_above"][slot])
                cost_s = float(view.columns["travel_s"][slot]) + wanted.duration_s
                return _candidate(number, f"{wanted.name} at {view.place(slot)}", value, cost_s, probability)
            case UseSkill(skill):
                return _candidate(number, self._catalogue.skills[skill], 0.0, 0.0, probability)
            case Stop():
                return _candidate(number, "stop", 0.0, 0.0, probability)

    def observe(self, step: Step) -> None:
        """Learn nothing: what it knows is in its weights, and the observation shows the rest."""

    def state(self) -> Mapping[str, Any]:
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Nothing to restore."""


def learned_agent(settings: LearnedSettings, task: SurveyTask, catalogue: Catalogue) -> LearnedAgent:
    """By file or shipped name. Raises ConfigError."""
    policy = load_policy(find_policy(settings.weights))
    return LearnedAgent(policy, task, catalogue, sample=settings.sample, refocus_every=settings.refocus_every)


def columns_of(spec: PolicySpec, catalogue: Catalogue) -> npt.NDArray[np.intp]:
    """(A,) which of the policy's outputs stands for each action of this catalogue. Raises ConfigError."""
    refuse_other_sight(spec)
    for name, theirs, ours in (("looks", spec.looks, catalogue.looks), ("skills", spec.skills, catalogue.skills)):
        if unknown := [each for each in ours if each not in theirs]:
            raise ConfigError(
                f"the policy was trained with the {name} {', '.join(theirs) or 'none'} and knows no "
                f"{', '.join(unknown)}: leave that out of the survey, or train a policy with it"
            )
    looks = [spec.looks.index(name) for name in catalogue.looks]
    slots = np.arange(catalogue.slots)[:, None] * len(spec.looks) + np.array(looks)
    first = catalogue.slots * len(spec.looks)
    skills = [first + spec.skills.index(name) for name in catalogue.skills]
    return np.array([*slots.ravel(), *skills, first + len(spec.skills)], dtype=np.intp)


def refuse_other_sight(spec: PolicySpec) -> None:
    """Raises ConfigError for a policy that was trained to see other numbers than observations are read into here."""
    told = {"columns": (spec.columns, FEATURES[spec.kind][1]), "scalars": (spec.scalars, SCALARS)}
    for name, (theirs, ours) in told.items():
        if theirs != ours:
            raise ConfigError(
                f"the policy was trained to see the {name} {', '.join(theirs)}; here are {', '.join(ours)}"
            )


def batch(rows: list[Features]) -> dict[str, Tensor]:
    """Tensors of B observations of one tree; what is of the tree alone is taken once."""
    return {
        name: torch.from_numpy(rows[0][name] if name in SHARED else np.stack([row[name] for row in rows]))
        for name in rows[0]
    }


def _candidate(number: int, label: str, value: float, cost_s: float, probability: float) -> Candidate:
    return Candidate(action=number, label=label, value=value, uncertainty=0.0, cost_s=cost_s, probability=probability)
