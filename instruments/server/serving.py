"""Serves one driver to one pilot, and blanks when nobody can be heard.

    pilot ── state, move, tune, acquire ──► reader thread ──► queue ──► driver thread (the one that opened the driver)
          ── beat, while it waits ────────► reader thread                   │ cut short by
    blanker, watchdog ── blank, fence ────► reader thread ──► blank ◄───────┘
                                            watch thread ──► blank: pilot silent, exposure overdue

Blanking never waits for the driver's thread. After a blank no exposure goes on, and none that waits begins.
"""

from __future__ import annotations

import hmac
import math
import queue
import threading
import time
from typing import TYPE_CHECKING, Any

from .driver import DriverError
from .session import CUT_OFF, FENCED, PILOT, Job, Session
from .wire import PROTOCOL, SILENCE_S, listener, prepare, receive, unlisten

if TYPE_CHECKING:
    from collections.abc import Callable

WATCH_S = 0.05
BLANK_S = 0.2
"""What it may take, once an exposure is overdue, to notice that and to blank: booked, as the beam is on."""
_PATIENCE_S = 10.0


class DriverServer:
    """Listens on the loopback only; reached from elsewhere through an ssh tunnel.

    Args:
        driver: see ``driver.Driver``.
        token: what a client must know.
        name: of the instrument, told to whoever connects.
        overhead_s: what an exposure may take beyond its own time before the beam is blanked.
        say: where a line for a person goes.
    """

    def __init__(
        self,
        driver: Any,
        token: str,
        name: str = "instrument",
        overhead_s: float = 1.0,
        silence_s: float = SILENCE_S,
        say: Callable[[str], None] = print,
    ) -> None:
        self._driver = driver
        self._token = token
        self._name = name
        self._overhead_s = overhead_s
        self._keeps_time = not hasattr(driver, "now_s")  # an exposure in a simulated world's own time is never late
        self._silence_s = silence_s
        self._say = say
        self._jobs: queue.Queue[Job] = queue.Queue()
        self._lock = threading.Lock()
        self._pilot: Session | None = None
        self._job: Job | None = None  # in the driver's thread, whoever is the pilot by now
        self._stopping = threading.Event()
        self._leaving = threading.Event()
        self._leave_s = math.inf
        self._met: set[Session] = set()
        self._fenced: dict[str, str] = {}
        self._owed = "the server starts"  # why the beam has to be blanked and may not be yet; "" = it is
        self._listener = listener()

    def listen(self, port: int = 0) -> int:
        """Bind to the loopback; returns the port. Raises OSError where it is taken."""
        self._listener.bind(("127.0.0.1", port))
        self._listener.listen(8)
        return int(self._listener.getsockname()[1])

    def run(self) -> None:
        """Serve until ``stop``, in the thread that opened the driver; blanks first and last."""
        self._blank("the server starts")
        for work in (self._accept, self._watch):
            threading.Thread(target=work, daemon=True).start()
        try:
            while not self._stopping.is_set():
                try:
                    job = self._jobs.get(timeout=WATCH_S)
                except queue.Empty:
                    if time.monotonic() > self._leave_s or (self._leaving.is_set() and not self._met):
                        break
                    continue
                self._carry_out(job)
        finally:
            self._stopping.set()
            self._blank("the server stops")
            unlisten(self._listener)
            self._driver.close()
            for session in list(self._met):  # its process may live on: a script's in somebody's program
                session.end()

    def stop(self, why: str) -> None:
        """Blank now and end ``run`` once the call under way is over. From any thread."""
        self._blank(why)
        self._stopping.set()

    def leave(self, why: str) -> None:
        """Blank now, and end ``run`` once nobody is connected, or soon: who sees to the beam may still want to look."""
        self._blank(why)
        self._leave_s = time.monotonic() + _PATIENCE_S
        self._leaving.set()

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                link, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._meet, args=(Session(prepare(link)),), daemon=True).start()

    def _meet(self, session: Session) -> None:
        """One connection, from its hello to its end."""
        self._met.add(session)
        try:
            if not self._welcome(session, receive(session.link)[0]):
                return
            while True:
                head, _ = receive(session.link)
                session.heard()
                self._hear(session, head if isinstance(head, dict) else {})
        except Exception as error:  # Closed, BadMessage, and whatever else ends this thread
            if session is self._pilot and not session.left:
                self._blank(f"the pilot's connection ended: {error}")
        finally:
            self._met.discard(session)
            session.end()

    def _welcome(self, session: Session, hello: Any) -> bool:
        """Check who it is. What is wrong is said before the connection is closed."""
        hello = hello if isinstance(hello, dict) else {}
        if not hmac.compare_digest(str(hello.get("token")).encode(), self._token.encode()):
            return session.refuse("Disconnected", "the token is not this server's: give the one in its token file")
        if hello.get("protocol") != PROTOCOL:
            found = "the driver server speaks protocol {}, this client {}".format(PROTOCOL, hello.get("protocol"))
            return session.refuse("Disconnected", found + ": install the same version of adaptem at both ends")
        if hello.get("name") not in (None, self._name):
            found = "instrument.name: {!r} was asked for, and this is {!r}".format(hello.get("name"), self._name)
            return session.refuse("NotSupported", found + ": see where the tunnel leads, or give the server's name")
        session.role, session.who = str(hello.get("role")), str(hello.get("who"))
        if session.role == PILOT:
            if session.who in self._fenced:
                return session.refuse(FENCED, CUT_OFF.format(self._fenced[session.who]))
            with self._lock:
                old = self._pilot
                if old is not None and old.alive(self._silence_s):
                    who = "this instrument has a pilot already, heard a moment ago"
                    return session.refuse("BusyError", who + ": end that survey first")
                self._pilot = session
            if old is not None:
                old.end()
            self._blank("a new pilot")
        clock = getattr(self._driver, "now_s", None)
        about = {"name": self._name, "protocol": PROTOCOL, "now_s": clock() if clock else None}
        session.answer({**about, "overhead_s": self._overhead_s + BLANK_S if self._keeps_time else 0.0, **self._able()})
        return True

    def _able(self) -> dict[str, bool]:
        return {"can_stop": bool(getattr(self._driver, "can_stop", False))}

    def _hear(self, session: Session, head: dict[str, Any]) -> None:
        """One message, in the reader's thread: beats and blanks are dealt with here, the rest in the driver's."""
        op = head.get("op")
        if op == "beat":
            return
        if op == "look":
            session.answer(self._look())
            return
        if op == "stop":
            session.answer(self._stop_motion())
            return
        if op in ("blank", "fence"):
            why = str(head.get("reason") or "asked to")
            if op == "fence" and not self._fence(str(head.get("who")), why):
                session.answer({"taken_over": True})
                return
            done = self._blank(why)
            session.answer({"blanked": self._reads_blanked()} if done else _failed(self._owed))
        elif op != "state" and (session.role != PILOT or session is not self._pilot):
            session.refuse("NotSupported", "this connection may look and blank, nothing else: connect as the pilot")
        elif session.fenced:
            session.refuse(FENCED, CUT_OFF.format(session.fenced))
        elif session.job is not None:
            session.refuse("BusyError", "the last request is still being carried out: wait for its answer")
        else:
            session.job = Job(session, head)
            self._jobs.put(session.job)

    def _fence(self, who: str, why: str) -> bool:
        """Cut a pilot off for good; whether the beam is still its affair: False where another pilot is heard of."""
        self._fenced[who] = why
        pilot = self._pilot
        if pilot is None or pilot.who == who:
            if pilot is not None:
                pilot.fenced = why
            return True
        return not pilot.alive(self._silence_s)

    def _carry_out(self, job: Job) -> None:
        """One request, in the driver's thread."""
        session, self._job = job.session, job
        try:
            head, arrays = job.carry_out(self._driver)
        except DriverError as error:
            head, arrays = dict(error.about, error=error.kind, message=str(error)), ()
        except Exception as error:  # a driver's bug must not end the server, which holds the blanker
            head, arrays = _failed(f"{type(error).__name__}: {error}"), ()
        finally:
            if job.exposes:
                self._blank("after an exposure", cut=False)
            job.done = True
            session.job = self._job = None
        session.left = session.left or job.leaves
        try:
            if hasattr(self._driver, "now_s"):
                head = dict(head, now_s=self._driver.now_s())
            session.answer(head, arrays)
        except Exception as error:  # another bug of a driver's: nothing of it has been sent
            session.answer(_failed(f"the driver's answer cannot be sent ({type(error).__name__}: {error})"))

    def _blank(self, why: str, cut: bool = True) -> bool:
        """Blank now, and let no exposure go on; returns whether it was done. What fails is tried again by the watch."""
        pilot = self._pilot
        for job in (self._job, None if pilot is None else pilot.job):  # under way, and waiting
            if cut and job is not None and job.exposes:
                job.cut = job.cut or why
        self._owed = self._owed or why
        try:
            self._driver.blank()
        except Exception as error:
            self._owed = f"{why} (failed: {type(error).__name__}: {error})"
            self._tell(f"could not blank: {self._owed}")
            return False
        self._owed = ""
        return True

    def _tell(self, line: str) -> None:
        """For a person. A log that cannot be written is no reason to stop seeing to the beam."""
        try:
            self._say(line)
        except Exception:
            return

    def _stop_motion(self) -> dict[str, Any]:
        """From whoever asks: standing still is never wrong."""
        if not self._able()["can_stop"]:
            return {"error": "NotSupported", "message": "stop was asked, which this driver cannot: wait for the move"}
        try:
            self._driver.stop()
        except Exception as error:
            return _failed(f"{type(error).__name__}: {error}")
        return {}

    def _look(self) -> dict[str, Any]:
        """What the blanker reads; an error where it cannot be asked: who has to rely on it must know."""
        try:
            found = self._driver.blanked()
        except Exception as error:
            return _failed(f"the blanker cannot be read ({type(error).__name__}: {error})")
        return {"blanked": None if found is None else bool(found)}

    def _reads_blanked(self) -> bool | None:
        return self._look().get("blanked")

    def _watch(self) -> None:
        """Goes on for as long as the server does: what goes wrong in it blanks."""
        while not self._stopping.wait(WATCH_S):
            try:
                self._see_to_it()
            except Exception as error:
                self._blank(f"the watch has failed: {type(error).__name__}: {error}")

    def _see_to_it(self) -> None:
        """Blank when the pilot is silent or an exposure overdue; and again, where it must be and is not sure to be."""
        pilot, job = self._pilot, self._job
        if pilot is not None and pilot.falls_silent(self._silence_s):
            if self._leaving.is_set():  # whoever hangs is not waited for
                self._met.discard(pilot)
            if pilot.job is not None:
                pilot.fenced = pilot.fenced or "it was silent"
            self._blank(f"no heartbeat for {self._silence_s:g} s")
            self._tell(f"no heartbeat for {self._silence_s:g} s: blanked")
        if job is not None and self._keeps_time and job.overdue(self._overhead_s):
            self._blank("it took longer than it may")
            self._tell("an exposure is overdue: blanked")
        elif self._owed or (job is not None and job.exposes and job.cut):
            self._blank(self._owed or str(job and job.cut))


def _failed(message: str) -> dict[str, Any]:
    return {"error": "InstrumentError", "message": message}
