"""A guard over a simulated world, and a judge who looks only at what that world says really happened."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from e2e_process import Killed, MortalLedger, WatchedDriver

from instruments.clock import SimulatedClock
from instruments.errors import InstrumentError
from instruments.guard import Guard
from instruments.guard_checks import TOUCH_DEG
from instruments.ledger_sqlite import SqliteLedger
from instruments.limits import Limits, Rig
from instruments.simulated.cassette_settings import CassetteSettings
from instruments.simulated.faults import FaultScript
from instruments.simulated.settings import (
    ColumnSettings,
    Fault,
    SimulatedSettings,
    SpecimenSettings,
    StageSettings,
)
from instruments.simulated.world import World
from instruments.types import Exposure, Footprint

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from instruments.simulated.exposed import TrueExposure

MAX_ELECTRONS, MAX_FLUENCE, MAX_TIME_S, MAX_PER_MIN = 1.5e9, 100.0, 900.0, 20
BACKLASH_NM, UNCERTAINTY_NM = 100.0, 40.0

LIMITS = Limits(
    x_nm=(-2000.0, 2000.0),
    y_nm=(-2000.0, 2000.0),
    z_nm=(-1000.0, 1000.0),
    off_axis_nm=1000.0,  # as far as z goes
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

RIG = Rig(hardware=True, overhead_s=lambda: 0.0)
"""As of an instrument: every interlock must read."""

SETTINGS = SimulatedSettings(
    specimen=SpecimenSettings(heavy_per_um2=0, light_per_um2=0, rare_layout="none"),
    column=ColumnSettings(max_current_pA=5000.0),
    stage=StageSettings(alpha_deg=(-80.0, 80.0), backlash_nm=20.0),
    cassette=CassetteSettings(specimens=("grid 1", "grid 2")),
    dwell_us=(1e-6, 1e9),
    field_of_view_nm=(1e-3, 1e6),
)
"""An instrument that stops at almost nothing by itself."""

LOOK = Exposure(field_of_view_nm=100.0, shape=(4, 4), dwell_us=1000.0)
"""16 ms of 50 pA on 10⁴ nm²: about 5 e/Å² and 5·10⁶ electrons."""

_ELECTRONS, _FLUENCE = SqliteLedger.electrons, SqliteLedger.fluence_e_per_A2


class Bench:
    """One world; processes that come and go over it; the truth after each action."""

    def __init__(self, folder: Path, limits: Limits = LIMITS) -> None:
        self.limits, self.rig = limits, RIG
        self.clock = SimulatedClock()
        self.world = World(SETTINGS, 1, self.clock)
        self.die_at: str | None = None
        self.touched = False
        self.adrift = False
        """Whether a specimen is, or may be, between cassette and stage."""
        self.lies: str | None = None
        """What the loader says that is loaded, whatever the truth is; its motor is dead then."""
        self.kills = 0
        self.reads: dict[str, Any] = {}
        """What the state reads instead of the truth."""
        self.forgetful = False
        """Whether the driver leaves the beam on after an exposure."""
        self.ids: list[int] = []
        """Of the exposures the driver was asked for, in order."""
        self.broken: list[str] = []
        """Promises broken in front of the driver: kept, as what is raised there may be caught above it."""
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
        self.guard = Guard(WatchedDriver(self), self.limits, MortalLedger(self), self.clock, self.rig)

    def crash_and_boot(self) -> None:
        """The process dies without a word, and a new one starts."""
        self.ledger._db.close()
        self.kills += 1
        self.boot()

    def arm(self, kind: str, duration_s: float = 0.0) -> None:
        """Something goes wrong from now on."""
        old = self.world.faults
        if kind == "drift_burst":  # it has to last
            duration_s = max(duration_s, 1.0)
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
        self.touched = self.adrift = False
        self._frozen = None
        self.world.set_valve(is_open=True)
        self.world.put("grid 1")
        self.ledger.clear_latch("Ada")

    def point(self, name: str) -> None:
        """A point where the process may die."""
        if self._dead or self.die_at == name:
            self._dead = True
            raise Killed(name)

    def judge(self) -> None:
        """Every promise, against the world's truth."""
        assert not self.broken, "; ".join(self.broken)
        assert not self.world.beam_on, "the beam is on between two requests"
        self._judge_stage()
        exposures = self.world.exposures()
        spent = sum(done.electrons for done in exposures)
        assert spent <= MAX_ELECTRONS * (1 + 1e-9), f"{spent:.3g} electrons were sent"
        assert self.booked_electrons() >= spent * (1 - 1e-9), "electrons were sent that are not in the ledger"
        new = exposures[self._judged :]
        for done in {one.footprint: one for one in (*new[:1], *new[-1:])}.values():  # of a burst, its first and last
            self._judge_exposure(done, exposures)
        self._judged = len(exposures)
        assert len(set(self.ids)) == len(self.ids), "an exposure was made twice"
        if self.touched or self.adrift:
            self._frozen = self._frozen or (self.motions, len(exposures))
            why = "a pole touch" if self.touched else "a transfer that failed"
            assert self._frozen == (self.motions, len(exposures)), f"something moved or was exposed after {why}"

    def _judge_stage(self) -> None:
        """Where the stage is; the approach from below is judged as it is asked for, in ``WatchedDriver.move``."""
        for n, axis in enumerate(("x_nm", "y_nm", "z_nm", "alpha_deg")):
            lowest, highest = getattr(self.limits, axis)
            # what the drive misses by, and what a touch of the pole piece knocks the tilt away by
            slack = {"z_nm": 0.0, "alpha_deg": 0.5}.get(axis, SETTINGS.stage.reach_nm)
            place = self.world.stage._motion.end[n]
            assert lowest - slack <= place <= highest + slack, f"{axis} went to {place}"

    def _judge_exposure(self, done: TrueExposure, exposures: tuple[TrueExposure, ...]) -> None:
        slack_s = 0.5 + 11.0 * self.kills  # of the time not yet written when a process dies, at most 10 s are lost
        assert done.end_s is not None, "the world never blanked"
        assert done.end_s <= MAX_TIME_S + slack_s, "exposed after the time was up"
        for place, true in zip(_points(done.footprint), _fluences(_points(done.footprint), exposures), strict=True):
            assert true <= MAX_FLUENCE * (1 + 1e-6), f"{place} got {true} e/Å²"
            speck = Footprint(x_nm=place[0], y_nm=place[1], width_nm=0.01, height_nm=0.01)
            assert self.booked_fluence(speck) >= true * (1 - 1e-6), "exposed, and not in the ledger"

    def booked_electrons(self) -> float:
        """What the ledger holds, whatever a planted defect makes of its methods; so the next."""
        return _ELECTRONS(self.ledger)

    def booked_fluence(self, place: Footprint) -> float:
        return _FLUENCE(self.ledger, place)

    def close(self) -> None:
        self.ledger.close()

    def must(self, kept: bool, promise: str) -> None:
        """A promise that the driver sees kept, or broken."""
        if not kept:
            self.broken.append(promise)

    def to_go(self) -> str | None:
        """What the stage still has to go, in words; None where it is at rest, or as good as there already.

        A drive that was sent to where it stands turns for a moment and goes nowhere.
        """
        stage, now_s = self.world.stage, self.world.now_s()
        left = [abs(end - at) for end, at in zip(stage._motion.end, stage._drive(now_s), strict=True)]
        if now_s >= stage._motion.end_s or (max(left[:3]) <= UNCERTAINTY_NM and max(left[3:]) <= TOUCH_DEG):
            return None
        return f"{max(left[:3]):g} nm, {max(left[3:]):g} deg"

    @property
    def valve_is_open(self) -> bool:
        """In truth: a fault that lasts holds it closed."""
        now_s, faults = self.world.now_s(), self.world.faults._faults
        held = any(f.kind == "valve_closed" and f.at_s <= now_s < f.at_s + f.duration_s for f in faults)
        return self.world.valve_open and not held

    def judge_call(self, exposure: Exposure) -> None:
        """The driver is about to expose: may it?"""
        world, now_s = self.world, self.world.now_s()
        self.must(not self.touched, "exposed after a pole touch")
        self.must(world.valve_open, "exposed with the valve closed")
        for fault in world.faults._faults:  # of those that last: what is over at once the driver itself meets, or not
            if fault.kind in ("valve_closed", "emission_off", "dewar_refill"):
                self.must(not fault.at_s <= now_s < fault.at_s + fault.duration_s, f"exposed during {fault.kind}")
        self.must(self.to_go() is None, f"exposed while the stage moves: {self.to_go()} to go")
        self._starts = [start_s for start_s in self._starts if now_s - start_s < 60.0] + [now_s]
        # each process counts anew
        self.must(len(self._starts) <= MAX_PER_MIN * (1 + self.kills), "exposed too often")
        if exposure.id is not None:
            self.ids.append(exposure.id)


