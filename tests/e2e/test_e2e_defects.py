"""Defects planted in the guard and the ledger, one at a time: a check that cannot fail shows nothing.

Each is a way that real instrument code has been wrong; the scenario named with it must see it in the world's truth.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import e2e_interlocks as interlocks
import e2e_loading as loading
import e2e_scenarios as scenarios
import numpy as np
import pytest
from e2e_bench import LIMITS, Bench

from instruments import booking, bounds, dose, guard, guard_checks, ledger_sqlite
from instruments.errors import InstrumentError
from instruments.guard import Guard
from instruments.guard_checks import Rest
from instruments.guard_powers import GuardedLoader
from instruments.ledger_sqlite import SqliteLedger
from instruments.types import StagePosition

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from instruments.types import Exposure

_MOVE, _ACQUIRE, _PLAN, _INIT = Guard.move, Guard.acquire, Guard._plan, Guard.__init__
_RESERVE, _OPEN, _CHECK_MOVE = SqliteLedger.reserve, SqliteLedger.__init__, bounds.check_move
_CHECK_TRANSFER, _PRICE, _LEGS = guard_checks.check_transfer, dose.price_of, bounds.legs


def _nothing(*_: Any, **__: Any) -> None:
    return None


def _same(change: Callable[..., Any]) -> Callable[..., Any]:
    """A function of (its first argument) that keeps the others' places."""
    return lambda first, *_, **__: change(first)


def _clip(self: Guard, target: StagePosition) -> object:
    edges = (LIMITS.x_nm[0] + LIMITS.backlash_nm, LIMITS.x_nm[1])
    return _MOVE(self, replace(target, x_nm=target.x_nm and float(np.clip(target.x_nm, *edges))))


def _end_only(target: StagePosition, start: StagePosition, limits: Any) -> None:
    """The place it ends at is judged, not the way there."""
    _CHECK_MOVE(target, bounds.merged(target, start), limits)


def _no_overshoot(target: StagePosition, start: StagePosition, limits: Any) -> None:
    _CHECK_MOVE(target, start, limits.model_copy(update={"backlash_nm": 0.0}))


def _book_late(self: Guard, exposure: Exposure) -> Any:
    with self._turn() as state:
        with self._judging():
            price = self._plan(exposure, state, state.stage)
        frame = self._microscope.acquire(exposure)
        self.blank()
        self.ledger.settle(self.ledger.reserve(exposure, price.place, price.most_electrons), price.most_electrons)
        return frame


def _no_finally(self: Guard, exposure: Exposure) -> Any:
    """Blanks only where all went well."""
    blank, self.blank = self.blank, _nothing  # type: ignore[method-assign]
    try:
        frame = _ACQUIRE(self, exposure)
    finally:
        self.blank = blank  # type: ignore[method-assign]
    self.blank()
    return frame


def _refund(self: Guard, exposure: Exposure) -> Any:
    ledger = self.ledger._bench.ledger  # type: ignore[attr-defined]
    before = ledger._electrons
    try:
        return _ACQUIRE(self, exposure)
    except InstrumentError:
        ledger._electrons = before
        raise


def _count_settled_only(self: SqliteLedger, path: Path) -> None:
    _OPEN(self, path)
    (self._electrons,) = self._db.execute("SELECT total(electrons) FROM reservations WHERE settled").fetchone()


def _anonymous(self: SqliteLedger, exposure: Exposure, place: Any, electrons: float) -> Any:
    return _RESERVE(self, replace(exposure, id=None), place, electrons)


def _first_frame_only(self: Guard, exposure: Exposure, *rest: Any) -> Any:
    return _PLAN(self, replace(exposure, frames=1), *rest)


def _where_it_was_sent(self: Guard, exposure: Exposure, state: Any, stage: StagePosition) -> Any:
    return _PLAN(self, exposure, state, bounds.merged(getattr(self, "wish", stage), stage))


def _remember_wish(self: Guard, target: StagePosition) -> Any:
    self.wish = target  # type: ignore[attr-defined]
    return _MOVE(self, target)


def _unhurried(self: Guard, *arguments: Any) -> None:
    _INIT(self, *arguments)
    self._starts = deque()


def _forget_time(self: SqliteLedger, duration_s: float) -> None:
    self._time_used_s += duration_s


def _forget_latch(self: SqliteLedger, reason: str) -> None:
    self._unwritten_latch = reason


def _believe(self: Rest) -> Any:
    return self._read().stage, None


def _believe_arrival(
    self: Guard, target: StagePosition, start: StagePosition, expected: StagePosition
) -> StagePosition:
    del target, start
    return expected


