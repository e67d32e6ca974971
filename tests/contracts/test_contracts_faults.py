"""Every fault of an instrument, before every back end: what it tells, a beam that is off, and how it goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from fakes_benches import FAKES

from benchmarks.backends import CONFIG, waived
from benchmarks.benches import BENCHES
from configs.load import load
from instruments.checks import READS
from instruments.clock import RealClock, SimulatedClock
from instruments.drivers import registry
from instruments.errors import BusyError, Disconnected, HardwareFault, InstrumentError, ReachError, Timeout
from instruments.faulty import FaultyMicroscope, FaultySettings
from instruments.guard import Guard
from instruments.ledger import MemoryLedger
from instruments.limits import SIMULATED
from instruments.mishaps import VERBS_OF, Mishap
from instruments.types import Frame, Optics, StagePosition
from surveys.settings import SurveySettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from configs.load import Settings
    from instruments.protocol import Microscope
    from instruments.types import Exposure

ALL = BENCHES | FAKES
STEP_NM = 60.0
ERRORS: dict[tuple[str, str], type[InstrumentError] | None] = {
    ("timeout", "state"): Timeout,
    ("timeout", "move"): Timeout,
    ("timeout", "tune"): Timeout,
    ("timeout", "acquire"): Timeout,
    ("half_way", "move"): ReachError,
    ("ready_early", "move"): None,
    ("reply_lost", "move"): Disconnected,
    ("reply_lost", "tune"): Disconnected,
    ("reply_lost", "acquire"): Disconnected,
    ("hang", "state"): Timeout,
    ("hang", "move"): Timeout,
    ("hang", "tune"): Timeout,
    ("hang", "acquire"): Timeout,
    ("blank_frame", "acquire"): None,
    ("truncated_frame", "acquire"): None,
    ("disconnect", "state"): Disconnected,
    ("disconnect", "move"): Disconnected,
    ("disconnect", "tune"): Disconnected,
    ("disconnect", "acquire"): Disconnected,
    ("valve_closed", "state"): BusyError,
    ("emission_off", "state"): BusyError,
    ("stale_reading", "state"): BusyError,
    ("beam_trip", "acquire"): HardwareFault,
    ("taken_over", "state"): BusyError,
    ("moved_by_hand", "state"): None,
}
"""What the guard tells, by the kind of mishap and the call that it befalls; None: nothing, it goes on by itself."""

ELSEWHERE = {"pole_touch", "cartridge_stuck"}
"""Of a tilt and of a loader: where there are such (``tests/instruments/test_instruments_guard_*.py``)."""
CARRIED_OUT = {("reply_lost", "move"), ("ready_early", "move")}
SPENT = {(kind, "acquire") for kind in ("timeout", "reply_lost", "hang", "disconnect", "beam_trip")}
READ_BY = {"valve_closed": "valve", "emission_off": "emission", "stale_reading": "vacuum", "taken_over": "blanker"}


@pytest.fixture(scope="module", params=list(ALL))
def bench(request: pytest.FixtureRequest) -> Iterator[tuple[Settings, Microscope, Exposure]]:
    """Opened once: what befalls it leaves it as it was."""
    with ALL[request.param].start() as block:
        settings = registry.parse(block)
        clock = RealClock() if getattr(settings, "real_time", True) else SimulatedClock()
        scope = registry.open_microscope(settings, seed=3, clock=clock)
        yield settings, scope, ALL[request.param].exposure
        scope.close()


def guarded(settings: Settings, scope: Microscope, mishap: dict[str, Any]) -> Guard:
    """A guard over the instrument, which this befalls; the faults' own waits take no time."""
    faults = FaultySettings(instrument=settings, mishaps=(Mishap(**mishap),), hang_s=0.05)
    clock = SimulatedClock()
    limits = load(CONFIG, SurveySettings).limits.model_copy(update={"waived": waived(settings)})
    return Guard(FaultyMicroscope(scope, faults, clock), limits, MemoryLedger(), clock, SIMULATED)


@pytest.mark.timeout(900)  # de-twin's first start on a computer takes minutes
@pytest.mark.parametrize(("kind", "verb"), list(ERRORS))
def test_a_fault_is_told_and_the_beam_is_off(
    bench: tuple[Settings, Microscope, Exposure], kind: str, verb: str
) -> None:
    settings, scope, exposure = bench
    declared = registry.lacks(settings)
    if READS.get(READ_BY.get(kind, ""), "") in declared:
        pytest.skip(f"declared: {declared[READS[READ_BY[kind]]]}")  # type: ignore[index]
    start = scope.state()
    assert start.stage.x_nm is not None
    guard = guarded(settings, scope, {"kind": kind, "verb": verb, "nth": 2 if verb == "state" else 1})
    target = StagePosition(x_nm=start.stage.x_nm + STEP_NM, y_nm=start.stage.y_nm)
    deeds: dict[str, Callable[[], object]] = {
        "move": lambda: guard.move(target),
        "tune": lambda: guard.tune(Optics(defocus_nm=start.optics.defocus_nm)),
        "state": lambda: guard.acquire(exposure),
        "acquire": lambda: guard.acquire(exposure),
    }
    expected, found = ERRORS[kind, verb], None
    try:
        found = deeds[verb]()
    except InstrumentError as error:
        assert expected is not None and isinstance(error, expected), f"{kind} at {verb}: {error!r}"
    else:
        assert expected is None, f"{kind} at {verb} was told by nobody"
    dark = None if READS["blanker"] in declared else True
    assert guard.state().blanked is dark
    assert guard.ledger.latched() is None
    assert (guard.ledger.electrons() > 0) is ((kind, verb) in SPENT or isinstance(found, Frame))
    at = scope.state().stage
    if (kind, verb) in CARRIED_OUT:
        assert at.x_nm == pytest.approx(target.x_nm, abs=20.0)
    if isinstance(found, Frame):  # and where it was taken is where the stage was, whoever had moved it
        assert found.stage.x_nm == pytest.approx(at.x_nm, abs=20.0)
    guard.move(StagePosition(x_nm=start.stage.x_nm, y_nm=start.stage.y_nm))
    assert guard.acquire(exposure).signals  # and it goes on


def test_every_fault_of_an_instrument_is_here() -> None:
    ours = {(kind, verb) for kind, verbs in VERBS_OF.items() for verb in verbs if verb != "transfer"}
    assert set(ERRORS) == {pair for pair in ours if pair[0] not in ELSEWHERE}
