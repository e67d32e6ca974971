"""The posterior over laws: right law, right numbers, honest intervals, and "none of these" at the rate that was set."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from models.changes import ChangeDetector, Steady
from models.kinetics import Expected, View, shown, stacked, values_of
from models.kinetics_filter import KineticFilter
from models.kinetics_forecast import half_time
from models.kinetics_laws import all_laws
from models.kinetics_nuisance import Calibration, Chance, Layout, Nuisance, Reading
from models.kinetics_told import Told
from models.none_of_these import Doubts, Foreseen, NoneOfThese, surprise
from models.trend import Trend

EXPECTED = Expected(horizon_s=600.0, temperature_K=730.0, places_nm=((-300.0, 0.0), (300.0, 0.0)))
LAWS = all_laws(EXPECTED)
HOT = {"temperature_K": 730.0}
SDS = np.array([0.1, 0.03, 0.03, 0.1, 0.05])


def readings(law, seed, count=24, wrong=0.0):
    """Of a world that follows a law exactly, with errors of the size that is stated."""
    rng = np.random.default_rng(seed)
    values = values_of(law, np.clip(rng.standard_normal((1, len(law.parameters))), -1, 1))
    state, found = law.start(values), []
    for n in range(count):
        state = law.advance(state, values, 25.0, HOT)
        view = View(n % 2, 600.0 * (n % 2) - 300.0, 400.0)
        told = shown(law.sizes(state, values, view), view)[0] + SDS * rng.standard_normal(5)
        told[0] -= 2 * wrong
        told[1] += wrong
        found.append(Reading(25.0 * (n + 1), view, "image", told, SDS))
    return values[0], found


def learned(law, seed, laws=LAWS, wrong=0.0):
    truth, told = readings(law, seed, wrong=wrong)
    known = KineticFilter(laws, 2, 600.0, sets=96, seed=seed)
    for reading in told:
        known.wait(reading.t_s - known.time_s, HOT)
        known.learn(reading)
    return truth, known


@pytest.mark.parametrize("n", range(len(LAWS)))
def test_each_law_is_told_from_the_others(n):
    _, known = learned(LAWS[n], 3)
    probabilities = known.probabilities()
    assert probabilities.sum() == pytest.approx(1.0)
    assert int(np.argmax(probabilities)) == n


def test_intervals_hold_the_truth_as_often_as_they_say():
    law, hits = LAWS[7], []
    for seed in range(20):
        truth, known = learned(law, 100 + seed, laws=(law,))
        hits += [e.low <= t <= e.high for e, t in zip(known.estimates(law.name), truth, strict=True) if e.counts]
    assert 0.75 <= np.mean(hits) <= 1.0  # of 90 %, 40 intervals


def test_a_wrong_pixel_size_widens_what_it_must_and_spoils_nothing_else():
    law = LAWS[7]
    truth, known = learned(law, 5, laws=(law,), wrong=np.log(1.1))
    found = {e.name: e for e in known.estimates(law.name)}
    assert found["rate_per_s"].low <= truth[3] <= found["rate_per_s"].high


def test_equal_seeds_learn_alike():
    one, other = (learned(LAWS[0], 4)[1] for _ in range(2))
    np.testing.assert_array_equal(one.probabilities(), other.probabilities())
    assert one.estimates(LAWS[0].name) == other.estimates(LAWS[0].name)


def test_the_half_time_is_where_the_law_has_it():
    law = LAWS[6]
    truth, known = learned(law, 8, laws=(law,))
    told = half_time(known, law.name, 4, [(600.0, HOT)])
    end = 1 - np.exp(-((600 * truth[3]) ** truth[4]))
    exact = (-np.log(1 - end / 2)) ** (1 / truth[4]) / truth[3]
    assert told.low_s - 15 <= exact <= told.high_s + 15


def test_common_errors_are_not_learned_away_by_looking_twice():
    """The pixel size stays unknown however often one place is looked at."""
    law, view = LAWS[7], View(0, 0.0, 400.0)
    told = Told.nothing(Nuisance.begin(Calibration(), Layout.of(1, [400.0]), 600.0))
    values = values_of(law, np.zeros((1, len(law.parameters))))
    chance = Chance.of(law, stacked([law.start(values)]), values, np.ones(1), [view])[0]
    reading = Reading(0.0, view, "image", np.zeros(5), np.full(5, 1e-3))
    for _ in range(30):
        told = told.after(told.foretold(reading, 0.0, told.nuisance.layout.effect(view, "image", chance)[0]))
    assert np.sqrt(told.unknown(0.0)[0, 0]) > 0.02


def test_readings_taken_up_one_by_one_or_at_once_are_the_joint_gaussian_of_independent_errors():
    law, rng = LAWS[5], np.random.default_rng(0)
    nuisance = Nuisance.begin(Calibration(), Layout.of(2, [400.0]), 600.0)
    values = values_of(law, np.zeros((1, len(law.parameters))))
    state, told, moved, taken, at_s = law.start(values), Told.nothing(nuisance), [], [], [0.0, 0.0, 50.0, 200.0]
    for n, t_s in enumerate(at_s):
        view = View(n % 2, 0.0, 400.0)
        chance = Chance.of(law, stacked([state]), values, np.ones(1), [view])[0]
        sds = np.where(np.arange(5) == n, np.nan, SDS)
        taken.append(Reading(t_s, view, ("image", "spectra")[n // 2], rng.standard_normal(5), sds))
        moved.append(nuisance.layout.effect(view, taken[-1].channel, chance)[0])
        told = told.after(told.foretold(taken[-1], t_s, moved[-1]))
        state = law.advance(state, values, 50.0, HOT)
    at_once = Told.all(nuisance, taken, at_s, moved)
    np.testing.assert_allclose(told.whiten, at_once.whiten, atol=1e-8)
    np.testing.assert_allclose(told.reach, at_once.reach, atol=1e-8)
    effect = np.concatenate([rows[reading.told] for rows, reading in zip(moved, taken, strict=True)])
    earlier = np.minimum.outer(*[np.array(at_s)[told.reading]] * 2)
    covariance = (effect * nuisance.variances) @ effect.T + (effect * nuisance.wanders_per_s) @ effect.T * earlier
    covariance += np.diag(np.concatenate([nuisance.noise(reading) for reading in taken]))
    shows = rng.standard_normal((3, len(covariance)))
    exact = multivariate_normal(np.zeros(len(covariance)), covariance).logpdf(told.values - shows)
    np.testing.assert_allclose(sum(told.weigh(told.white(shows))), exact)
    with_errors = effect * nuisance.at(np.array(at_s)[told.reading])
    guesses = np.linalg.solve(covariance, (told.values - shows).T).T @ with_errors
    np.testing.assert_allclose(told.white(shows) @ told.reach, guesses, atol=1e-9)
    left = np.diag(nuisance.at(np.array(300.0))) - with_errors.T @ np.linalg.solve(covariance, with_errors)
    np.testing.assert_allclose(told.unknown(300.0), left, atol=1e-9)


def test_a_view_of_a_width_that_was_not_named_is_refused():
    known = KineticFilter(LAWS[:1], 1, 600.0, sets=16)
    with pytest.raises(ValueError, match=r"500 nm wide .* made for 400 nm"):
        known.learn(Reading(0.0, View(0, 0.0, 500.0), "image", np.zeros(5), SDS))


def test_none_of_these_is_said_where_nothing_fits_and_seldom_elsewhere():
    said = {"inside": 0, "outside": 0}
    for seed in range(8):
        for kind in said:
            law = LAWS[7]
            _, told = readings(law, 200 + seed)
            known, trend, doubts = KineticFilter(LAWS, 2, 600.0, sets=64, seed=seed), Trend(2, 600.0), Doubts()
            none = NoneOfThese(doubts.shares, 1)
            for n, reading in enumerate(told):
                if kind == "outside":  # what has gone comes back, and goes again
                    reading.values[0] += 0.8 * np.sin(n / 3)
                known.wait(reading.t_s - known.time_s, HOT)
                foretold = trend.knows(reading)
                log_trend = trend.learn(reading)
                known.learn(reading)
                against = doubts.learn(known.last_foreseen)
                laws = known.last_log_density
                none.bet(log_trend if foretold else None, against, np.array([laws]), laws)
            said[kind] += none.said
    assert said["inside"] <= 1
    assert said["outside"] >= 6


def test_bets_against_theories_that_are_right_win_at_the_rate_that_was_set_and_find_what_lies_to_one_side():
    rng = np.random.default_rng(3)
    told, covariance = np.array([True, True, False, True, False]), np.diag([0.01, 0.0009, 0.01])
    said = dict.fromkeys((0.0, 1.5), 0)
    for side in said:
        for _ in range(200):
            doubts = Doubts()
            none = NoneOfThese(doubts.shares, 1, 0.1)
            for _ in range(40):
                off = np.sqrt(np.diag(covariance)) * (rng.standard_normal(3) + np.array([0.0, side, 0.0]))
                theory = float(-0.5 * (off**2 / np.diag(covariance) + np.log(2 * np.pi * np.diag(covariance))).sum())
                none.bet(None, doubts.learn(Foreseen(told, off, covariance)), np.array([theory]), theory)
            said[side] += none.said
    assert said[0.0] <= 0.12 * 200
    assert said[1.5] >= 0.9 * 200


def test_changes_are_found_at_a_rate_of_false_alarms_that_is_set():
    rng = np.random.default_rng(0)
    false = sum(
        any(detector.learn(z) for z in rng.standard_normal(60))
        for detector in (ChangeDetector(60, 0.1) for _ in range(400))
    )
    assert false <= 0.13 * 400
    found = []
    for _ in range(100):
        steady = Steady(60, 0.1)
        alarms = [n for n in range(60) if steady.learn(rng.normal(3.0 * (n >= 30), 1.0), 1.0)]
        found.append(bool(alarms) and 30 <= alarms[0] <= 36)
    assert np.mean(found) > 0.85
    with pytest.raises(ValueError, match="at least one look"):
        ChangeDetector(0)


def test_a_trend_foretells_a_straight_line_and_says_how_well():
    trend, rng = Trend(1, 600.0), np.random.default_rng(1)
    for n in range(15):
        values = np.array([5.0 + 0.002 * 20 * n, 2.0, np.nan, np.nan, np.nan])
        values[:2] += 0.05 * rng.standard_normal(2)
        sds = np.array([0.05, 0.05, np.nan, np.nan, np.nan])
        trend.learn(Reading(20.0 * n, View(0, 0.0, 400.0), "image", values, sds))
    mean, variance = trend.foretell(0, 320.0)
    assert mean[0] == pytest.approx(5.0 + 0.002 * 320, abs=3 * np.sqrt(variance[0]))
    assert np.sqrt(variance[0]) < 0.15


def test_how_surprising_a_reading_is_is_a_normal_number_whatever_it_told():
    rng = np.random.default_rng(0)
    root = rng.standard_normal((3, 3))
    told = np.array([True, True, False, True, False])
    found = [surprise(Foreseen(told, root @ rng.standard_normal(3), root @ root.T)) for _ in range(4000)]
    assert np.mean(np.square(found)) == pytest.approx(1.0, abs=0.08)
    assert np.mean(np.array(found) > 1.96) == pytest.approx(0.05, abs=0.012)
    assert surprise(Foreseen(told, np.full(3, 1e6), np.eye(3))) == 35.0
