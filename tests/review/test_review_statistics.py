"""The estimates hold what they promise, counted over many simulated reviews."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from review.judged import Judged
from review.recall import missed, recall_bounds
from review.statistics import (
    clopper_pearson,
    cohens_kappa,
    corrected_missed,
    gwets_ac1,
    least_recall,
    most_missed,
    most_missed_by,
    wald_missed,
)
from surveys.places import Place

REVIEWS = 2000
SEEDED = 20
SITES, FLAGGED, CONTROLS = 4000, 300, 200  # the controls among the sites that are not flagged
ENOUGH = stats.binom.ppf(0.01, REVIEWS, 0.95)
"""Fewer of the reviews covered would be significantly below 95 % (one-sided, 99 %)."""
TABLE = [(8, 0.5), (40, 0.6), (80, 0.83), (200, 0.5), (400, 0.9), (1000, 0.3)]
"""(interesting sites, share of them that is flagged)."""


def reviews(interesting: int, flagged_share: float, seed: int, sensitivity: float = 1.0):
    """Confirmed flags, missed sites, controls among the unflagged and what was found in them, review by review."""
    rng = np.random.default_rng((seed, interesting))
    caught = min(round(interesting * flagged_share), FLAGGED)
    missed, rest = interesting - caught, SITES - FLAGGED
    held = rng.hypergeometric(missed, rest - missed, CONTROLS, REVIEWS)
    return rng.binomial(caught, sensitivity, REVIEWS), missed, rest, rng.binomial(held, sensitivity)


plain = cache(lambda rest, found: most_missed(rest, CONTROLS, found))
corrected = cache(lambda rest, found, noticed: corrected_missed(rest, CONTROLS, found, noticed, SEEDED))


def covered(confirmed, missed, rest, found, bound) -> int:
    """In how many reviews the true recall is at least the bound that was printed."""
    true = [least_recall(int(count), missed) for count in confirmed]
    said = [least_recall(int(count), bound(rest, int(k))) for count, k in zip(confirmed, found, strict=True)]
    return sum(s is None or t is None or s <= t + 1e-12 for s, t in zip(said, true, strict=True))


@pytest.mark.parametrize(("interesting", "share"), TABLE)
def test_the_bound_of_the_recall_holds(interesting, share):
    assert covered(*reviews(interesting, share, 1), plain) >= ENOUGH


def test_the_textbooks_interval_would_not():
    wald = cache(lambda rest, found: wald_missed(rest, CONTROLS, found))
    assert covered(*reviews(80, 0.83, 1), wald) < 0.7 * REVIEWS


SLOWLY = [pytest.param(*row, marks=pytest.mark.slow) for row in (TABLE[0], TABLE[3])]


@pytest.mark.parametrize(("interesting", "share"), [*TABLE[1:3], *SLOWLY])
def test_with_a_reviewer_who_overlooks_some_the_corrected_bound_holds(interesting, share):
    _, missed, rest, found = reviews(interesting, share, 2, sensitivity=0.8)
    noticed = np.random.default_rng(3).binomial(SEEDED, 0.8, REVIEWS)
    said = [corrected(rest, int(k), int(s)) for k, s in zip(found, noticed, strict=True)]
    assert sum(most >= missed for most in said) >= ENOUGH


def test_with_such_a_reviewer_the_plain_bound_is_of_what_they_would_flag():
    """It does not hold for all that is interesting, which is why the page names what it is a bound of."""
    _, missed, rest, found = reviews(1000, 0.3, 2, sensitivity=0.8)
    said = [plain(rest, int(k)) for k in found]
    assert sum(most >= missed for most in said) < ENOUGH
    assert sum(most >= 0.8 * missed for most in said) >= ENOUGH


def at(target, streams, flag=None):
    return Place(
        specimen="a", target=target, x_nm=0.0, y_nm=0.0, width_nm=1.0, height_nm=1.0, exposure_id=1, streams=streams,
        flag=flag, near=True,
    )  # fmt: skip


def site(target):
    """Flagged whatever is drawn."""
    return {"target": target, "by_control": False}


def test_the_bound_holds_where_flags_have_several_sites_that_controls_fall_into():
    """25 regions of eight sites, of which the first is shown as the flag; the reviewer errs nowhere."""
    sites, flagged, controls, interesting, made = 300, 200, 60, 10, 400
    regions = [range(first, first + 8) for first in range(0, flagged, 8)]
    flags = [at(one[0], ("policy",), {"sites": [site(target) for target in one]}) for one in regions]
    rng, held = np.random.default_rng(9), 0
    for _ in range(made):
        truth = set((flagged + rng.choice(sites - flagged, interesting, replace=False)).tolist())
        drawn = rng.choice(sites, controls, replace=False).tolist()
        first = {place.target for place in flags}
        places = [*flags, *(at(target, ("control",)) for target in drawn if target not in first)]
        judged = [Judged("Ada", place, 5 if place.target in truth else 1, None) for place in places]
        most, _ = missed(judged, places, {"a": sites}, 0, 0)
        held += most is not None and most >= interesting
    assert held >= stats.binom.ppf(0.01, made, 0.95)


@pytest.mark.parametrize("told", [True, False], ids=["told apart", "an earlier record"])
@pytest.mark.parametrize("chance", [0.0, 0.5, 0.9])
def test_the_bound_holds_where_a_controls_own_frame_makes_a_flag(chance, told):
    """The survey flags 40 of 80 interesting sites; drawn, any other is flagged by its own frame with that chance."""
    sites, controls, interesting, made = 4000, 400, 80, 200
    rng, held = np.random.default_rng(11), 0
    for _ in range(made):
        drawn = set(rng.choice(sites, controls, replace=False).tolist())
        late = {target for target in range(40, interesting) if target in drawn and rng.random() < chance}
        places = []
        for target in sorted(set(range(40)) | drawn):
            one = {"target": target} | ({"by_control": target in late} if told else {})
            flag = {"sites": [one]} if target < 40 or target in late else None
            places.append(at(target, ("control", "policy") if target in drawn else ("policy",), flag))
        judged = [Judged("Ada", place, 5 if place.target < interesting else 1, None) for place in places]
        bounds = recall_bounds(judged, places, {"a": sites}, 0, 0)
        assert bounds.by_control == (len(late) if told else len(late | drawn & set(range(40))))
        held += bounds.recall is not None and bounds.recall <= 40 / interesting
    assert held >= stats.binom.ppf(0.01, made, 0.95)


def test_flags_of_controls_are_no_random_sample_while_controls_wait():
    """None of ten is interesting; twenty others are drawn, of which five are judged."""
    late = [
        at(target, ("control", "policy"), {"sites": [{"target": target, "by_control": True}]}) for target in range(10)
    ]
    others = [at(target, ("control",)) for target in range(10, 30)]
    told = [Judged("Ada", place, 1, None) for place in (*late, *others)]
    sites = {"a": 100}
    assert missed(told, [*late, *others], sites, 0, 0) == (most_missed(100, 30, 0), None)
    assert missed(told[:15], [*late, *others], sites, 0, 0) == (most_missed(100, 5, 0), None)
    assert missed(told[4:15], [*late, *others], sites, 0, 0) == (most_missed(100, 9, 4), None)
    told[9] = Judged("Ada", late[9], 5, None)
    assert missed(told[4:15], [*late, *others], sites, 0, 0) == (most_missed(100, 10, 5), None)


def test_controls_of_flagged_regions_are_not_of_the_sample():
    flag = at(0, ("policy",), {"sites": [site(target) for target in range(8)]})
    drawn = [at(target, ("control",)) for target in (1, 2, 3, 9)]
    judged = [Judged("Ada", place, 1, None) for place in drawn]
    assert missed(judged, [flag, *drawn], {"a": 20}, 0, 0) == (most_missed(12, 1, 0), None)
    few = [at(target, ("control",)) for target in range(1, 12)]  # eleven drawn, four sites without a flag
    judged = [Judged("Ada", place, 1, None) for place in few]
    assert missed(judged, [flag, *few], {"a": 12}, 0, 0) == (0, None)
    assert missed(judged[:7], [flag, *few[:7]], {"a": 12}, 0, 0) == (None, None)  # all of them within the flag


@given(st.integers(1, 60), st.data())
def test_most_missed_is_the_last_that_is_likely(population, data):
    sample = data.draw(st.integers(0, population))
    found = data.draw(st.integers(0, sample))
    most = most_missed(population, sample, found)
    assert found <= most <= population - (sample - found)
    assert stats.hypergeom.cdf(found, population, most, sample) > 0.05
    if most < population - (sample - found):
        assert stats.hypergeom.cdf(found, population, most + 1, sample) <= 0.05
    assert most_missed_by(population, sample, found, 0.7) >= most


def test_counts_that_cannot_be_are_refused():
    for wrong in ((10, 11, 0), (10, 5, 6), (10, 5, -1)):
        with pytest.raises(ValueError, match="each holds the one before"):
            most_missed(*wrong)


@given(st.integers(1, 80), st.data())
def test_the_interval_of_a_share_is_scipys(of, data):
    found = data.draw(st.integers(0, of))
    exact = stats.binomtest(found, of).proportion_ci(0.95, method="exact")
    assert clopper_pearson(found, of) == pytest.approx((exact.low, exact.high))


def test_agreement_by_hand():
    """Both 5, the first only 10, the second only 15, neither 70; from the definitions."""
    one = [True] * 15 + [False] * 85
    other = [True] * 5 + [False] * 10 + [True] * 15 + [False] * 70
    chance = 0.15 * 0.20 + 0.85 * 0.80
    assert cohens_kappa(one, other) == pytest.approx((0.75 - chance) / (1 - chance))
    assert gwets_ac1(one, other) == pytest.approx((0.75 - 2 * 0.175 * 0.825) / (1 - 2 * 0.175 * 0.825))
    assert cohens_kappa([False] * 9, [False] * 9) is None and gwets_ac1([False] * 9, [False] * 9) == 1.0
    assert cohens_kappa([], []) is None and gwets_ac1([], []) is None
    assert gwets_ac1([True, False], [False, True]) < 0
