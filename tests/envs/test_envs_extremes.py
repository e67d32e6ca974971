"""The most extreme object of a place, each of its properties by itself."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from envs.descriptors import DESCRIPTORS, NAMES
from envs.explanations import ObjectScorer
from envs.extremes import OBJECTS, SHARES, Extremes, OrdinaryTails, off_middle, ordinary_tails
from envs.novelty import NoveltyScorer

Array = npt.NDArray[np.float64]

HOLLOW = NAMES.index("bright_hollowness_ratio")


def survey(seed: int, count: int = 1000) -> Array:
    """(count, F) transformed rows, every property scattered evenly about its own middle."""
    rng = np.random.default_rng(seed)
    return rng.uniform(-2, 2, len(NAMES)) + rng.uniform(0.5, 2, len(NAMES)) * rng.standard_normal((count, len(NAMES)))


@pytest.fixture(scope="module")
def tails() -> OrdinaryTails:
    return OrdinaryTails.fitted(np.concatenate([off_middle(rows, rows) for rows in map(survey, range(8))]))


def test_what_departs_in_one_number_alone_is_the_most_surprising(tails: OrdinaryTails) -> None:
    rows = survey(20)
    rows[7, HOLLOW] = rows[:, HOLLOW].mean() + 8 * rows[:, HOLLOW].std()
    told = Extremes(rows, tails)
    assert int(told.surprise(rows).argmax()) == 7
    assert told.telling(rows[7]) == HOLLOW
    assert told.surprise(rows)[7] > 2 * np.quantile(told.surprise(rows), 0.9)


def test_only_objects_count_and_only_above_the_usual(tails: OrdinaryTails) -> None:
    rows = survey(21)
    told = Extremes(rows, tails)
    changed = rows.copy()
    changed[:, [n for n in range(len(NAMES)) if n not in OBJECTS]] += 100.0
    assert np.array_equal(told.surprise(changed), told.surprise(rows))
    low = rows[:1].copy()
    low[0, OBJECTS] = rows[:, OBJECTS].min(axis=0) - 50.0
    assert told.surprise(low)[0] == pytest.approx(-np.log(0.5))


def test_of_what_is_known_and_what_is_seen_the_less_surprised_counts(tails: OrdinaryTails) -> None:
    """A property that many places have is ordinary here, however rare elsewhere; and few places prove nothing rare."""
    rows = survey(22)
    far = rows[:, HOLLOW].mean() + 8 * rows[:, HOLLOW].std()
    rare, common = rows.copy(), rows.copy()
    rare[:5, HOLLOW], common[:60, HOLLOW] = far, far
    alone, among = (Extremes(each, tails).surprise(each)[0] for each in (rare, common))
    assert alone > among + 3
    wide = OrdinaryTails(tails.spreads * 10)
    assert Extremes(rare, wide).surprise(rare)[0] < alone - 3


def test_the_table_that_comes_with_it_fits_the_descriptors() -> None:
    told = ordinary_tails()
    assert told.spreads.shape == (len(SHARES), len(OBJECTS))
    assert (np.diff(told.spreads, axis=0) >= 0).all() and np.isfinite(told.spreads).all()
    assert {DESCRIPTORS[n].fabric for n in OBJECTS} == {True, False}  # areas are of what a place is made of, too


def test_a_scorer_tells_it_of_natural_numbers_and_nothing_of_what_it_does_not_know() -> None:
    scorer = NoveltyScorer()
    assert isinstance(scorer, ObjectScorer)
    rows = np.exp(0.1 * np.random.default_rng(0).standard_normal((200, len(NAMES))))
    assert np.isnan(scorer.extreme("overview", rows)).all()
    with pytest.raises(ValueError, match="too few to say what is usual"):
        scorer.most_extreme("overview", rows[0])
    scorer.observe("overview", rows)
    odd = rows[:3].copy()
    odd[1, HOLLOW] *= 5
    odd[2, 0] = np.nan
    told = scorer.extreme("overview", odd)
    assert told[1] > told[0] + 2 and np.isnan(told[2])
    assert scorer.most_extreme("overview", odd[1]) == "bright_hollowness_ratio"
