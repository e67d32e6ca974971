"""The runner's end of a guard in another process: a Microscope that holds no driver."""

from __future__ import annotations

import threading
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar, cast

from instruments import codec, distant
from instruments.clock import RealClock
from instruments.crew import Crew, Plan
from instruments.errors import Disconnected, InstrumentError, LimitError
from instruments.powers import CanStop
from instruments.server.wire import BadMessage, Closed, receive, send
from instruments.types import Exposure, Optics, Outcome, StagePosition

if TYPE_CHECKING:
    import socket

    from instruments.clock import Clock
    from instruments.codec import Arrays, Json
    from instruments.limits import Limits
    from instruments.types import Footprint, Frame, State

P = TypeVar("P")

_URGENT_S = 4.0
_PARTS_S = 0.05


class GuardClient:
    """Asks the guard, waits for its answer and beats meanwhile. One that died is started anew at the next request."""

    def __init__(self, plan: Plan, start_s: float = 0.0) -> None:
        """Raises InstrumentError, ConfigError where the guard does not start."""
        self.ledger = LedgerView(self)
        self.denials = 0
        self.last_denial: str | None = None
        self._plan = plan
        self._world_s = start_s
        self._held: str | None = None
        self._closed = False
        self._stopping = threading.Lock()
        self.clock: Clock = WorldClock(self) if plan.simulated_time else RealClock(start_s)
        """The instrument's."""
        self._crew: Crew | None = self._manned()

    @property
    def limits(self) -> Limits:
        """As the guard has them; changing them here changes nothing there."""
        return self._plan.limits

    @property
    def pids(self) -> dict[str, int]:
        """Process numbers of the guard, the watchdog and the driver server, by module name."""
        return {} if self._crew is None else self._crew.pids

    @property
    def world_s(self) -> float:
        """The instrument's time when it last answered."""
        return self._world_s

    def state(self) -> State:
        return codec.state_of(self.ask({"op": "state"})[0]["state"])

    def move(self, target: StagePosition) -> Outcome[StagePosition]:
        if not isinstance(target, StagePosition):
            raise LimitError(f"asked to move to {target!r}: give a StagePosition")
        achieved = self.ask({"op": "move", "target": codec.sparse(target)})[0]["achieved"]
        return Outcome(target, StagePosition(**achieved))

    def tune(self, target: Optics) -> Outcome[Optics]:
        if not isinstance(target, Optics):
            raise LimitError(f"asked to tune to {target!r}: give an Optics")
        achieved = self.ask({"op": "tune", "target": codec.sparse(target)})[0]["achieved"]
        return Outcome(target, Optics(**achieved))

    def acquire(self, exposure: Exposure) -> Frame:
        if not isinstance(exposure, Exposure):
            raise LimitError(f"asked to acquire {exposure!r}: give an Exposure")
        self.ledger.sent(exposure)
        head, arrays = self.ask({"op": "acquire", "exposure": codec.sparse(exposure)})
        return codec.frame_of(exposure, head["frame"], arrays)

    def hold(self, reason: str) -> None:
        """Blank now, and refuse every exposure from here on. Safe in a signal handler, in the midst of a request."""
        self._held = reason
        if self._crew is not None:
            self._hold(self._crew, reason)

    def blank(self) -> None:
        if not self._closed:
            self.ask({"op": "blank"})

    def close(self) -> None:
        """Blank, and end the processes. Safe twice."""
        if self._closed:
            return
        self._closed = True
        crew, self._crew = self._crew, None
        if crew is not None:
            try:
                self._exchange(crew, {"op": "close"})
            finally:
                crew.end()

    def power(self, kind: type[P]) -> P | None:
        if kind is CanStop:
            crew = self._at_hand()
            return cast("P | None", distant.Stop(self._stop) if crew.about.get("can_stop") else None)
        return distant.distant(kind, self._use)

    def why_not(
        self, exposure: Exposure, stage: StagePosition | None = None, *, state: State | None = None
    ) -> str | None:
        """As ``Guard.why_not``."""
        wish = {
            "op": "why_not",
            "exposure": codec.sparse(exposure),
            "stage": None if stage is None else codec.sparse(stage),
            "state": None if state is None else codec.state(state),
        }
        reason = self.ask(wish)[0]["reason"]
        return None if reason is None else str(reason)

    def ask(self, wish: Json) -> tuple[Json, Arrays]:
        """Send a request to the guard; returns (head, arrays) of its answer. Raises what the guard raised."""
        crew = self._at_hand()
        try:
            head, arrays = self._exchange(crew, wish)
        except Disconnected:
            self._crew = None
            crew.end()
            raise
        if "error" in head:
            raise codec.error_of(head)
        return head, arrays

    def _at_hand(self) -> Crew:
        if self._closed:
            raise Disconnected("this guard was closed: open the instrument again")
        self._crew = self._crew or self._manned()
        return self._crew

    def _stop(self) -> None:
        """Stop what moves: from another thread, while a move's answer is waited for."""
        with self._stopping:
            crew = self._crew
            if crew is None:
                raise Disconnected("stop was asked, and the guard's process is gone: read the stage again")
            self._tell(crew.halt, {"op": "stop"}, "stop what moves")

    def _exchange(self, crew: Crew, wish: Json) -> tuple[Json, Arrays]:
        try:
            send(crew.calls, wish)
        except (TypeError, ValueError) as error:
            raise LimitError(f"{wish} holds what is no number ({error}): nothing was done; ask for one") from error
        except Closed as error:
            raise Disconnected(f"the guard's process is gone ({error}): it is started anew at the next try") from error
        try:
            head, arrays = receive(crew.calls, lambda: send(crew.calls, {"op": "beat"}))
        except (Closed, BadMessage) as error:
            raise Disconnected(
                f"the guard's process died with a request under way ({error}): the beam is blanked by the watchdog, "
                "what was asked may have been done; it is started anew at the next try"
            ) from error
        self.denials, self.last_denial = head.get("denials", 0), head.get("last_denial")
        self._world_s = head.get("now_s", self._world_s)
        return head, arrays

    def _manned(self) -> Crew:
        crew = Crew(self._plan, self.clock.now_s())
        self._world_s = crew.about.get("now_s", self._world_s)
        if self._held is not None:
            self._hold(crew, self._held)
        return crew

    def _hold(self, crew: Crew, reason: str) -> None:
        self._tell(crew.urgent, {"op": "hold", "reason": reason}, f"hold the beam off ({reason})")

    def _tell(self, link: socket.socket, wish: Json, what: str) -> None:
        """Something that does not wait for the answer to a request under way. Raises what the guard raised."""
        give_up_s = time.monotonic() + _URGENT_S

        def impatient() -> None:
            if time.monotonic() > give_up_s:
                raise InstrumentError(f"the guard was told to {what}, and does not answer")

        try:
            send(link, wish)
            told = receive(link, impatient, _PARTS_S)[0]
        except (Closed, BadMessage) as error:
            raise Disconnected(f"the guard's process is gone ({error}): its watchdog has blanked the beam") from error
        if "error" in told:
            raise codec.error_of(told)

    def _use(self, power: str, verb: str, *values: Any) -> Any:
        return self.ask({"op": "use", "power": power, "verb": verb, "values": list(values)})[0]["result"]


