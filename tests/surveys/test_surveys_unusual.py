"""How probable it is that a place is unusual, after what a person said of it, of others and of earlier ones."""

from __future__ import annotations

import numpy as np
import pytest

from surveys.unusual import Answered, believed, expected_share, probability_unusual


@pytest.mark.parametrize("places", [200, 2000])
@pytest.mark.parametrize(("share", "off"), [(0.05, 0.02), (0.2, 0.07)])
def test_forty_answers_tell_how_many_are_unusual_that_do_not_look_it(share: float, off: float, places: int) -> None:
    told, true = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        unusual, p, said = rng.random(places) < share, rng.uniform(size=places), np.full(places, np.nan)
        order = np.argsort(p)
        chosen = np.concatenate([order[:20], rng.choice(order[20:], 20, replace=False)])
        said[chosen] = unusual[chosen]
        rest = np.isnan(said)
        probability = probability_unusual(p, said)
        assert (probability[~rest] == said[~rest]).all()
        told.append(probability[rest].mean())
        true.append(unusual[rest].mean())
    assert np.mean(told) == pytest.approx(np.mean(true), abs=off)


def test_no_answer_is_as_if_none_was_asked() -> None:
    p = np.random.default_rng(0).uniform(size=300) ** 1.5
    assert (probability_unusual(p, np.full(300, np.nan)) == probability_unusual(p)).all()


def test_answers_unsay_what_only_looks_unusual() -> None:
    p, said = np.random.default_rng(0).uniform(size=300), np.full(300, np.nan)
    p[:20] = 1e-6
    before = probability_unusual(p)
    said[:10] = 0.0
    after = probability_unusual(p, said)
    assert (before[:20] > 0.8).all() and (after[10:20] < 0.3).all()


def test_many_places_that_the_null_does_not_fit_do_not_make_each_other_sure() -> None:
    """The share that is believed does not follow a null that is wrong: places of one specimen err together."""
    p = np.random.default_rng(0).uniform(size=2000) ** 1.5
    assert probability_unusual(p).mean() < 0.15


def drawn(rng: np.random.Generator, share: float, power: float) -> tuple[np.ndarray, np.ndarray]:
    """p-values of 400 places, and which are unusual."""
    unusual = rng.random(400) < share
    return np.where(unusual, rng.uniform(size=400) ** (1 / power), rng.uniform(size=400)), unusual.astype(float)


def answered(rng: np.random.Generator, share: float, power: float) -> Answered:
    """Forty of them, half the most unusual."""
    p, unusual = drawn(rng, share, power)
    order = np.argsort(p)
    chosen = np.concatenate([order[:20], rng.choice(order[20:], 20, replace=False)])
    return Answered(p[chosen], unusual[chosen])


@pytest.mark.parametrize(("share", "power"), [(0.12, 1.0), (0.2, 0.7)])
def test_earlier_specimens_tell_how_many_are_unusual_in_a_new_one(share: float, power: float) -> None:
    off, off_before = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        earlier = [answered(rng, share, power) for _ in range(4)]
        p, unusual = drawn(rng, share, power)
        off.append(abs(probability_unusual(p, earlier=earlier).mean() - unusual.mean()))
        off_before.append(abs(probability_unusual(p).mean() - unusual.mean()))
    assert np.mean(off) < 0.6 * np.mean(off_before)


def test_earlier_specimens_tell_what_a_p_value_is_worth() -> None:
    rng = np.random.default_rng(0)
    p = np.append(np.linspace(0.01, 1, 200), 1e-4)
    told, silent = ([answered(rng, 0.1, power) for _ in range(4)] for power in (0.2, 1.0))
    worth, worthless = (probability_unusual(p, earlier=earlier)[-1] for earlier in (told, silent))
    assert worth > 0.75 > 0.4 > worthless


def test_answers_about_these_outweigh_earlier_specimens_that_were_of_another_kind() -> None:
    rng = np.random.default_rng(0)
    earlier = [answered(rng, 0.3, 1.0) for _ in range(6)]
    p = rng.uniform(size=400)
    said = np.full(400, np.nan)
    assert 0.2 < probability_unusual(p, earlier=earlier).mean() < 0.35
    said[np.argsort(p)[:20]] = 0.0
    said[rng.choice(np.flatnonzero(np.isnan(said)), 20, replace=False)] = 0.0
    assert probability_unusual(p, said, earlier)[np.isnan(said)].mean() < 0.05


def test_few_earlier_specimens_say_only_so_much() -> None:
    rng = np.random.default_rng(0)
    earlier = [answered(rng, 0.3, 0.5) for _ in range(8)]
    means, widths = [], []
    for count in (0, 1, 8):
        mean, low, high = expected_share(believed(earlier[:count]))
        assert low < mean < high
        means.append(mean), widths.append(np.log(high / low))
    assert means[0] < means[1] < means[2] < 0.33 and widths[2] < widths[1]
    for count in range(3):
        assert believed(earlier[:count]).sum() == pytest.approx(1)


def test_each_more_ordinary_place_of_an_earlier_specimen_lowers_what_is_expected() -> None:
    """Whichever are asked about first, the most unusual or the drawn ones, and after any that are unusual."""
    p = np.sort(np.random.default_rng(0).uniform(size=40))
    for asked in (p, p[::-1]):
        for unusual in (0, 3):
            shares = [
                expected_share(believed([Answered(asked[:count], (np.arange(count) < unusual).astype(float))]))[0]
                for count in range(max(unusual, 1), 41)
            ]
            assert (np.diff(shares) < 0).all()
    nothing = expected_share(believed([]))[0]
    none = [Answered(p, np.zeros(40))]
    assert expected_share(believed(none * 4))[0] < expected_share(believed(none))[0] < nothing
    first = [expected_share(believed([Answered(asked[:1], np.zeros(1))]))[0] for asked in (p, p[::-1])]
    assert max(first) < nothing + 0.005
