"""The holder: what is set, what is true, what is read."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.integrate import quad, solve_ivp

from instruments.errors import LimitError, NotSupported
from instruments.simulated.conditions import Conditions
from instruments.simulated.holders import ConditionSettings, HolderSettings
from instruments.simulated.kinetics import BOLTZMANN_EV_PER_K, Drive, Progress, RateLaw

SLOW = ConditionSettings(
    start=300.0, lowest=100.0, highest=1300.0, ramp_per_s=10.0, lag_s=4.0, noise=0.5, offset=5.0, interval_s=0.5
)
BIAS = ConditionSettings(start=0.0, lowest=-2.0, highest=2.0)
HOLDER = HolderSettings(conditions={"temperature_K": SLOW, "bias_V": BIAS})


def heated() -> Conditions:
    conditions = Conditions(HOLDER, 3)
    conditions.set("temperature_K", 800.0, 10.0)
    conditions.set("bias_V", 1.0, 30.0)
    conditions.set("temperature_K", 400.0, 40.0)  # turns round half way up
    return conditions


def test_the_truth_obeys_its_differential_equation() -> None:
    conditions = heated()
    solved = solve_ivp(
        lambda t, y: [(conditions.set_point("temperature_K", t) - y[0]) / 4.0],
        (0.0, 120.0), [300.0], max_step=0.05, rtol=1e-9, atol=1e-9, t_eval=np.arange(0, 120.0, 7.3),
    )  # fmt: skip
    np.testing.assert_allclose(conditions.along("temperature_K", solved.t), solved.y[0], atol=2e-3)


def test_the_set_point_ramps_and_a_jump_jumps() -> None:
    conditions = heated()
    assert [conditions.set_point("temperature_K", t) for t in (9, 10, 25, 40, 50, 60, 1e6)] == pytest.approx(
        [300, 300, 450, 600, 500, 400, 400]
    )
    assert conditions.at("temperature_K", 1e6) == pytest.approx(400)
    assert (conditions.at("bias_V", 29.999), conditions.at("bias_V", 30.0)) == (0.0, 1.0)


def test_an_order_changes_nothing_before_it() -> None:
    conditions, times = Conditions(HOLDER, 3), np.linspace(0, 55, 200)
    conditions.set("temperature_K", 800.0, 10.0)
    law = RateLaw(at_reference=1.0, activation_eV=0.8, reference_K=500.0)
    progress = Progress(law, conditions)
    truth, gained = conditions.along("temperature_K", times), progress.total(times)
    conditions.set("temperature_K", 300.0, 56.0)
    assert np.array_equal(conditions.along("temperature_K", times), truth)
    assert np.array_equal(progress.total(times), gained)


def test_an_order_asked_for_again_leaves_the_ramp_alone() -> None:
    once, twice = Conditions(HOLDER, 3), Conditions(HOLDER, 3)
    for conditions in (once, twice):
        conditions.set("temperature_K", 800.0, 10.0)
    twice.set("temperature_K", 800.0, 20.0)
    times = np.linspace(0, 200, 101)
    assert np.array_equal(once.along("temperature_K", times), twice.along("temperature_K", times))


@pytest.mark.parametrize("value", [math.nan, math.inf, 99.0, 1301.0])
def test_what_cannot_be_is_refused_and_nothing_set(value: float) -> None:
    conditions = Conditions(HOLDER, 3)
    with pytest.raises(LimitError, match="allowed is 100"):
        conditions.set("temperature_K", value, 1.0)
    assert conditions.history == ()


def test_the_nearest_name_is_told() -> None:
    conditions = Conditions(HOLDER, 3)
    for ask in (lambda: conditions.set("temperature_C", 300.0, 0.0), lambda: conditions.read("temprature_K", 0.0)):
        with pytest.raises(NotSupported, match="did you mean temperature_K"):
            ask()


def test_the_past_and_no_time_are_refused() -> None:
    conditions = heated()
    with pytest.raises(LimitError, match="past"):
        conditions.set("bias_V", 0.0, 39.0)
    for t_s in (-1.0, math.nan):
        with pytest.raises(LimitError, match="time"):
            conditions.at("bias_V", t_s)
    with pytest.raises(LimitError, match="earlier time first"):
        conditions.log(5.0, 4.0)


@pytest.mark.parametrize(
    ("name", "settings", "told"),
    [
        ("warmth", SLOW, "no unit"),
        ("temperature_K", SLOW.model_copy(update={"lowest": 0.0}), "above 0 K"),
    ],
)
def test_bad_holders_are_refused(name: str, settings: ConditionSettings, told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        HolderSettings(conditions={name: settings})


def test_a_start_outside_the_range_is_refused() -> None:
    with pytest.raises(ValidationError, match="start"):
        ConditionSettings(start=5.0, lowest=10.0, highest=20.0)


def test_readings_are_the_truth_of_the_tick_with_noise_and_one_offset() -> None:
    conditions = heated()
    times = 200.0 + 0.5 * np.arange(2000) + 0.2
    readings = [conditions.read("temperature_K", float(t)) for t in times]
    assert {reading.unit for reading in readings} == {"K"}
    assert all(reading.age_s == pytest.approx(0.2) for reading in readings)
    errors = np.array([reading.value for reading in readings], dtype=float) - 400.0
    assert abs(errors.mean()) <= 5.0 + 0.05
    assert errors.std() == pytest.approx(0.5, rel=0.06)
    assert abs(np.corrcoef(errors[1:], errors[:-1])[0, 1]) < 0.08
    assert conditions.read("temperature_K", 200.1).value == conditions.read("temperature_K", 200.4).value


def test_offsets_differ_between_worlds_and_fill_their_range() -> None:
    offsets = [(Conditions(HOLDER, seed).read("temperature_K", 0.0).value or 0.0) - 300.0 for seed in range(300)]
    assert np.std(offsets) == pytest.approx(math.hypot(5 / math.sqrt(3), 0.5), rel=0.12)


def test_dropouts_say_nothing() -> None:
    patchy = HolderSettings(conditions={"bias_V": BIAS.model_copy(update={"dropout": 0.3})})
    readings = [Conditions(patchy, 1).read("bias_V", 0.5 * n) for n in range(1000)]
    lost = [reading for reading in readings if not reading.valid]
    assert all(reading.value is None for reading in lost)
    assert 250 < len(lost) < 350


def test_the_log_is_reproducible_and_in_pieces_the_same() -> None:
    whole = heated().log(0.0, 50.0)
    assert whole == heated().log(0.0, 50.0)
    assert whole == heated().log(0.0, 17.5) + heated().log(17.5, 50.0)
    assert [row.t_s for row in whole] == list(range(50))
    assert set(whole[0].readings) == {"temperature_K", "bias_V"}


def test_a_snapshot_through_json_brings_back_the_same_world() -> None:
    before, after = heated(), Conditions(HOLDER, 3)
    after.set("bias_V", 2.0, 0.0)
    after.restore(json.loads(json.dumps(before.snapshot())))
    times = np.linspace(0, 300, 301)
    assert np.array_equal(after.along("temperature_K", times), before.along("temperature_K", times))
    assert after.log(0.0, 60.0) == before.log(0.0, 60.0)
    assert after.history == before.history


def test_progress_is_the_integral_of_the_rate() -> None:
    law = RateLaw(
        at_reference=0.3, activation_eV=2.0, reference_K=600.0,
        drives=(Drive(condition="bias_V", law="exponential", reference=0.0, strength=0.5),),
    )  # fmt: skip
    conditions = heated()
    times = np.arange(0, 80, 2e-4) + 1e-4
    temperature, bias = conditions.along("temperature_K", times), conditions.along("bias_V", times)
    rates = 0.3 * np.exp(-2.0 / BOLTZMANN_EV_PER_K * (1 / temperature - 1 / 600) + bias / 0.5)
    sums = np.cumsum(rates) * 2e-4
    ends = np.array([20.0, 33.0, 47.0, 80.0])
    progress = Progress(law, conditions).total(ends)
    np.testing.assert_allclose(progress, np.interp(ends, times + 1e-4, sums), rtol=1e-6)


def test_progress_turned_round_gives_the_time_back() -> None:
    law = RateLaw(at_reference=0.3, activation_eV=2.0, reference_K=600.0)
    progress = Progress(law, heated())
    times = np.array([12.0, 40.0, 41.7, 52.0, 70.0, 900.0, 1e7])
    np.testing.assert_allclose(progress.when(progress.total(times)), times, rtol=1e-9)
    one_by_one = [progress.when(progress.total(t))[0] for t in times]
    assert one_by_one == progress.when(progress.total(times)).tolist()


def test_no_drive_no_progress() -> None:
    law = RateLaw(
        at_reference=1.0, drives=(Drive(condition="bias_V", law="nucleation", reference=0.5, strength=0.1),)
    )  # fmt: skip
    progress = Progress(law, heated())
    assert progress.total(30.0)[0] == 0.0
    assert progress.total(40.0)[0] == pytest.approx(10 * math.exp(-0.1 / math.log(2) ** 2))
    assert progress.when(np.array([0.0, 1e-9]))[0] == 0.0
    assert progress.when(np.array([1e-9]))[0] == pytest.approx(30.0)
    idle = Progress(law, Conditions(HOLDER, 3))
    assert idle.when(np.array([1e-9])).tolist() == [math.inf]


def test_a_process_stiff_in_temperature_is_integrated_well() -> None:
    """4 eV over a ramp from 100 K to 1300 K, and a jump with a lag."""
    law = RateLaw(at_reference=1.0, activation_eV=4.0, reference_K=1200.0)
    for settings in (SLOW, SLOW.model_copy(update={"ramp_per_s": None, "lag_s": 0.3})):
        conditions = Conditions(HolderSettings(conditions={"temperature_K": settings}), 0)
        conditions.set("temperature_K", 100.0, 0.0)
        conditions.set("temperature_K", 1300.0, 50.0)

        def rate_per_s(t_s: float, held: Conditions = conditions) -> float:
            return math.exp(-4.0 / BOLTZMANN_EV_PER_K * (1 / held.at("temperature_K", t_s) - 1 / 1200))

        pieces = np.linspace(50, 220, 171)
        sums = np.cumsum([quad(rate_per_s, *ends, epsabs=0, epsrel=1e-11)[0] for ends in itertools.pairwise(pieces)])
        found = Progress(law, conditions).total(pieces[1:])
        np.testing.assert_allclose(found[5:], sums[5:], rtol=1e-8, atol=1e-40)


def test_a_rate_that_is_no_number_is_refused() -> None:
    law = RateLaw(at_reference=1.0, drives=(Drive(condition="bias_V", law="power", reference=1.0, strength=0.5),))
    conditions = Conditions(HOLDER, 3)
    conditions.set("bias_V", -1.0, 0.0)
    with pytest.raises(ValueError, match="not finite"):
        Progress(law, conditions).total(1.0)


def test_a_law_of_a_condition_the_holder_lacks_is_refused() -> None:
    law = RateLaw(at_reference=1.0, drives=(Drive(condition="bias_mV", law="power", reference=1.0, strength=1.0),))
    with pytest.raises(NotSupported, match="bias_V"):
        Progress(law, heated()).total(1.0)
