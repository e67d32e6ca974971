"""Classes from a handful of examples."""

from __future__ import annotations

import numpy as np
import pytest

from models.prototypes import NONE, Prototypes, Settings


def clouds(seed, count, centres, spread=1.0, width=40):
    rng = np.random.default_rng(seed)
    middles = np.random.default_rng(99).normal(size=(3, width)) * 2
    rows = np.concatenate([middles[c] + spread * rng.normal(size=(count, width)) for c in centres])
    return rows, np.repeat([f"class {c}" for c in centres], count).tolist()


def test_three_examples_a_class_tell_the_rest():
    examples, said = clouds(0, 3, (0, 1))
    asked, truth = clouds(1, 50, (0, 1))
    model = Prototypes.fitted(examples, said, asked)
    assert np.mean(np.array(model.told(asked, open_set=False)) == np.array(truth)) > 0.97
    assert np.allclose(model.scores(asked).sum(1), 1)


def test_what_is_of_no_class_is_told_so():
    examples, said = clouds(0, 6, (0, 1))
    known, strange = clouds(1, 50, (0, 1))[0], clouds(2, 50, (2,))[0]
    model = Prototypes.fitted(examples, said, np.concatenate([known, strange]))
    assert np.mean([each == NONE for each in model.told(strange)]) > 0.8
    assert np.mean([each == NONE for each in model.told(known)]) < 0.05


@pytest.mark.parametrize("shots", [3, 5])
def test_few_of_a_class_are_turned_away_however_few_its_examples(shots):
    """Over draws of the examples: their own scatter, of so few, would turn away a fifth."""
    away = []
    for seed in range(20):
        examples, said = clouds(3 * seed, shots, (0, 1))
        known = clouds(3 * seed + 1, 50, (0, 1))[0]
        model = Prototypes.fitted(examples, said, known)
        away.append(np.mean([each == NONE for each in model.told(known)]))
    assert np.mean(away) < 0.05


def test_directions_that_only_the_specimen_varies_along_do_not_decide():
    """A slope of brightness that is larger than what tells the classes apart: whitening by the survey removes it."""
    examples, said = clouds(0, 4, (0, 1))
    asked, truth = clouds(1, 100, (0, 1))
    along = np.random.default_rng(7).normal(size=examples.shape[1])
    examples += np.random.default_rng(3).normal(size=(len(examples), 1)) * along * 8
    asked += np.random.default_rng(4).normal(size=(len(asked), 1)) * along * 8
    even, plain = (
        Prototypes.fitted(examples, said, asked, Settings(directions=4, ridge=ridge)).told(asked, open_set=False)
        for ridge in (0.03, 1e3)
    )
    assert np.mean(np.array(even) == truth) > 0.9 > np.mean(np.array(plain) == truth)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda rows, said: (rows, ["a"] * len(said)), "only"),
        (lambda rows, said: (rows[:0], []), "nothing only"),
        (lambda rows, said: (rows * np.nan, said), "finite"),
        (lambda rows, said: (rows, said[:-1]), "one class each"),
        (lambda rows, said: (rows, [NONE, *said[1:]]), "another name"),
        (lambda rows, said: (np.concatenate([rows, rows[:1]]), [*said, "class 1"]), "leave one out"),
    ],
)
def test_examples_that_tell_nothing_apart_are_refused(change, says):
    rows, said = change(*clouds(0, 3, (0, 1)))
    with pytest.raises(ValueError, match=says):
        Prototypes.fitted(rows, said)


def test_a_class_of_one_example_takes_the_others_reach():
    examples, said = clouds(0, 4, (0, 1))
    model = Prototypes.fitted(examples[:5], said[:5])
    assert (
        np.isfinite(model.reach).all() and model.reach[0] > model.reach[1]
    )  # one example says less where its class is
