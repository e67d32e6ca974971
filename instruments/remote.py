"""An instrument behind a driver server (``instruments.server``), on this computer or at the end of an ssh tunnel.

Two connections: the pilot's, which waits for one answer at a time and beats while it waits, and one that only blanks.
"""

from __future__ import annotations

import secrets
import threading
import time
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, cast

from pydantic import Field

from configs.load import ConfigError, Settings
from instruments import codec, distant
from instruments.errors import BusyError, Disconnected, Timeout
from instruments.powers import CanStop, HasBlanker
from instruments.server.session import PILOT
from instruments.server_link import Link, keep_seat
from instruments.types import Outcome, State

if TYPE_CHECKING:
    from instruments.clock import Clock
    from instruments.codec import Arrays, Json
    from instruments.types import Exposure, Frame, Optics, StagePosition

P = TypeVar("P")

_BEATING_S = 0.2
"""That a beat may take, for which a request waits."""
_BLANK_S = 0.5
"""One try to blank may take this long."""
_STOP_S = 1.0
_BLANKED_BY_ITSELF_S = 3.0
"""After this without a connection the server has blanked by itself; that it is gone is told to whoever asks."""


class RemoteSettings(Settings):
    """A driver server that runs already."""

    kind: Literal["remote"] = "remote"
    port: Annotated[int, Field(ge=1, le=65535)]
    """On the loopback: of the server, or of the ssh tunnel to it."""
    token_file: Path
    """Copied from the instrument's computer; nobody else may read it."""
    name: str = Field(pattern=r"^[\w.-]+$")
    """Of the instrument, as its server was started with: its latches are kept under it, and another one is refused."""
    answer_s: Annotated[float, Field(gt=0)] = 5.0
    """How long to wait for an answer that takes the instrument no time."""
    move_s: Annotated[float, Field(gt=0)] = 180.0
    """The longest that a move, or a change of the optics, may take."""
    exposure_overhead_s: Annotated[float, Field(gt=0)] = 30.0
    """What an exposure may take beyond its own time, read-out included, before its frame is given up."""


