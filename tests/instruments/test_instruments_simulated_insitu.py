"""Specimens that evolve: their truth agrees with itself, whenever and from wherever it is asked."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields

import numpy as np
import pytest
from insitu_samples import HOLDER, HOT, run

from instruments.errors import LimitError
from instruments.simulated import kinetics
from instruments.simulated.conditions import Conditions
from instruments.simulated.hashing import Floats, uniform
from instruments.simulated.insitu import Particles, Process
from instruments.simulated.insitu_changes import (
    Coarsening,
    CoarseningSettings,
    Dissolution,
    DissolutionSettings,
    Front,
    FrontSettings,
    Transformation,
    TransformationSettings,
)
from instruments.simulated.insitu_growth import Growth, GrowthSettings
from instruments.simulated.kinetics import RateLaw

BIG = ((-800.0, 800.0), (0.0, 1600.0))
SMALL = ((-130.0, 480.0), (50.0, 700.0))


def growth(conditions: Conditions, seed: int = 7) -> Process:
    return Growth(GrowthSettings(), conditions, seed)


def dissolution(conditions: Conditions, seed: int = 7) -> Process:
    return Dissolution(DissolutionSettings(), conditions, seed)


def coarsening(conditions: Conditions, seed: int = 7) -> Process:
    rate = RateLaw(at_reference=0.1, activation_eV=2.0, reference_K=900.0)
    return Coarsening(CoarseningSettings(rate=rate), conditions, seed)


def transformation(conditions: Conditions, seed: int = 7) -> Process:
    return Transformation(TransformationSettings(), conditions, seed)


def front(conditions: Conditions, seed: int = 7) -> Process:
    return Front(FrontSettings(velocity=HOT.model_copy(update={"at_reference": 5.0})), conditions, seed)


Make = Callable[..., Process]
every = pytest.mark.parametrize("make", [growth, dissolution, coarsening, transformation, front])


def same(one: Particles, other: Particles) -> bool:
    return all(np.array_equal(getattr(one, c.name), getattr(other, c.name)) for c in fields(Particles))


@every
def test_looking_on_the_way_changes_nothing(make: Make) -> None:
    looked, alone = make(run()), make(run())
    for t_s in (0.0, 33.3, 50.0, 80.0):
        looked.particles(*SMALL, t_s)
    looked.events(*BIG, 0.0, 40.0)
    assert same(looked.particles(*SMALL, 120.0), alone.particles(*SMALL, 120.0))
    assert looked.events(*SMALL, 0.0, 120.0) == alone.events(*SMALL, 0.0, 120.0)


@every
def test_looking_before_an_order_changes_nothing(make: Make) -> None:
    conditions = Conditions(HOLDER, 0)
    process = make(conditions)
    for order in run().history:
        process.particles(*SMALL, order.t_s)
        conditions.set(order.name, order.value, order.t_s)
    assert same(process.particles(*SMALL, 120.0), make(run()).particles(*SMALL, 120.0))


@every
def test_an_area_holds_what_its_parts_hold(make: Make) -> None:
    process = make(run())
    (left, right), high = SMALL
    parts = [process.particles((a, b), high, 120.0) for a, b in ((left, 91.0), (91.0, right))]
    whole = process.particles(*SMALL, 120.0)
    assert sorted(whole.id) == sorted(np.concatenate([part.id for part in parts]))
    assert len(whole.id) > 20
    again = process.particles(*BIG, 120.0)
    found = np.isin(again.id, whole.id)
    assert np.array_equal(np.sort(again.radius_nm[found]), np.sort(whole.radius_nm))


@every
def test_events_agree_with_the_states_around_them(make: Make) -> None:
    process = make(run())
    before, after = process.particles(*BIG, 40.0), process.particles(*BIG, 100.0)
    events = process.events(*BIG, 40.0, 100.0)
    assert len(events) > 30
    assert [event.t_s for event in events] == sorted(event.t_s for event in events)
    named = {kind: {e.id for e in events if e.kind == kind} for kind in ("birth", "vanish", "begin", "transform")}
    assert set(after.id) == (set(before.id) | named["birth"]) - named["vanish"]
    assert set(before.id[before.fraction == 1]) | named["transform"] == set(after.id[after.fraction == 1])
    assert set(before.id[before.fraction > 0]) | named["begin"] == set(after.id[after.fraction > 0])


@every
def test_events_are_exact_to_the_microsecond(make: Make) -> None:
    process = make(run())
    for event in process.events(*SMALL, 40.0, 100.0)[::7]:
        around = (event.x_nm, event.x_nm + 1e-6), (event.y_nm, event.y_nm + 1e-6)
        states = [process.particles(*around, event.t_s + shift_s) for shift_s in (-1e-6, 0.0)]
        counts = [len(state.id) for state in states]
        if event.kind == "birth":
            assert counts == [0, 1]
            assert states[1].radius_nm[0] == pytest.approx(event.size_nm)
        elif event.kind == "vanish":
            assert counts == [1, 0]
            assert states[0].radius_nm[0] < 0.1
        else:
            assert counts == [1, 1]
            assert states[0].fraction[0] == pytest.approx(float(event.kind == "transform"), abs=1e-6)
            assert (states[0].fraction[0] < 1) if event.kind == "transform" else (states[0].fraction[0] == 0)


@every
def test_events_in_pieces_are_the_same(make: Make) -> None:
    process = make(run())
    whole = process.events(*SMALL, 0.0, 100.0)
    assert whole == process.events(*SMALL, 0.0, 44.0) + process.events(*SMALL, 44.0, 100.0)


@every
def test_another_seed_is_another_specimen(make: Make) -> None:
    one, other = make(run(), 7).particles(*BIG, 100.0), make(run(), 8).particles(*BIG, 100.0)
    assert len(one.id) != len(other.id) or not np.array_equal(one.x_nm, other.x_nm)


@pytest.mark.parametrize("make", [growth, dissolution, coarsening, front])
def test_at_rest_nothing_changes(make: Make) -> None:
    process = make(Conditions(HOLDER, 0))  # 300 K and no concentration
    start, end = process.particles(*SMALL, 0.0), process.particles(*SMALL, 1e5)
    assert process.events(*SMALL, 0.0, 1e5) == ()
    assert np.array_equal(start.id, end.id)
    np.testing.assert_allclose(end.radius_nm, start.radius_nm, rtol=1e-9)
    np.testing.assert_allclose(end.fraction, start.fraction, atol=1e-4)


@every
def test_a_visit_costs_neither_time_gone_nor_distance(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    visits: list[int] = []

    def counted(*arguments: int) -> Floats:
        visits.append(1)
        return uniform(*arguments)

    monkeypatch.setattr(kinetics, "uniform", counted)
    counts = []
    for shift_nm, t_s in ((0.0, 100.0), (0.0, 1e9), (4e7, 100.0)):
        visits.clear()
        make(run()).particles((shift_nm, shift_nm + 399.0), (0.0, 399.0), t_s)
        counts.append(len(visits))
    assert counts[0] == counts[1] == counts[2] > 0


@every
@pytest.mark.parametrize(
    ("x_range_nm", "t_s"), [((1.0, 1.0), 0.0), ((0.0, math.nan), 0.0), ((0.0, 1e12), 0.0), ((0.0, 1.0), -1.0)]
)
def test_what_is_nowhere_or_never_is_refused(make: Make, x_range_nm: tuple[float, float], t_s: float) -> None:
    process = make(Conditions(HOLDER, 0))
    with pytest.raises(LimitError, match="asked"):
        process.particles(x_range_nm, (0.0, 1.0), t_s)
    with pytest.raises(LimitError, match="asked"):
        process.events(x_range_nm, (0.0, 1.0), t_s, 1.0)
