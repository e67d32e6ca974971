"""Focusing as an environment: rewards that follow the truth, refusals, many worlds as one batch."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra 'simulate' is not installed")

from gymnasium.utils.env_checker import check_env

from configs.errors import ConfigError
from envs.focus_env import KEPT, SHARP_RAD, FocusEnv, FocusTask, moves
from envs.focus_worlds import COLUMN, make_focus_env, make_focus_vector_env
from instruments.types import Exposure

SMALL = FocusTask(
    exposure=Exposure(field_of_view_nm=6.4, shape=(32, 32), dwell_us=4.0, signals=("HAADF",)), exposures=4
)


def make(**more: object) -> FocusEnv:
    return make_focus_env(task=SMALL, **more)


@pytest.mark.parametrize("discrete", [False, True])
def test_gymnasiums_checker_has_nothing_to_say(discrete):
    check_env(make(discrete=discrete), skip_render_check=True)


def test_it_is_made_by_name():
    env = gymnasium.make("envs:adaptem/Focus-v0", task=SMALL)
    observation, info = env.reset(seed=2)
    assert observation["frames"].shape == (KEPT, 32, 32)
    assert info["exposures"] == 1
    assert np.isfinite(info["residual_rad"])


def test_taking_the_error_away_pays_and_stopping_then_ends():
    env = make()
    observation, before = env.reset(seed=4)
    c10, a, b = (env.situation.truth_nm() or ())[:3]
    reach = np.array([250.0, 20.0, 20.0])
    action = np.append(-np.array([c10, a, b]) / reach, -1.0).astype(np.float32)
    assert np.abs(action).max() <= 1
    after, reward, ended, spent, info = env.step(action)
    assert before["residual_rad"] > 2 * SHARP_RAD
    assert info["residual_rad"] < SHARP_RAD
    assert reward == pytest.approx(
        np.log10(1 + before["residual_rad"] / SHARP_RAD) - np.log10(1 + info["residual_rad"] / SHARP_RAD) - 0.02
    )
    assert (ended, spent) == (False, False)
    assert after["frames"][-1].std() > 1.3 * observation["frames"][-1].std()
    np.testing.assert_allclose(after["settings"][-2], -action[:3], atol=1e-5)
    _, reward, ended, _, again = env.step(np.array([0, 0, 0, 1], dtype=np.float32))
    assert ended
    assert reward == 0.0
    assert again["exposures"] == 2


def test_the_budget_truncates_and_what_is_no_action_exposes_nothing():
    env = make(discrete=True)
    env.reset(seed=1)
    _, reward, ended, spent, info = env.step(len(moves()) + 1)
    assert (reward, ended, spent, info["exposures"]) == (0.0, False, False, 1)
    assert "the last is stop" in info["fault"]
    found = [env.step(0)[3] for _ in range(3)]
    assert found == [False, False, True]
    wild = make()
    wild.reset(seed=1)
    for action in (np.full(4, np.nan), np.full(4, 2.0), np.zeros(3)):
        assert "four numbers" in wild.step(action)[4]["fault"]
    env.situation.guard.close()
    assert "Disconnected" in env.step(0)[4]["fault"]


def test_refusals_without_end_end_the_episode():
    env = make()
    env.reset(seed=1)
    found = [env.step(np.full(4, 2.0))[3] for _ in range(SMALL.exposures)]
    assert found == [False] * (SMALL.exposures - 1) + [True]
    env.reset(seed=1)
    assert not env.step(np.full(4, 2.0))[3]


def test_the_probe_that_is_judged_is_the_columns():
    column = COLUMN.model_copy(update={"convergence_mrad": 30.0, "voltage_kV": 80.0})
    task = make_focus_env(column=column).situation.task
    assert (task.convergence_mrad, task.voltage_kV) == (30.0, 80.0)
    with pytest.raises(ConfigError, match=r"a probe of 21\.4 mrad at 200 kV"):
        make(column=column)


def test_a_vector_with_too_few_seeds_begins_nothing_and_goes_on():
    env = make_focus_vector_env(2, task=SMALL)
    for seeds in ([1], [1, 2, 3]):
        with pytest.raises(ValueError, match="2 environments"):
            env.reset(seed=seeds)
    assert env.reset(seed=[1, 2])[1]["exposures"].tolist() == [1, 1]
    env.close()


def test_an_error_of_one_leaves_nothing_of_the_others_behind(monkeypatch):
    env, alone = make_focus_vector_env(2, task=SMALL), make()
    env.reset(seed=[1, 2])
    first = env.envs[0].unwrapped
    still = np.zeros((2, 4), dtype=np.float32)
    with monkeypatch.context() as broken:
        broken.setattr(first, "step", lambda action: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            env.step(still)
    observation, _ = env.reset(seed=[1, 5], options={"reset_mask": np.array([True, True])})
    np.testing.assert_array_equal(observation["frames"][1], alone.reset(seed=5)[0]["frames"])
    env.close()


@pytest.mark.parametrize("specimens", [("au_on_carbon",), ("au_on_carbon", "srtio3_on_ge")])
def test_many_worlds_as_one_batch_are_the_same_worlds(specimens):
    """Transition by transition, over the ends of episodes."""
    draw = np.random.default_rng(0)
    together = make_focus_vector_env(5, task=SMALL, specimens=specimens)
    apart = gymnasium.vector.SyncVectorEnv([lambda: make(specimens=specimens) for _ in range(5)])
    for one, other in zip(together.reset(seed=7), apart.reset(seed=7), strict=True):
        _assert_equal(one, other)
    for _ in range(7):
        actions = draw.uniform(-0.2, 0.2, (5, 4)).astype(np.float32)
        for one, other in zip(together.step(actions), apart.step(actions), strict=True):
            _assert_equal(one, other)
    together.close()
    apart.close()


def _assert_equal(one: object, other: object) -> None:
    if isinstance(one, dict):
        assert isinstance(other, dict)
        assert one.keys() == other.keys()
        for key in one:
            _assert_equal(one[key], other[key])
    else:
        np.testing.assert_array_equal(one, other)


def test_it_is_made_as_a_vector_by_name():
    env = gymnasium.make_vec("envs:adaptem/Focus-v0", num_envs=2, task=SMALL)
    observation, _ = env.reset(seed=3)
    assert observation["frames"].shape == (2, KEPT, 32, 32)
    env.close()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"specimens": ("gold",)}, "the library holds"),
        ({"specimens": ()}, "at least one"),
        ({"device": "tpu"}, "auto, cpu or cuda"),
    ],
)
def test_what_cannot_be_made_is_told(arguments, told):
    with pytest.raises(ConfigError, match=told):
        make(**arguments)


def test_a_task_that_allows_nothing_is_refused():
    with pytest.raises(ValueError, match="allows nothing"):
        FocusTask(exposure=SMALL.exposure, exposures=0)