class RemoteMicroscope:
    """Microscope over a driver server. Times it tells are those of ``clock``, which it sets its own against."""

    def __init__(
        self,
        settings: RemoteSettings,
        token: str,
        clock: Clock | None = None,
        *,
        role: str = PILOT,
        who: str | None = None,
        first: Json | None = None,
    ) -> None:
        """Raises Disconnected, BusyError, and NotSupported for the server of another instrument than was named.

        ``clock`` None: the server's world keeps the time (``RemoteClock``); ``who``: as what the server knows this
        pilot, for a watchdog to cut it off by; None: as nobody else. ``first``: what is asked before anything else,
        after each loss of the connection again: another process may serve then, which knows nothing.
        """
        self._settings = settings
        self._token = token
        self._clock = clock
        self._role, self._first = role, first
        self._later_s: float | None = 0.0 if clock is None else None
        self.world_s: float | None = None
        """What a world behind the server says that the time is; None where it keeps none."""
        self.overhead_s = 0.0
        """How much longer than its own time an exposure may keep the beam on before the server blanks."""
        self._closed = self._can_stop = False
        self._who = who or secrets.token_hex(8)
        self._calling = threading.Lock()
        self._blanking, self._looking = threading.Lock(), threading.Lock()
        self._urgent: dict[str, Link] = {}
        """By what they are for."""
        self.greeted: Any = None
        """What came of ``first``."""
        self._parting = threading.Event()
        self._pilot: Link | None = self._connect(role)
        if role == PILOT:  # who thinks for a while is still the pilot
            threading.Thread(target=keep_seat, args=(weakref.ref(self), self._parting), daemon=True).start()

    def state(self) -> State:
        data = self._ask({"op": "state"}, self._settings.answer_s)[0]["state"]
        if self._later_s is None and self._clock is not None:
            self._later_s = self._clock.now_s() - data["time_s"]
        return codec.state_of(data, self._later_s or 0.0)

    def move(self, target: StagePosition) -> Outcome[StagePosition]:
        from_server = self._ask({"op": "move", "target": codec.sparse(target)}, self._settings.move_s)[0]
        return Outcome(target, codec.request_of(type(target), from_server["achieved"]))

    def tune(self, target: Optics) -> Outcome[Optics]:
        from_server = self._ask({"op": "tune", "target": codec.sparse(target)}, self._settings.move_s)[0]
        return Outcome(target, codec.request_of(type(target), from_server["achieved"]))

    def acquire(self, exposure: Exposure) -> Frame:
        limit_s = exposure.duration_s + self._settings.exposure_overhead_s
        head, arrays = self._ask({"op": "acquire", "exposure": codec.sparse(exposure)}, limit_s)
        return codec.frame_of(exposure, head["frame"], arrays, self._later_s or 0.0)

    def blank(self) -> None:
        """From any thread, while an exposure is under way too: it does not go on.

        Raises Disconnected where the server cannot be reached. One that lives has blanked by itself by then.
        """
        with self._blanking:
            give_up_s = time.monotonic() + _BLANKED_BY_ITSELF_S
            while True:
                try:
                    answer = self._urgently("blanker", {"op": "blank", "reason": "the guard blanks"})
                    break
                except (Disconnected, Timeout) as error:
                    if time.monotonic() > give_up_s:
                        raise Disconnected(f"asked to blank, and the driver server is not reached: {error}") from error
                    time.sleep(0.05)
            if self._closed:
                self._urgent.pop("blanker").close()
        if "error" in answer:
            raise codec.error_of(answer)

    def blanked(self) -> bool | None:
        """From any thread, while an exposure is under way too. None: it does not tell. Raises Disconnected, Timeout."""
        with self._looking:
            if self._closed:
                raise Disconnected("this connection was closed: open the instrument again")
            answer = self._urgently("looker", {"op": "look"})
        if "error" in answer:
            raise codec.error_of(answer)
        found = answer["blanked"]
        return None if found is None else bool(found)

    def _urgently(self, role: str, wish: Json) -> Json:
        """Ask on a connection of its own, which waits for no exposure; made anew after it failed."""
        try:
            link = self._urgent[role] = self._urgent.get(role) or self._connect(role)
            return link.ask(wish, _BLANK_S)[0]
        except (Disconnected, Timeout):
            self._urgent.pop(role, None)
            raise

    def close(self) -> None:
        """Blank, and let another pilot have the instrument. Safe twice."""
        self._parting.set()
        with self._calling, self._blanking, self._looking:
            self._closed = True
            try:
                if self._pilot is not None and self._role == PILOT:
                    self._pilot.ask({"op": "close"}, self._settings.answer_s)
            finally:
                for link in (self._pilot, *self._urgent.values()):
                    if link is not None:
                        link.close()
                self._pilot = None
                self._urgent.clear()

    def power(self, kind: type[P]) -> P | None:
        if kind is CanStop:
            return cast("P | None", distant.Stop(self.stop) if self._can_stop else None)
        if kind is HasBlanker:
            return cast("P", self)
        return distant.distant(kind, self.use)

    def stop(self) -> None:
        """Stop what moves: from any thread, while the move is waited for, on a connection of its own.

        Raises Disconnected, Timeout where it is not known to be done; NotSupported.
        """
        link = self._connect("stopper")
        try:
            answer, _ = link.ask({"op": "stop"}, _STOP_S)
        finally:
            link.close()
        if "error" in answer:
            raise codec.error_of(answer)

    def wait(self, duration_s: float) -> None:
        """Let the server's world go on."""
        self._ask({"op": "wait", "duration_s": duration_s}, self._settings.answer_s)

    def use(self, power: str, verb: str, *values: Any) -> Any:
        """Call a power's verb at the server; with an empty verb, tell whether there is such a power."""
        wish = {"op": "use", "power": power, "verb": verb, "values": list(values)}
        return self._ask(wish, self._settings.move_s)[0]["result"]

    def _ask(self, wish: Json, limit_s: float) -> tuple[Json, Arrays]:
        if not self._calling.acquire(timeout=_BEATING_S):
            raise BusyError("another thread waits for this instrument's answer: blanking is all that can be done now")
        try:
            if self._closed:
                raise Disconnected("this connection was closed: open the instrument again")
            self._pilot = self._pilot or self._connect(self._role)
            try:
                head, arrays = self._pilot.ask(wish, limit_s)
            except (Disconnected, Timeout):
                self._pilot = None
                raise
        finally:
            self._calling.release()
        self._note_time(head)
        if "error" in head:
            if head["error"] == Disconnected.__name__:
                self._drop()
            raise codec.error_of(head, self._later_s or 0.0)
        return head, arrays

    def here(self) -> None:
        """Tell the server that its pilot lives, unless a request does so by itself."""
        if self._calling.acquire(blocking=False):
            try:
                if self._pilot is not None:
                    self._pilot.beat()
            except Disconnected:
                self._pilot = None  # connected anew by the next request
            finally:
                self._calling.release()

    def _drop(self) -> None:
        """The server no longer listens here, or its instrument is gone: the next request connects anew."""
        if self._pilot is not None:
            self._pilot.close()
        self._pilot = None

    def _connect(self, role: str) -> Link:
        link = Link(self._settings.port, self._token, role, self._who, self._settings.name)
        if role == self._role:
            self._note_time(link.about)
            self._can_stop = link.about.get("can_stop") is True
            self.overhead_s = float(link.about["overhead_s"])
            if self._clock is not None:
                self._later_s = None  # another process may serve now: its clock is set against ours anew
            if self._first is not None:
                answer = link.ask(self._first, self._settings.move_s)[0]
                if "error" in answer:
                    link.close()
                    raise codec.error_of(answer)
                self.greeted = answer["result"]
        return link

    def _note_time(self, head: Json) -> None:
        if head.get("now_s") is not None:
            self.world_s = head["now_s"]


class RemoteClock:
    """The clock of a simulated world behind a server: it goes on with every request, and waits when told."""

    def __init__(self, scope: RemoteMicroscope) -> None:
        self._scope = scope

    def now_s(self) -> float:
        return self._scope.world_s or 0.0

    def wait(self, duration_s: float) -> None:
        if not 0 <= duration_s < float("inf"):
            raise ValueError(f"cannot wait {duration_s} s: a wait is a finite number of seconds, 0 or more")
        self._scope.wait(duration_s)


SETTINGS = RemoteSettings


def open_microscope(settings: RemoteSettings, *, seed: int, clock: Clock, truth: Path | None) -> RemoteMicroscope:
    """For the registry: connect to the server that ``settings`` name."""
    del seed, truth
    return RemoteMicroscope(settings, token_in(settings.token_file), clock)


def token_in(path: Path) -> str:
    """The secret in a token file. Raises ConfigError."""
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise ConfigError(f"instrument.token_file: {path} cannot be read ({error}): copy the server's") from error
