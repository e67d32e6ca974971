from __future__ import annotations

from dataclasses import replace

import numpy as np

from agent.hole_learned import FEATURES, HoleLearned, HoleReader
from agent.hole_scripts import HoleScript
from benchmarks.holes import fly, optimum
from benchmarks.holes_speed import drawn
from envs.hole_env import HoleEnv
from envs.holes import Costs
from models.checkpoint import weights_hash
from training.hole_imitation import imitate_optimum

COSTS = Costs()


def trained(seed=0):
    return imitate_optimum(drawn(120), COSTS, [40.0, 80.0], rounds=2, episodes=4, epochs=8, seed=seed)


def test_it_learns_to_find_more_than_chance_and_never_more_than_there_is():
    learned, other = HoleLearned(trained()), drawn(160, seed=3)
    found = [fly(learned, other, COSTS, 80.0, start, 0) for start in range(0, 160, 20)]
    chance = [fly(HoleScript("random"), other, COSTS, 80.0, start, 0) for start in range(0, 160, 20)]
    most = [optimum(other, COSTS, 80.0, start) for start in range(0, 160, 20)]
    assert np.mean(found) > 2 * np.mean(chance)
    assert all(one <= best for one, best in zip(found, most, strict=True))


def test_the_same_seed_gives_the_same_weights():
    assert weights_hash(trained().state_dict()) == weights_hash(trained().state_dict())


def test_what_was_measured_is_read_and_what_was_not_is_not():
    holes = drawn(60)
    env, reader = HoleEnv(holes, COSTS, 60.0), HoleReader()
    seen, _ = env.reset(seed=0, options={"start": 0})
    before = reader.read(seen)
    seen, *_ = env.step(1)
    after = reader.read(seen)
    changed = [name for n, name in enumerate(FEATURES) if not np.array_equal(before[:, n], after[:, n])]
    assert {"patch_surprise", "left"} <= set(changed) and "score" not in changed
    flipped = HoleEnv(replace(holes, good=~holes.good), COSTS, 60.0)
    other, _ = flipped.reset(seed=0, options={"start": 0})
    told = ["patch_surprise", "near_surprise"]
    apart = holes.parents[:, 2] != holes.parents[0, 2]  # in other patches nothing was measured yet
    columns = [n for n, name in enumerate(FEATURES) if name not in told]
    assert np.array_equal(reader.read(other)[:, columns], before[:, columns])
    assert np.array_equal(reader.read(other)[apart], before[apart])
    assert np.isfinite(after).all()