class LedgerView:
    """What the guard's ledger holds, to be read. Writing is the guard's alone, clearing a latch a person's."""

    def __init__(self, client: GuardClient) -> None:
        self._client = client
        self._sent: set[int] = set()

    def sent(self, exposure: Exposure) -> None:
        """This exposure is on its way: from here on it may have been made."""
        if isinstance(exposure.id, int):
            self._sent.add(exposure.id)

    def booked(self, exposure_id: int) -> bool:
        """As the ledger says; with the guard out of reach, yes where it was ever sent."""
        try:
            return bool(self._ask(exposure_id=exposure_id)["booked"])
        except Disconnected:
            return exposure_id in self._sent

    def electrons(self) -> float:
        return float(self._ask()["electrons"])

    def time_used_s(self) -> float:
        return float(self._ask()["time_used_s"])

    def latched(self) -> str | None:
        found = self._ask()["latched"]
        return None if found is None else str(found)

    def fluence_e_per_A2(self, place: Footprint) -> float:
        return float(self._ask(place=asdict(place))["fluence_e_per_A2"])

    def clear_latch(self, person: str) -> None:
        raise LimitError(
            f"{person or 'somebody'} wants to clear a latch: it belongs to the instrument, and is cleared there by "
            "`adaptem guard clear --reason TEXT` once somebody has looked"
        )

    def _ask(self, **about: Any) -> Json:
        return self._client.ask({"op": "ledger", **about})[0]


class WorldClock:
    """The time of a simulated instrument behind the guard: it goes on with every answer, and waits when told."""

    def __init__(self, client: GuardClient) -> None:
        self._client = client

    def now_s(self) -> float:
        return self._client.world_s

    def wait(self, duration_s: float) -> None:
        if not 0 <= duration_s < float("inf"):
            raise ValueError(f"cannot wait {duration_s} s: a wait is a finite number of seconds, 0 or more")
        self._client.ask({"op": "wait", "duration_s": duration_s})
