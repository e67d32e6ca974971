"""A decision within its deadline, whatever the agent does."""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from configs.errors import ConfigError
from envs.actions import LookAt, Stop
from envs.step import Decision

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import numpy.typing as npt

    from agent.protocol import Agent
    from envs.actions import Catalogue
    from envs.step import Step
    from envs.tasks import SurveyTask

    Observation = Mapping[str, npt.NDArray[np.generic]]


AT_ONCE = 64
"""Steps of a history that are taught within one deadline."""
MOST_LOSSES = 3
"""An agent that is lost, or cannot be made, so often without a decision in between is not asked again."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of asking an agent."""

    value: Any = None
    trouble: str = ""
    """Why there is no answer; empty where there is one."""
    hung: bool = False
    """It is still thinking."""


class Mind:
    """An agent behind a deadline: it may hang or break, in deciding or in learning, and the night goes on.

    It is only ever called in a thread of its own, which holds no instrument. One that hangs is abandoned with its
    thread, one that broke while learning is let go: the mind is then ``lost`` until ``renew`` teaches a fresh agent.
    """

    def __init__(self, make: Callable[[], Agent], deadline_s: float) -> None:
        self._make = make
        self._worker = _Worker(deadline_s)
        self._agent: Agent | None = None
        self._losses = 0
        self.given_up = False
        self.loss = ""
        """Why there is no agent, or why the last one was lost."""

    @property
    def lost(self) -> bool:
        """Whether there is no agent that could be asked."""
        return self._agent is None

    def renew(self, history: Iterable[Step]) -> str:
        """Make a fresh agent and teach it; returns what went wrong, empty if nothing did."""
        made = self._worker.ask(self._make)
        self._agent = made.value
        if made.trouble:
            self._lose(made.trouble)
            return made.trouble
        rest = iter(history)
        batches = iter(lambda: list(islice(rest, AT_ONCE)), [])  # a night's steps are never in memory at once
        return next((trouble for batch in batches if (trouble := self.learn(batch))), "")

    def decide(self, observation: Observation) -> Answer:
        """A Decision as ``value``. An agent that raises may be asked again, one that hangs is lost."""
        if self._agent is None:
            return Answer(trouble=f"no agent is asked any more: {self.loss}" if self.given_up else self.loss)
        answer = self._worker.ask(partial(self._agent.act, observation))
        if answer.hung:
            self._lose(answer.trouble)
        elif not answer.trouble:
            self._losses = 0
        return answer

    def learn(self, steps: Sequence[Step]) -> str:
        """Let the agent observe steps; returns what went wrong, empty if nothing did. The agent is then lost."""
        if self._agent is None or not steps:
            return ""
        answer = self._worker.ask(partial(_teach, self._agent, steps))
        if answer.trouble:
            self._lose(answer.trouble)
        return answer.trouble

    def close(self) -> None:
        """Let the thread end."""
        self._worker.close()

    def _lose(self, why: str) -> None:
        self._agent, self.loss = None, why
        self._losses += 1
        self.given_up = self._losses >= MOST_LOSSES


def _teach(agent: Agent, steps: Sequence[Step]) -> None:
    for step in steps:
        agent.observe(step)


class _Worker:
    """Calls functions in a daemon thread, each within a deadline."""

    def __init__(self, deadline_s: float) -> None:
        self._deadline_s = deadline_s
        self._calls: queue.SimpleQueue[Callable[[], Any] | None] | None = None
        self._answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()

    def ask(self, call: Callable[[], Any]) -> Answer:
        if self._calls is None:
            self._calls, self._answers = queue.SimpleQueue(), queue.SimpleQueue()
            threading.Thread(target=_serve, args=(self._calls, self._answers), name="agent", daemon=True).start()
        self._calls.put(call)
        try:
            return self._answers.get(timeout=self._deadline_s)
        except queue.Empty:
            self.close()
            return Answer(trouble=f"the agent gave no answer within {self._deadline_s:g} s", hung=True)

    def close(self) -> None:
        """The thread ends once it has nothing more to do, if it ever does."""
        if self._calls is not None:
            self._calls.put(None)
            self._calls = None


def _serve(calls: queue.SimpleQueue[Callable[[], Any] | None], answers: queue.SimpleQueue[Answer]) -> None:
    while (call := calls.get()) is not None:
        try:
            answers.put(Answer(call()))
        except ConfigError as error:  # it says to a person what to mend
            answers.put(Answer(trouble=f"the agent cannot be made: {'; '.join(error.problems)}"))
        except Exception as error:  # whatever a policy raises, the night goes on without it
            answers.put(Answer(trouble=f"the agent failed: {type(error).__name__}: {error}"))


def usable(decision: Decision, mask: npt.NDArray[np.generic]) -> str | None:
    """Why this decision cannot be carried out; None if it can."""
    action = decision.action
    if isinstance(action, bool) or not isinstance(action, (int, np.integer)):
        return f"the agent chose {action!r}, which is not the number of an action"
    if not 0 <= action < len(mask):
        return f"the agent chose action {action}, outside 0 … {len(mask) - 1}"
    if not mask[int(action)]:
        return f"the agent chose action {action}, which is masked now"
    return None


def fallback(task: SurveyTask, catalogue: Catalogue, mask: npt.NDArray[np.generic], why: str) -> Decision:
    """The next allowed unseen target in serpentine order, coarse looks first; stop when there is none.

    ``mask`` is expected to allow each look of a target once: a look already done is masked, or comes last.
    """
    looks = len(catalogue.looks)
    allowed = np.asarray(mask[: catalogue.slots * looks], dtype=bool).reshape(catalogue.slots, looks)
    for look in range(looks):
        for kind in task.tree.kinds:
            route = task.route_order(kind)
            ready = route[allowed[route, look]]
            if len(ready):
                action = catalogue.encode(LookAt(int(ready[0]), look))
                return Decision(action=action, decided_by="fallback", policy="serpentine", reason=why)
    return Decision(action=catalogue.encode(Stop()), decided_by="fallback", policy="serpentine", reason=why)