def _whatever_it_reads(what: str, reading: Any, *_: Any) -> float:
    return float(reading.value)


def _frame(exposure: Exposure, _: Any) -> Exposure:
    """What is lit is what is seen."""
    return exposure


def _as_asked(*about: Any) -> Any:
    """The beam goes off when the exposure is over."""
    return _PRICE(*about[:-1], 0.0)


def _from_above(target: StagePosition, limits: Any) -> Any:
    """Passes every place that it comes from below to."""
    first, *rest = _LEGS(target, limits)
    if not rest or target.x_nm is None or first.x_nm is None:
        return first, *rest
    return replace(first, x_nm=2 * target.x_nm - first.x_nm), *rest


def _only_time(self: Guard, duration_s: float) -> None:
    """Somebody thought that a latch is for the runner to respect."""


def _wherever(state: Any, *about: Any, **more: Any) -> None:
    """The beam and the valve are seen to; the stage is not."""
    at_zero = StagePosition(x_nm=0.0, y_nm=0.0, z_nm=0.0, alpha_deg=0.0)
    _CHECK_TRANSFER(replace(state, stage=at_zero), *about, **more)


def _carry_on(self: GuardedLoader, what: str, name: str | None, act: Callable[[], None]) -> None:
    """Judged before, and not looked after."""
    with self.transferring():
        act()


def _unseen(self: GuardedLoader, what: str, name: str | None, act: Callable[[], None]) -> None:
    with self.transferring():
        self.ledger.begin_transfer(what)
        act()
        self.ledger.end_transfer()


