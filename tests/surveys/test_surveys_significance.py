"""What ordinary scores look like, how many surprises to believe, and the order to show them in."""

from __future__ import annotations

import numpy as np
import pytest

from envs.descriptors import NAMES
from envs.extremes import Extremes, OrdinaryTails, off_middle
from surveys.ranking import diverse_order
from surveys.significance import (
    object_p_values,
    own_p_values,
    q_values,
    region_scores,
    region_tail,
    simes,
    single_tail,
)


def test_tails_do_not_promise_more_than_noise_holds() -> None:
    """p-values of normal noise, as it comes and with a tenth of it far off, are not too small where it matters."""
    rng = np.random.default_rng(0)
    scores = rng.standard_normal(100_000)
    for tail in (single_tail(scores), region_tail(scores)):
        p = tail.p_values(scores)
        assert (p <= 1e-3).mean() < 1.5e-3
        assert p.min() > 1e-8
    contaminated = np.concatenate([scores[:90_000], np.full(10_000, 8.0)])
    assert single_tail(contaminated).p_values(np.array([8.0]))[0] < 1e-3


def test_a_common_kind_that_scores_high_widens_the_tail() -> None:
    rng = np.random.default_rng(0)
    two_kinds = np.concatenate([rng.standard_normal(800), 3 + rng.standard_normal(200)])
    alone, among = (single_tail(values).p_values(np.array([5.0]))[0] for values in (two_kinds[:800], two_kinds))
    assert among > 10 * alone


def test_objects_do_not_promise_more_than_ordinary_places_hold() -> None:
    """Of places whose numbers scatter evenly, no smaller p-values than their share, beside a few that are far off."""
    rng = np.random.default_rng(0)
    surveys = [rng.standard_normal((1000, len(NAMES))) for _ in range(20)]
    tails = OrdinaryTails.fitted(np.concatenate([off_middle(rows, rows) for rows in surveys[:8]]))
    found = []
    for rows in surveys[8:]:
        rows[:20, NAMES.index("bright_elongation_ratio")] = 12.0
        p = object_p_values(Extremes(rows, tails).surprise(rows))
        assert (p[:20] < 1e-3).all()
        found.append(p[20:])
    ordinary = np.concatenate(found)
    assert (ordinary <= 1e-3).mean() < 2e-3
    assert (ordinary <= 1e-2).mean() < 1.5e-2
    assert 0.4 < (ordinary <= 0.5).mean() < 0.6


def test_one_place_does_not_speak_for_its_region() -> None:
    rows, columns = np.divmod(np.arange(100), 10)
    single, line = np.zeros(100), np.zeros(100)
    single[55] = 50.0
    line[50:60] = 2.0
    assert region_scores(line, rows, columns)[55] > 1.5 * region_scores(single, rows, columns)[55]
    assert region_scores(line.reshape(10, 10).T.ravel(), rows, columns)[55] == pytest.approx(
        region_scores(line, rows, columns)[55]
    )


def test_a_heavy_tail_of_its_own_is_no_surprise_and_what_lies_beyond_it_is() -> None:
    """Exponential scores, as far as they fall themselves; and one place three times as far off as the upper 3 %."""
    rng, own, narrow, found = np.random.default_rng(0), 0, 0, 0
    places = np.array([(n // 16, *divmod(n % 16, 4)) for n in range(192)])
    for _ in range(100):
        scores = rng.exponential(1.0, 192)
        own += bool((q_values(own_p_values(scores, places)) <= 0.1).any())
        narrow += bool((q_values(single_tail(scores).p_values(scores)) <= 0.1).any())
        middle, high = np.quantile(scores, (0.5, 0.97))
        scores[7] = middle + 3 * (high - middle)
        found += bool(q_values(own_p_values(scores, places))[7] <= 0.1)
    assert own <= 13 < 30 < narrow
    assert found >= 95


@pytest.mark.parametrize(
    "tail", [single_tail, region_tail, lambda scores: own_p_values(scores, np.zeros((len(scores), 3), dtype=int))]
)
def test_too_few_scores_have_no_tail(tail: object) -> None:
    with pytest.raises(ValueError, match="19 scores are too few"):
        tail(np.zeros(19))  # type: ignore[operator]


def test_objects_need_more_places_than_scores_do() -> None:
    with pytest.raises(ValueError, match="499 scores are too few to know how far ordinary objects reach: 500"):
        object_p_values(np.zeros(499))
    assert (object_p_values(np.zeros(500)) > 0.05).all()


def test_combining_and_correcting_p_values() -> None:
    assert simes(np.array([0.01, 0.5, 0.9])) == pytest.approx(0.03)
    p = np.random.default_rng(0).uniform(size=200)
    q = q_values(p)
    assert (q >= p - 1e-12).all() and (q <= 1).all()
    assert (np.diff(q[np.argsort(p)]) >= 0).all()


def test_order_by_surprise_alone_and_with_diversity() -> None:
    surprise = np.array([9.0, 8.0, 3.0])
    why = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    places = np.array([[0.0, 0.0], [1.0, 0.0], [100.0, 0.0]])
    assert diverse_order(surprise, why, places, near_nm=1.0, diversity=0.0) == [0, 1, 2]
    assert diverse_order(surprise, why, places, near_nm=1.0, diversity=0.6) == [0, 2, 1]
    assert diverse_order(np.zeros(0), np.zeros((0, 2)), np.zeros((0, 2)), near_nm=1.0, diversity=0.5) == []
