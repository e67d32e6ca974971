"""A specimen goes in or out dark, behind a closed valve, the stage at zero; one that is not seen to arrive latches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from instruments_fake import EXPOSURE, FakeMicroscope, Valves, guarded, nothing, raising

from instruments.errors import (
    BudgetError,
    BusyError,
    Disconnected,
    HardwareFault,
    LimitError,
    NotSupported,
    Timeout,
)
from instruments.latches import InstrumentLedger
from instruments.ledger import Ledger, MemoryLedger
from instruments.ledger_sqlite import SqliteLedger
from instruments.powers import HasLoader, HasValves
from instruments.types import Reading, StagePosition

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from instruments.guard import Guard


class Cassette:
    """Two grids; hooks run while one is on its way, and when what is loaded is asked after."""

    def __init__(self) -> None:
        self.done: list[str | None] = []
        self.on_way: Callable[[], None] = nothing
        self.on_look: Callable[[], None] = nothing
        self.lies: str | None = None

    def specimens(self) -> Sequence[str]:
        return ("grid 1", "grid 2")

    def loaded(self) -> str | None:
        self.on_look()
        return self.lies or (self.done[-1] if self.done else None)

    def load(self, name: str) -> None:
        self.on_way()
        self.done.append(name)

    def unload(self) -> None:
        self.on_way()
        self.done.append(None)


@pytest.fixture
def cassette(scope: FakeMicroscope) -> Cassette:
    made = Cassette()
    scope.powers[HasLoader] = made
    return made


def loader_of(guard: Guard) -> HasLoader:
    found = guard.power(HasLoader)
    assert found is not None
    return found


def test_specimens_go_in_and_out(scope: FakeMicroscope, cassette: Cassette) -> None:
    guard = guarded(scope)
    loader = loader_of(guard)
    assert loader.specimens() == ("grid 1", "grid 2")
    loader.load("grid 2")
    assert loader.loaded() == "grid 2"
    loader.unload()
    assert (loader.loaded(), cassette.done, guard.denials) == (None, ["grid 2", None], 0)
    assert guard.ledger.latched() is None
    guard.acquire(EXPOSURE)


@pytest.mark.parametrize(
    ("reads", "message"),
    [
        ({"blanked": None}, "blanker: the instrument tells nothing"),
        ({"blanked": False}, "must be blanked, but it is on"),
        ({"valve_open": True}, "it is open: close it"),
        ({"vacuum": Reading(value=1e-5, unit="Pa", age_s=1e4)}, "vacuum reading is 10000 s old"),
        ({"vacuum": Reading(value=None, unit="Pa", age_s=0.0)}, "vacuum reading is not valid"),
        ({"busy_until_s": 1e9}, "busy"),
        ({"stage": StagePosition(x_nm=500.0, y_nm=0.0, z_nm=0.0, alpha_deg=0.0)}, "x_nm reads 500"),
        ({"stage": StagePosition(x_nm=0.0, y_nm=None, z_nm=0.0, alpha_deg=0.0)}, "y_nm reads None"),
        ({"stage": StagePosition(x_nm=0.0, y_nm=0.0, z_nm=float("nan"), alpha_deg=0.0)}, "z_nm reads nan"),
        ({"stage": StagePosition(x_nm=0.0, y_nm=0.0, z_nm=0.0, alpha_deg=0.2)}, "alpha_deg reads 0.2"),
        ({"stage": StagePosition(x_nm=0.0, y_nm=0.0, z_nm=0.0, alpha_deg=None)}, "alpha_deg reads None"),
        ({"stage": StagePosition(x_nm=0.0, y_nm=0.0, z_nm=0.0, alpha_deg=0.0, beta_deg=5.0)}, "beta_deg reads 5"),
    ],
)
def test_nothing_is_moved_where_it_must_not(
    reads: dict[str, Any], message: str, scope: FakeMicroscope, cassette: Cassette
) -> None:
    if "stage" in reads:  # it has always stood there: a tilt that changes by itself is another matter
        scope.stage = reads.pop("stage")
    guard = guarded(scope)
    if reads.get("blanked") is False:
        scope.beam_on = True  # and the blank before it helps too late for this one
    else:
        scope.reads = dict(reads)
    with pytest.raises(BusyError, match=message):
        loader_of(guard).load("grid 1")
    assert (cassette.done, guard.denials, guard.ledger.latched()) == ([], 1, None)


def test_a_valve_is_asked_for_where_there_is_one(scope: FakeMicroscope, cassette: Cassette) -> None:
    guard = guarded(scope)
    scope.powers[HasValves] = Valves(scope.calls)
    with pytest.raises(BusyError, match="cannot be read: close it"):
        loader_of(guard).load("grid 1")
    scope.reads = {"valve_open": False}
    loader_of(guard).load("grid 1")
    assert cassette.done == ["grid 1"]


def test_axes_that_this_stage_lacks_are_not_asked_for(scope: FakeMicroscope, cassette: Cassette) -> None:
    guard = guarded(scope, z_nm=None, alpha_deg=None)
    scope.stage = StagePosition(x_nm=0.0, y_nm=0.0)
    guard.ledger.clear_latch("Ada")
    loader_of(guard).unload()
    assert cassette.done == [None]


def test_a_stage_that_moves_and_a_latch_come_first(scope: FakeMicroscope, cassette: Cassette) -> None:
    guard = guarded(scope)
    steps = iter(range(1000))

    def creeps() -> None:
        scope.stage = StagePosition(x_nm=11.0 * next(steps), y_nm=0.0, z_nm=0.0, alpha_deg=0.0)

    scope.on_state = creeps
    with pytest.raises(BusyError, match="not still"):
        loader_of(guard).load("grid 1")
    scope.on_state = nothing
    guard.ledger.latch("touched")
    with pytest.raises(HardwareFault, match="latched: touched"):
        loader_of(guard).load("grid 1")
    assert cassette.done == []


def test_a_name_that_is_not_there_and_a_refusal_of_the_loader_change_nothing(
    scope: FakeMicroscope, cassette: Cassette
) -> None:
    guard = guarded(scope)
    with pytest.raises(LimitError, match="'grid 7' was asked to be loaded, there are grid 1, grid 2"):
        loader_of(guard).load("grid 7")
    for refusal in (BusyError("a person has the door open"), NotSupported("no cassette is docked")):
        cassette.on_way = raising(refusal)
        with pytest.raises(type(refusal), match=str(refusal)):
            loader_of(guard).load("grid 1")
    assert (cassette.done, guard.ledger.latched()) == ([], None)


@pytest.mark.parametrize(
    "error",
    [Timeout("no answer"), Disconnected("gone"), HardwareFault("stuck", latching=False), RuntimeError("a bug")],
    ids=lambda error: type(error).__name__,
)
def test_a_transfer_that_fails_is_never_tried_again(
    error: Exception, scope: FakeMicroscope, cassette: Cassette
) -> None:
    guard = guarded(scope)
    cassette.on_way = raising(error)
    with pytest.raises(HardwareFault, match="loading grid 1 failed") as caught:
        loader_of(guard).load("grid 1")
    assert caught.value.latching
    cassette.on_way = nothing
    for again in (lambda: loader_of(guard).load("grid 1"), lambda: guard.acquire(EXPOSURE), loader_of(guard).unload):
        with pytest.raises(HardwareFault, match="loading grid 1"):
            again()
    with pytest.raises(HardwareFault, match="loading grid 1"):
        guard.move(StagePosition(x_nm=5.0))
    assert cassette.done == []


def test_one_that_says_that_it_is_done_is_looked_at(scope: FakeMicroscope, cassette: Cassette) -> None:
    guard = guarded(scope)
    cassette.lies = "grid 2"
    with pytest.raises(HardwareFault, match="after loading grid 1 the stage holds grid 2"):
        loader_of(guard).load("grid 1")
    guard.ledger.clear_latch("Ada")
    cassette.on_look = raising(NotSupported("no sensor"))  # not a refusal any more: it has been moved
    with pytest.raises(HardwareFault, match="unloading ended, and what is loaded does not read"):
        loader_of(guard).unload()
    assert guard.ledger.latched() is not None


@pytest.mark.parametrize("kind", ["memory", "sqlite", "instrument"])
def test_a_specimen_on_its_way_is_latched_for_who_comes_after(
    kind: str, scope: FakeMicroscope, cassette: Cassette, tmp_path: Path
) -> None:
    """The process dies on the way: the next one touches nothing until a person has looked."""

    def opened() -> Ledger:
        if kind == "instrument":
            return InstrumentLedger(SqliteLedger(tmp_path / "dose"), SqliteLedger(tmp_path / "latches"))
        return SqliteLedger(tmp_path / "dose") if kind == "sqlite" else MemoryLedger()

    class Killed(BaseException):
        pass

    def dies() -> None:
        raise Killed

    ledger = opened()
    guard = guarded(scope, ledger)
    loader_of(guard).load("grid 1")
    cassette.on_way = dies
    with pytest.raises(Killed):
        loader_of(guard).unload()
    if kind != "memory":
        ledger.close()  # type: ignore[attr-defined]
        ledger = opened()
        guard = guarded(scope, ledger)
    cassette.on_way = nothing
    with pytest.raises(HardwareFault, match="unloading was begun, and nobody has seen it end"):
        guard.acquire(EXPOSURE)
    if kind == "instrument":
        ledger._latches.clear_latch("Ada")  # type: ignore[attr-defined]
    else:
        ledger.clear_latch("Ada")
    loader_of(guard).unload()
    guard.acquire(EXPOSURE)
    if kind != "memory":
        ledger.close()  # type: ignore[attr-defined]


def test_a_ledger_that_cannot_write_moves_no_specimen(
    scope: FakeMicroscope, cassette: Cassette, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = guarded(scope)
    monkeypatch.setattr(guard.ledger, "begin_transfer", lambda what: raising(BudgetError("the disk is full"))())
    with pytest.raises(BudgetError, match="disk is full"):
        loader_of(guard).load("grid 1")
    assert cassette.done == []
