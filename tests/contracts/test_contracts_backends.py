"""One contract, every back end that other people wrote: real processes on the loopback, started here and closed.

Beside them the adapters whose vendors' software cannot be had, over fakes with the real quirks.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from fakes_benches import FAKES
from fakes_elsewhere import importable

from benchmarks.backends import conformance, survey
from benchmarks.benches import BENCHES
from instruments.checks import READS
from instruments.clock import RealClock, SimulatedClock
from instruments.drivers import registry
from instruments.errors import InstrumentError, LimitError, NotSupported
from instruments.types import Exposure, Optics, StagePosition

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from configs.load import Settings
    from instruments.clock import Clock
    from instruments.protocol import Microscope

ALL = BENCHES | FAKES
COPYLEFT = {"nion", "nionswift", "orix", "diffsims"}
SLOW_TO_COMPILE = pytest.mark.timeout(900)  # de-twin's first start on a computer takes minutes


@pytest.fixture(scope="module", params=list(ALL))
def bench(request: pytest.FixtureRequest) -> Iterator[tuple[str, Settings]]:
    with ALL[request.param].start() as block:
        yield request.param, registry.parse(block)


def opened(settings: Settings) -> Microscope:
    clock: Clock = RealClock() if getattr(settings, "real_time", True) else SimulatedClock()
    return registry.open_microscope(settings, seed=3, clock=clock)


@SLOW_TO_COMPILE
def test_keeps_the_contract(bench: tuple[str, Settings]) -> None:
    """Behind a guard; what is not checked is declared, and no more of it than this bench says."""
    name, settings = bench
    before = set(sys.modules)  # other tests, in the same process, may have brought what they check against
    results = conformance(ALL[name], settings)
    assert [result for result in results if not result.ok] == []
    assert {result.name for result in results if not result.checked} == ALL[name].unchecked
    assert not COPYLEFT & (set(sys.modules) - before)


@SLOW_TO_COMPILE
@pytest.mark.parametrize("guard", ["auto", pytest.param("process", marks=pytest.mark.slow)])
def test_completes_the_same_survey(
    bench: tuple[str, Settings], guard: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The config and the agent of every other back end: only the block ``instrument`` is another.

    An instrument's guard is in a process of its own by itself.
    """
    if guard == "process" and not registry.simulated(bench[1]):
        pytest.skip("an instrument's guard is in a process of its own as it is")
    monkeypatch.setenv("ADAPTEM_STATE", str(tmp_path))
    with importable(tmp_path):
        found = survey(bench[1], 0.13, guard)
    assert (found["ending"], found["guard_denials"]) == ("complete", 0)
    assert found["steps"] == found["frames"] == 6  # 4 overviews, 1 close look, 1 control


@SLOW_TO_COMPILE
def test_refuses_what_the_instrument_would_clamp_or_take(bench: tuple[str, Settings]) -> None:
    """Bare, no guard before it: no value out of range reaches the instrument, and nothing moves."""
    name, settings = bench
    scope, exposure = opened(settings), ALL[name].exposure
    try:
        before = scope.state()
        dark = None if READS["blanker"] in registry.lacks(settings) else True
        for target in (StagePosition(x_nm=1e9), StagePosition(y_nm=float("nan")), StagePosition(x_nm=float("-inf"))):
            with pytest.raises(LimitError):
                scope.move(target)
        for optics in (Optics(defocus_nm=1e9), Optics(defocus_nm=float("nan"))):
            with pytest.raises(LimitError):
                scope.tune(optics)
        with pytest.raises(NotSupported, match="voltage_kV"):
            scope.tune(Optics(voltage_kV=300.0))
        for wish in (
            Exposure(field_of_view_nm=float("nan"), shape=exposure.shape, dwell_us=4.0),
            Exposure(field_of_view_nm=exposure.field_of_view_nm, shape=exposure.shape, dwell_us=-1.0),
            Exposure(field_of_view_nm=exposure.field_of_view_nm, shape=(0, 128), dwell_us=4.0),
        ):
            with pytest.raises(LimitError):
                scope.acquire(wish)
        after = scope.state()
        assert (after.stage, after.optics, after.blanked) == (before.stage, before.optics, dark)
        burst = replace(exposure, dwell_us=2.0, frames=2)
        assert {signal.data.shape for signal in scope.acquire(burst).signals.values()} == {(2, *exposure.shape)}
        assert scope.state().blanked is dark
    finally:
        scope.close()
    scope.close()
    with pytest.raises(InstrumentError):
        scope.acquire(exposure)
