"""Labels may steer where the next night looks: a share of its close looks goes where they promise most.

What earlier surveys' labels taught tells, by what an overview shows of a site, the verdict that people would give it.
The rest of the looks, and everything else, stays with the agent.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from scipy.special import ndtri

from envs.actions import LookAt
from envs.step import Candidate, Kind
from surveys.deciding import usable
from surveys.portraits import Portraits
from surveys.sights import sights

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from agent.protocol import Agent
    from envs.actions import Catalogue
    from envs.step import Decision, Step
    from envs.tasks import SurveyTask
    from surveys.learned import Learned

Ratio: TypeAlias = float


class TaughtAgent:
    """An agent whose close looks go, one in so many, to the unseen site of which labels promise most."""

    def __init__(
        self, agent: Agent, learned: Learned, task: SurveyTask, catalogue: Catalogue, names: Sequence[str], share: Ratio
    ) -> None:
        """``names``: of the scorer's descriptors; ``share``: of the close looks, 0 to 1."""
        self._agent, self._learned, self._share = agent, learned, share
        self._task, self._catalogue, self._names = task, catalogue, names
        self._shown: list[Step] = []
        self._close = 0
        """Close looks so far."""

    @property
    def name(self) -> str:
        return f"{self._agent.name}+labels@{self._learned.hash[:8]}"

    def act(self, observation: Mapping[str, npt.NDArray[np.generic]]) -> Decision:
        """The agent's decision; where it is a close look and the turn is the labels', one where they promise most."""
        decision = self._agent.act(observation)
        mask = np.asarray(observation["action_mask"], dtype=bool)
        if usable(decision, mask) is not None:
            return decision  # whoever asked finds the same, and says so
        action = self._catalogue.decode(decision.action)
        if not isinstance(action, LookAt) or not self._is_close(action.slot, action.look):
            return decision
        if math.floor((self._close + 1) * self._share) == math.floor(self._close * self._share):
            return decision
        found = self._best(mask)
        if found is None:
            return decision
        chosen, verdict = found
        promised = min(max(verdict, 1.0), 5.0)  # a line over the deviates knows no ends
        label = f"close look: by its overview, labels of earlier surveys promise a verdict of {promised:.1f}"
        others = [replace(one, probability=0.0) for one in decision.candidates if one.action != chosen]
        return replace(
            decision, action=chosen, policy=self.name, reason=label,
            candidates=(Candidate(action=chosen, label=label, probability=1.0), *others),
        )  # fmt: skip

    def observe(self, step: Step) -> None:
        """Teaches the agent, and takes in what the step showed."""
        self._agent.observe(step)
        if step.score is not None:
            self._shown.append(step)
        if step.kind is Kind.LOOK and step.target is not None and step.look is not None and step.fault is None:
            self._close += self._is_close(step.target, self._task.look_number(step.look))

    def state(self) -> Mapping[str, Any]:
        """The agent's own; what was shown is folded from the steps."""
        return self._agent.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        self._agent.restore(state)

    def _is_close(self, target: int, look: int) -> bool:
        level = self._task.tree.level
        return bool(level[target] == level.max()) and look == self._task.detail_look(target)

    def _best(self, mask: npt.NDArray[np.bool_]) -> tuple[int, float] | None:
        """The look, and the verdict to expect; None where no site that was seen from above may be looked at."""
        seen = sights(self._shown)
        above = sorted({sight.target for sight in seen if not sight.own})
        looks = [self._catalogue.encode(LookAt(site, self._task.detail_look(site))) for site in above]
        free = [n for n, look in enumerate(looks) if mask[look]]
        if not free:
            return None
        sites = [above[n] for n in free]
        portraits = Portraits(seen, self._names)
        surprise = surprise_of(portraits.rows(above)[:, : len(self._names)])
        verdicts = self._learned.verdicts_from_above(portraits, sites, surprise[free])
        best = int(np.argmax(verdicts))
        return looks[free[best]], float(verdicts[best])


def surprise_of(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(N,) how surprising N rows of descriptors in robust spreads are among each other: normal deviates, 0 or more.

    By rank of their length, so that it is on the scale on which verdicts were taught, whatever the scorer's own is.
    """
    order = np.argsort(np.argsort((rows**2).sum(axis=1), kind="stable"), kind="stable")
    return np.asarray(np.maximum(ndtri((order + 1) / (len(rows) + 1)), 0.0))
