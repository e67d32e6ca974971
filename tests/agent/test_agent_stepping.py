"""Stepping the holder: to where the looks that are left tell most, within a step, and only where that is worth it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from agent.stepping import Stepper, Steps
from agent.tracking import Tracker
from agent.tracking_mission import Mission
from envs.particles import Contrast
from envs.tracked import ImageSensor, TrackLook
from models.kinetics import Expected
from models.kinetics_laws import all_laws

LOOK = TrackLook(name="image", signal="HAADF", field_of_view_nm=400.0, pixels=256, dwell_us=1.0)
STEPS = Steps(
    condition="temperature_K", values=(690.0, 710.0, 730.0, 750.0, 770.0), step=20.0, every_s=50.0, least_nats=0.2
)
TICK_S = 10.0


def held(conditions, from_s, to_s):
    return [(to_s - from_s, dict(conditions))] if to_s > from_s else []


def tracker(law: str = "defect annealing, first order") -> Tracker:
    expected = Expected(horizon_s=600.0, number_per_um2=450.0, radius_nm=7.0, span_nm=2e3, temperature_K=730.0)
    sensor = ImageSensor(Contrast(per_nm=0.01), 0.05)
    mission = Mission(
        laws=[each for each in all_laws(expected) if each.name == law],
        looks=(LOOK,),
        sensors={"HAADF": sensor},
        places_nm=((0.0, 0.0), (600.0, 0.0)),
        current_pA=50.0,
        electrons=4e8,
        horizon_s=600.0,
        tick_s=TICK_S,
        sets=96,
    )
    return Tracker(mission, partial(held, {"temperature_K": 730.0}))


def followed(stepper: Stepper, ticks: int, kelvin: float = 730.0) -> list[tuple[float, float]]:
    """Orders by time; the heater is what it is ordered to be."""
    orders = []
    for n in range(ticks):
        choice = stepper.act()
        assert stepper.act() == choice  # no side effect
        if choice.order is not None:
            assert 0 < abs(choice.order.value - kelvin) <= STEPS.step
            assert choice.order.value in STEPS.values
            assert choice.order.nats >= STEPS.least_nats
            assert f"to {choice.order.value:g}" in choice.why
            kelvin = choice.order.value
            orders.append((n * TICK_S, kelvin))
        stepper.wait(TICK_S, {"temperature_K": kelvin})
    return orders


def test_it_steps_where_another_heat_tells_more_and_not_more_often_than_it_may():
    orders = followed(Stepper(tracker(), STEPS, lambda now: partial(held, now)), 25)
    assert orders
    assert [t_s for t_s, _ in orders] == sorted({t_s for t_s, _ in orders})
    assert all(t_s % STEPS.every_s == 0 and t_s > 0 for t_s, _ in orders)


def test_the_rate_at_one_heat_alone_leaves_the_energy_open_and_another_tells_it():
    known = tracker()
    known.wait(50.0, {"temperature_K": 730.0})
    same, hotter = (known.worth(partial(held, {"temperature_K": kelvin})) for kelvin in (730.0, 770.0))
    assert hotter > same + 0.2


@pytest.mark.parametrize(
    "change", [{"least_nats": 1e3}, {"values": (730.0,)}, {"from_s": 1e4}, {"condition": "bias_V"}]
)
def test_it_stays_where_nothing_is_gained_allowed_due_or_read(change):
    assert followed(Stepper(tracker(), replace(STEPS, **change), lambda now: partial(held, now)), 12) == []
