"""Where a series steps."""

from __future__ import annotations

import numpy as np
import pytest

from models.changes import step_at


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
