"""A microscope that reads what a test says: for read-backs that no well-behaved driver gives."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from instruments.guard import Guard
from instruments.ledger import Ledger, MemoryLedger
from instruments.limits import SIMULATED, Limits
from instruments.types import Exposure, Frame, Optics, Outcome, StagePosition, State

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from instruments.clock import SimulatedClock

EXPOSURE = Exposure(field_of_view_nm=100.0, shape=(10, 10), dwell_us=10.0)
"""1 ms of beam: at 100 pA 624,151 electrons, 0.62 e/Å²."""


class FakeMicroscope:
    """Does what it is told at once. ``on_…`` hooks run inside a call; ``calls`` names what was done."""

    def __init__(self, clock: SimulatedClock) -> None:
        self.clock = clock
        self.stage = StagePosition(x_nm=0.0, y_nm=0.0, z_nm=0.0, alpha_deg=0.0)
        self.optics = Optics(current_pA=100.0, defocus_nm=0.0)
        self.reads: dict[str, Any] = {}
        """Overrides of the state's fields."""
        self.beam_on = False
        self.calls: list[str] = []
        self.powers: dict[type, Any] = {}
        self.frame_changes: dict[str, Any] = {}
        self.on_state: Callable[[], None] = nothing
        self.on_move: Callable[[], None] = nothing
        self.on_acquire: Callable[[], None] = nothing
        self.on_blank: Callable[[], None] = nothing

    def state(self) -> State:
        self.on_state()
        state = State(time_s=self.clock.now_s(), stage=self.stage, optics=self.optics, blanked=not self.beam_on)
        return replace(state, **self.reads)

    def move(self, target: StagePosition) -> Outcome[StagePosition]:
        self.calls.append("move")
        wanted = {
            name: getattr(target, name)
            for name in ("x_nm", "y_nm", "z_nm", "alpha_deg", "beta_deg")
            if getattr(target, name) is not None
        }
        self.clock.wait(1.0)
        self.stage = replace(self.stage, **wanted)
        self.on_move()
        return Outcome(target, target)  # believed by nobody: the guard reads back

    def tune(self, target: Optics) -> Outcome[Optics]:
        self.calls.append("tune")
        return Outcome(target, target)

    def acquire(self, exposure: Exposure) -> Frame:
        self.calls.append("acquire")
        self.beam_on = True
        start_s = self.clock.now_s()
        self.clock.wait(exposure.duration_s)
        self.on_acquire()
        frame = Frame(
            exposure=exposure,
            signals={},
            stage=self.stage,
            optics=self.optics,
            start_s=start_s,
            end_s=self.clock.now_s(),
            electrons=exposure.electrons(self.optics.current_pA or 0.0),
        )
        return replace(frame, **self.frame_changes)

    def blank(self) -> None:
        self.calls.append("blank")
        self.on_blank()
        self.beam_on = False

    def close(self) -> None:
        self.calls.append("close")

    def power(self, kind: type[Any]) -> Any:
        return self.powers.get(kind)


def limits(**changes: Any) -> Limits:
    """Roomy limits, with changes."""
    values: dict[str, Any] = {
        "x_nm": (-10_000.0, 10_000.0),
        "y_nm": (-10_000.0, 10_000.0),
        "z_nm": (-10_000.0, 10_000.0),
        "alpha_deg": (-60.0, 60.0),
        "off_axis_nm": 0.0,
        "backlash_nm": 500.0,
        "stage_uncertainty_nm": 10.0,
        "max_current_pA": 200.0,
        "max_electrons": 1e9,
        "max_fluence_e_per_A2": 100.0,
        "max_time_s": 1e4,
    }
    return Limits(**(values | changes))


def guarded(scope: FakeMicroscope, ledger: Ledger | None = None, **changes: Any) -> Guard:
    """A guard over the fake, its calls so far forgotten."""
    guard = Guard(scope, limits(**changes), MemoryLedger() if ledger is None else ledger, scope.clock, SIMULATED)
    scope.calls.clear()
    return guard


def raising(error: Exception) -> Callable[[], None]:
    def hook() -> None:
        raise error

    return hook


def refused(guard: Guard, scope: FakeMicroscope, error: type[Exception], message: str, **changes: Any) -> None:
    """The exposure is refused for this reason, as ``why_not`` said before, and nothing came of it."""
    exposure = replace(EXPOSURE, **changes)
    electrons, denials = guard.ledger.electrons(), guard.denials
    foretold = guard.why_not(exposure)
    assert guard.denials == denials
    with pytest.raises(error, match=message) as caught:
        guard.acquire(exposure)
    assert foretold == str(caught.value) == guard.last_denial
    assert guard.denials == denials + 1
    assert guard.ledger.electrons() == electrons
    assert "acquire" not in scope.calls


class Valves:
    """Everything a driver may be at once: what is handed out must not reach the rest of it."""

    def __init__(self, done: list[str]) -> None:
        self.done = done

    def close_valves(self) -> None:
        self.done.append("valves")

    def stop(self) -> None:
        self.done.append("stop")

    def tilt_range_deg(self) -> Mapping[str, tuple[float, float]]:
        return {"alpha_deg": (-80.0, 40.0), "beta_deg": (-20.0, 20.0)}

    def set_condition(self, name: str, value: float) -> Outcome[float]:
        self.done.append(f"{name}={value:g}")
        return Outcome(value, value)

    def channels(self) -> Mapping[str, int]:
        return {"EELS": 1024}

    def patterns(self) -> Mapping[str, tuple[int, int]]:
        return {"camera": (64, 64)}

    def specimens(self) -> Sequence[str]:
        return ("grid 1", "grid 2")

    def loaded(self) -> str | None:
        return None

    def load(self, name: str) -> None:
        self.done.append(f"load {name}")

    def unload(self) -> None:
        self.done.append("unload")


def nothing() -> None:
    """Do nothing."""