Defect = tuple[str, tuple[tuple[object, str, object], ...], "Callable[[Bench], None]"]
DEFECTS: tuple[Defect, ...] = (
    ("clips instead of refusing", ((Guard, "move", _clip),), scenarios.far_move),
    ("checks no range", ((guard, "check_move", _nothing),), scenarios.far_move),
    ("takes NaN for a number", ((bounds, "number", lambda _, value: value), (bounds, "within", lambda _, v, __: v)),
     scenarios.nan_move),
    ("does not check the overshoot", ((guard, "check_move", _no_overshoot),), scenarios.overshoot),
    ("does not couple z and tilt", ((bounds, "_check_coupling", _nothing),), scenarios.coupled),
    ("checks the end, not the way", ((guard, "check_move", _end_only),), scenarios.coupled_way),
    ("books after the exposure", ((Guard, "acquire", _book_late),), scenarios.dies_exposing),
    ("counts only what was settled", ((SqliteLedger, "__init__", _count_settled_only),),
     scenarios.dies_before_settling),
    ("exposes an intent again", ((SqliteLedger, "reserve", _anonymous),), scenarios.resumed),
    ("gives the dose of a failed exposure back", ((Guard, "acquire", _refund),), scenarios.camera_timeout),
    ("blanks only after success", ((Guard, "acquire", _no_finally),), scenarios.forgetful_driver),
    ("exposes with the blanker unknown", ((guard_checks, "check_dark", _nothing),
      (guard_checks, "check_read", _nothing)), scenarios.blanker_unknown),
    ("exposes behind a closed valve", ((guard_checks, "check_beam_path", _nothing),), scenarios.valve_closed),
    ("does not see a pole touch", ((guard_checks, "touched", _nothing),), scenarios.touch),
    ("goes on after a pole touch", ((Guard, "_check_latch_and_time", _only_time),), scenarios.touch),
    ("forgets the tilt it was going to", ((SqliteLedger, "intended_tilt", _nothing),), scenarios.touch_and_death),
    ("forgets the latch at restart", ((SqliteLedger, "latch", _forget_latch),), scenarios.latched_across_processes),
    ("has no budget of electrons", ((SqliteLedger, "electrons", lambda _: 0.0),), scenarios.greedy),
    ("has no budget of a place", ((SqliteLedger, "fluence_e_per_A2", lambda *_: 0.0),), scenarios.same_place),
    ("takes the largest instead of the sum", ((ledger_sqlite, "deepest", lambda _, stack: max((w for _, w in stack),
      default=0.0)),), scenarios.same_place),
    ("counts one frame of a burst", ((Guard, "_plan", _first_frame_only),), scenarios.long_burst),
    ("has no time budget", ((SqliteLedger, "time_used_s", lambda _: -1e9),), scenarios.endless),
    ("forgets the time at restart", ((SqliteLedger, "spend_time", _forget_time),), scenarios.endless_with_deaths),
    ("exposes as fast as it can", ((Guard, "__init__", _unhurried),), scenarios.hasty),
    ("does not leave a busy instrument alone", ((guard_checks, "check_idle", _nothing),), scenarios.refill),
    ("believes a stage that says ready", ((Rest, "wait", _believe), (Rest, "check", _nothing),
      (Guard, "_arrive", _believe_arrival)), scenarios.spurious_ready),
    ("moves a stage that somebody else has in hand", ((Rest, "check", _nothing),), scenarios.taken_over),
    ("books where the stage was sent", ((Guard, "move", _remember_wish), (Guard, "_plan", _where_it_was_sent)),
     scenarios.stuck),
    ("books what the stage reads, as if it were sure", ((dose, "place_of", lambda e, s, *_: _PLACE(e, s, 0.0)),),
     scenarios.unsure_place),
    ("takes an unknown current for none", ((dose, "current_of", lambda s, _: s.optics.current_pA or 0.0),),
     scenarios.current_unknown),
    ("does without a reading, on an instrument", ((guard_checks, "check_read", _nothing),), interlocks.unread),
    ("does without a reading that it had", ((guard_checks, "check_read", _nothing),), interlocks.read_no_more),
    ("books no more than was asked", ((booking, "price_of", _as_asked),), interlocks.overstays),
    ("leaves a place for the exposure alone", ((booking, "price_of", _as_asked),), interlocks.no_place_to_overstay),
    ("comes to a place as it likes", ((guard, "legs", lambda target, _: (target,)),), scenarios.from_either_side),
    ("turns round on the wrong side", ((guard, "legs", _from_above),), scenarios.from_either_side),
    ("does not ask the gun", ((guard_checks, "_check_gun", _nothing),), interlocks.emission_off),
    ("takes an emission that it cannot read for one", ((guard_checks, "_check_gun", _nothing),),
     interlocks.emission_unknown),
    ("does not read the high tension", ((guard_checks, "_check_gun", _nothing),), interlocks.tension_off),
    ("does not ask for the vacuum", ((guard_checks, "_check_vacuum", _nothing),), interlocks.vacuum_broken),
    ("believes a vacuum of hours ago", ((guard_checks, "believed", _whatever_it_reads),), interlocks.vacuum_old),
    ("believes an emission of hours ago", ((guard_checks, "believed", _whatever_it_reads),), interlocks.emission_old),
    ("books the frame, whatever is lit", ((guard, "lit", _frame), (booking, "lit", _frame)), interlocks.wide_beam),
    ("spreads a narrow beam over the frame", ((guard, "lit", _frame), (booking, "lit", _frame)),
     interlocks.narrow_beam),
    ("books where there is no room", ((SqliteLedger, "_require_room", _nothing),), interlocks.disk_full),
    ("loads whatever the valve does", ((guard_checks, "check_transfer", _nothing),), loading.valve_open),
    ("loads wherever the stage is", ((guard_checks, "check_transfer", _wherever),), loading.tilted),
    ("loads as soon as a stage says ready", ((Rest, "wait", _believe), (Rest, "check", _nothing),
      (Guard, "_arrive", _believe_arrival)), loading.moving),
    ("tries a transfer again", ((GuardedLoader, "_carry", _carry_on),), loading.stuck),
    ("forgets the specimen that is on its way", ((SqliteLedger, "begin_transfer", _nothing),), loading.dies_loading),
    ("takes a transfer for done when it ends", ((GuardedLoader, "_carry", _unseen),), loading.dead_motor),
    ("hands out the bare loader", ((guard, "guarded", lambda _, power, *__: power),), loading.valve_open),
    ("hands out bare powers", ((guard, "guarded", lambda _, power, *__: power),), scenarios.bare_powers),
)  # fmt: skip
_PLACE = dose.place_of
SCENARIOS = (*scenarios.SCENARIOS, *interlocks.SCENARIOS, *loading.SCENARIOS)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_the_guard_as_it_is_passes(scenario: Callable[[Bench], None], tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    scenario(bench)
    bench.ledger.close()


@pytest.mark.parametrize(("name", "changes", "scenario"), DEFECTS, ids=[defect[0] for defect in DEFECTS])
def test_a_planted_defect_is_caught(
    name: str,
    changes: tuple[tuple[object, str, object], ...],
    scenario: Callable[[Bench], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for owner, attribute, changed in changes:
        assert hasattr(owner, attribute)
        monkeypatch.setattr(owner, attribute, changed)
    bench = Bench(tmp_path)
    with pytest.raises(AssertionError) as caught:
        scenario(bench)
    assert str(caught.value), f"a guard that {name} is caught without saying why"
    bench.ledger.close()


def test_every_scenario_catches_something() -> None:
    assert {scenario for _, _, scenario in DEFECTS} == set(SCENARIOS)
