"""Faults on purpose, in front of any microscope: for tests, and for a laboratory that wants to see what a night does.

    request ─► mishap due? ─► nothing done, or done in part, or done and the answer spoilt ─► answer

Which call fails, and how, follows from a list or from a seed and rates: the same every time.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias, TypeVar, cast, get_args

import numpy as np
from pydantic import BeforeValidator, Field, SerializeAsAny

from configs.load import Settings
from instruments.drivers import registry
from instruments.errors import Disconnected, HardwareFault, ReachError, Timeout
from instruments.launch import longest_s, overhead_s, startup_s
from instruments.mishaps import VERBS_OF, Kind, Mishap, Verb
from instruments.powers import HasLoader
from instruments.types import Frame, Optics, Outcome, Reading, StagePosition

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from instruments.clock import Clock
    from instruments.protocol import Microscope
    from instruments.types import Exposure, Signal, State

P = TypeVar("P")
Ratio: TypeAlias = float

_AXES = ("x_nm", "y_nm", "z_nm", "alpha_deg", "beta_deg")
_KNOCK_DEG = 0.5
_STALE_S = 1e4
_BY_HAND_NM = 500.0
_GIVE_UP_S = 5.0
_CREEP_STEPS = 3


class FaultySettings(Settings):
    """Any instrument, with mishaps."""

    kind: Literal["faulty"] = "faulty"
    instrument: Annotated[SerializeAsAny[Settings], BeforeValidator(registry.block)]
    """The block of the instrument that this happens to."""
    mishaps: tuple[Mishap, ...] = ()
    rates: dict[Kind, Annotated[Ratio, Field(ge=0, le=1)]] = Field(default_factory=dict)
    """Of the calls that a kind can befall, the share that it does befall."""
    fault_seed: int = 0
    hang_s: Annotated[float, Field(gt=0)] = 600.0
    """How long a call hangs before it comes back after all."""

    @property
    def real_time(self) -> bool:
        """As the instrument's own."""
        return bool(getattr(self.instrument, "real_time", True))

    @property
    def exposure_overhead_s(self) -> float:
        """As the instrument's own."""
        return overhead_s(self.instrument)

    @property
    def startup_s(self) -> float:
        """As the instrument's own."""
        return startup_s(self.instrument)

    @property
    def move_s(self) -> float:
        """As the instrument's own, a specimen's way included."""
        return longest_s(self.instrument)


