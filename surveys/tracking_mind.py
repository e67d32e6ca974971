"""An agent that follows a specimen, behind a deadline: whoever asks never waits longer for it."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, Any, Protocol

from agent.tracking_mission import Choice

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from models.kinetics_nuisance import Reading


class Follower(Protocol):
    """What is asked of an agent (``agent.tracking.Tracker``)."""

    def wait(self, duration_s: float, conditions: Mapping[str, float]) -> None: ...

    def observe(self, reading: Reading) -> None: ...

    def act(self) -> Choice: ...


class FollowingMind:
    """Tells the agent everything in order, in a thread of its own, and takes what it chooses in time.

    What it has not worked through yet it works through later: nothing is lost, and a late choice is not used.
    """

    def __init__(self, agent: Follower, deadline_s: float) -> None:
        self.agent, self._deadline_s = agent, deadline_s
        self._calls: queue.SimpleQueue[tuple[int, Callable[[], Any]] | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[tuple[int, Any, str]] = queue.SimpleQueue()
        self._asked = 0
        self.trouble = ""
        """Why there was no choice in time the last time; empty: there was."""
        threading.Thread(target=self._serve, name="follower", daemon=True).start()

    def wait(self, duration_s: float, conditions: Mapping[str, float]) -> None:
        """Time has passed. Returns at once."""
        self._calls.put((0, lambda: self.agent.wait(duration_s, conditions)))

    def observe(self, reading: Reading) -> None:
        """Something was told. Returns at once."""
        self._calls.put((0, lambda: self.agent.observe(reading)))

    def act(self) -> Choice | None:
        """What it chooses; None where it gave nothing within the deadline, or broke."""
        return self._ask(self.agent.act, self._deadline_s)

    def settle(self, patience_s: float) -> bool:
        """Whether it has worked through everything, at the end, within so long."""
        return self._ask(lambda: Choice(None, 0, 0.0, 0.0, ""), patience_s) is not None

    def _ask(self, call: Callable[[], Choice], deadline_s: float) -> Choice | None:
        self._asked += 1
        self._calls.put((self._asked, call))
        self.trouble = ""
        try:
            while True:
                number, value, trouble = self._answers.get(timeout=deadline_s)
                if number == self._asked:
                    self.trouble = trouble
                    return value if isinstance(value, Choice) else None
                if trouble:
                    self.trouble = trouble
        except queue.Empty:
            self.trouble = f"the agent gave no answer within {deadline_s:g} s"
            return None

    def close(self) -> None:
        """The thread ends once it has worked through what it was told."""
        self._calls.put(None)

    def _serve(self) -> None:
        while (call := self._calls.get()) is not None:
            number, act = call
            try:
                value, trouble = act(), ""
            except Exception as error:  # whatever an agent raises, following goes on without it
                value, trouble = None, f"the agent failed: {type(error).__name__}: {error}"
            if number or trouble:
                self._answers.put((number, value, trouble))
