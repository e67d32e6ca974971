"""How fast holes are decided on: steps of the environment, and the time that one decision of the closed loop takes.

    python -m benchmarks.holes_speed            about two minutes
    python -m benchmarks.holes_speed --quick

The tables are drawn by seed in the shape of a real survey: ten patches a square, some twenty holes a patch. Times are
processor seconds, of one thread.
"""

from __future__ import annotations

import time

import numpy as np

from agent.hole_planner import HolePlanner
from benchmarks.common import arguments, finish
from envs.hole_env import HoleEnv
from envs.holes import Costs, Holes

BUDGET_MIN = 600.0
HOLES_PER_PATCH, PATCHES_PER_SQUARE, SQUARES_PER_GRID = 20, 6, 2


def drawn(count: int, seed: int = 0) -> Holes:
    """So many holes, predicted well for the most part."""
    rng, number = np.random.default_rng(seed), np.arange(count)
    patch = number // HOLES_PER_PATCH
    square = patch // PATCHES_PER_SQUARE
    parents = np.stack([square // SQUARES_PER_GRID, square, patch], axis=1)
    good = rng.random(count) < rng.beta(0.6, 1.0, patch[-1] + 1)[patch]
    score = np.tanh(rng.normal(np.where(good, 1.0, -1.0), 0.8))
    place_px = 190.0 * np.stack([number % 5, number % HOLES_PER_PATCH // 5], axis=1)
    names = tuple(tuple(str(each) for each in range(parents[-1, level] + 1)) for level in range(3))
    return Holes(parents=parents, score=score, good=good, place_px=place_px, names=names)


def steps_per_s(count: int, episodes: int) -> float:
    """Of the environment with actions drawn from its mask, drawing left out."""
    env, rng, spent_s, steps = HoleEnv(drawn(count), Costs(), BUDGET_MIN), np.random.default_rng(1), 0.0, 0
    for seed in range(episodes):
        seen, _ = env.reset(seed=seed)
        over = False
        while not over:
            action = int(rng.choice(np.flatnonzero(seen["action_mask"][:-1])))
            began_s = time.process_time()
            seen, _, terminated, truncated, _ = env.step(action)
            spent_s += time.process_time() - began_s
            over, steps = terminated or truncated, steps + 1
    return steps / spent_s


def decision_ms(count: int, decisions: int) -> tuple[float, float]:
    """Median and 95th percentile over a survey; the first, which reads the table, is among them."""
    env, agent, spent_ms = HoleEnv(drawn(count), Costs(), BUDGET_MIN), HolePlanner(Costs()), []
    seen, _ = env.reset(seed=0)
    for _ in range(decisions):
        began_s = time.process_time()
        action = agent.act(seen).action
        spent_ms.append(1e3 * (time.process_time() - began_s))
        seen, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            break
    return float(np.median(spent_ms)), float(np.percentile(spent_ms, 95))


def main() -> None:
    options = arguments(__doc__).parse_args()
    rows = [
        {"what": f"environment, {count} holes", "steps_per_cpu_s": steps_per_s(count, 2 if options.quick else 50),
         "decision_median_ms": "", "decision_p95_ms": ""}
        for count in (1200, 2400)
    ]  # fmt: skip
    for count in (900, 2400):
        median_ms, p95_ms = decision_ms(count, 20 if options.quick else 1000)
        rows.append({"what": f"closed loop, {count} holes", "steps_per_cpu_s": "", "decision_median_ms": median_ms,
                     "decision_p95_ms": p95_ms})  # fmt: skip
    finish(rows, options, title=f"Holes: time of a step and of a decision, surveys of {BUDGET_MIN:g} min")


if __name__ == "__main__":
    main()
