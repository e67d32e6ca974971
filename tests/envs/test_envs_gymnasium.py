"""gymnasium's own checker, ids by name, vectorisation, and equal episodes for equal seeds."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import astuple, replace
from pathlib import Path

import gymnasium
import numpy as np
from envs_helpers import SETTINGS, TASK, Brightness, Focus
from gymnasium.utils.env_checker import check_env
from timing import least_cpu_s

from envs.novelty import NoveltyScorer
from envs.registration import make_survey_env, survey_task
from envs.scorers import Window
from envs.targets import windows

ROOT = Path(__file__).parents[2]


def small(**more):
    return make_survey_env(task=TASK, instrument=SETTINGS, scorer=Brightness, **more)


def test_gymnasiums_checker_has_nothing_to_say():
    check_env(small(skills=lambda: (Focus(),)), skip_render_check=True)


def test_the_default_environment_is_made_by_name_without_importing_ours():
    code = """
import warnings; warnings.simplefilter("error")
import gymnasium
env = gymnasium.make("envs:adaptem/Survey-v0")
observation, info = env.reset(seed=1)
observation, reward, terminated, truncated, info = env.step(0)
assert env.observation_space.contains(observation) and info["fault"] == "" and not terminated and not truncated
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def random_episode(env, seed, steps=12):
    env.reset(seed=seed)
    draw = np.random.default_rng(0)
    found = []
    for _ in range(steps):
        observation, *rest = env.step(draw.choice(np.flatnonzero(env.unwrapped.action_masks()[:-1])))
        found.append((observation, rest, repr(env.unwrapped.last_step)))
    return found


def test_equal_seeds_give_equal_episodes_and_others_do_not():
    one, two, other = (random_episode(small(), seed) for seed in (5, 5, 6))
    for (a, rest, step), (b, rest_b, step_b) in zip(one, two, strict=True):
        assert rest == rest_b
        assert step == step_b
        for name in a:
            np.testing.assert_array_equal(a[name], b[name])
    assert repr(one) != repr(other)


def test_a_reset_without_a_seed_is_another_world():
    env = small()
    env.reset(seed=5)
    first = env.situation.seed
    env.reset()
    second = env.situation.seed
    env.reset(seed=5)
    assert env.situation.seed == first
    env.reset()
    assert env.situation.seed == second != first


def test_environments_step_side_by_side():
    envs = gymnasium.vector.SyncVectorEnv([lambda: small() for _ in range(3)])
    observation, _ = envs.reset(seed=1)
    assert observation["targets"].shape == (3, len(TASK.tree), 11)
    for action in ([0, 2, 4], [9, 11, 40], [13, 2, 15]):  # the second's last is masked, the third stops
        observation, _reward, terminated, _truncated, info = envs.step(np.array(action))
        if action[2] == 40:
            assert terminated.tolist() == [False, False, True]
    assert "masked" in info["fault"][1]
    single = small()
    single.reset(seed=1)
    for action in (0, 9, 13):
        alone = single.step(action)[0]
    for name, value in alone.items():
        np.testing.assert_array_equal(observation[name][0], value)
    envs.close()


def test_the_window_of_a_site_shows_what_the_sites_own_frame_shows():
    """Signs, from the stage to the pixels: each overview window looks like its own detail frame and like no other."""
    task = survey_task(patches=1, sites_per_patch=4, site_nm=128.0, shape=(256, 256), detail_dwell_us=8.0)
    env = make_survey_env(task=task, instrument=SETTINGS, scorer=Brightness)
    env.reset(seed=11)
    frames, acquire = [], env.situation.guard.acquire

    def keep(exposure):
        frames.append(acquire(exposure))
        return frames[-1]

    env.situation.guard.acquire = keep
    sites = [1, 4, 6, 13]
    for action in (0, *(2 * site + 1 for site in sites)):
        assert env.apply(action).fault is None
    above, *own = frames
    cells = dict(windows(task.tree, 0, above.exposure, above.stage))
    whole = Window((0, 256), (0, 256))
    details = [thumbnail(frame, whole) for frame in own]
    match = np.corrcoef(details, [thumbnail(above, cells[site]) for site in sites])[:4, 4:]
    assert np.diag(match).min() > 0.7, match
    assert (match.argmax(axis=1) == np.arange(4)).all(), match


def thumbnail(frame, window, size=16):
    """(size²,) sums of the frame's first signal over a grid of the window."""
    rows, columns = (np.linspace(*edges, size, endpoint=False).astype(int) for edges in astuple(window))
    image = frame.signals["HAADF"].data[: window.rows_px[1], : window.columns_px[1]].astype(float)
    return np.add.reduceat(np.add.reduceat(image, rows, 0), columns, 1).ravel()


def test_the_environments_own_share_of_a_step_is_small():
    """At 1088 targets: everything but the frame and its description costs less than describing one frame."""
    env = make_survey_env(scorer=Brightness)
    env.reset(seed=0)
    for patch in range(20):
        env.apply(2 * patch)
    frame = env.situation.guard.acquire(replace(env.situation.task.looks[0].exposure, id=None))
    windows = [Window((r, r + 64), (c, c + 64)) for r in range(0, 256, 64) for c in range(0, 256, 64)]
    own_s = least_cpu_s(lambda: (env.observation(), env.apply(2 * 3)), 20)  # masked: decode, mask, absorb, step
    assert own_s < least_cpu_s(lambda: NoveltyScorer().describe(frame, windows))


def test_the_default_task_is_a_square_of_patches_of_sites():
    task = survey_task(patches=3, sites_per_patch=5)
    assert len(task.tree) == 9 + 225
    assert task.tree.children(4).size == 25
