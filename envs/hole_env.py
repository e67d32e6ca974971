"""Which hole to image next: a survey's table as a gymnasium environment, fast enough to learn in.

One step is one image. Its reward is 1 where the hole is good and new, else 0. The mask refuses an image that would end
after the budget, and a second one of the same hole; asked for all the same, the one ends the episode and the other
takes its time, both without a reward.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from configs.errors import ConfigError
from envs.holes import Costs, Holes, read_holes

COLUMNS = ("score", "imaged", "good", "cost_min", "grid", "square", "patch", "x_px", "y_px")
"""``targets`` (N, F). ``score``: predicted, −1 to 1. ``good``: as imaged, 0 until then. ``cost_min``: from here."""
GLOBALS = ("time_left_min", "time_total_min", "here", "step_number", "seed")
"""``globals`` (G,). ``here``: the slot of the hole under the beam."""
SLACK_MIN = 1e-4
"""Rounding that a budget forgives: an image that ends with it counts."""
SCORE, IMAGED, GOOD, COST, GRID, SQUARE, PATCH, X, Y = range(len(COLUMNS))


class HoleEnv(gymnasium.Env[dict[str, Any], np.int64]):
    """Actions are the N slots, a hole each, and last stop; observations ``targets``, ``globals``, ``action_mask``.

    The first hole is given: it is imaged for nothing and not counted.
    """

    metadata = {"render_modes": []}  # noqa: RUF012 (gymnasium's own attribute)

    def __init__(self, holes: Holes, costs: Costs, budget_min: float) -> None:
        """Raises ConfigError for a budget that pays for no image."""
        if not costs.hole_min <= budget_min < np.inf:
            raise ConfigError(f"a budget of {budget_min} min was asked; one image takes {costs.hole_min} min")
        count = len(holes)
        self.holes, self.costs, self.budget_min = holes, costs, budget_min
        low = np.array([-1, *[0] * 6, *holes.place_px.min(axis=0) - 1], dtype=np.float32)
        last = *holes.parents.max(axis=0), *(holes.place_px.max(axis=0) + 1)
        high = np.array([1, 1, 1, costs.grid_min, *last], dtype=np.float32)
        self.action_space = spaces.Discrete(count + 1)
        self.observation_space = spaces.Dict(
            {
                "targets": spaces.Box(np.tile(low, (count, 1)), np.tile(high, (count, 1)), dtype=np.float32),
                "globals": spaces.Box(0, 2.0**53, (len(GLOBALS),), np.float64),
                "action_mask": spaces.MultiBinary(count + 1),
            }
        )
        self._targets = np.zeros((count, len(COLUMNS)), dtype=np.float32)
        self._targets[:, SCORE] = holes.score
        self._targets[:, GRID:X] = holes.parents
        self._targets[:, X:] = holes.place_px
        self._at_level = [_members(holes.parents[:, level]) for level in range(3)]
        self._here, self._left_min, self._steps, self._seed = 0, budget_min, 0, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[dict[str, Any], Any]:
        """``options={"start": slot}`` sets the first hole, else the seed draws it. Raises ConfigError: no such slot."""
        super().reset(seed=seed)
        count, start = len(self.holes), (options or {}).get("start")
        if start is not None and not 0 <= start < count:
            raise ConfigError(f"start {start} was asked; the table holds the slots 0 to {count - 1}")
        self._seed = 0 if seed is None else seed
        self._left_min, self._steps = self.budget_min, 0
        self._targets[:, [IMAGED, GOOD]] = 0
        self._here = int(self.np_random.integers(count)) if start is None else int(start)
        self._targets[:, COST] = self.holes.way_min(self._here, self.costs)
        self._see(self._here)
        return self._observation(), {}

    def step(self, action: np.int64 | int) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Raises ConfigError for an action that is none."""
        slot, count = int(action), len(self.holes)
        if not 0 <= slot <= count:
            raise ConfigError(f"action {slot} was asked; give a hole, 0 to {count - 1}, or {count} to stop")
        self._steps += 1
        if slot == count:
            return self._observation(), 0.0, True, False, {}
        cost_min = self._cost_min(slot)
        late, again = cost_min > self._left_min + SLACK_MIN, bool(self._targets[slot, IMAGED])
        self._left_min = 0.0 if late else max(self._left_min - cost_min, 0.0)
        if not late:
            self._go(slot)
        reward = 0.0 if late or again else float(self.holes.good[slot])
        observation = self._observation()
        return observation, reward, False, late or not observation["action_mask"][:-1].any(), {}

    def action_masks(self) -> npt.NDArray[np.int8]:
        """(N + 1,) 1: allowed."""
        mask = np.empty(len(self.holes) + 1, dtype=np.int8)
        np.less_equal(self._targets[:, COST], self._left_min + SLACK_MIN, out=mask[:-1], casting="unsafe")
        mask[:-1] &= self._targets[:, IMAGED] == 0
        mask[-1] = 1
        return mask

    def _cost_min(self, slot: int) -> float:
        """What ``cost_min`` shows, unrounded."""
        away = self.holes.parents[slot] != self.holes.parents[self._here]
        costs = self.costs
        level = int(np.argmax(away)) if away.any() else 3
        return (costs.grid_min, costs.square_min, costs.patch_min, costs.hole_min)[level]

    def _go(self, slot: int) -> None:
        """Only what lies under a node that is left or entered changes its cost."""
        costs, parents = self.costs, self.holes.parents
        before, after = parents[self._here], parents[slot]
        changed = next((level for level in range(3) if before[level] != after[level]), 3)
        if changed < 3:
            away = (costs.grid_min, costs.square_min, costs.patch_min)[changed]
            self._targets[self._at_level[changed][before[changed]], COST] = away
        for level, cost_min in enumerate((costs.square_min, costs.patch_min, costs.hole_min)):
            self._targets[self._at_level[level][after[level]], COST] = cost_min
        self._here = slot
        self._see(slot)

    def _see(self, slot: int) -> None:
        self._targets[slot, IMAGED], self._targets[slot, GOOD] = 1, self.holes.good[slot]

    def _observation(self) -> dict[str, Any]:
        told = [self._left_min, self.budget_min, self._here, self._steps, self._seed]
        return {"targets": self._targets.copy(), "globals": np.array(told), "action_mask": self.action_masks()}


def _members(numbers: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
    order = np.argsort(numbers, kind="stable")
    return np.split(order, np.cumsum(np.bincount(numbers))[:-1])


def make_hole_env(
    table: str | Path, *, costs: str = "2,5,10,20", budget_min: float = 600.0, threshold_nm: float = 0.6
) -> HoleEnv:
    """For ``gymnasium.make("envs:adaptem/Holes-v0", table="holes.csv")``. Raises ConfigError."""
    return HoleEnv(read_holes(Path(table), threshold_nm), Costs.read(costs), budget_min)
