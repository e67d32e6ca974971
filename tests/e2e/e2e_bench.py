"""A guard over a simulated world, and a judge who looks only at what that world says really happened."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

from instruments.clock import SimulatedClock
from instruments.errors import InstrumentError
from instruments.guard import Guard
from instruments.ledger_sqlite import SqliteLedger
from instruments.limits import Limits
from instruments.simulated.faults import FaultScript
from instruments.simulated.microscope import SimulatedMicroscope
from instruments.simulated.settings import (
    ColumnSettings,
    Fault,
    SimulatedSettings,
    SpecimenSettings,
    StageSettings,
)
from instruments.simulated.world import TrueExposure, World
from instruments.types import Exposure, Footprint, StagePosition

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MAX_ELECTRONS, MAX_FLUENCE, MAX_TIME_S, MAX_PER_MIN = 1.5e9, 100.0, 900.0, 20
BACKLASH_NM, UNCERTAINTY_NM = 100.0, 40.0

LIMITS = Limits(
    x_nm=(-2000.0, 2000.0),
    y_nm=(-2000.0, 2000.0),
    z_nm=(-1000.0, 1000.0),
    alpha_deg=(-20.0, 20.0),
    z_tilt=((-1000.0, -20.0), (1000.0, -20.0), (1000.0, 5.0), (500.0, 20.0), (-1000.0, 20.0)),
    backlash_nm=BACKLASH_NM,
    stage_uncertainty_nm=UNCERTAINTY_NM,
    field_of_view_nm=(20.0, 1000.0),
    dwell_us=(0.1, 2000.0),
    max_pixels=2048,
    max_current_pA=60.0,
    max_electrons=MAX_ELECTRONS,
    max_fluence_e_per_A2=MAX_FLUENCE,
    max_time_s=MAX_TIME_S,
    max_exposures_per_min=MAX_PER_MIN,
)

SETTINGS = SimulatedSettings(
    specimen=SpecimenSettings(heavy_per_um2=0, light_per_um2=0, rare_layout="none"),
    column=ColumnSettings(max_current_pA=5000.0),
    stage=StageSettings(alpha_deg=(-80.0, 80.0), backlash_nm=20.0),
    dwell_us=(1e-6, 1e9),
    field_of_view_nm=(1e-3, 1e6),
)
"""An instrument that stops at almost nothing by itself."""

LOOK = Exposure(field_of_view_nm=100.0, shape=(4, 4), dwell_us=1000.0)
"""16 ms of 50 pA on 10⁴ nm²: about 5 e/Å² and 5·10⁶ electrons."""

TOUCH_DEG = 0.1

CRASH_POINTS = (
    "before reserve",
    "after reserve",
    "after exposure",
    "after blank",
    "before settle",
    "after settle",
    "after move",
)


class Killed(BaseException):
    """The process is dead: nothing of it runs any more."""


class Bench:
    """One world; processes that come and go over it; the truth after each action."""

    def __init__(self, folder: Path, limits: Limits = LIMITS) -> None:
        self.limits = limits
        self.clock = SimulatedClock()
        self.world = World(SETTINGS, 1, self.clock)
        self.die_at: str | None = None
        self.touched = False
        self.kills = 0
        self.ids: list[int] = []
        """Of the exposures the driver was asked for, in order."""
        self._path = folder / "ledger.sqlite"
        self._judged = 0
        self._frozen: tuple[int, int] | None = None
        self._starts: list[float] = []
        self.boot()

    def boot(self) -> None:
        """A new process takes over the instrument."""
        self.die_at, self._dead = None, False
        self.ledger = SqliteLedger(self._path)
        self.ledger._db.execute("PRAGMA synchronous = OFF")  # processes die here, the power does not
        self.guard = Guard(_Driver(self), self.limits, _MortalLedger(self), self.clock)

    def crash_and_boot(self) -> None:
        """The process dies without a word, and a new one starts."""
        self.ledger._db.close()
        self.kills += 1
        self.boot()

    def arm(self, kind: str, duration_s: float = 0.0) -> None:
        """Something goes wrong from now on."""
        old = self.world.faults
        fault = Fault.model_validate(
            {"kind": kind, "at_s": self.world.now_s(), "duration_s": duration_s, "drift_nm_per_s": 1.0}
        )
        self.world.faults = FaultScript((*old._faults, fault), self.world._truth)
        for index in old._felt:
            self.world.faults.restore(index)

    def act(self, action: Callable[[], object]) -> BaseException | None:
        """Do one thing, whatever it raises of what it may raise, then judge. A refusal must have done nothing."""
        before, denials = self.deeds(), self.guard.denials
        raised: BaseException | None = None
        try:
            action()
        except (InstrumentError, Killed) as error:
            raised = error
        if self.guard.denials > denials:
            assert self.deeds() == before, f"refused, and yet done: {raised}"
        if self._dead:
            self.crash_and_boot()
        self.judge()
        return raised

    def deeds(self) -> tuple[object, ...]:
        """What changes when something is done to the instrument."""
        return self.motions, self.world.optics, len(self.world.exposures())

    @property
    def motions(self) -> int:
        return self.world.stage._motion.number

    def person_clears(self) -> None:
        """Somebody has looked at the instrument, opens the valve and clears the latch."""
        self.touched, self._frozen = False, None
        self.world.set_valve(is_open=True)
        self.ledger.clear_latch("Ada")

    def point(self, name: str) -> None:
        """A point where the process may die."""
        if self._dead or self.die_at == name:
            self._dead = True
            raise Killed(name)

    def judge(self) -> None:
        """Every promise, against the world's truth."""
        assert not self.world.beam_on
        self._judge_stage()
        exposures = self.world.exposures()
        assert sum(done.electrons for done in exposures) <= MAX_ELECTRONS * (1 + 1e-9)
        assert self.ledger.electrons() >= sum(done.electrons for done in exposures) * (1 - 1e-9)
        for done in exposures[self._judged :]:
            self._judge_exposure(done, exposures)
        self._judged = len(exposures)
        assert len(set(self.ids)) == len(self.ids), "an exposure was made twice"
        if self.touched:
            assert self.ledger.latched() is not None
            self._frozen = self._frozen or (self.motions, len(exposures))
            assert (self.motions, len(exposures)) == self._frozen, "something moved or was exposed after a pole touch"

    def _judge_stage(self) -> None:
        """Where the stage is; the approach from below is judged as it is asked for, in ``_Driver.move``."""
        for n, axis in enumerate(("x_nm", "y_nm", "z_nm", "alpha_deg")):
            lowest, highest = getattr(self.limits, axis)
            # what the drive misses by, and what a touch of the pole piece knocks the tilt away by
            slack = {"z_nm": 0.0, "alpha_deg": 0.5}.get(axis, SETTINGS.stage.reach_nm)
            place = self.world.stage._motion.end[n]
            assert lowest - slack <= place <= highest + slack, f"{axis} went to {place}"

    def _judge_exposure(self, done: TrueExposure, exposures: tuple[TrueExposure, ...]) -> None:
        slack_s = 0.5 + 11.0 * self.kills  # of the time not yet written when a process dies, at most 10 s are lost
        assert done.end_s is not None
        assert done.end_s <= MAX_TIME_S + slack_s, "exposed after the time was up"
        for x_nm, y_nm in _points(done.footprint):
            true = sum(one.fluence_e_per_A2 for one in exposures if one.footprint.contains(x_nm, y_nm))
            assert true <= MAX_FLUENCE * (1 + 1e-6), f"({x_nm}, {y_nm}) got {true} e/Å²"
            speck = Footprint(x_nm=x_nm, y_nm=y_nm, width_nm=0.01, height_nm=0.01)
            assert self.ledger.fluence_e_per_A2(speck) >= true * (1 - 1e-6), "exposed, and not in the ledger"

    def judge_call(self, exposure: Exposure) -> None:
        """The driver is about to expose: may it?"""
        world, now_s = self.world, self.world.now_s()
        assert not self.touched, "exposed after a pole touch"
        assert world.valve_open, "exposed with the valve closed"
        for kind in ("valve_closed", "dewar_refill"):
            assert world.faults.on(kind, now_s) is None, f"exposed during {kind}"
        assert now_s >= world.stage._motion.end_s, "exposed while the stage moves"
        assert self.ledger.electrons() > sum(done.electrons for done in world.exposures()) * (1 - 1e-9)
        self._starts = [start_s for start_s in self._starts if now_s - start_s < 60.0] + [now_s]
        assert len(self._starts) <= MAX_PER_MIN + 3 * self.kills, "exposed too often"
        if exposure.id is not None:
            self.ids.append(exposure.id)


class _Driver:
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
        assert not bench.touched, "moved after a pole touch"
        _, _, _, before_deg = bench.world.stage.position(bench.world.now_s())
        number = bench.motions
        for axis in ("x_nm", "y_nm", "z_nm"):
            value = getattr(target, axis)
            if value is not None:
                assert getattr(bench.limits, axis)[0] <= value - BACKLASH_NM, f"{axis} undershoots its limit"
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
            bench.point("after exposure")

    def blank(self) -> None:
        self._bench.point("alive")
        self._scope.blank()
        self._bench.point("after blank")


class _MortalLedger:
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


def _points(footprint: Footprint) -> list[tuple[float, float]]:
    """Nine places inside a footprint, next to its corners and edges too."""
    angle = math.radians(footprint.rotation_deg)
    points = []
    for across, down in itertools.product((-0.499, 0.0, 0.499), repeat=2):
        along, side = across * footprint.width_nm, down * footprint.height_nm
        points.append(
            (
                footprint.x_nm + along * math.cos(angle) - side * math.sin(angle),
                footprint.y_nm + along * math.sin(angle) + side * math.cos(angle),
            )
        )
    return points
