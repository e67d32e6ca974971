"""How chance moves what a view shows: against populations drawn particle by particle, early and late together."""

from __future__ import annotations

import math

import numpy as np
import pytest

from models.kinetics import FRACTION, NUMBER, RADIUS, VOLUME, WHOLE, Expected, Sizes, View, shown, values_of
from models.kinetics_laws import Annealing, Dissolution, Front, Growth, Ripening, Transformation
from models.kinetics_sampling import chances

EXPECTED = Expected(horizon_s=600.0, places_nm=((0.0, 0.0), (600.0, 0.0)))
VIEW = View(0, 0.0, 1000.0)
"""Of 1 µm²."""
EARLY_S, LATE_S = 100.0, 300.0
NO_HOLDER: dict[str, float] = {}
DRAWS = 1500


def dissolving(rng, t_s):
    radius = 6.0 * np.exp(0.25 * rng.standard_normal(rng.poisson(300)))
    speed = 0.01 * np.exp(0.3 * rng.standard_normal(len(radius)))
    return [np.maximum(radius - speed * t, 0.0) for t in t_s]


def annealing(rng, t_s):
    radius = 6.0 * np.exp(0.25 * rng.standard_normal(rng.poisson(300)))
    waits = rng.exponential(1 / 3e-3, len(radius))
    return [np.where(waits > t, radius, 0.0) for t in t_s]


def growing(rng, t_s):
    born_s = rng.exponential(1 / 4e-3, rng.poisson(300))
    return [np.where(born_s < t, 0.5 + 0.02 * (t - born_s), 0.0) for t in t_s]


CASES = {
    "dissolution": (Dissolution(EXPECTED, 1), [300.0, 6.0, 0.25, 0.01, 0.3], dissolving),
    "annealing": (Annealing(EXPECTED), [300.0, 6.0, 0.25, 3e-3, 1e-9], annealing),
    "growth": (Growth(EXPECTED, 1), [300.0, 4e-3, 0.02, 1e9], growing),
}


def descriptors(radius):
    alive = np.append(radius[radius > 0], 0.0)
    share = np.full(len(alive), 1 / len(alive))
    return shown(Sizes(np.array([len(alive) * 1.0]), alive[None], share, np.zeros(1)), VIEW)[0]


@pytest.mark.parametrize("name", CASES)
def test_chance_is_that_of_particles_drawn_one_by_one_at_two_times_together(name):
    law, numbers, draw = CASES[name]
    values, rng = np.array([numbers]), np.random.default_rng(1)
    state, moved = law.start(values), []
    for duration_s in (EARLY_S, LATE_S - EARLY_S):
        state = law.advance(state, values, duration_s, NO_HOLDER)
        moved.append(chances(law.strata(state, values, VIEW), VIEW)[0])
    both = np.concatenate([each[[NUMBER, RADIUS, VOLUME]] for each in moved])
    foretold = both @ both.T
    drawn = np.array(
        [
            np.concatenate([descriptors(radius)[[NUMBER, RADIUS, VOLUME]] for radius in draw(rng, (EARLY_S, LATE_S))])
            for _ in range(DRAWS)
        ]
    )
    found = np.cov(drawn.T)
    np.testing.assert_allclose(np.sqrt(np.diag(foretold)), np.sqrt(np.diag(found)), rtol=0.2)
    scale = np.sqrt(np.outer(np.diag(found), np.diag(found)))
    assert (np.abs(foretold - found) / scale).max() < 0.3  # 16 strata stand for all particles


def test_those_that_ripen_keep_their_order():
    law, values = Ripening(EXPECTED), np.array([[600.0, 5.0, 0.4]])
    state = law.start(values)
    counts = []
    for duration_s in (0.0, 600.0):
        state = law.advance(state, values, duration_s, NO_HOLDER)
        strata = law.strata(state, values, VIEW)
        counts.append(float((strata.share * strata.there).sum()))
        assert (np.diff(strata.radius_nm[0][strata.there[0] > 0]) >= 0).all()
    assert counts[0] == pytest.approx(1.0)
    assert counts[1] == pytest.approx(125.0 / (125.0 + 240.0), rel=1e-6)


def test_particles_that_change_one_by_one_scatter_as_a_binomial():
    law = Front(EXPECTED)
    values = np.array([[300.0, 6.0, 1e-3, 4.0, -400.0, 1.0]])
    state = law.advance(law.start(values), values, 100.0, NO_HOLDER)
    moved = chances(law.strata(state, values, VIEW), VIEW)[0, FRACTION]
    assert math.sqrt(float(moved @ moved)) == pytest.approx(0.5 / math.sqrt(300.0), rel=0.05)


def test_places_of_a_transformation_come_to_avrami_in_the_mean():
    law = Transformation(EXPECTED)
    rng = np.random.default_rng(0)
    values = values_of(law, np.zeros((4000, len(law.parameters))))
    values[:, 3], values[:, 4], values[:, 5] = 2e-3, 2.0, 500.0
    values[:, 6:8] = rng.standard_normal((4000, 2))
    state = law.advance(law.start(values), values, 400.0, NO_HOLDER)
    whole, first, second = (law.sizes(state, values, View(place, 0.0, 400.0)).fraction for place in (WHOLE, 0, 1))
    assert first.mean() == pytest.approx(whole.mean(), abs=0.05)
    assert first.std() > 0.2
    assert np.corrcoef(first, second)[0, 1] == pytest.approx(0.0, abs=0.1)
    values[:, 5] = 3000.0
    near = [law.sizes(state, values, View(place, 0.0, 400.0)).fraction for place in (0, 1)]
    assert np.corrcoef(*near)[0, 1] > 0.6
    with pytest.raises(ValueError, match=r"place 2 .* 2 were expected"):
        law.sizes(state, values, View(2, 0.0, 400.0))
