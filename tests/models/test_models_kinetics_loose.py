"""Laws that are held less to the letter: the law itself where nothing wanders, and better where something does."""

from __future__ import annotations

import numpy as np
import pytest

from models.kinetics import FRACTION, SPREAD, Expected, View, shown, values_of
from models.kinetics_filter import KineticFilter
from models.kinetics_laws import all_laws
from models.kinetics_loose import Rivals, Wandering
from models.kinetics_nuisance import Calibration, Reading

PLACES_NM = ((-300.0, 0.0), (300.0, 0.0))
LAWS = all_laws(Expected(horizon_s=600.0, temperature_K=730.0, places_nm=PLACES_NM))
ANNEALING, FRONT = LAWS[7], LAWS[5]
HOT = {"temperature_K": 730.0}
SDS = np.array([0.1, 0.03, 0.03, 0.06, 0.05])


def wandering(law, *factors):
    """One set of the law's middles, with factors of the rates in the first spans, and 1 after them."""
    loose = Wandering(law, 600.0)
    values = values_of(loose, np.zeros((1, len(loose.parameters))))
    values[0, len(law.parameters) : len(law.parameters) + len(factors)] = factors
    return loose, values


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_a_law_whose_rates_do_not_wander_is_the_law_itself(law):
    loose, values = wandering(law)
    own = values[:, : len(law.parameters)]
    one, other = loose.start(values), law.start(own)
    view = View(0, -300.0, 400.0)
    for _ in range(16):  # steps of half a span, which both laws make alike
        one, other = loose.advance(one, values, 37.5, HOT), law.advance(other, own, 37.5, HOT)
    np.testing.assert_allclose(shown(loose.sizes(one, values, view), view), shown(law.sizes(other, own, view), view))
    np.testing.assert_allclose(loose.strata(one, values, view).there, law.strata(other, own, view).there)


def test_a_rate_that_wanders_counts_by_its_factor_in_each_span_however_long_the_steps():
    loose, values = wandering(ANNEALING, 3.0, 0.0)
    rate = values[0, 3]
    for steps in ((600.0,), (75.0,) * 8, (50.0, 120.0, 430.0)):
        state = loose.start(values)
        for duration_s in steps:
            state = loose.advance(state, values, duration_s, HOT)
        assert state["passed"][0] == pytest.approx(rate * (3 * 75 + 0 * 75 + 450))
        assert state["time_s"][0] == pytest.approx(600.0)
    late = loose.advance(state, values, 100.0, HOT)  # past the end the last span goes on
    assert late["passed"][0] - state["passed"][0] == pytest.approx(100 * rate)


def told_of(law, seed, change):
    """Readings of a law's middles every 25 s at two places in turn, changed before they are read."""
    rng = np.random.default_rng(seed)
    values = values_of(law, np.zeros((1, len(law.parameters))))
    state, found = law.start(values), []
    for n in range(24):
        state = law.advance(state, values, 25.0, HOT)
        view = View(n % 2, PLACES_NM[n % 2][0], 400.0)
        there = change(shown(law.sizes(state, values, view), view)[0], n)
        found.append(Reading(25.0 * (n + 1), view, "image", there + SDS * rng.standard_normal(5), SDS))
    return found


def won(law, seed, change):
    """(2,) nats by which each rival foretold better than the laws."""
    known = KineticFilter(LAWS, 2, 600.0, sets=96, seed=seed)
    rivals, against = Rivals(LAWS, 2, 600.0, Calibration(), 96, seed, [400.0]), np.zeros(2)
    for reading in told_of(law, seed, change):
        known.wait(25.0, HOT)
        rivals.wait(25.0, HOT)
        known.learn(reading)
        against += rivals.learn(reading) - known.last_log_density
    return against


def sticks(there, n):
    """A front that jumps into each place, rests there for long, and jumps on."""
    begins = (4, 10)[n % 2]
    there[FRACTION] = 0.0 if n < begins else 0.35 if n < begins + 9 else 1.0
    return there


def spreads(there, n):
    """Sizes that differ more and more."""
    there[SPREAD] += 0.2 * n / 23
    return there


def test_rivals_win_where_rates_or_sizes_wander_and_lose_where_a_law_is_right():
    for seed in range(3):
        assert won(FRONT, seed, sticks)[0] > 6.0
        assert won(ANNEALING, seed, spreads)[1] > 6.0
        assert (won(ANNEALING, seed, lambda there, n: there) < 2.0).all()
        assert (won(FRONT, seed, lambda there, n: there) < 2.0).all()


def test_a_law_that_is_forgotten_is_not_asked_again_and_the_others_stay_as_they_are():
    known = KineticFilter(LAWS, 2, 600.0, sets=64)
    for reading in told_of(ANNEALING, 1, lambda there, n: there):
        known.wait(reading.t_s - known.time_s, HOT)
        known.learn(reading)
    before = dict(zip(known.names, known.probabilities(), strict=True))
    known.forget(1e-4)
    assert set(known.names) == {name for name, p in before.items() if p >= 1e-4} != set(before)
    for name, p in zip(known.names, known.probabilities(), strict=True):
        assert p == pytest.approx(before[name], rel=1e-3)
    known.wait(25.0, HOT)
    known.learn(told_of(ANNEALING, 1, lambda there, n: there)[-1])
