"""The worlds that the benchmark of tracking follows: what they do is what their truth says."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.tracking_beam_worlds import KINDS, beamed
from benchmarks.tracking_judge import crossings, free_events
from benchmarks.tracking_worlds import INSIDE, OUTSIDE, make
from models.kinetics import FRACTION, View
from models.kinetics_laws import all_laws
from models.kinetics_nuisance import Reading

EVERYWHERE = (-1000.0, 1000.0)


def test_an_exchange_keeps_the_sizes_and_follows_avrami():
    world = make("exchange", 7)
    rate, exponent = world.truth["rate_per_s"], world.truth["exponent"]
    radii, _ = world.particles(EVERYWHERE, EVERYWHERE, 0.0)
    for t_s, passed_s in ((200.0, 200.0), (400.0, 500.0)):  # from 300 s on the supply is doubled
        later, fraction = world.particles(EVERYWHERE, EVERYWHERE, t_s)
        np.testing.assert_array_equal(later, radii)
        begun = 1 - np.exp(-((rate * passed_s) ** exponent))
        assert (fraction > 0).mean() == pytest.approx(begun, abs=0.05)
    assert world.specimen == "nickel"


@pytest.mark.parametrize("kind", ["growth", "front", "exchange", "annealing"])
def test_the_truth_is_told_in_parameters_of_a_law(kind):
    world = make(kind, 3)
    law = next(law for law in all_laws(world.expected) if law.name == world.law)
    assert set(world.truth) <= {parameter.name for parameter in law.parameters}
    assert kind in INSIDE
    assert kind not in OUTSIDE


def test_events_without_theory_are_read_off_smooth_courses_of_the_places():
    rng, readings = np.random.default_rng(0), []
    for n in range(40):
        t_s, place = 15.0 * n, n % 2
        told = np.full(5, np.nan)
        told[FRACTION] = np.clip((t_s - 100.0 - 50.0 * place) / 400.0, 0.0, 1.0) + 0.01 * rng.standard_normal()
        sds = np.where(np.isnan(told), np.nan, 0.01)
        readings.append(Reading(t_s, View(place, 0.0, 400.0), "spectra", told, sds))
    np.testing.assert_allclose(free_events(readings, FRACTION), [160.0, 325.0, 490.0], atol=12.0)
    np.testing.assert_array_equal(free_events(readings[:2], FRACTION), [300.0] * 3)


def test_events_are_the_first_times_at_which_parts_of_the_change_are_done():
    times = np.linspace(0.0, 600.0, 121)
    np.testing.assert_allclose(crossings(times, 7.0 - times / 100.0), [60.0, 300.0, 540.0])
    np.testing.assert_allclose(crossings(times, np.ones(121)), [600.0] * 3)


@pytest.mark.parametrize("kind", KINDS)
def test_the_beam_acts_where_it_was_and_a_world_without_it_is_the_twin(kind):
    strong, twin = (beamed(kind, each, 5) for each in (True, False))
    look = SimpleNamespace(field_of_view_nm=400.0)
    for made in (strong, twin):
        for t_s in (0.0, 100.0, 200.0):
            made.expose(look, (0.0, 0.0), t_s, 3e7)
    here, aside = (-200.0, 200.0), (300.0, 700.0)
    assert strong.fluence(np.array([0.0, 500.0]), np.zeros(2), 150.0) == pytest.approx([2 * 3e7 / 4000.0**2, 0.0])
    for xs, beam in ((aside, True), (here, False)):
        np.testing.assert_array_equal(strong.seen(xs, here, 500.0, beam)[0], twin.seen(xs, here, 500.0)[0])
    with_beam, without = strong.seen(here, here, 500.0)[0], twin.seen(here, here, 500.0)[0]
    assert (np.sum(with_beam**3) > np.sum(without**3)) == (kind == "growth")
    assert with_beam.shape != without.shape or not np.array_equal(with_beam, without)
