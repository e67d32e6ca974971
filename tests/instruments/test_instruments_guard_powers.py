"""Powers come guarded or not at all."""

from __future__ import annotations

from typing import Any

import pytest
from instruments_fake import FakeMicroscope, Valves, guarded, raising

from instruments.errors import BudgetError, HardwareFault, LimitError, Timeout
from instruments.powers import CanStop, HasDiffraction, HasHolder, HasLoader, HasSpectra, HasTilt, HasValves


def test_powers_are_handed_out_guarded_or_not_at_all(scope: FakeMicroscope) -> None:
    guard = guarded(scope)
    every = (HasValves, CanStop, HasTilt, HasSpectra, HasDiffraction, HasHolder, HasLoader)
    assert [guard.power(kind) for kind in every] == [None] * len(every)
    raw = Valves(scope.calls)
    scope.powers = dict.fromkeys(every, raw)
    for kind in (object, Valves):
        assert guard.power(kind) is None
    for kind in every:
        power = guard.power(kind)
        assert isinstance(power, kind)
        assert power is not raw
        assert hasattr(power, "set_condition") == (kind is HasHolder)
        assert hasattr(power, "load") == (kind is HasLoader)


def test_valves_close_also_where_blanking_fails(scope: FakeMicroscope) -> None:
    guard = guarded(scope)
    scope.powers[HasValves] = Valves(scope.calls)
    valves = guard.power(HasValves)
    assert valves is not None
    valves.close_valves()
    assert scope.calls == ["blank", "valves"]
    scope.on_blank = raising(Timeout("no answer"))
    with pytest.raises(HardwareFault):
        valves.close_valves()
    assert scope.calls == ["blank", "valves", "blank", "valves"]


def test_stopping_needs_no_permission(scope: FakeMicroscope) -> None:
    guard = guarded(scope)
    scope.powers[CanStop] = Valves(scope.calls)
    motion = guard.power(CanStop)
    guard.ledger.latch("touched")
    assert motion is not None
    motion.stop()
    assert scope.calls == ["stop"]


def test_a_condition_is_set_where_the_limits_name_it_and_within_them(scope: FakeMicroscope) -> None:
    raw = Valves([])
    scope.powers[HasHolder] = raw
    assert guarded(scope).power(HasHolder) is not None
    with pytest.raises(LimitError, match="do not allow temperature_K"):
        guarded(scope).power(HasHolder).set_condition("temperature_K", 400.0)
    holder = guarded(scope, conditions={"temperature_K": (300.0, 900.0)}).power(HasHolder)
    for value in (901.0, float("nan"), float("inf"), True, "hot"):
        with pytest.raises(LimitError, match="temperature_K"):
            holder.set_condition("temperature_K", value)
    with pytest.raises(LimitError, match="bias_V"):
        holder.set_condition("bias_V", 0.0)
    assert raw.done == []
    assert holder.set_condition("temperature_K", 900.0).achieved == 900.0
    assert raw.done == ["temperature_K=900"]


def test_a_holder_obeys_neither_after_a_latch_nor_after_the_time(scope: FakeMicroscope) -> None:
    raw = Valves([])
    scope.powers[HasHolder] = raw
    guard = guarded(scope, conditions={"temperature_K": (300.0, 900.0)}, max_time_s=100.0)
    holder = guard.power(HasHolder)
    assert holder is not None
    guard.ledger.latch("touched")
    with pytest.raises(HardwareFault, match="touched"):
        holder.set_condition("temperature_K", 400.0)
    guard.ledger.clear_latch("Ada")
    scope.clock.wait(101.0)
    with pytest.raises(BudgetError):
        holder.set_condition("temperature_K", 400.0)
    assert raw.done == []
    assert guard.denials == 2


@pytest.mark.parametrize(
    ("kind", "verb", "values"),
    [(HasHolder, "set_condition", ("temperature_K", 400.0)), (HasValves, "close_valves", ()), (CanStop, "stop", ())],
)
def test_a_latching_fault_of_a_power_latches(
    scope: FakeMicroscope, kind: type[Any], verb: str, values: tuple[Any, ...]
) -> None:
    class Broken(Valves):
        """Its calls end in a fault that a person has to see to."""

    def fault(*_: object) -> None:
        raise HardwareFault("column vented", latching=True)

    setattr(Broken, verb, fault)
    scope.powers[kind] = Broken([])
    guard = guarded(scope, conditions={"temperature_K": (300.0, 900.0)})
    with pytest.raises(HardwareFault, match="column vented"):
        getattr(guard.power(kind), verb)(*values)
    assert guard.ledger.latched() == "column vented"


def test_detectors_that_give_more_than_a_number_are_told_and_no_more(scope: FakeMicroscope) -> None:
    guard = guarded(scope)
    scope.powers = dict.fromkeys((HasSpectra, HasDiffraction), Valves([]))
    spectra, diffraction = guard.power(HasSpectra), guard.power(HasDiffraction)
    assert spectra is not None
    assert diffraction is not None
    assert spectra.channels() == {"EELS": 1024}
    assert diffraction.patterns() == {"camera": (64, 64)}


def test_tilt_range_is_what_both_allow(scope: FakeMicroscope) -> None:
    scope.powers[HasTilt] = Valves([])
    for changes, expected in (
        ({}, {"alpha_deg": (-60.0, 40.0)}),
        ({"beta_deg": (-30.0, 10.0)}, {"alpha_deg": (-60.0, 40.0), "beta_deg": (-20.0, 10.0)}),
        ({"alpha_deg": (50.0, 60.0)}, {}),
        ({"alpha_deg": None}, {}),
        ({"backlash_deg": 1.0, "alpha_deg": (-50.0, 40.0)}, {"alpha_deg": (-49.0, 40.0)}),
    ):
        tilt = guarded(scope, **changes).power(HasTilt)
        assert tilt is not None
        assert tilt.tilt_range_deg() == expected
