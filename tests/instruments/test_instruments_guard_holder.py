"""What the guard makes of a holder: steps, readings that run away or are missing, and how it is left."""

from __future__ import annotations

from typing import Any

import pytest
from instruments_fake import EXPOSURE, FakeMicroscope, Valves, guarded, limits, refused
from pydantic import ValidationError

from instruments.clock import SimulatedClock
from instruments.errors import BusyError, Disconnected, HardwareFault, LimitError
from instruments.powers import HasHolder
from instruments.types import Outcome, Reading

HEAT = {"allowed": (290.0, 900.0), "most_change": 100.0, "runaway": (250.0, 950.0), "safe": 295.0}


@pytest.fixture
def scope() -> FakeMicroscope:
    made = FakeMicroscope(SimulatedClock())
    made.powers[HasHolder] = Valves(made.calls)
    reads(made, 300.0)
    return made


def reads(scope: FakeMicroscope, value: float | None, **changes: Any) -> None:
    reading = Reading(**({"value": value, "unit": "K", "age_s": 0.0, "valid": value is not None} | changes))
    scope.reads["holder"] = {"temperature_K": reading}


def test_an_order_goes_in_steps_from_what_is_read(scope: FakeMicroscope) -> None:
    holder = guarded(scope, conditions={"temperature_K": HEAT}).power(HasHolder)
    holder.set_condition("temperature_K", 400.0)
    with pytest.raises(LimitError, match="500 was asked and 300 is read; 100 more or less"):
        holder.set_condition("temperature_K", 500.0)
    reads(scope, 400.0)
    holder.set_condition("temperature_K", 500.0)
    for value, unread in ((None, {}), (400.0, {"age_s": 61.0}), (400.0, {"valid": False})):
        reads(scope, value, **unread)
        with pytest.raises(BusyError, match="temperature_K reading"):
            holder.set_condition("temperature_K", 450.0)
    assert [call for call in scope.calls if "temperature" in call] == ["temperature_K=400", "temperature_K=500"]


def test_a_holder_that_runs_away_is_made_safe_and_latches(scope: FakeMicroscope) -> None:
    guard = guarded(scope, conditions={"temperature_K": HEAT})
    guard.acquire(EXPOSURE)
    reads(scope, 960.0)
    scope.calls.clear()
    with pytest.raises(HardwareFault, match="reads temperature_K = 960, outside 250 to 950"):
        guard.acquire(EXPOSURE)
    assert "temperature_K=295" in scope.calls
    assert "acquire" not in scope.calls
    reads(scope, 300.0)
    with pytest.raises(HardwareFault, match="latched: the holder reads"):
        guard.acquire(EXPOSURE)


def test_a_runaway_that_cannot_be_cooled_says_so(scope: FakeMicroscope) -> None:
    guard = guarded(scope, conditions={"temperature_K": HEAT})
    scope.powers[HasHolder] = Deaf(scope.calls)
    reads(scope, 240.0)
    with pytest.raises(HardwareFault, match=r"outside 250 to 950.*could not be ordered to be safe \(no answer\)"):
        guard.acquire(EXPOSURE)


def test_what_is_judged_must_read(scope: FakeMicroscope) -> None:
    guard = guarded(scope, conditions={"temperature_K": HEAT})
    reads(scope, None)
    refused(guard, scope, BusyError, "temperature_K reading is not valid")
    scope.reads["holder"] = {}
    refused(guard, scope, BusyError, "temperature_K reading is not valid")
    reads(scope, 300.0, age_s=61.0)
    refused(guard, scope, BusyError, "61 s old")
    guarded(scope, conditions={"temperature_K": (290.0, 900.0)}).acquire(EXPOSURE)  # a range alone judges no reading


def test_it_is_left_safe_also_where_blanking_fails(scope: FakeMicroscope) -> None:
    guard = guarded(scope, conditions={"temperature_K": HEAT, "bias_V": (0.0, 1.0)})
    guard.close()
    assert scope.calls == ["blank", "temperature_K=295", "close"]
    guard.close()
    assert scope.calls == ["blank", "temperature_K=295", "close"]

    broken = guarded(scope, conditions={"temperature_K": HEAT})
    scope.on_blank = lambda: (_ for _ in ()).throw(Disconnected("gone"))
    with pytest.raises(HardwareFault, match="could not be blanked"):
        broken.close()
    assert scope.calls == ["blank", "temperature_K=295", "close"]


def test_every_condition_is_made_safe_whatever_becomes_of_the_first(scope: FakeMicroscope) -> None:
    guard = guarded(scope, conditions={"bias_V": {"allowed": (0.0, 1.0), "safe": 0.0}, "temperature_K": HEAT})
    scope.powers[HasHolder] = Deaf(scope.calls, "bias_V")
    with pytest.raises(Disconnected, match="no answer"):
        guard.close()
    assert scope.calls == ["blank", "temperature_K=295", "close"]


def test_a_holder_is_asked_for_only_where_something_is_safe(scope: FakeMicroscope) -> None:
    del scope.powers[HasHolder]
    guarded(scope, conditions={"temperature_K": HEAT}).close()
    assert scope.calls == ["blank", "close"]


def test_limits_of_a_condition_fit_together() -> None:
    assert limits(conditions={"bias_V": (0.0, 1.0)}).conditions["bias_V"].allowed == (0.0, 1.0)
    for wrong, message in (
        ({"safe": 1000.0}, "safe 1000 is not in allowed"),
        ({"runaway": (295.0, 950.0)}, "leaves out part of allowed"),
        ({"most_change": 0.0}, "greater than 0"),
        ({"allowed": (2.0, 1.0)}, "swap the two"),
    ):
        with pytest.raises(ValidationError, match=message):
            limits(conditions={"temperature_K": HEAT | wrong})


class Deaf(Valves):
    """Does not answer to orders of a condition."""

    def __init__(self, done: list[str], name: str = "temperature_K") -> None:
        super().__init__(done)
        self.name = name

    def set_condition(self, name: str, value: float) -> Outcome[float]:
        if name == self.name:
            raise Disconnected("no answer")
        return super().set_condition(name, value)
