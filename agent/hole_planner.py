"""Which hole next: the best plan for the time left, made anew after every image.

    score ──┐
            ├─► belief (calibration, grids, squares, patches) ─► p(good) ─► exact plan over the tree ─► its first hole
    images ─┘

All it knows is in the observation (``envs.hole_env``), so it has no state: what it learned it learns again.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from agent.features import refuse_unknown
from agent.hole_belief import HYPOTHESES, HoleBelief, Hypothesis
from agent.hole_scripts import imaging, stopping
from agent.tree_plan import HoleTree, Plan, Ways
from configs.errors import ConfigError
from envs import hole_env
from envs.holes import Costs

if TYPE_CHECKING:
    from envs.step import Decision, Step

Floats: TypeAlias = npt.NDArray[np.float64]
Ratio: TypeAlias = float
Seen: TypeAlias = "Mapping[str, npt.NDArray[Any]]"

_PARTS, _OFF = 60, 1e-3
"""Costs are reckoned in whole parts of a minute, at most so many, and may be off by this share of them."""


def ways_of(costs: Costs) -> tuple[Ways, Fraction]:
    """The costs in whole units, and the unit in minutes. Raises ConfigError for costs that are too fine for these.

    >>> from envs.holes import Costs
    >>> ways_of(Costs())
    (Ways(image_min=2, patch_min=3, square_min=5, grid_min=10), Fraction(1, 1))
    """
    each = [
        Fraction(cost).limit_denominator(_PARTS)
        for cost in (costs.hole_min, costs.patch_min, costs.square_min, costs.grid_min)
    ]
    asked = (costs.hole_min, costs.patch_min, costs.square_min, costs.grid_min)
    if any(abs(float(part) / cost - 1) > _OFF for part, cost in zip(each, asked, strict=True)):
        raise ConfigError(f"costs of {asked} min were asked: a plan reckons in parts of a minute down to 1/{_PARTS}")
    steps = [each[0], *(after - before for before, after in itertools.pairwise(each))]
    unit = Fraction(1, math.lcm(*(step.denominator for step in steps)))
    return Ways(*(int(step / unit) for step in steps)), unit


@dataclass(slots=True)
class HolePlanner:
    """Plans by what it believes. ``closed``: it learns from what it measures; open, it keeps to what was predicted."""

    costs: Costs
    closed: bool = True
    optimism: Ratio = 0.0
    hypotheses: Sequence[Hypothesis] = HYPOTHESES
    chances: Floats | None = None
    """(N,) that a hole is good, told by someone who knows; None = it has to find out."""
    _tree: HoleTree | None = field(init=False, default=None)
    _belief: HoleBelief | None = field(init=False, default=None)
    _key: bytes = field(init=False, default=b"")

    @property
    def name(self) -> str:
        return "closed loop" if self.closed else "open loop"

    def act(self, observation: Seen) -> Decision:
        """The first hole of the best plan; stop where no plan is worth anything.

        Raises ValueError for an observation with numbers that are not finite.
        """
        refuse_unknown(observation)
        targets, told = observation["targets"], observation["globals"]
        parents = targets[:, hole_env.GRID : hole_env.X].astype(np.int64)
        imaged = targets[:, hole_env.IMAGED] > 0
        here = int(told[hole_env.GLOBALS.index("here")])
        tree, belief = self._prepared(targets, parents)
        if self.closed and self.chances is None:  # an open loop's belief stays as it was made
            measured = np.flatnonzero(imaged)
            belief.learn(measured, targets[measured, hole_env.GOOD].astype(np.float64))
        worth = belief.good_probability(self.optimism) if self.chances is None else self.chances
        ways, unit = ways_of(self.costs)
        left_min = float(told[hole_env.GLOBALS.index("time_left_min")])
        ranked = tree.ranked(worth, ~imaged)
        plan = tree.plan(worth, ranked, parents[here], int(left_min / unit + 1e-6), ways)
        if plan.worth <= 0:
            return stopping(len(targets), self.name)
        patch = _first(tree, plan, ranked, worth, parents[here], ways)
        slot = int(ranked[patch][0])
        why = f"patch {patch}: {plan.counts[patch]} more images there, {plan.worth:.1f} good ones expected in all"
        return imaging(observation, slot, float(worth[slot]), self.name, why)

    def observe(self, step: Step) -> None:
        """Learn nothing: the observation shows all that was measured."""

    def state(self) -> Mapping[str, Any]:
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Nothing to restore."""

    def _prepared(self, targets: npt.NDArray[Any], parents: npt.NDArray[np.int64]) -> tuple[HoleTree, HoleBelief]:
        """Made once a table: neither the tree nor what was predicted changes. A cache, and no more than that."""
        key = targets[:, [hole_env.SCORE, *range(hole_env.GRID, targets.shape[1])]].tobytes()
        if self._tree is None or self._belief is None or key != self._key:
            self._key, self._tree = key, HoleTree(parents)
            score = targets[:, hole_env.SCORE].astype(np.float64)
            place_px = targets[:, hole_env.X :].astype(np.float64)
            self._belief = HoleBelief(score, parents, place_px, self.hypotheses)
        return self._tree, self._belief


def _first(
    tree: HoleTree,
    plan: Plan,
    ranked: Sequence[npt.NDArray[np.int64]],
    worth: Floats,
    here: npt.NDArray[np.int64],
    ways: Ways,
) -> int:
    """Where the plan begins: this patch, else in this square, else this grid; there, where a minute pays most."""
    patches = np.flatnonzero(plan.counts)
    square = tree.square_of_patch[patches]
    for near in (patches == here[2], square == here[1], tree.grid_of_square[square] == here[0]):
        if near.any():
            patches = patches[near]
            break
    spent = ways.image_min * plan.counts[patches] + ways.patch_min
    pays = [worth[ranked[patch][: plan.counts[patch]]].sum() for patch in patches.tolist()]
    return int(patches[int(np.argmax(np.array(pays) / spent))])
