"""What earlier surveys say: heard where they are of like specimens, believed as far as they are borne out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from agent.belief import Belief, SiteModel
from agent.prior import EarlierSurvey, Prior
from agent.settings import PlannerSettings, WarmSettings
from agent.warm import Earlier, mixed, posterior
from envs.descriptors import NAMES as DESCRIPTORS
from envs.overviews import apart, quantiles_of, telling
from envs.step import Decision, Kind, Score, Step

NAMES = ("bright_ratio", "rough_ratio", "size_nm")
SITES = np.arange(10, 210)


def cells(random, shift=0.0, count=200):
    return random.normal(size=(count, 3)) + shift


def an_earlier(random, name="night", shift=0.0, tells=True, count=80):
    """Of which the dark tail of the first descriptor went with what was remarkable."""
    rows = cells(random, shift, count)
    outcome = np.where(rows[:, 0] - shift < -1.2, 5.0, 0.0) if tells else random.permutation(np.repeat([0.0, 5.0], 40))
    return EarlierSurvey(name, rows, random.gamma(1.0, 1.0, count), outcome, quantiles_of(cells(random, shift, 500)))


def overview(rows, sites=SITES):
    score = Score(
        cells=tuple(sites.tolist()),
        descriptors=tuple(map(tuple, rows.tolist())),
        interest=(0.0,) * len(rows),
        quality={},
    )
    return Step(
        number=1, specimen="a", kind=Kind.LOOK, decision=Decision(action=0), target=3, look="overview", score=score,
        start_s=0.0, end_s=1.0,
    )  # fmt: skip


def an_agent(surveys, seed=9, shift=0.0, **settings):
    random = np.random.default_rng(seed)
    found = Earlier(Prior(NAMES, tuple(surveys)), WarmSettings(**settings), SITES)
    rows = cells(random, shift)
    found.see(overview(rows))
    return found, rows, random.gamma(1.0, 1.0, len(SITES))


def test_sites_like_those_that_paid_are_expected_to_pay_on_the_scale_of_the_interest_from_above():
    random = np.random.default_rng(1)
    earlier, rows, above = an_agent([an_earlier(random, str(n)) for n in range(6)])
    expected, trust = earlier.expected(above, np.ones(len(SITES), bool))
    assert sorted(expected) == sorted(above)
    dark = rows[:, 0] < -1.2
    assert expected[dark].min() > np.median(above) and expected[dark].mean() > 2 * expected[~dark].mean()
    assert trust > 0.8  # each of the six is foretold by the other five
    known = np.arange(len(SITES)) < 100
    half, _ = earlier.expected(above, known)
    assert np.array_equal(half[~known], above[~known])


def test_what_contradicts_itself_is_hardly_trusted_and_one_survey_alone_is_neither():
    random = np.random.default_rng(2)
    at_odds, _, above = an_agent([an_earlier(random, str(n), tells=False) for n in range(8)])
    assert at_odds.expected(above, np.ones(len(SITES), bool))[1] < 0.35
    alone, _, above = an_agent([an_earlier(random)])
    assert alone.expected(above, np.ones(len(SITES), bool))[1] == 0.5


def test_where_nothing_looks_like_what_was_found_before_earlier_surveys_are_hardly_trusted():
    random = np.random.default_rng(7)
    surveys = [an_earlier(random, str(n)) for n in range(6)]
    everywhere = np.ones(len(SITES), bool)
    like, rows, above = an_agent(surveys)
    other = Earlier(Prior(NAMES, tuple(surveys)), WarmSettings(alike_spreads=20.0), SITES)
    other.see(overview(np.column_stack([np.clip(rows[:, 0], -0.8, None), rows[:, 1:]])))  # the same without a dark tail
    assert other.expected(above, everywhere)[1] < 0.2 < 0.8 < like.expected(above, everywhere)[1]


def test_close_looks_are_held_against_each_other_before_the_survey_judges_them_and_come_back():
    random = np.random.default_rng(8)
    rows = random.lognormal(sigma=0.05, size=(10, len(DESCRIPTORS)))
    rows[-1] *= 3.0
    one, other = (Earlier(Prior(DESCRIPTORS, ()), WarmSettings(), SITES) for _ in range(2))
    for n, (site, row) in enumerate(zip(SITES, rows, strict=False), start=1):
        step = overview(row[None], SITES[n - 1 : n])
        one.see(replace(step, target=int(site), look="detail"))
        assert (one.young() is None) == (n < 8)
    judged = one.young()
    assert np.isfinite(judged).sum() == 10
    assert judged[9] > 3.0 > np.nanmedian(judged)
    other.restore(one.state())
    np.testing.assert_array_equal(other.young(), judged)


def test_other_specimens_are_not_heard_nor_anything_before_enough_is_seen():
    random = np.random.default_rng(3)
    surveys = [an_earlier(random, str(n)) for n in range(3)]
    other, _, above = an_agent(surveys, shift=3.0)
    assert other.expected(above, np.ones(len(SITES), bool)) is None
    forced, _, above = an_agent(surveys, shift=3.0, alike_spreads=20.0, least_likeness=0.0)
    assert forced.expected(above, np.ones(len(SITES), bool)) is not None
    young = Earlier(Prior(NAMES, tuple(surveys)), WarmSettings(), SITES)
    young.see(overview(cells(random, count=63), SITES[:63]))
    assert young.expected(above, np.ones(len(SITES), bool)) is None


def test_what_was_folded_is_what_was_restored_and_a_further_overview_counts():
    random = np.random.default_rng(4)
    surveys = [an_earlier(random, str(n)) for n in range(3)]
    one, rows, above = an_agent(surveys)
    other = Earlier(Prior(NAMES, tuple(surveys)), WarmSettings(), SITES)
    other.restore(one.state())
    everywhere = np.ones(len(SITES), bool)
    first = one.expected(above, everywhere)
    assert np.array_equal(first[0], other.expected(above, everywhere)[0])
    one.see(overview(-rows))
    assert not np.array_equal(first[0], one.expected(above, everywhere)[0])


def test_the_model_that_had_foretold_what_is_seen_gets_the_say():
    random = np.random.default_rng(5)
    places = np.argwhere(np.ones((14, 14))).astype(float)
    cold_view, warm_view = random.gamma(1.0, 1.0, (2, len(places)))
    interest, seen = np.maximum(warm_view + 0.2 * random.normal(size=len(places)), 0.0), np.arange(len(places)) < 40
    model, known = SiteModel(places, PlannerSettings()), np.ones(len(places), bool)
    cold = model.believe(cold_view, known, interest, seen)
    warm = model.believe(warm_view, known, interest, seen)
    assert warm.evidence > cold.evidence + 3
    assert posterior(0.5, cold, warm) > 0.95 > 0.05 > posterior(0.5, warm, cold)
    nothing = np.zeros(len(places), bool)
    assert posterior(
        0.3, *(model.believe(v, known, interest, nothing) for v in (cold_view, warm_view))
    ) == pytest.approx(0.3)


def test_the_mixture_has_the_mean_and_the_variance_of_what_it_is_mixed_of():
    one = Belief(np.zeros(1), np.array([0.0]), np.array([1.0]), 0.5, 0.0)
    other = Belief(np.ones(1), np.array([4.0]), np.array([2.0]), 1.0, 0.0)
    both = mixed(one, other, 0.25)
    assert both.mean[0] == pytest.approx(1.0)
    assert both.sd[0] ** 2 == pytest.approx(0.75 * (1.0 + 0.25) + 0.25 * (4.0 + 1.0) + 0.25 * 0.75 * 16.0)


def test_numbers_that_do_not_fit_together_are_refused_and_every_number_names_the_prior():
    random = np.random.default_rng(6)
    one = an_earlier(random)
    with pytest.raises(ValueError, match="descriptors, found arrays"):
        Prior(NAMES[:2], (one,))
    with pytest.raises(ValueError, match="not finite"):
        Prior(NAMES, (EarlierSurvey("x", one.rows * np.nan, one.above, one.outcome, one.quantiles),))
    changed = EarlierSurvey(one.name, one.rows, one.above, one.outcome + 1e-9, one.quantiles)
    assert Prior(NAMES, (one,)).fingerprint != Prior(NAMES, (changed,)).fingerprint


def test_overviews_of_like_specimens_are_near_and_of_others_far():
    random = np.random.default_rng(7)
    one, same, holed = (quantiles_of(rows) for rows in (cells(random), cells(random), cells(random)))
    holed[-1] += 4.0  # one cell in seven looks onto nothing: the middle is the same
    assert apart(one, same) < 0.4 < 1.0 < apart(one, holed)
    assert telling(np.array([[1.0, np.nan, 2.0], [1.0, 2.0, 3.0]]), NAMES).tolist() == [False, True]
