"""An agent that wants the worst, on an instrument that fails: no limit is exceeded in the world's truth."""

from __future__ import annotations

import math
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import e2e_loading as loading
import pytest
from e2e_bench import LIMITS, LOOK, Bench
from e2e_outside import OutsideBench
from e2e_process import CRASH_POINTS
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from instruments.errors import BudgetError, HardwareFault, LimitError
from instruments.powers import HasTilt, HasValves
from instruments.types import Exposure, Optics, StagePosition

WILD = st.one_of(
    st.floats(),
    st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -0.0, 2000.0, -1900.0, -1950.0, 20.0, 20.1, 1e308, 10**400]),
    st.sampled_from([True, "12", None, [1.0]]),
)
"""What an agent may send instead of a number."""
NEAR = st.sampled_from([-300.0, -90.0, 0.0, 40.0, 100.0, 2000.0, -1899.0])
ODD = st.sampled_from([(1, 1), (10**9, 10**9), ("HAADF",), ("nothing",), (4, math.nan)])
CONTROLS = ("defocus_nm", "stig_a_nm", "stig_b_nm", "current_pA", "convergence_mrad", "voltage_kV")
FIELDS = ("field_of_view_nm", "dwell_us", "frames", "interval_s", "rotation_deg", "shape", "signals", "id")
AXES = ("x_nm", "y_nm", "z_nm", "alpha_deg", "beta_deg")
FAULTS = (
    "stage_stuck",
    "blank_frames",
    "drift_burst",
    "dewar_refill",
    "valve_closed",
    "emission_off",
    "camera_timeout",
    "pole_touch",
    "disconnect",
    "spurious_ready",
    "transfer_stuck",
)


class Adversary(RuleBasedStateMachine):
    """Every rule is one action of the agent, of the instrument's bad luck, or of a person."""

    actions: ClassVar[int] = 0
    refused: ClassVar[int] = 0
    exposed: ClassVar[int] = 0
    loaded: ClassVar[int] = 0
    bench_kind: ClassVar[type[Bench]] = Bench

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.bench = self.bench_kind(Path(self.folder.name))
        self.next_id = 0
        self.bursts = 0

    def teardown(self) -> None:
        Adversary.exposed += len(self.bench.world.exposures())
        self.bench.close()
        self.folder.cleanup()

    def act(self, action: Any) -> None:
        Adversary.actions += 1
        Adversary.refused += self.bench.act(action) is not None

    @rule(axes=st.dictionaries(st.sampled_from(AXES), WILD, min_size=1))
    def move_wildly(self, axes: dict[str, Any]) -> None:
        self.act(lambda: self.bench.guard.move(StagePosition(**axes)))

    @rule(x=NEAR, y=NEAR)
    def move(self, x: float, y: float) -> None:
        self.act(lambda: self.bench.guard.move(StagePosition(x_nm=x, y_nm=y)))

    @rule(z=st.sampled_from([None, -899.0, 0.0, 600.0, 1000.0]), alpha=st.sampled_from([None, -20.0, 0.0, 10.0, 20.0]))
    def lift_and_tilt(self, z: float | None, alpha: float | None) -> None:
        self.act(lambda: self.bench.guard.move(StagePosition(z_nm=z, alpha_deg=alpha)))

    @rule(name=st.sampled_from(CONTROLS), value=WILD | st.sampled_from([0.0, 10.0, 50.0, 60.0, 1000.0]))
    def tune(self, name: str, value: Any) -> None:
        self.act(lambda: self.bench.guard.tune(Optics(**{name: value})))

    @rule(changes=st.dictionaries(st.sampled_from(FIELDS), WILD | st.integers(-3, 3000) | ODD))
    def expose_wildly(self, changes: dict[str, Any]) -> None:
        self.act(lambda: self.bench.guard.acquire(replace(LOOK, **changes)))

    @rule(
        field=st.sampled_from([30.0, 100.0, 400.0]),
        dwell=st.sampled_from([50.0, 1000.0, 2000.0]),
        frames=st.sampled_from([1, 1, 3, 20]),
        turn=st.sampled_from([0.0, 0.0, 30.0]),
    )
    def expose(self, field: float, dwell: float, frames: int, turn: float) -> None:
        self.next_id += 1
        look = Exposure(field_of_view_nm=field, shape=(4, 4), dwell_us=dwell, frames=frames, rotation_deg=turn)
        self.act(lambda: self.bench.guard.acquire(replace(look, id=self.next_id)))

    @rule(times=st.integers(1, 8))
    def expose_greedily(self, times: int) -> None:
        for _ in range(times):
            self.expose(100.0, 1000.0, 1, 0.0)

    @rule()
    def expose_again(self) -> None:
        self.act(lambda: self.bench.guard.acquire(replace(LOOK, id=self.next_id)))

    @rule()
    def blank_twice(self) -> None:
        self.act(lambda: (self.bench.guard.blank(), self.bench.guard.blank()))

    @rule(duration=st.sampled_from([0.5, 10.0, 61.0]))
    def wait(self, duration: float) -> None:
        self.act(lambda: self.bench.clock.wait(duration))

    @rule()
    def use_powers(self) -> None:
        tilt = self.bench.guard.power(HasTilt)
        assert tilt is not None
        assert tilt.tilt_range_deg() == {"alpha_deg": (-20.0, 20.0)}

    @rule()
    def close_valves(self) -> None:
        valves = self.bench.guard.power(HasValves)
        assert valves is not None
        self.act(valves.close_valves)

    @rule(name=st.sampled_from(["grid 1", "grid 2", None, "grid 7"]), seen_to=st.booleans())
    def load(self, name: str | None, seen_to: bool) -> None:
        """With what a careful agent does before, or without."""
        if seen_to:
            self.act(lambda: self.bench.guard.move(StagePosition(x_nm=0.0, y_nm=0.0, z_nm=0.0, alpha_deg=0.0)))
            self.close_valves()
        Adversary.actions += 1
        refused = loading.load(self.bench, name) is not None
        Adversary.refused += refused
        Adversary.loaded += not refused
        if self.bench.ledger.latched() is None and not self.bench.adrift:
            self.bench.world.put("grid 1")  # a person sees to it that there is something to look at
            self.bench.world.set_valve(is_open=True)

    @rule(kind=st.sampled_from(FAULTS), duration=st.sampled_from([0.0, 0.0, 3.0]))
    def something_fails(self, kind: str, duration: float) -> None:
        if kind == "drift_burst":
            self.bursts += 1
            if self.bursts > 3:  # more drift than the laboratory has declared is not the guard's to know
                return
        self.bench.arm(kind, duration)

    @rule(where=st.sampled_from(CRASH_POINTS))
    def will_be_killed(self, where: str) -> None:
        self.bench.die_at = where

    @rule()
    def killed_now(self) -> None:
        self.bench.crash_and_boot()

    @rule()
    def person_clears(self) -> None:
        self.bench.person_clears()


