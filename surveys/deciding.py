"""A decision within its deadline, whatever the agent does."""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from envs.actions import LookAt, Stop
from envs.step import Decision

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from agent.protocol import Agent
    from envs.actions import Catalogue
    from envs.tasks import SurveyTask

    Observation = Mapping[str, npt.NDArray[np.generic]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of asking an agent."""

    decision: Decision | None
    trouble: str = ""
    """Why there is no decision."""
    hung: bool = False
    """The agent is still thinking: it must not be used again."""


class Deadline:
    """Asks an agent in a worker thread. A thread that hangs is abandoned: it is a daemon and holds no instrument."""

    def __init__(self, deadline_s: float) -> None:
        self._deadline_s = deadline_s
        self._questions: queue.SimpleQueue[tuple[Agent, Observation] | None] | None = None
        self._answers: queue.SimpleQueue[Decision | Exception] = queue.SimpleQueue()

    def ask(self, agent: Agent, observation: Observation) -> Answer:
        """The agent's decision, or what kept it from deciding. An agent that raises may be asked again."""
        if self._questions is None:
            self._questions, self._answers = queue.SimpleQueue(), queue.SimpleQueue()
            threading.Thread(target=_worker, args=(self._questions, self._answers), name="agent", daemon=True).start()
        self._questions.put((agent, observation))
        try:
            answer = self._answers.get(timeout=self._deadline_s)
        except queue.Empty:
            self._questions.put(None)
            self._questions = None
            return Answer(None, f"the agent gave no decision within {self._deadline_s:g} s", hung=True)
        if isinstance(answer, Exception):
            return Answer(None, f"the agent failed: {type(answer).__name__}: {answer}")
        return Answer(answer)

    def close(self) -> None:
        """Let the worker end."""
        if self._questions is not None:
            self._questions.put(None)
            self._questions = None


def _worker(questions: queue.SimpleQueue[Any], answers: queue.SimpleQueue[Decision | Exception]) -> None:
    while (question := questions.get()) is not None:
        agent, observation = question
        try:
            answers.put(agent.act(observation))
        except Exception as error:  # whatever a policy raises, the night goes on without it
            answers.put(error)


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
