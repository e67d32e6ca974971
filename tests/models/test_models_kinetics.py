"""Laws of a changing specimen: what they foretell is what their equations say, solved by hand or by brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from models.kinetics import FRACTION, NUMBER, RADIUS, SPREAD, VOLUME, Expected, View, detected, shown, values_of
from models.kinetics_laws import Annealing, Dissolution, Front, Growth, Ripening, Transformation, all_laws

SUPPLIED = Expected(horizon_s=600.0, supply="concentration_mM", supply_at=1.0)
HEATED = Expected(horizon_s=600.0, temperature_K=730.0)
ONE = {"concentration_mM": 1.0}
VIEW = View(0, 0.0, 400.0)


def after(law, values, seconds, conditions=ONE, steps=60):
    values = np.array([values])
    state = law.start(values)
    for _ in range(steps):
        state = law.advance(state, values, seconds / steps, conditions)
    return shown(law.sizes(state, values, VIEW), VIEW)[0]


@pytest.mark.parametrize("power", [1, 2])
def test_growth_follows_its_population_balance(power):
    sites, birth, rate, supply = 300.0, 4e-3, 7.0**power / 400.0, 0.8
    found = after(Growth(SUPPLIED, power), [sites, birth, rate, supply], 500.0)
    edges = np.linspace(0.0, 500.0, 4001)
    born = sites * (np.exp(-birth * edges[:-1]) - np.exp(-birth * edges[1:]))

    def radii(theta_now, theta_then):
        grown = 0.5**power + np.maximum(theta_now - theta_then, 0.0)
        return grown if power == 1 else np.sqrt(grown)

    theta, at_birth = 0.0, np.zeros(4000)
    for n in range(4000):
        at_birth[n] = theta
        volume = 4e-6 / 3 * math.pi * (born[: n + 1] * radii(theta, at_birth[: n + 1]) ** 3).sum()
        theta += rate * max(1 - volume / supply, 0.0) * 0.125
    sizes = radii(theta, at_birth)
    assert math.exp(found[NUMBER]) - VIEW.number_floor_per_um2 == pytest.approx(born.sum(), rel=0.01)
    assert math.exp(found[RADIUS]) == pytest.approx((born * sizes).sum() / born.sum(), rel=0.02)
    volume = 4e-6 / 3 * math.pi * (born * sizes**3).sum()
    assert math.exp(found[VOLUME]) == pytest.approx(volume, rel=0.03)


def test_dissolution_of_equal_particles_ends_when_it_must():
    reaction, diffusion = Dissolution(SUPPLIED, 1), Dissolution(SUPPLIED, 2)
    equal = [300.0, 6.0, 1e-9, 0.01, 1e-9]
    assert math.exp(after(reaction, equal, 300.0)[RADIUS]) == pytest.approx(3.0, rel=1e-6)
    assert math.exp(after(diffusion, [300.0, 6.0, 1e-9, 0.09, 1e-9], 300.0)[RADIUS]) == pytest.approx(3.0, rel=1e-6)
    gone = after(reaction, equal, 601.0)
    assert math.exp(gone[NUMBER]) == pytest.approx(VIEW.number_floor_per_um2)


def test_ripening_keeps_the_volume_and_the_shape_of_the_sizes():
    law = Ripening(HEATED)
    values = [600.0, 5.0, 0.4, 1.5]
    before, later = (after(law, values, s, {"temperature_K": 730.0}) for s in (1e-9, 600.0))
    assert later[VOLUME] == pytest.approx(before[VOLUME], abs=1e-9)
    assert math.exp(3 * later[RADIUS]) - math.exp(3 * before[RADIUS]) == pytest.approx(240.0, rel=0.02)
    assert later[SPREAD] == pytest.approx(0.215, abs=0.01)  # of Lifshitz, Slyozov and Wagner's distribution


def test_front_transformation_and_annealing_follow_their_formulas():
    hot = {"temperature_K": 730.0}
    front = after(Front(HEATED), [300.0, 7.0, 0.2, 4.0, -400.0, 1.0, 1.5], 100.0, hot)
    assert front[FRACTION] == pytest.approx(0.5, abs=0.01)
    changed = after(Transformation(HEATED), [300.0, 7.0, 0.2, 2e-3, 2.0, 1.0, 0.0, 1.5], 300.0, hot)
    assert changed[FRACTION] == pytest.approx(1 - math.exp(-0.36), rel=1e-4)
    left = after(Annealing(HEATED), [300.0, 7.0, 0.2, 2e-3, 0.1, 1.5], 300.0, hot)
    assert math.exp(left[NUMBER]) - VIEW.number_floor_per_um2 == pytest.approx(
        300 * (0.1 + 0.9 * math.exp(-0.6)), rel=1e-6
    )


def test_rates_follow_arrhenius_and_the_supply():
    law = Annealing(HEATED)
    values = [300.0, 7.0, 0.2, 2e-3, 1e-9, 1.2]
    faster = math.exp(-1.2 / 8.617333e-5 * (1 / 760.0 - 1 / 730.0))
    hot = after(law, values, 100.0, {"temperature_K": 760.0})
    usual = after(law, values, 100.0 * faster, {"temperature_K": 730.0})
    assert hot[NUMBER] == pytest.approx(usual[NUMBER], rel=1e-9)
    twice = after(Dissolution(SUPPLIED, 1), [300.0, 6.0, 0.2, 0.01, 0.2], 100.0, {"concentration_mM": 2.0})
    long = after(Dissolution(SUPPLIED, 1), [300.0, 6.0, 0.2, 0.01, 0.2], 200.0, ONE)
    np.testing.assert_allclose(twice, long)
    with pytest.raises(KeyError):
        after(law, values, 1.0, ONE)


def test_what_is_too_small_is_not_counted_but_weighs():
    law = Annealing(HEATED)
    values = np.array([[300.0, 5.0, 0.3, 1e-9, 0.1, 1.5]])
    state = law.start(values)
    every, large = View(0, 0.0, 400.0), View(0, 0.0, 400.0, smallest_nm=5.0)
    one, other = (shown(law.sizes(state, values, view), view)[0] for view in (every, large))
    assert math.exp(other[NUMBER]) == pytest.approx(0.5 * math.exp(one[NUMBER]), rel=0.1)
    assert other[VOLUME] == one[VOLUME]
    assert other[RADIUS] > one[RADIUS]
    assert detected(np.array([[5.0]]), 5.0)[0, 0] == pytest.approx(0.5)


def test_an_image_sees_less_of_a_phase_that_scatters_less():
    law, values = Transformation(HEATED), np.array([[300.0, 7.0, 0.2, 1e3, 2.0, 600.0, 0.0, 1.5]])
    state = law.advance(law.start(values), values, 600.0, {"temperature_K": 730.0})
    faint = View(0, 0.0, 400.0, new_contrast=0.6)
    ratio = np.exp(shown(law.sizes(state, values, faint), faint) - shown(law.sizes(state, values, VIEW), VIEW))[0]
    assert ratio[VOLUME] == pytest.approx(0.6, rel=0.01)


def test_every_law_has_priors_that_do_something_in_time():
    for law in all_laws(HEATED):
        values = values_of(law, np.zeros((1, len(law.parameters))))
        state = law.start(values)
        first = shown(law.sizes(state, values, VIEW), VIEW)
        for _ in range(10):
            state = law.advance(state, values, 60.0, {"temperature_K": 730.0})
        last = shown(law.sizes(state, values, VIEW), VIEW)
        assert np.abs(last - first).max() > 0.3, law.name


def test_the_reaction_limited_moments_close():
    """dM₁/dt = k M₀ without depletion (Hulburt & Katz 1964): a second solver for the mean radius."""
    law, values = Growth(SUPPLIED, 1), [300.0, 2e-3, 0.02, 1e9]
    found = after(law, values, 500.0)

    def moments(t, m):
        birth = 300.0 * 2e-3 * math.exp(-2e-3 * t)
        return [birth, 0.02 * m[0] + 0.5 * birth]

    m0, m1 = solve_ivp(moments, (0.0, 500.0), [0.0, 0.0], rtol=1e-9).y[:, -1]
    assert math.exp(found[RADIUS]) == pytest.approx(m1 / m0, rel=0.01)
