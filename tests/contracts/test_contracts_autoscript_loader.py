"""An autoloader by AutoScript, behind a guard, on a fake whose transfers fail as real ones do."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from fakes_autoscript import ApplicationServerException, autoscript
from fakes_column import LIMITS, SLOTS, Column

from instruments.drivers import registry
from instruments.errors import BusyError, Disconnected, HardwareFault, InstrumentError, LimitError
from instruments.guard import Guard
from instruments.ledger import MemoryLedger
from instruments.limits import SIMULATED
from instruments.powers import HasLoader, HasValves

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fakes_autoscript import Autoloader


@contextmanager
def column(**changes: Any) -> Iterator[tuple[Column, Autoloader, Any]]:
    made = Column()
    with autoscript(made) as (_, client):
        identity = [[1.0, 0.0], [0.0, 1.0]]
        settings = registry.parse({"kind": "autoscript", "slots": SLOTS, "stage_to_image": identity, **changes})
        yield made, client.specimen.autoloader, registry.open_microscope(settings, seed=0, clock=made.clock)


@pytest.mark.parametrize("tells_stage", [True, False])
@pytest.mark.parametrize("tells_loaded", [True, False])
def test_a_specimen_goes_in_and_out(tells_loaded: bool, tells_stage: bool) -> None:
    """Newer and older versions; what lies on the stage goes back first, and each transfer takes its time."""
    with column() as (made, autoloader, scope):
        autoloader.tells_loaded, autoloader.tells_stage = tells_loaded, tells_stage
        guard = Guard(scope, LIMITS, MemoryLedger(), made.clock, SIMULATED)
        loader, valves = guard.power(HasLoader), guard.power(HasValves)
        assert (loader.specimens(), loader.loaded()) == (("gold", "carbon", "ice"), "gold")
        with pytest.raises(BusyError, match="it is open: close it"):
            loader.load("ice")
        valves.close_valves()
        start_s = made.clock.now_s()
        for name in ("ice", "ice", "carbon"):
            loader.load(name)
            assert (loader.loaded(), made.loader.loaded()) == (name, name)
        for _ in range(2):
            loader.unload()
            assert (loader.loaded(), made.loader.loaded()) == (None, None)
        loader.load("gold")
        assert made.did == ["unload", "load 3", "unload", "load 2", "unload", "load 1"]
        assert made.clock.now_s() - start_s >= 6 * 60.0
        assert guard.ledger.latched() is None


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        ({"jams": 3}, "could not be loaded"),
        ({"idle": 3}, "the stage holds None"),
        ({"lost": "gold"}, "gold was sent back, and gold lies on the stage"),
    ],
)
def test_a_transfer_that_fails_or_does_not_happen_latches(spoil: dict[str, Any], words: str) -> None:
    with column() as (made, autoloader, scope):
        guard = Guard(scope, LIMITS, MemoryLedger(), made.clock, SIMULATED)
        guard.power(HasValves).close_valves()
        vars(autoloader).update(spoil)
        with pytest.raises(HardwareFault, match=words):
            guard.power(HasLoader).load("ice")
        vars(autoloader).update(jams=0, idle=0, lost="")
        did = list(made.did)
        with pytest.raises(HardwareFault, match=r"latched: .*loading ice"):
            guard.power(HasLoader).load("ice")
        assert made.did == did
        assert made.loader.loaded() != "ice"


@pytest.mark.parametrize(
    ("spoil", "error", "words"),
    [
        ({"hides": {1}}, InstrumentError, "gold was sent back, and where it is does not read"),
        ({"cut": ConnectionResetError("reset by peer")}, Disconnected, "reset by peer"),
    ],
)
def test_what_breaks_half_way_is_no_refusal(spoil: dict[str, Any], error: type, words: str) -> None:
    """A slot that no longer reads once the stage was emptied, or a line that is cut: something is on its way."""
    with column() as (made, autoloader, scope):
        guard = Guard(scope, LIMITS, MemoryLedger(), made.clock, SIMULATED)
        guard.power(HasValves).close_valves()
        vars(autoloader).update(spoil)
        with pytest.raises(HardwareFault, match=words) as raised:
            guard.power(HasLoader).load("ice")
        assert type(raised.value.__cause__) is error
        assert made.did == ["unload"]
        assert guard.ledger.latched() is not None


@pytest.mark.parametrize(
    ("says", "found"),
    [
        ({2: "Unknown"}, "2 Unknown"),
        ({4: "Unknown"}, "4 Unknown"),
        ({3: "Loaded"}, "1 Loaded, 2 Occupied, 3 Loaded"),
        ({1: "Occupied", 4: "Loaded"}, "4 Loaded"),
        ({1: "Occupied"}, "stage Occupied"),
        ({1: "Empty", 2: "Empty"}, "1 Empty, 2 Empty"),
        ({"stage": "Empty"}, "stage Empty"),
        ({"stage": "Error"}, "stage Error"),
    ],
)
def test_what_is_not_known_is_not_guessed(says: dict[int | str, str], found: str) -> None:
    with column() as (made, autoloader, scope):
        loader = scope.power(HasLoader)
        autoloader.says = says
        for ask in (loader.loaded, loader.unload, lambda: loader.load("ice")):
            with pytest.raises(BusyError, match=f"{found}.*make the inventory"):
                ask()
        assert made.did == []
        autoloader.says = {}
        assert loader.loaded() == "gold"


def test_a_specimen_that_is_not_there_is_refused_before_the_other_goes_back() -> None:
    with column() as (made, autoloader, scope):
        loader = scope.power(HasLoader)
        with pytest.raises(LimitError, match="'steel'"):
            loader.load("steel")
        autoloader.says = {3: "Empty"}
        with pytest.raises(BusyError, match="slot 3 reads Empty: put it there"):
            loader.load("ice")
        assert made.did == []
        autoloader.says, autoloader.unknown = {}, {1, 2, 3, 4}
        with pytest.raises(BusyError, match="make the inventory"):
            loader.loaded()
        autoloader.get_slots(True)  # by a person
        assert loader.loaded() == "gold"
    with column(slots={**SLOTS, "steel": 9}) as (_, _, scope), pytest.raises(BusyError, match="'steel': 9"):
        scope.power(HasLoader).loaded()


def test_a_column_without_an_autoloader_that_is_initialised_has_no_such_power() -> None:
    def fails(_: object) -> bool:
        raise ApplicationServerException("the autoloader is not ready")

    for found in (None, False, property(fails)):
        made = Column()
        with autoscript(made) as (_, client):
            if found is None:
                del client.specimen.autoloader
            else:
                client.specimen.autoloader = type("Its", (), {"is_installed": found})()
            settings = registry.parse({"kind": "autoscript", "slots": SLOTS})
            assert registry.open_microscope(settings, seed=0, clock=made.clock).power(HasLoader) is None
    with column(slots={}) as (_, _, scope):
        assert scope.power(HasLoader) is None


def test_what_autoscript_lacks_is_declared() -> None:
    declared = registry.lacks(registry.parse({"kind": "autoscript", "patterns_px": {"BM-Ceta": 16}}))
    assert "name one of them" in declared["images and patterns of one exposure"]
    assert "images and patterns of one exposure" not in registry.lacks(registry.parse({"kind": "autoscript"}))
