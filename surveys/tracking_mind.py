"""An agent that follows a specimen, behind a deadline: whoever asks never waits longer for it."""

from __future__ import annotations

import queue
import threading
import time
from typing import TYPE_CHECKING, Any, Protocol

from agent.tracking_mission import Choice

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from models.kinetics_nuisance import Reading


class Follower(Protocol):
    """What is asked of an agent (``agent.tracking.Tracker``)."""

    def wait(self, duration_s: float, conditions: Mapping[str, float]) -> None: ...

    def observe(self, reading: Reading) -> None: ...

    def failed(self, look: int, place: int, electrons: float, *, lasting: bool) -> None: ...

    def act(self) -> Choice: ...

    def settle(self) -> None:
        """What no choice depends on, and is done after one."""
        ...


class FollowingMind:
    """Tells the agent everything in order, in a thread of its own, and takes what it chooses in time.

    What it has not worked through yet it works through later: nothing is lost, and a late choice is not used, nor
    worked out where it has not begun. ``deadline_s`` None: it is waited for as long as it takes.
    """

    def __init__(self, agent: Follower, deadline_s: float | None) -> None:
        self.agent, self.deadline_s = agent, deadline_s
        self._calls: queue.SimpleQueue[tuple[int, Callable[[], Any]] | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[tuple[int, Any, str]] = queue.SimpleQueue()
        self._asked = 0
        self.trouble = ""
        """Why there was no choice in time the last time; empty: there was."""
        self.late = False
        """Whether that was for want of time."""
        self.failures: list[str] = []
        """What the agent failed to take up, in order."""
        threading.Thread(target=self._serve, name="follower", daemon=True).start()

    def wait(self, duration_s: float, conditions: Mapping[str, float]) -> None:
        """Time has passed. Returns at once."""
        self._calls.put((0, lambda: self.agent.wait(duration_s, conditions)))

    def observe(self, reading: Reading) -> None:
        """Something was told. Returns at once."""
        self._calls.put((0, lambda: self.agent.observe(reading)))

    def failed(self, look: int, place: int, electrons: float, *, lasting: bool) -> None:
        """A look told nothing. Returns at once."""
        self._calls.put((0, lambda: self.agent.failed(look, place, electrons, lasting=lasting)))

    def act(self) -> Choice | None:
        """What it chooses; None where it gave nothing within the deadline, or broke."""
        return self._ask(self.agent.act, self.deadline_s)

    def ask(self, question: Callable[[], dict[str, Any]], patience_s: float) -> dict[str, Any] | None:
        """What is answered once it has worked through everything; None: nothing within so long, or it broke."""
        found: list[dict[str, Any]] = []

        def answer() -> Choice:
            self.agent.settle()
            found.append(question())
            return Choice(None, 0, 0.0, 0.0, "")

        return found[0] if self._ask(answer, patience_s) is not None else None

    def settle(self, patience_s: float) -> bool:
        """Whether it has worked through everything, at the end, within so long."""

        def work() -> Choice:
            self.agent.settle()
            return Choice(None, 0, 0.0, 0.0, "")

        return self._ask(work, patience_s) is not None

    def _ask(self, call: Callable[[], Choice], deadline_s: float | None) -> Choice | None:
        until_s = None if deadline_s is None else time.monotonic() + deadline_s
        self._asked += 1
        self._calls.put((self._asked, call))
        self.trouble, self.late = "", False
        try:
            while True:
                left_s = None if until_s is None else max(until_s - time.monotonic(), 0.0)
                number, value, trouble = self._answers.get(timeout=left_s)
                if number == self._asked:
                    self.trouble = trouble
                    return value if isinstance(value, Choice) else None
        except queue.Empty:
            self.trouble, self.late = f"the agent gave no answer within {deadline_s:g} s", True
            return None

    def close(self) -> None:
        """The thread ends once it has worked through what it was told."""
        self._calls.put(None)

    def _serve(self) -> None:
        while (call := self._calls.get()) is not None:
            number, act = call
            if number and number < self._asked:
                continue
            try:
                value, trouble = act(), ""
            except Exception as error:  # whatever an agent raises, following goes on without it
                value, trouble = None, f"the agent failed: {type(error).__name__}: {error}"
                if not number:
                    self.failures.append(trouble)
            if number:
                self._answers.put((number, value, trouble))
                self._settle()  # after each answer and never else, so that a simulated run repeats

    def _settle(self) -> None:
        try:
            self.agent.settle()
        except Exception as error:  # as above
            self.failures.append(f"the agent failed: {type(error).__name__}: {error}")
