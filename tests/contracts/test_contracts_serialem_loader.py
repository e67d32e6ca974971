"""An autoloader by SerialEM's commands, behind a guard, on a fake whose transfers fail as real ones do."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from fakes_column import LIMITS, SLOTS, Column
from fakes_serialem import serialem

from instruments.drivers import registry
from instruments.errors import BusyError, HardwareFault, LimitError
from instruments.guard import Guard
from instruments.ledger import MemoryLedger
from instruments.limits import SIMULATED
from instruments.powers import HasLoader, HasValves

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fakes_serialem import SerialEM

WAIVED = LIMITS.model_copy(update={"waived": {"blanker": "Ada looks at the screen"}})


@contextmanager
def column(**changes: Any) -> Iterator[tuple[Column, SerialEM, Any]]:
    made = Column()
    with serialem(made) as (_, sem):
        settings = registry.parse({"kind": "serialem", "slots": SLOTS, **changes})
        yield made, sem, registry.open_microscope(settings, seed=0, clock=made.clock)


@pytest.mark.parametrize("tuples", [True, False])
def test_a_specimen_goes_in_and_out(tuples: bool) -> None:
    with column() as (made, sem, scope):
        sem.tuples = tuples
        guard = Guard(scope, WAIVED, MemoryLedger(), made.clock, SIMULATED)
        loader, valves = guard.power(HasLoader), guard.power(HasValves)
        assert (loader.specimens(), loader.loaded()) == (("gold", "carbon", "ice"), "gold")
        with pytest.raises(BusyError, match="it is open: close it"):
            loader.load("ice")
        valves.close_valves()
        for name in ("ice", "ice", "carbon"):
            loader.load(name)
            assert (loader.loaded(), made.loader.loaded()) == (name, name)
        for _ in range(2):
            loader.unload()
            assert (loader.loaded(), made.loader.loaded()) == (None, None)
        loader.load("gold")
        assert guard.ledger.latched() is None


@pytest.mark.parametrize(("spoil", "words"), [("jams", "could not be loaded"), ("idle", "the stage holds gold")])
def test_a_transfer_that_fails_or_does_not_happen_latches(spoil: str, words: str) -> None:
    with column() as (made, sem, scope):
        guard = Guard(scope, WAIVED, MemoryLedger(), made.clock, SIMULATED)
        guard.power(HasValves).close_valves()
        setattr(sem, spoil, 3)
        with pytest.raises(HardwareFault, match=words):
            guard.power(HasLoader).load("ice")
        sem.jams = sem.idle = 0
        with pytest.raises(HardwareFault, match=r"latched: .*loading ice"):
            guard.power(HasLoader).load("ice")
        assert made.loader.loaded() != "ice"


def test_what_is_not_known_is_not_guessed() -> None:
    """The slots tell what lies on the stage, unless one of them says nothing, or two are empty."""
    with column() as (made, sem, scope):
        loader = scope.power(HasLoader)
        with pytest.raises(LimitError, match="'steel'"):
            loader.load("steel")
        sem.unknown = {2}
        for ask in (loader.loaded, loader.unload, lambda: loader.load("ice")):
            with pytest.raises(BusyError, match=r"carbon -1, ice 1.*make the inventory"):
                ask()
        assert made.loader.loaded() == "gold"
        sem.unknown = set()
        loader.load("ice")
        assert loader.loaded() == "ice"
    with column(slots={**SLOTS, "steel": 9}) as (_, _, scope), pytest.raises(BusyError, match="steel 0"):
        scope.power(HasLoader).loaded()
    with column(slots={}) as (_, _, scope):
        assert scope.power(HasLoader) is None
