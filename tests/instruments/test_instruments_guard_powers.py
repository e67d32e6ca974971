"""Powers come guarded or not at all."""

from __future__ import annotations

import pytest
from instruments_fake import FakeMicroscope, Valves, guarded, raising

from instruments.errors import (
    HardwareFault,
    Timeout,
)
from instruments.powers import CanStop, HasDiffraction, HasHolder, HasLoader, HasSpectra, HasTilt, HasValves


def test_powers_are_handed_out_guarded_or_not_at_all(scope: FakeMicroscope) -> None:
    guard = guarded(scope)
    every = (HasValves, CanStop, HasTilt, HasSpectra, HasDiffraction, HasHolder, HasLoader)
    assert [guard.power(kind) for kind in every] == [None] * len(every)
    raw = Valves(scope.calls)
    scope.powers = dict.fromkeys(every, raw)
    for kind in (HasHolder, HasLoader, object, Valves):
        assert guard.power(kind) is None
    for kind in (HasValves, CanStop, HasTilt, HasSpectra, HasDiffraction):
        power = guard.power(kind)
        assert isinstance(power, kind)
        assert power is not raw
        assert not hasattr(power, "set_condition")


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
    ):
        tilt = guarded(scope, **changes).power(HasTilt)
        assert tilt is not None
        assert tilt.tilt_range_deg() == expected
