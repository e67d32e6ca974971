"""What others do about holes, to compare with: at random, the nearest first, the best prediction per minute."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from agent.features import refuse_unknown
from envs import hole_env
from envs.step import Candidate, Decision

if TYPE_CHECKING:
    from collections.abc import Mapping

    from envs.step import Step

Ratio: TypeAlias = float
Seen: TypeAlias = "Mapping[str, npt.NDArray[Any]]"


def imaging(observation: Seen, slot: int, good_probability: Ratio | None, policy: str, why: str) -> Decision:
    """The only candidate is the hole that is taken. Without a probability its value is the score."""
    target = observation["targets"][slot]
    p = good_probability
    chosen = Candidate(
        action=slot,
        label=f"hole {slot}",
        value=float(target[hole_env.SCORE]) if p is None else p,
        uncertainty=1.0 if p is None else math.sqrt(max(p * (1 - p), 0.0)),
        cost_s=60.0 * float(target[hole_env.COST]),
        probability=1.0,
    )
    return Decision(action=slot, candidates=(chosen,), policy=policy, reason=why)


def stopping(count: int, policy: str) -> Decision:
    """Of ``count`` holes none is left that could be imaged."""
    chosen = Candidate(action=count, label="stop", probability=1.0)
    return Decision(action=count, candidates=(chosen,), policy=policy, reason="no image is left that the time pays for")


@dataclass(frozen=True, slots=True)
class HoleScript:
    """One rule for every hole that the time pays for: the largest value is taken, ties by chance.

    ``random``; ``nearest``: the least minutes; ``greedy``: the score less ``per_min`` for each minute.
    """

    rule: Literal["random", "nearest", "greedy"]
    per_min: Ratio = 0.0

    @property
    def name(self) -> str:
        return f"greedy, {self.per_min:g} a minute" if self.rule == "greedy" else self.rule

    def act(self, observation: Seen) -> Decision:
        """Raises ValueError for an observation with numbers that are not finite."""
        refuse_unknown(observation)
        targets, told = observation["targets"], observation["globals"]
        allowed = np.flatnonzero(observation["action_mask"][:-1])
        if len(allowed) == 0:
            return stopping(len(targets), self.name)
        seed, number = (int(told[hole_env.GLOBALS.index(name)]) for name in ("seed", "step_number"))
        draws = np.random.default_rng((seed, number)).random(len(allowed))
        score, cost_min = targets[allowed, hole_env.SCORE], targets[allowed, hole_env.COST]
        values = {"random": draws, "nearest": -cost_min, "greedy": score - self.per_min * cost_min}[self.rule]
        best = allowed[np.lexsort((draws, values))[-1]]
        return imaging(observation, int(best), None, self.name, self.rule)

    def observe(self, step: Step) -> None:
        """Learn nothing."""

    def state(self) -> Mapping[str, Any]:
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Nothing to restore."""
