"""One contract, every back end that other people wrote: real processes on the loopback, started here and closed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from benchmarks.benches import BENCHES
from instruments.checks import check_microscope
from instruments.clock import RealClock, SimulatedClock
from instruments.drivers import registry
from instruments.errors import LimitError
from instruments.guard import Guard
from instruments.ledger import MemoryLedger
from instruments.limits import Limits
from instruments.types import StagePosition

if TYPE_CHECKING:
    from collections.abc import Iterator

    from configs.load import Settings
    from instruments.clock import Clock
    from instruments.protocol import Microscope

LIMITS = Limits(
    x_nm=(-5e3, 5e3),
    y_nm=(-5e3, 5e3),
    backlash_nm=0.0,
    stage_uncertainty_nm=15.0,
    defocus_nm=(-5e4, 5e4),
    max_current_pA=1000.0,
    max_electrons=1e13,
    max_fluence_e_per_A2=1e9,
    max_time_s=3600.0,
)

COPYLEFT = {"nion", "nionswift", "orix", "diffsims"}


@pytest.fixture(scope="module", params=list(BENCHES))
def bench(request: pytest.FixtureRequest) -> Iterator[tuple[str, Settings]]:
    with BENCHES[request.param].start() as block:
        yield request.param, registry.parse(block)


def opened(settings: Settings) -> tuple[Microscope, Clock]:
    clock: Clock = RealClock() if getattr(settings, "real_time", True) else SimulatedClock()
    return registry.open_microscope(settings, seed=3, clock=clock), clock


def test_keeps_the_contract(bench: tuple[str, Settings]) -> None:
    """Behind the guard, as in a survey; what is not checked is declared, and is what this list says."""
    name, settings = bench
    about = BENCHES[name]
    scope, clock = opened(settings)
    guard = Guard(scope, LIMITS, MemoryLedger(), clock)
    results = check_microscope(
        guard,
        exposure=about.exposure,
        allow_defocus_nm=about.allow_defocus_nm,
        lacks=registry.lacks(settings),
    )
    assert [result for result in results if not result.ok] == []
    assert {result.name for result in results if not result.checked} == about.unchecked
    assert not COPYLEFT & set(sys.modules)


def test_a_limit_is_refused_before_it_is_clamped(bench: tuple[str, Settings]) -> None:
    """Bare: the driver refuses what the instrument itself would clamp in silence, and nothing moves."""
    scope, _ = opened(bench[1])
    try:
        before = scope.state().stage
        for target in (StagePosition(x_nm=1e9), StagePosition(y_nm=float("nan")), StagePosition(x_nm=float("-inf"))):
            with pytest.raises(LimitError):
                scope.move(target)
        assert scope.state().stage == before
    finally:
        scope.close()
