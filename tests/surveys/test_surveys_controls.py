from __future__ import annotations

import numpy as np
import pytest

from surveys.controls import ControlSettings, draw


def test_the_draw_is_repeatable_without_replacement_and_differs_by_seed_and_specimen():
    sites, settings = range(100, 400), ControlSettings(count=30)
    plan = draw(sites, settings, 1)
    assert plan == draw(sites, settings, 1)
    assert len(set(plan.sites)) == 30
    assert set(plan.sites) <= set(sites)
    assert plan.inclusion_probability == pytest.approx(0.1)
    assert len({draw(sites, settings, seed, specimen).sites for seed in (1, 2) for specimen in (0, 1)}) == 4


def test_every_site_is_as_likely_as_the_inclusion_probability_says():
    counts = np.zeros(40)
    for seed in range(1000):
        counts[list(draw(range(40), ControlSettings(count=10), seed).sites)] += 1
    expected = 250.0
    # Chi-squared with 39 degrees of freedom, less for drawing without replacement: 80 is beyond 0.9999.
    assert (((counts - expected) ** 2) / expected).sum() < 80


def test_a_fraction_gives_at_least_one_and_nothing_gives_none():
    assert len(draw(range(10), ControlSettings(fraction=0.01), 0).sites) == 1
    assert draw(range(10), ControlSettings(fraction=0.0), 0).sites == ()


def test_more_controls_than_sites_are_refused():
    with pytest.raises(ValueError, match="11 controls were asked for, but there are 10 sites"):
        draw(range(10), ControlSettings(count=11), 0)


def test_controls_are_spread_over_the_survey():
    plan = draw(range(100), ControlSettings(count=4), 0)
    taken, moments = 0, []
    for progress in np.linspace(0, 1, 101):
        if plan.due(taken, float(progress)) is not None:
            moments.append(round(float(progress), 2))
            taken += 1
    assert moments == [0.13, 0.38, 0.63, 0.88]
