"""How fast a policy learns: steps of the environment for each second of a processor, and what Ray adds.

    python -m benchmarks.throughput             some minutes on an idle computer with two cores
    python -m benchmarks.throughput --quick     a few hundred steps

learning: our PPO in process against Stable-Baselines3's MaskablePPO on the same environment (readings), network, batch,
minibatch and number of epochs; both with one thread. sampling and whole loop: one process against two Ray actors by the
clock on the wall, on rendered frames and on readings. What is not installed is left out, and said.
"""

from __future__ import annotations

import sys
import time
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from agent.features import FEATURES
from benchmarks.common import arguments, finish
from models.checkpoint import make_policy
from training.episode import EpisodeSettings, image_env
from training.kit import spec_of
from training.layouts import VariationSettings
from training.macro_env import MacroEnv
from training.ppo import PPO, PPOSettings
from training.readings import Readings, load_readings
from training.rollout import Kit
from training.samplers import InProcess, open_sampler
from training.settings import TrainSettings

if TYPE_CHECKING:
    from models.policy import PolicySpec

BATCH, MINIBATCH, EPOCHS, SIDE = 2048, 128, 2, 24


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--readings", type=Path, metavar="FILE", help="of a training run; by itself made up")
    parser.add_argument("--updates", type=int, default=4, metavar="N", help="of 2048 steps, after one untimed")
    options = parser.parse_args()
    torch.set_num_threads(1)
    side, updates = (8, 1) if options.quick else (SIDE, options.updates)
    readings = load_readings(options.readings) if options.readings else made_up(side)
    episode = EpisodeSettings(sites=side)
    settings = TrainSettings.model_validate({"worlds": {"kinds": {"film": {}}}, "episode": episode})
    spec = spec_of(settings)
    make = partial(MacroEnv, episode, readings, VariationSettings())
    kit = Kit(make_env=make, make_policy=partial(make_policy, spec), read=FEATURES["map"][0])
    batch = 256 if options.quick else BATCH
    rows = [ours(kit, spec, batch, updates)]
    if find_spec("sb3_contrib"):
        rows.append(theirs(make, spec, batch, updates))
        ratio = rows[0]["steps_per_cpu_s"] / rows[1]["steps_per_cpu_s"]
        print(f"our PPO over MaskablePPO, steps for each second of a processor: {ratio:.2f}, to be at least 1")
    else:
        print("Stable-Baselines3 is left out: pip install 'adaptem[sb3]'")
    finish(rows, options, title="learning, readings")
    if not find_spec("ray"):
        print("two Ray actors are left out: pip install 'adaptem[train]'")
        return 0
    rendered = EpisodeSettings(sites=8, pixels=64 if options.quick else 256, dose_ratio=0.4)
    image_kit = Kit(make_env=partial(image_env, rendered), make_policy=kit.make_policy, read=kit.read)
    loops = [
        *compared("sampling, rendered frames", image_kit, spec, 8 if options.quick else 48, learn=False),
        *compared("whole loop, readings", kit, spec, 16 if options.quick else 96, learn=True),
    ]
    finish(loops, options, title="two Ray actors over one process")
    return 0


def made_up(side: int) -> Readings:
    """Noise, with a rare site in twenty: the arithmetic is the same."""
    rng = np.random.default_rng(0)
    above, seen = rng.exponential(1.0, (2, 8, side, side)).astype(np.float32)
    rare = (rng.random(above.shape) < 0.05).astype(np.uint8)
    return Readings(above=above, seen=seen, features=rare, kind=np.zeros(8, dtype=np.uint8))


def ours(kit: Kit, spec: PolicySpec, batch: int, updates: int) -> dict[str, Any]:
    torch.manual_seed(0)
    learner = PPO(make_policy(spec), PPOSettings(minibatch=MINIBATCH, epochs=EPOCHS, divergence=1e9))
    sampler, steps, began_s = InProcess(kit), 0, 0.0
    for update in range(-1, updates):
        if update == 0:
            steps, began_s = 0, time.process_time()
        episodes = []
        while sum(map(len, episodes)) < batch:
            first = 1000 * (update + 2) + len(episodes)
            episodes += sampler.play(learner.policy.state_dict(), range(first, first + 8))
        learner.update(episodes, np.random.default_rng(update + 1))
        steps += sum(map(len, episodes))
    return told("our PPO", steps, time.process_time() - began_s)


def theirs(make: Any, spec: PolicySpec, batch: int, updates: int) -> dict[str, Any]:
    from training.sb3 import maskable_ppo

    model = maskable_ppo(
        make, spec, envs=8, n_steps=batch // 8, batch_size=MINIBATCH, n_epochs=EPOCHS, gamma=0.99, gae_lambda=0.95
    )
    model.learn(batch)
    began_s = time.process_time()
    model.learn(batch * updates, reset_num_timesteps=False)
    return told("MaskablePPO, 8 environments", batch * updates, time.process_time() - began_s)


def told(name: str, steps: int, cpu_s: float) -> dict[str, Any]:
    return {"engine": name, "steps": steps, "cpu_s": cpu_s, "steps_per_cpu_s": steps / cpu_s}


def compared(name: str, kit: Kit, spec: PolicySpec, episodes: int, *, learn: bool) -> list[dict[str, Any]]:
    """One process, then two actors: steps for each second on the wall."""
    rows: list[dict[str, Any]] = []
    for workers in (0, 2):
        torch.manual_seed(0)
        learner = PPO(make_policy(spec), PPOSettings(minibatch=MINIBATCH, epochs=EPOCHS, divergence=1e9))
        sampler = open_sampler(kit, workers)
        sampler.play(learner.policy.state_dict(), range(16))
        began_s = time.perf_counter()
        played = sampler.play(learner.policy.state_dict(), range(100, 100 + episodes))
        if learn:
            learner.update(played, np.random.default_rng(0))
        wall_s, steps = time.perf_counter() - began_s, sum(map(len, played))
        sampler.close()
        rows.append({"what": name, "workers": workers, "steps": steps, "steps_per_s": steps / wall_s})
        rows[-1]["over_one_process"] = rows[-1]["steps_per_s"] / rows[0]["steps_per_s"]
    return rows


if __name__ == "__main__":
    sys.exit(main())
