"""One specimen of the night: its environment, its agent and its controls, all folded from the journal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from agent.factory import make_agent
from envs.step import Kind, Purpose
from surveys.controls import draw
from surveys.deciding import Mind
from surveys.taught import TaughtAgent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from agent.prior import Prior
    from agent.protocol import Agent
    from archive.recorder import SurveyRecorder
    from envs.step import Step
    from envs.survey_env import SurveyEnv
    from surveys.learned import Learned
    from surveys.settings import SurveySettings

Ratio: TypeAlias = float


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far the survey of a specimen is."""

    time_left_s: float
    electrons_ratio: Ratio
    """Spent, of the budget."""
    done_ratio: Ratio
    """Of what ends the survey first: time, electrons or area."""
    overview_looks: int
    detail_looks: int
    controls: int


class Session:
    """Opens on whatever the journal holds, so that beginning and going on are one path."""

    def __init__(
        self,
        settings: SurveySettings,
        number: int,
        env: SurveyEnv,
        record: SurveyRecorder,
        learned: Learned | None = None,
        prior: Prior | None = None,
    ) -> None:
        """``learned``: what labels of earlier surveys taught; ``prior``: what they left to the agent; None: nothing."""
        self.env = env
        self._learned = learned
        self.name = settings.specimens[number].name
        self._settings, self._prior = settings, prior
        self.record = record
        sites = env.situation.task.tree.leaves.tolist()
        self.controls = draw(sites, settings.controls, settings.seed, number)
        self.quota = max(int(settings.budget.detail_fraction * len(sites) + 1e-6), 1)
        """Sites that may be seen in a detail look, controls included."""
        self.seen: set[int] = set()
        self.tried: set[int] = set()
        """Controls that were tried."""
        self.overviews = 0
        self.closed = False
        """The agent has said stop, or there is nothing left to see."""
        self.spent = False
        """Nothing more can be paid."""
        self.mind = Mind(self._new_agent, settings.decision_deadline_s)
        steps = list(record.rows.steps(self.name))
        env.fold(*steps)
        for step in steps:
            self.take_in(step)
        self.mind.renew(_open_to_it(steps))
        for event in record.rows.events("block"):
            if event.data["specimen"] == self.name:
                env.block(int(event.data["target"]))
                self.tried |= {int(event.data["target"])} & set(self.controls.sites)

    def fold(self, step: Step) -> None:
        """Take in one more step of the journal."""
        self.env.fold(step)
        self.take_in(step)
        self.teach(step)

    def take_in(self, step: Step) -> None:
        """Count what a step did."""
        committed = {record.purpose for record in step.exposures if record.committed}
        if step.target is not None and (committed & {Purpose.DETAIL, Purpose.CONTROL} or step.retagged):
            self.seen.add(step.target)
        if step.kind is Kind.CONTROL and step.target is not None:
            self.tried.add(step.target)
        self.overviews += Purpose.SURVEY in committed
        self.closed |= step.terminated
        self.spent = step.truncated

    def teach(self, step: Step) -> str:
        """Tell the agent: everything but the controls, which it must never learn of. Returns what went wrong."""
        return self.mind.learn(list(_open_to_it([step])))

    def renew_agent(self) -> str:
        """A fresh agent in place of one that was lost, taught by the journal; what came of it, in words."""
        if self.mind.given_up:
            return "the agent is no longer asked"
        trouble = self.mind.renew(_open_to_it(self.record.rows.steps(self.name)))
        return trouble or "a fresh agent was taught from the journal"

    def progress(self) -> Progress:
        """How far it is."""
        budget, belief = self.env.situation.task.budget, self.env.belief
        time, electrons = belief.time_used_s / budget.time_s, belief.electrons_used / budget.electrons
        return Progress(
            time_left_s=max(budget.time_s - belief.time_used_s, 0.0),
            electrons_ratio=electrons,
            done_ratio=max(electrons, time, len(self.seen) / self.quota),
            overview_looks=self.overviews,
            detail_looks=len(self.seen),
            controls=len(self.tried),
        )

    def control_due(self, done: Ratio) -> int | None:
        """The control whose moment has come, if any."""
        return self.controls.due(len(self.tried), done)

    @property
    def full(self) -> bool:
        """Whether the agent's part is over: what is left of the area belongs to the controls."""
        left = len(self.controls.sites) - len(self.tried)
        return self.closed or len(self.seen) + left >= self.quota

    def _new_agent(self) -> Agent:
        situation = self.env.situation
        settings, task, skills = self._settings, situation.task, situation.skills
        agent = make_agent(settings.agent, task, self.env.catalogue, skills, settings.seed, self._prior)
        share = settings.taught_share
        if self._learned is None or not share:
            return agent
        return TaughtAgent(agent, self._learned, task, self.env.catalogue, situation.scorer.names, share)


def _open_to_it(steps: Iterable[Step]) -> Iterator[Step]:
    """What an agent may learn from."""
    return (step for step in steps if step.kind is not Kind.CONTROL)
