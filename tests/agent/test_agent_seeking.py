"""Which place to measure next."""

from __future__ import annotations

import numpy as np
import pytest

from agent.seeking import Seeker, highest_from
from models.structure_gp import StructureGP

SIDE = 16
PLACES = np.stack(np.meshgrid(np.arange(SIDE), np.arange(SIDE)), axis=-1).reshape(-1, 2).astype(float)
STRUCTURE = np.random.default_rng(2).standard_normal((SIDE**2, 2))
PROPERTY = STRUCTURE[:, 0] + 0.05 * STRUCTURE[:, 1]
START = np.random.default_rng(3).choice(SIDE**2, 10, replace=False).tolist()


def seeker(**changes: object) -> Seeker:
    return Seeker(StructureGP(PLACES, [STRUCTURE], reach=3.0), PLACES, share=0.05, **changes)  # type: ignore[arg-type]


def fly(agent: Seeker, truth: np.ndarray, measurements: int, cost: np.ndarray | None = None) -> list[int]:
    seen = list(START)
    while len(seen) < measurements:
        agent.learn(seen, truth[seen].tolist())
        left = np.setdiff1d(np.arange(SIDE**2), seen)
        paid = np.ones(len(left)) if cost is None else cost[left]
        seen.append(agent.rank(seen, truth[seen].tolist(), left, paid)[0].place)
    return seen


def test_it_finds_most_of_the_highest_where_structure_tells() -> None:
    highest = set(np.argsort(PROPERTY)[-12:].tolist())
    assert len(highest & set(fly(seeker(), PROPERTY, 30))) >= 10


def test_where_nothing_comes_true_every_second_measurement_goes_far_away() -> None:
    """After five that were none of the highest; the sixth that is one ends it."""
    agent = seeker(patience=5)
    values = [3.0, 2.9, 2.8, 3.1, 2.7, *[-1.0] * 5]
    left = np.setdiff1d(np.arange(SIDE**2), START)
    cost = np.ones(len(left))
    agent.learn(START, values)
    (stuck,) = agent.rank(START, values, left, cost)
    away = np.min(np.linalg.norm(PLACES[left][:, None] - PLACES[START], axis=-1), axis=1)
    assert "far from all that was measured" in stuck.why
    assert stuck.worth == pytest.approx(away.max())
    (next_one,) = agent.rank([*START, stuck.place], [*values, -1.0], np.setdiff1d(left, stuck.place), cost[1:])
    assert next_one.why == "most likely among the highest"
    (freed,) = agent.rank([*START, left[0]][1:], [*values[1:], 9.0], left[1:], cost[1:])
    assert freed.why == "most likely among the highest"


def test_a_batch_spreads_where_one_by_one_would() -> None:
    agent = seeker(seek="map")
    agent.learn(START, PROPERTY[START].tolist())
    left = np.setdiff1d(np.arange(SIDE**2), START)
    picks = agent.batch(START, PROPERTY[START].tolist(), left, np.ones(len(left)), 5)
    assert len({pick.place for pick in picks}) == 5
    alone = agent.rank(START, PROPERTY[START].tolist(), left, np.ones(len(left)), 5)
    assert picks[0] == alone[0]
    assert [pick.place for pick in picks] != [pick.place for pick in alone]
    assert alone[0].worth >= alone[1].worth


def test_what_costs_more_must_promise_more() -> None:
    cost = np.where(PLACES[:, 0] < SIDE / 2, 1.0, 50.0)
    cheap, free = fly(seeker(), PROPERTY, 18, cost), fly(seeker(), PROPERTY, 18)
    assert (PLACES[cheap[10:], 0] < SIDE / 2).all()
    assert not (PLACES[free[10:], 0] < SIDE / 2).all()


def test_choosing_changes_nothing() -> None:
    agent = seeker()
    agent.learn(START, PROPERTY[START].tolist())
    left = np.setdiff1d(np.arange(SIDE**2), START)
    first = agent.rank(START, PROPERTY[START].tolist(), left, np.ones(len(left)), 3)
    agent.batch(START, PROPERTY[START].tolist(), left, np.ones(len(left)), 4)
    assert agent.rank(START, PROPERTY[START].tolist(), left, np.ones(len(left)), 3) == first


def test_where_nothing_is_left_it_says_so() -> None:
    with pytest.raises(ValueError, match="no place is left"):
        seeker().rank(START, PROPERTY[START].tolist(), np.zeros(0, dtype=np.intp), np.zeros(0))


def test_the_edge_of_the_highest_counts_what_is_known_and_what_is_expected() -> None:
    values = np.arange(10.0)
    assert highest_from(np.zeros(0), np.zeros(0), values, 3.0) == pytest.approx(6.0)
    unsure = highest_from(np.zeros(100), np.ones(100), values[:1], 16.0)
    assert unsure == pytest.approx(1.0, abs=0.02), "16 of 100 lie above one standard deviation"