class AdversaryOutside(Adversary):
    """The same against a guard in a process of its own."""

    bench_kind = OutsideBench


@pytest.mark.parametrize(
    ("kind", "examples"),
    [
        (Adversary, 150),
        pytest.param(Adversary, 2500, marks=[pytest.mark.slow, pytest.mark.timeout(5400)]),
        pytest.param(AdversaryOutside, 25, marks=[pytest.mark.slow, pytest.mark.timeout(3600)]),
    ],
)
def test_no_limit_is_exceeded_in_the_worlds_truth(kind: type[Adversary], examples: int) -> None:
    """At least 5,000 actions, 100,000 of them with ``-m slow``, the same ones in each run."""
    Adversary.actions = Adversary.refused = Adversary.exposed = Adversary.loaded = 0
    run_state_machine_as_test(
        kind,
        settings=settings(
            max_examples=examples,
            stateful_step_count=50,
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],  # making a failure small takes minutes; ask for it by hand
        ),
    )
    assert Adversary.actions >= 40 * examples
    assert Adversary.refused >= 8 * examples
    assert Adversary.exposed >= 4 * examples
    assert Adversary.loaded >= examples // 2


@pytest.mark.parametrize("where", CRASH_POINTS)
@pytest.mark.parametrize("fault", ["none", *FAULTS])
def test_a_death_at_each_point_under_each_fault(where: str, fault: str, tmp_path: Path) -> None:
    """What may have been exposed is booked, and is not exposed again by the process that comes after."""
    bench = Bench(tmp_path)
    bench.act(lambda: bench.guard.acquire(replace(LOOK, id=1)))
    if fault != "none":
        bench.arm(fault, 3.0)
    bench.die_at = where
    bench.act(lambda: bench.guard.move(StagePosition(x_nm=150.0, alpha_deg=2.0)))
    bench.act(lambda: bench.guard.acquire(replace(LOOK, id=2)))
    bench.act(lambda: bench.guard.tune(Optics(defocus_nm=-10.0)))
    if bench.kills == 0:
        bench.crash_and_boot()
    booked = bench.ledger.booked(2)
    assert bench.kills == 1
    assert bench.ids.count(2) <= booked

    again = bench.act(lambda: bench.guard.acquire(replace(LOOK, id=1)))
    assert isinstance(again, HardwareFault if bench.touched else LimitError)
    assert (bench.ledger.latched() is not None) is bench.touched
    bench.person_clears()
    bench.clock.wait(10.0)
    for _ in range(2):  # a stage seen elsewhere than a moment ago needs a second reading
        bench.act(lambda: bench.guard.acquire(replace(LOOK, id=2)))
    assert bench.ledger.booked(2)
    bench.act(lambda: bench.guard.move(StagePosition(x_nm=400.0)))
    bench.act(lambda: bench.guard.acquire(replace(LOOK, id=3)))
    assert 3 in bench.ids
    bench.ledger.close()


def test_all_the_dose_is_used_and_no_more(tmp_path: Path) -> None:
    """The guard is not safe by refusing everything: a greedy agent gets to the limit, and not past it."""
    bench = Bench(tmp_path)
    refusals: list[BaseException | None] = []
    for _ in range(60):
        bench.clock.wait(4.0)
        refusals.append(bench.act(lambda: bench.guard.acquire(LOOK)))
    most = int(LIMITS.max_fluence_e_per_A2 / LOOK.fluence_e_per_A2(50.0))
    assert len(bench.world.exposures()) == most
    assert all(isinstance(refusal, BudgetError) for refusal in refusals[most:])
    bench.ledger.close()