class FaultyMicroscope:
    """Microscope over another one, which does what it is asked unless a mishap is due."""

    def __init__(self, scope: Microscope, settings: FaultySettings, clock: Clock) -> None:
        self._scope = scope
        self._settings = settings
        self._clock = clock
        self._calls: Counter[str] = Counter()
        self._rest: list[StagePosition] = []
        """What a stage that said ready too early has still to do."""
        self._blanked = threading.Event()
        self.happened: list[tuple[str, str, int]] = []
        """(kind, verb, its number) of every mishap so far."""

    def state(self) -> State:
        if self._rest:
            self._scope.move(self._rest.pop(0))
        kind = self._due("state")
        self._fail_before(kind, "state")
        if kind == "moved_by_hand":  # somebody at the instrument has turned the trackball
            at_nm = self._scope.state().stage.x_nm or 0.0
            self._scope.move(StagePosition(x_nm=at_nm + _BY_HAND_NM))
        state = self._scope.state()
        if kind == "valve_closed":
            return replace(state, valve_open=False)
        if kind == "emission_off":
            return replace(state, emission=Reading(value=0.0, unit="µA", age_s=0.0))
        if kind == "stale_reading":
            old = ((name, getattr(state, name)) for name in ("vacuum", "emission"))
            return replace(state, **{name: replace(one, age_s=_STALE_S) for name, one in old if one is not None})
        if kind == "taken_over":  # somebody at the instrument has opened the blanker to look
            return replace(state, blanked=False)
        return state

    def move(self, target: StagePosition) -> Outcome[StagePosition]:
        kind = self._due("move")
        self._fail_before(kind, "move")
        self._finish()
        start = self._scope.state().stage
        if kind == "half_way":
            reached = self._scope.move(_between(start, target, 0.5)).achieved
            raise ReachError(
                f"asked to go to {target}, the stage stopped at {reached}; try again", target=target, readback=reached
            )
        if kind == "ready_early":
            ways = [_between(start, target, part / _CREEP_STEPS) for part in range(1, _CREEP_STEPS)]
            self._scope.move(ways[0])
            self._rest = [*ways[1:], target]
            return Outcome(target, target)
        if kind == "pole_touch" and target.alpha_deg is not None:
            self._scope.move(replace(target, alpha_deg=target.alpha_deg - _KNOCK_DEG))
            return Outcome(target, target)
        outcome = self._scope.move(target)
        self._fail_after(kind, "move")
        return outcome

    def tune(self, target: Optics) -> Outcome[Optics]:
        kind = self._due("tune")
        self._fail_before(kind, "tune")
        outcome = self._scope.tune(target)
        self._fail_after(kind, "tune")
        return outcome

    def acquire(self, exposure: Exposure) -> Frame:
        kind = self._due("acquire")
        self._fail_before(kind if kind != "timeout" else None, "acquire")
        if kind == "beam_trip":
            raise HardwareFault("the emission has tripped: the gun's computer brings it back; wait", latching=False)
        frame = self._scope.acquire(exposure)
        if kind == "timeout":  # a camera that does not answer was exposed all the same
            self._clock.wait(_GIVE_UP_S)
            raise Timeout(f"no frame {_GIVE_UP_S:g} s after the exposure: its dose is spent; do not repeat it here")
        self._fail_after(kind, "acquire")
        if kind in ("blank_frame", "truncated_frame"):
            cut = 0 if kind == "blank_frame" else exposure.shape[0] // 2
            return replace(frame, signals={name: _cut(signal, cut) for name, signal in frame.signals.items()})
        return frame

    def blank(self) -> None:
        self._blanked.set()
        self._scope.blank()

    def close(self) -> None:
        self._blanked.set()
        self._scope.close()

    def power(self, kind: type[P]) -> P | None:
        found = self._scope.power(kind)
        return cast("P", _FaultyLoader(found, self)) if isinstance(found, HasLoader) and kind is HasLoader else found

    def transfer(self, act: Callable[[], None]) -> None:
        """Of a specimen, by the loader that this microscope hands out."""
        kind = self._due("transfer")
        self._fail_before(kind, "transfer")
        if kind == "cartridge_stuck":
            raise HardwareFault("the cartridge has got stuck on its way: see to it", latching=True)
        act()
        self._fail_after(kind, "transfer")

    def _due(self, verb: Verb) -> str | None:
        """The kind of mishap that befalls this call."""
        self._calls[verb] += 1
        number = self._calls[verb]
        kind = self._drawn(verb, number)
        for mishap in self._settings.mishaps:
            if mishap.befalls == verb and mishap.nth <= number < mishap.nth + mishap.calls:
                kind = mishap.kind
        if kind is not None:
            self.happened.append((kind, verb, number))
        return kind

    def _drawn(self, verb: Verb, number: int) -> str | None:
        """By chance: every call has its own draw, so that what happened before changes nothing."""
        able = [(kind, rate) for kind, rate in self._settings.rates.items() if verb in VERBS_OF[kind]]
        if not able:
            return None
        place = get_args(Verb).index(verb)
        draw = float(np.random.default_rng((self._settings.fault_seed, place, number)).random())
        for kind, rate in able:
            if draw < rate:
                return cast("str", kind)
            draw -= rate
        return None

    def _finish(self) -> None:
        """A stage that was still on its way gets there first."""
        while self._rest:
            self._scope.move(self._rest.pop(0))

    def _fail_before(self, kind: str | None, verb: Verb) -> None:
        """What keeps a request from being carried out at all."""
        if kind == "timeout":
            self._clock.wait(_GIVE_UP_S)
            raise Timeout(f"no answer to {verb} in {_GIVE_UP_S:g} s; ask again")
        if kind == "disconnect":
            raise Disconnected(f"the connection was gone when {verb} was asked: nothing was done; reconnect")
        if kind == "hang":
            self._hang(verb)

    def _fail_after(self, kind: str | None, verb: Verb) -> None:
        """What keeps the answer from coming back."""
        if kind == "reply_lost":
            raise Disconnected(
                f"the connection broke after {verb} was sent: it was carried out, or not; read the state"
            )

    def _hang(self, verb: Verb) -> None:
        """Nothing comes back, until the beam is blanked from elsewhere or the time is up."""
        self._blanked.clear()
        if self._settings.real_time:
            self._blanked.wait(self._settings.hang_s)
        else:
            self._clock.wait(self._settings.hang_s)
        raise Timeout(f"{verb} hung for up to {self._settings.hang_s:g} s; it may have been done; read the state")


@dataclass(frozen=True, slots=True)
class _FaultyLoader:
    """The instrument's own, whose transfers may go wrong."""

    loader: HasLoader
    faulty: FaultyMicroscope

    def specimens(self) -> Sequence[str]:
        return self.loader.specimens()

    def loaded(self) -> str | None:
        return self.loader.loaded()

    def load(self, name: str) -> None:
        self.faulty.transfer(lambda: self.loader.load(name))

    def unload(self) -> None:
        self.faulty.transfer(self.loader.unload)


def _between(start: StagePosition, target: StagePosition, part: Ratio) -> StagePosition:
    """So far along the way, of the axes that the target names."""
    places = {}
    for axis in _AXES:
        at, there = getattr(start, axis), getattr(target, axis)
        places[axis] = there if there is None or at is None else at + part * (there - at)
    return StagePosition(**places)


def _cut(signal: Signal, rows: int) -> Signal:
    """Only the first rows hold anything, all else is zero."""
    data = signal.data.copy()
    at = [axis.name for axis in signal.axes].index("row")
    data[(*(slice(None),) * at, slice(rows, None))] = 0
    return replace(signal, data=data)


SETTINGS = FaultySettings


def open_microscope(settings: FaultySettings, *, seed: int, clock: Clock, truth: Path | None) -> FaultyMicroscope:
    """For the registry."""
    scope = registry.open_microscope(settings.instrument, seed=seed, clock=clock, truth=truth)
    return FaultyMicroscope(scope, settings, clock)


def simulated(settings: FaultySettings) -> bool:
    """As the instrument."""
    return registry.simulated(settings.instrument)


def lacks(settings: FaultySettings) -> Mapping[str, str]:
    """As the instrument."""
    return registry.lacks(settings.instrument)
