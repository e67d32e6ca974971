"""What a runner may ask a guard in another process for, and the answers. Nothing else is understood."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from instruments import codec, distant
from instruments.codec import Json, request_of
from instruments.errors import InstrumentError, NotSupported
from instruments.powers import CanStop
from instruments.types import Exposure, Footprint, Optics, StagePosition

if TYPE_CHECKING:
    from collections.abc import Callable

    from instruments.clock import Clock
    from instruments.codec import Arrays
    from instruments.guard import Guard


def answer(guard: Guard, clock: Clock, wish: Json) -> tuple[Json, Arrays]:
    """Carry out one wish: (head, arrays) of the answer, which tells of an error where there was one."""
    arrays: Arrays = ()
    try:
        act = _ACTS.get(wish.get("op"))
        if act is None:
            raise NotSupported(f"{wish.get('op')!r} was asked, which this guard does not know: use the same version")
        head, arrays = act(guard, clock, wish)
    except Exception as error:  # a bug must not end the guard: the survey hears of it, the beam is blanked by then
        head = codec.error(error)
    return {**head, "denials": guard.denials, "last_denial": guard.last_denial, "now_s": clock.now_s()}, arrays


def _state(guard: Guard, clock: Clock, wish: Json) -> tuple[Json, Arrays]:
    return {"state": codec.state(guard.state())}, ()


def _move(guard: Guard, clock: Clock, wish: Json) -> tuple[Json, Arrays]:
    return {"achieved": codec.sparse(guard.move(request_of(StagePosition, wish.get("target"))).achieved)}, ()


def _tune(guard: Guard, clock: Clock, wish: Json) -> tuple[Json, Arrays]:
    return {"achieved": codec.sparse(guard.tune(request_of(Optics, wish.get("target"))).achieved)}, ()


def _acquire(guard: Guard, clock: Clock, wish: Json) -> tuple[Json, Arrays]:
    about, arrays = codec.frame(guard.acquire(request_of(Exposure, wish.get("exposure"))))
    return {"frame": about}, arrays


def _blank(guard: Guard, clock: Clock, wish: Json) -> tuple[Json, Arrays]:
    guard.blank()
    return {}, ()


def _close(guard: Guard, clock: Clock, wish: Json) -> tuple[Json, Arrays]:
    guard.close()
    return {}, ()


def _use(guard: Guard, clock: Clock, wish: Json) -> tuple[Json, Arrays]:
    return {"result": distant.use(guard, str(wish.get("power")), str(wish.get("verb")), wish.get("values") or [])}, ()


def _why_not(guard: Guard, clock: Clock, wish: Json) -> tuple[Json, Arrays]:
    stage, state = wish.get("stage"), wish.get("state")
    reason = guard.why_not(
        request_of(Exposure, wish.get("exposure")),
        None if stage is None else request_of(StagePosition, stage),
        state=None if state is None else codec.state_of(state),
    )
    return {"reason": reason}, ()


def _wait(guard: Guard, clock: Clock, wish: Json) -> tuple[Json, Arrays]:
    clock.wait(wish["duration_s"])
    return {}, ()


def _ledger(guard: Guard, clock: Clock, wish: Json) -> tuple[Json, Arrays]:
    ledger, place = guard.ledger, wish.get("place")
    found: dict[str, Any] = {
        "booked": wish.get("exposure_id") is not None and ledger.booked(int(wish["exposure_id"])),
        "electrons": ledger.electrons(),
        "time_used_s": ledger.time_used_s(),
        "latched": ledger.latched(),
        "fluence_e_per_A2": None if place is None else ledger.fluence_e_per_A2(Footprint(**place)),
    }
    return found, ()


_ACTS: dict[Any, Callable[[Guard, Clock, Json], tuple[Json, Arrays]]] = {
    "state": _state, "move": _move, "tune": _tune, "acquire": _acquire, "blank": _blank, "close": _close, "use": _use,
    "why_not": _why_not, "wait": _wait, "ledger": _ledger,
}  # fmt: skip


def stop(guard: Guard) -> Json:
    """Stop what moves, from any thread."""
    try:
        motion = guard.power(CanStop)
        if motion is None:
            raise NotSupported("stop was asked, which this instrument cannot: wait for the move")
        motion.stop()
    except InstrumentError as error:
        return codec.error(error)
    return {}


def hold(guard: Guard, wish: Json) -> Json:
    """The urgent wishes: blank now, and with a reason hold the beam off from now on."""
    try:
        reason = wish.get("reason")
        guard.hold(str(reason)) if reason else guard.blank()
    except InstrumentError as error:
        return codec.error(error)
    return {}
