"""What lives and dies with a process: the driver, watched, and the ledger; and the points where it may die."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from instruments.powers import HasLoader
from instruments.simulated.microscope import SimulatedMicroscope

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from e2e_bench import Bench

    from instruments.types import Exposure, StagePosition, State

TOUCH_DEG = 0.1

CRASH_POINTS = (
    "before reserve",
    "after reserve",
    "after exposure",
    "after blank",
    "before settle",
    "after settle",
    "after move",
    "after transfer",
)


class Killed(BaseException):
    """The process is dead: nothing of it runs any more."""


class WatchedDriver:
    """The simulated driver, watched, and as dead as its process."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._scope = SimulatedMicroscope(bench.world)

    def __getattr__(self, name: str) -> Any:
        self._bench.point("alive")
        return getattr(self._scope, name)

    def move(self, target: StagePosition) -> object:
        bench = self._bench
        bench.point("alive")
        bench.must(not bench.touched, "moved after a pole touch")
        bench.must(not bench.world.beam_on, "moved with the beam on")
        _, _, _, before_deg = bench.world.stage.position(bench.world.now_s())
        number = bench.motions
        for axis in ("x_nm", "y_nm", "z_nm"):
            value = getattr(target, axis)
            if value is not None:
                lowest_nm = getattr(bench.limits, axis)[0]
                bench.must(lowest_nm <= value - bench.limits.backlash_nm, f"{axis} passes below its limit on the way")
        try:
            return self._scope.move(target)
        finally:
            expected_deg = before_deg if target.alpha_deg is None else target.alpha_deg
            if bench.motions > number and abs(bench.world.stage._motion.end[3] - expected_deg) > TOUCH_DEG:
                bench.touched = True
            bench.point("after move")

    def acquire(self, exposure: Exposure) -> object:
        bench = self._bench
        bench.point("alive")
        bench.judge_call(exposure)
        try:
            return self._scope.acquire(exposure)
        finally:
            bench.world._beam_on = bench.forgetful
            bench.point("after exposure")

    def state(self) -> State:
        self._bench.point("alive")
        return replace(self._scope.state(), **self._bench.reads)

    def power(self, kind: type[Any]) -> Any:
        self._bench.point("alive")
        found = self._scope.power(kind)
        return WatchedLoader(self._bench, found) if kind is HasLoader else found

    def blank(self) -> None:
        self._bench.point("alive")
        self._scope.blank()
        self._bench.point("after blank")


class WatchedLoader:
    """The simulated loader, watched: it would move a specimen whatever beam, valve and stage do."""

    def __init__(self, bench: Bench, loader: HasLoader) -> None:
        self._bench, self._loader = bench, loader

    def specimens(self) -> Sequence[str]:
        return self._loader.specimens()

    def loaded(self) -> str | None:
        return self._bench.lies or self._loader.loaded()

    def load(self, name: str) -> None:
        self._carry(lambda: self._loader.load(name))

    def unload(self) -> None:
        self._carry(self._loader.unload)

    def _carry(self, act: Callable[[], None]) -> None:
        bench, stage = self._bench, self._bench.world.stage
        bench.point("alive")
        bench.must(not bench.touched, "moved a specimen after a pole touch")
        bench.must(not bench.adrift, "moved a specimen after a transfer that failed")
        bench.must(not bench.world.beam_on, "moved a specimen with the beam on")
        bench.must(not bench.valve_is_open, "moved a specimen with the valve open")
        *lengths_nm, alpha_deg = stage._motion.end[:4]
        off_nm = max(abs(length_nm) for length_nm in lengths_nm)
        bench.must(off_nm <= bench.limits.reach_tolerance_nm + 5.0, f"moved a specimen {off_nm:g} nm off the middle")
        bench.must(abs(alpha_deg) <= TOUCH_DEG, f"moved a specimen tilted by {alpha_deg:g} deg")
        bench.must(bench.to_go() is None, f"moved a specimen while the stage moves: {bench.to_go()} to go")
        bench.adrift = True  # until it is seen to have arrived
        if bench.lies is None:
            act()
            bench.point("after transfer")
            bench.adrift = False


class MortalLedger:
    """The durable ledger of a process that may die before or after each call."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    def __getattr__(self, name: str) -> Any:
        bench, real = self._bench, getattr(self._bench.ledger, name)

        def call(*arguments: Any) -> Any:
            bench.point(f"before {name}")
            result = real(*arguments)
            bench.point(f"after {name}")
            return result

        return call