def _points(footprint: Footprint) -> list[tuple[float, float]]:
    """The middle of a footprint, and places just inside its corners."""
    angle = math.radians(footprint.rotation_deg)
    points = [(footprint.x_nm, footprint.y_nm)]
    for across, down in itertools.product((-0.499, 0.499), repeat=2):
        along, side = across * footprint.width_nm, down * footprint.height_nm
        points.append(
            (
                footprint.x_nm + along * math.cos(angle) - side * math.sin(angle),
                footprint.y_nm + along * math.sin(angle) + side * math.cos(angle),
            )
        )
    return points


def _fluences(points: list[tuple[float, float]], exposures: tuple[TrueExposure, ...]) -> list[float]:
    """What each place has really had, e/Å²: the sum over the frames that hold it."""
    rows = [
        (f.x_nm, f.y_nm, f.width_nm / 2, f.height_nm / 2, math.radians(f.rotation_deg), done.fluence_e_per_A2)
        for done in exposures
        for f in (done.footprint,)
    ]
    x, y, half_width, half_height, angle, fluence = np.array(rows).T
    found = []
    for x_nm, y_nm in points:
        along = (x_nm - x) * np.cos(angle) + (y_nm - y) * np.sin(angle)
        across = (y_nm - y) * np.cos(angle) - (x_nm - x) * np.sin(angle)
        found.append(float(fluence[(np.abs(along) <= half_width) & (np.abs(across) <= half_height)].sum()))
    return found
