"""Where a series steps, and where a number first falls."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest

from models.changes import first_fall, step_at


def test_a_step_is_found_where_it_is_and_doubt_is_told():
    rng = np.random.default_rng(1)
    right, said = [], []
    for _ in range(300):
        place = int(rng.integers(1, 10))
        told = step_at(np.where(np.arange(10) < place, 500.0, 430.0) + rng.normal(0, 30, 10))
        assert told.sum() == pytest.approx(1) and told.shape == (9,)
        right.append(int(np.argmax(told)) + 1 == place)
        said.append(float(told.max()))
    assert np.mean(right) > 0.5
    assert np.mean(said) < np.mean(right) + 3 * np.sqrt(0.25 / 300)  # of a step that shows, no surer than it is right


def test_levels_and_units_do_not_matter_and_a_perfect_step_is_sure():
    values = np.array([5.0, 5.0, 5.0, 1.0, 1.0])
    assert step_at(values)[2] > 0.999 and step_at(1e6 - 3 * values)[2] > 0.999


def test_few_values_are_refused():
    with pytest.raises(ValueError, match="four at least"):
        step_at(np.array([1.0, 1.0, 2.0]))


def enumerated(values, sds, chances):
    """Every set of changes by itself, each level's values by their joint normal density."""
    number, broad = len(values), (values.mean() / 2) ** 2
    told = np.zeros(number)
    for count in range(number):
        for changes in combinations(range(1, number), count):
            ends = [0, *changes, number]
            log, means = 0.0, []
            for i, j in pairwise(ends):
                off = values[i:j] - values.mean()
                inverse = np.linalg.inv(np.diag(sds[i:j] ** 2) + broad)
                log += (np.linalg.slogdet(inverse)[1] - off @ inverse @ off) / 2
                means.append(broad * (inverse @ off).sum())
            log += sum(np.log(chances[n] if n + 1 in changes else 1 - chances[n]) for n in range(number - 1))
            falls = [at - 1 for at, before, after in zip(changes, means, means[1:], strict=False) if before > after]
            told[falls[0] if falls else -1] += np.exp(log + 30)
    return told / told.sum()


def test_every_set_of_changes_is_in_the_sum():
    rng = np.random.default_rng(2)
    for _ in range(5):
        known = rng.uniform(300, 500, 6), rng.uniform(15, 60, 6), rng.uniform(0.05, 0.5, 5)
        np.testing.assert_allclose(first_fall(*known), enumerated(*known), atol=1e-9)


def test_the_first_of_two_falls_is_told_and_a_rise_is_none():
    even = np.full(8, 0.1)
    values = np.array([500.0, 500, 500, 400, 400, 400, 400, 200, 200])
    assert first_fall(values, np.full(9, 15.0), even)[2] > 0.95
    assert first_fall(values[::-1], np.full(9, 15.0), even)[-1] > 0.9


@pytest.mark.parametrize("place", [2, None])
def test_how_sure_a_fall_is_told_is_how_often_it_is_there(place):
    """Falls drawn as they are foretold: told with probability p they are there in p of draws."""
    rng = np.random.default_rng(3)
    told, true, sds = [], [], np.full(6, 15.0)
    for _ in range(600):
        level = np.cumsum(np.append(0, rng.random(5) < 0.2))
        levels = np.clip(rng.normal(400, 200, 6), 60, None)[level]
        falls = np.flatnonzero(np.diff(levels) < 0)
        found = first_fall(levels + rng.normal(0, 15, 6), sds, np.full(5, 0.2))
        told.append(found[-1 if place is None else place])
        true.append((falls[0] if len(falls) else None) == place)
    assert np.mean(told) == pytest.approx(np.mean(true), abs=0.06)


@pytest.mark.parametrize(
    ("known", "says"),
    [
        (([5.0], [1.0], []), "two values at least"),
        (([5.0, 4.0], [1.0], [0.1]), "a deviation for each"),
        (([5.0, 0.0], [1.0, 1.0], [0.1]), "not above 0"),
        (([5.0, 4.0], [1.0, 1.0], [1.0]), "between 0 and 1"),
        (([5.0, np.nan], [1.0, 1.0], [0.5]), "not above 0"),
    ],
)
def test_values_that_tell_no_fall_are_refused(known, says):
    with pytest.raises(ValueError, match=says):
        first_fall(*map(np.array, known))
