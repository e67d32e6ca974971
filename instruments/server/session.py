"""One connection to the driver server, and one request on it."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from .driver import DriverError
from .wire import Closed, send

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    import numpy as np

PILOT = "pilot"
"""The role that moves and exposes: one connection at a time. Any other may blank, and fence the pilot off."""

FENCED = "Disconnected"
CUT_OFF = "cut off from the instrument ({}): connect anew, and where the watchdog did it, start the guard anew"


class Session:
    """One connection. ``heard_s`` is of this computer's monotonic clock."""

    def __init__(self, link: socket.socket) -> None:
        self.link = link
        self.role = ""
        self.who = ""
        """Whose connection it is: who was fenced off does not come back with another."""
        self.job: Job | None = None
        self.left = False
        """It has said that it goes: its end is no reason to worry."""
        self.fenced = ""
        """Why it may do nothing more."""
        self._heard_s = time.monotonic()
        self._silent = False
        self._ended = False
        self._sending = threading.Lock()

    def heard(self) -> None:
        """It said something."""
        self._heard_s, self._silent = time.monotonic(), False

    def alive(self, silence_s: float) -> bool:
        """Whether it is connected, and was heard of within that time."""
        return not (self._ended or self.left or self.fenced) and time.monotonic() - self._heard_s <= silence_s

    @property
    def gone(self) -> bool:
        """Whether its connection has ended, or it has said that it goes."""
        return self._ended or self.left

    def falls_silent(self, silence_s: float) -> bool:
        """Whether the silence has just become too long: once for each silence."""
        if self._silent or self.left or self._ended or time.monotonic() - self._heard_s <= silence_s:
            return False
        self._silent = True
        return True

    def answer(self, head: dict[str, Any], arrays: Sequence[np.ndarray[Any, Any]] = ()) -> None:
        """Send; one that is gone gets no answer."""
        try:
            with self._sending:
                send(self.link, head, arrays)
        except Closed:
            self.end()

    def refuse(self, kind: str, message: str) -> bool:
        """Say no. Returns False, for the caller to return in turn."""
        self.answer({"error": kind, "message": message})
        return False

    def end(self) -> None:
        """Close the connection. Safe twice."""
        self._ended = True
        try:
            self.link.shutdown(2)
        except OSError:
            pass  # it was gone already
        self.link.close()


class Job:
    """One request, from when it is read to its answer."""

    def __init__(self, session: Session, head: dict[str, Any]) -> None:
        self.session = session
        self.cut = ""
        """Why its exposure must not go on."""
        self.done = False
        self._head = head
        self._started_s: float | None = None

    @property
    def exposes(self) -> bool:
        return self._head.get("op") == "acquire"

    @property
    def leaves(self) -> bool:
        return self._head.get("op") == "close"

    def overdue(self, overhead_s: float) -> bool:
        """Whether it is an exposure that takes longer than it may, and nobody has cut it short yet."""
        if not self.exposes or self._started_s is None or self.done or self.cut:
            return False
        return time.monotonic() - self._started_s > duration_s(self._head.get("exposure")) + overhead_s

    def carry_out(self, driver: Any) -> tuple[dict[str, Any], Sequence[np.ndarray[Any, Any]]]:
        """Call the driver, where that may still be; returns (head, arrays). Raises DriverError and what it raises."""
        if self.session.fenced:  # since it was asked
            raise DriverError(FENCED, CUT_OFF.format(self.session.fenced))
        if self.session.gone:
            raise DriverError("Disconnected", "whoever asked is gone, and sees to nothing any more: nothing was done")
        if self.cut:
            raise DriverError("InstrumentError", f"blanked before it began ({self.cut}): nothing was done")
        answer = self._call(driver)
        if self.exposes and self.cut:
            lost = "the exposure was blanked ({}): its dose until then is spent, its frame is lost"
            raise DriverError("InstrumentError", lost.format(self.cut))
        return answer

    def _call(self, driver: Any) -> tuple[dict[str, Any], Sequence[np.ndarray[Any, Any]]]:
        head, op = self._head, self._head.get("op")
        self._started_s = time.monotonic()
        if op == "state":
            return {"state": driver.state()}, ()
        if op == "move":
            return {"achieved": driver.move(head["target"])}, ()
        if op == "tune":
            return {"achieved": driver.tune(head["target"])}, ()
        if op == "acquire":
            frame, arrays = driver.acquire(head["exposure"])
            return {"frame": frame}, arrays
        if op == "use":
            return {"result": driver.use(str(head["power"]), str(head["verb"]), list(head["values"]))}, ()
        if op == "wait" and hasattr(driver, "wait"):
            driver.wait(head["duration_s"])
            return {}, ()
        if op == "close":
            driver.blank()
            return {}, ()
        raise DriverError("NotSupported", f"{op!r} was asked, which this driver server does not know")


def duration_s(exposure: Any) -> float:
    """Seconds from an exposure's first pixel to its last, waits included; 0 where that is no number."""
    try:
        rows, columns = exposure["shape"]
        frames = exposure.get("frames", 1)
        return float(
            rows * columns * exposure["dwell_us"] * 1e-6 * frames + exposure.get("interval_s", 0.0) * (frames - 1)
        )
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError):
        return 0.0
